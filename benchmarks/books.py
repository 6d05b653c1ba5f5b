"""How many requests the books take, with all their rows and durably: `python -m benchmarks.books`.

The ops are the engine's own, put together beforehand by the functions that every request goes through; what is measured
is `Store.commit` of what accepts a request and then of what settles it, 256 requests at once in every process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, cast

import uvloop

from benchmarks.pictures import EDGE, USAGE, small_picture
from benchmarks.processes import ROOT, BenchmarkFailed, work_folder
from imageway.core.ids import new_id
from imageway.core.intents import Generate
from imageway.core.ops import Committed, Op, Store
from imageway.core.requests import Caller, Geometry, ImageRequest
from imageway.core.steps import Usage
from imageway.engine.acceptance import begin_ops, task_for
from imageway.engine.attempts import PartResult
from imageway.engine.images import Proved
from imageway.engine.ports import Tools, one_chunk
from imageway.engine.preparation import prepare
from imageway.engine.settlement import settle
from imageway.ledger.ops import CreateKey, CreateWorkspace, TopUp
from imageway.ledger.queries import ShowWallet
from imageway.media.proofs import prove
from imageway.server.bootstrap import open_gateway
from imageway.server.configuration import Settings
from imageway.server.serving import keep_arenas, settle_memory
from imageway.storage import open_store

AT_ONCE: Final = 256
WARM_UP: Final = 512
REQUESTS: Final = 16_384
WALLET_USD_MICROS: Final = 10**12
ASKED: Final = Generate(
    request=ImageRequest(
        model="gpt-image-1",
        prompt="a watercolour of a lighthouse on a cliff at dawn, gulls above the water",
        n=1,
        geometry=Geometry(width=EDGE, height=EDGE),
        quality="low",
    )
)
USED: Final = Usage(input_text=cast("int", USAGE["input_tokens"]), output_image=cast("int", USAGE["output_tokens"]))

Request = tuple[tuple[Op, ...], tuple[Op, ...]]
"""The ops that accept it, and those that settle it."""


@dataclass(frozen=True, slots=True)
class Booked:
    """What one process did. `cpu_s` is its own, all its threads; a database server's is not in it."""

    requests: int
    began_s: float
    ended_s: float
    cpu_s: float
    ops: int


async def make_workspace(tools: Tools) -> Caller:
    """With a key and money."""
    workspace_id, key_id = new_id("ws", tools.random), new_id("key", tools.random)
    key = CreateKey(key_id, workspace_id, "benchmark", tools.random.token_bytes(32), "aaaa", (), 1)
    top_up = TopUp(new_id("top", tools.random), workspace_id, WALLET_USD_MICROS, 1)
    made = await tools.store.commit(CreateWorkspace(workspace_id, workspace_id, 1), top_up, key)
    if not isinstance(made, Committed):
        raise BenchmarkFailed(f"no workspace: {made}")
    return Caller(key_id, workspace_id)


@asynccontextmanager
async def requests_of(tools: Tools, caller: Caller, count: int) -> AsyncIterator[list[Request]]:
    """As the engine would book them, had a provider drawn each."""
    scope = tools.spool.scope()
    picture = await scope.keep(one_chunk(small_picture()), declared_type="image/png")
    facts = prove(picture)
    if isinstance(facts, str):
        raise BenchmarkFailed(facts)
    found = []
    for _ in range(count):
        prepared = prepare(tools, ASKED, caller)
        run = task_for(tools, prepared, scope)
        begun = begin_ops(tools, prepared, run.facts, run.parts)
        brought = [
            PartResult(
                part=part.part,
                attempt_id=part.attempt_id,
                option=part.option,
                images=(Proved(picture, facts),),
                usage=USED,
                produced=1,
            )
            for part in run.parts
        ]
        found.append((begun, (await settle(tools, run.facts, scope, brought, store=False)).ops))
    try:
        yield found
    finally:
        scope.release()


async def book(store: Store, requests: list[Request]) -> None:
    waiting = iter(requests)

    async def one_after_the_other() -> None:
        for accepted, settled in waiting:
            for ops in (accepted, settled):
                committed = await store.commit(*ops)
                if not isinstance(committed, Committed):
                    raise BenchmarkFailed(f"not booked: {committed}")

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


async def work(folder: Path, database: str, number: int) -> None:
    """One gateway process: says "ready", waits for a line, books, prints what that took."""
    environment = {"OPENAI_API_KEY": "sk-test-benchmark", "OPENAI_BASE_URL": "http://127.0.0.1:9"}
    settings = Settings(data=folder / f"data{number}", database=database)
    async with open_gateway(settings, public_url="http://127.0.0.1", environment=environment) as gateway:
        tools = gateway.tools
        caller = await make_workspace(tools)
        async with requests_of(tools, caller, WARM_UP + REQUESTS) as requests:
            await book(tools.store, requests[:WARM_UP])
            settle_memory()
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            began_s, began_cpu_s = time.time(), time.process_time()
            await book(tools.store, requests[WARM_UP:])
            cpu_s, ops = time.process_time() - began_cpu_s, sum(map(len, requests[-1]))
            booked = Booked(REQUESTS, began_s, time.time(), cpu_s, ops)
        await _check(tools.store, caller)
    print(json.dumps(asdict(booked)), flush=True)


async def _check(store: Store, caller: Caller) -> None:
    wallet = await store.read(ShowWallet(caller.workspace_id))
    if wallet is None or wallet.held or not wallet.spent:
        raise BenchmarkFailed(f"the books do not balance: {wallet}")


def measure(folder: Path, database: str, processes: int) -> list[Booked]:
    """All processes at once, on one database."""
    command = [sys.executable, "-m", "benchmarks.books", "work", str(folder), database]
    with (folder / "log").open("w") as log, _started(command, processes, log.fileno()) as started:
        for process in started:
            if _line(process) != "ready":
                raise BenchmarkFailed((folder / "log").read_text()[-2000:])
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        told = [_line(process) for process in started]
    if not all(told):
        raise BenchmarkFailed((folder / "log").read_text()[-2000:])
    return [Booked(**json.loads(line)) for line in told]


@contextmanager
def _started(command: list[str], processes: int, errors: int) -> Iterator[list[subprocess.Popen[str]]]:
    started = [
        subprocess.Popen(
            [*command, str(number)],
            cwd=ROOT,
            env=os.environ | {"IMAGEWAY_LOG_LEVEL": "error"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        for number in range(processes)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.communicate(timeout=60)


def _line(process: subprocess.Popen[str]) -> str:
    """The next one that is no log."""
    assert process.stdout is not None
    for line in process.stdout:
        if line == "ready\n" or line.startswith("{"):
            return line.strip()
    return ""


async def create(database: str) -> None:
    """The tables, before several processes use them at once."""
    await (await open_store(database)).close()


def per_cpu_s(found: list[Booked]) -> float:
    return sum(done.requests for done in found) / sum(done.cpu_s for done in found)


def per_s(found: list[Booked]) -> float:
    """From the first commit of any to the last of all."""
    took_s = max(done.ended_s for done in found) - min(done.began_s for done in found)
    return sum(done.requests for done in found) / took_s


def report(name: str, found: list[Booked]) -> None:
    print(
        f"{name}: {per_s(found):,.0f} requests/s, {per_cpu_s(found):,.0f} per CPU-second of the gateway"
        f" ({found[0].ops} ops each)",
        flush=True,
    )


def main(place: str | None) -> None:
    from tests.store.server import postgres_server

    with work_folder(None) as folder:
        if place is None:
            report("SQLite, one process", measure(folder, f"sqlite://{folder}/imageway.db", 1))
            place = postgres_server()("postgres")
        for processes in (1, 2):
            asyncio.run(create(place))
            report(f"PostgreSQL, {processes} process(es)", measure(folder, place, processes))


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["work"]:
        keep_arenas()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work(Path(words[1]), words[2], int(words[3])))
    else:
        main(words[0] if words else None)
