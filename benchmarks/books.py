"""How many requests the books take, with all their rows and durably: `python -m benchmarks.books`.

The ops are the engine's own, put together beforehand by the functions that every request goes through; what is measured
is `Store.commit` of what accepts a request and then of what settles it, 256 requests at once in every process. What was
booked is marked as delivered afterwards, as a gateway does once the last byte has left: whatever starts next on that
database would else refund all of it, while it is measured itself. Each line stands for a database of its own, unless a
URL is given. Requests per second are what the machine had left for them; per CPU-second of the gateways and of the
server together they can be compared."""

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
from itertools import cycle
from pathlib import Path
from typing import Final, cast

import asyncpg
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
from imageway.ledger.ops import CreateKey, CreateWorkspace, MarkDelivery, RecordUsage, TopUp
from imageway.ledger.queries import ShowWallet
from imageway.media.proofs import prove
from imageway.server.bootstrap import open_gateway
from imageway.server.configuration import Settings
from imageway.server.machine import SystemRandom
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
READY: Final = "ready"
DONE: Final = "done"
SHAPES: Final = (
    ("one process", 1, 1),
    ("two processes", 2, 2),
    ("two processes, one wallet", 2, 1),
)
"""What is measured on PostgreSQL: its name, processes and workspaces."""

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


@dataclass(frozen=True, slots=True)
class Measured:
    """What all processes did at once. `server_s` is the CPU time of a PostgreSQL server on this machine, else 0."""

    booked: tuple[Booked, ...]
    server_s: float

    @property
    def requests(self) -> int:
        return sum(done.requests for done in self.booked)

    @property
    def gateway_s(self) -> float:
        return sum(done.cpu_s for done in self.booked)

    def per_s(self) -> float:
        """From the first commit of any to the last of all."""
        ended_s, began_s = max(done.ended_s for done in self.booked), min(done.began_s for done in self.booked)
        return self.requests / (ended_s - began_s)


async def make_workspace(store: Store) -> Caller:
    """With a key and money."""
    random = SystemRandom()
    workspace_id, key_id = new_id("ws", random), new_id("key", random)
    key = CreateKey(key_id, workspace_id, "benchmark", random.token_bytes(32), "aaaa", (), 1)
    top_up = TopUp(new_id("top", random), workspace_id, WALLET_USD_MICROS, 1)
    made = await store.commit(CreateWorkspace(workspace_id, workspace_id, 1), top_up, key)
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
        await asyncio.sleep(0)  # to renew the lease, say
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


async def deliver(store: Store, requests: list[Request]) -> None:
    recorded = [op for _, settled in requests for op in settled if isinstance(op, RecordUsage)]
    marks = [MarkDelivery(op.request_id, "delivered", op.at_ms) for op in recorded if op.delivery == "undelivered"]
    if not all(isinstance(done, Committed) for done in await asyncio.gather(*map(store.commit, marks))):
        raise BenchmarkFailed("not marked as delivered")


async def work(folder: Path, database: str, caller: Caller, number: int) -> None:
    """One gateway process: says "ready", waits for a line, books, prints what that took."""
    environment = {"OPENAI_API_KEY": "sk-test-benchmark", "OPENAI_BASE_URL": "http://127.0.0.1:9"}
    settings = Settings(data=folder / f"data{number}", database=database)
    async with open_gateway(settings, public_url="http://127.0.0.1", environment=environment) as gateway:
        tools = gateway.tools
        async with requests_of(tools, caller, WARM_UP + REQUESTS) as requests:
            await book(tools.store, requests[:WARM_UP])
            settle_memory()
            print(READY, flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            began_s, began_cpu_s = time.time(), time.process_time()
            await book(tools.store, requests[WARM_UP:])
            cpu_s, ops = time.process_time() - began_cpu_s, sum(map(len, requests[-1]))
            booked = Booked(REQUESTS, began_s, time.time(), cpu_s, ops)
            print(json.dumps(asdict(booked)), flush=True)
            await deliver(tools.store, requests)
        await _check(tools.store, caller)
    print(DONE, flush=True)


async def _check(store: Store, caller: Caller) -> None:
    wallet = await store.read(ShowWallet(caller.workspace_id))
    if wallet is None or wallet.held or not wallet.spent:
        raise BenchmarkFailed(f"the books do not balance: {wallet}")


async def callers_of(database: str, count: int) -> list[Caller]:
    """Sets up the tables first, before several processes use them at once."""
    store = await open_store(database)
    try:
        return [await make_workspace(store) for _ in range(count)]
    finally:
        await store.close()


def measure(folder: Path, database: str, processes: int, *, workspaces: int = 0) -> Measured:
    """All processes at once, on one database, each with a workspace of its own unless there are fewer."""
    callers = asyncio.run(callers_of(database, workspaces or processes))
    command = [sys.executable, "-m", "benchmarks.books", "work", str(folder), database]
    each = [
        [*command, caller.workspace_id, caller.key_id, str(number)]
        for number, caller in zip(range(processes), cycle(callers), strict=False)
    ]
    with (folder / "log").open("w") as log, _started(each, log.fileno()) as started:
        for process in started:
            if _line(process) != READY:
                raise BenchmarkFailed((folder / "log").read_text()[-2000:])
        before_s = server_cpu_s(database)
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        told = [_line(process) for process in started]
        server_s = server_cpu_s(database) - before_s
        if not all(told) or {_line(process) for process in started} != {DONE}:
            raise BenchmarkFailed((folder / "log").read_text()[-2000:])
    return Measured(tuple(Booked(**json.loads(line)) for line in told), server_s)


@contextmanager
def _started(commands: list[list[str]], errors: int) -> Iterator[list[subprocess.Popen[str]]]:
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"IMAGEWAY_LOG_LEVEL": "error"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        for command in commands
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
        if line.strip() in (READY, DONE) or line.startswith("{"):
            return line.strip()
    return ""


async def fresh_database(place: str, name: str) -> None:
    connection = await asyncpg.connect(place)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()


def server_cpu_s(database: str) -> float:
    """Of a server on this machine, all its processes, those that have ended too."""
    if not database.startswith("postgres"):
        return 0.0
    server_id = asyncio.run(_server_id(database))
    return sum(_cpu_s(stat, server_id) for stat in Path("/proc").glob("[0-9]*/stat")) if server_id else 0.0


async def _server_id(database: str) -> int:
    """The process id of the server that answers there; 0 when it is elsewhere."""
    connection = await asyncpg.connect(database)
    try:
        stat = Path(f"/proc/{await connection.fetchval('SELECT pg_backend_pid()')}/stat")
        return int(_fields(stat)[1]) if stat.exists() and "(postgres)" in stat.read_text() else 0
    finally:
        await connection.close()


def _cpu_s(stat: Path, server_id: int) -> float:
    """Of the server itself with its ended children, of a living child alone, of others nothing."""
    try:
        fields = _fields(stat)
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return 0.0
    own = stat.parent.name == str(server_id)
    if not own and fields[1] != str(server_id):
        return 0.0
    return sum(map(int, fields[11 : 15 if own else 13])) / os.sysconf("SC_CLK_TCK")


def _fields(stat: Path) -> list[str]:
    return stat.read_text().rpartition(")")[2].split()


def report(name: str, found: Measured) -> None:
    gateway, everything = (found.requests / cpu_s for cpu_s in (found.gateway_s, found.gateway_s + found.server_s))
    print(
        f"{name}: {found.per_s():,.0f} requests/s, {gateway:,.0f} per CPU-second of the gateway, {everything:,.0f} with"
        f" the server's ({found.booked[0].ops} ops each; load of the machine {os.getloadavg()[0]:.1f})",
        flush=True,
    )


def main(given: str | None) -> None:
    from tests.store.server import postgres_server

    if given is None:
        with work_folder(None) as folder:
            report("SQLite, one process", measure(folder, f"sqlite://{folder}/imageway.db", 1))
    for number, (name, processes, workspaces) in enumerate(SHAPES):
        place = given
        if place is None:
            server = postgres_server()
            asyncio.run(fresh_database(server("postgres"), f"books_{number}"))
            place = server(f"books_{number}")
        with work_folder(None) as folder:
            report(f"PostgreSQL, {name}", measure(folder, place, processes, workspaces=workspaces))


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["work"]:
        keep_arenas()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work(Path(words[1]), words[2], Caller(words[4], words[3]), int(words[5])))
    else:
        main(words[0] if words else None)
