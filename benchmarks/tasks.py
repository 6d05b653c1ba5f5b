"""Tasks that wait: how soon and how fast they are run, in the process that takes them and in another, and what ten
thousand that poll their providers cost: `python -m benchmarks.tasks [speed|apart|polling] [postgresql://…]`; without a
database on SQLite. Upstream and callers are processes of their own, so that the gateway's figures are its own."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import uvloop

from benchmarks.measures import percentile
from benchmarks.pictures import answer, small_picture
from benchmarks.processes import IMAGEWAY, Running, running, work_folder
from imageway.storage import open_store
from imageway.tasks.queries import FindTasks, RunningTasks, Task

IN_FLIGHT: Final = (1, 8, 64)
SECONDS: Final = 6.0
APART: Final = 100
POLLING: Final = 10_000
WATCHED_S: Final = 20.0
LIMITS: Final = """
[limits]
queued_per_workspace = 20000
queued_per_key_at_once = 20000
poll_least_s = 5
attempt_deadline_s = 3000
task_deadline_s = 3000
"""
AT_ONCE: Final = {"model": "gpt-image-1", "prompt": "a", "size": "1024x1024", "quality": "low", "async": True}
POLLED: Final = {"model": "qwen-image-plus", "prompt": "a", "async": True}


class Upstream(asyncio.Protocol):
    """Draws at once where that is asked for; accepts tasks that never end."""

    def __init__(self, drawn: bytes) -> None:
        self._drawn, self._received, self._accepted = drawn, b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            _, found, rest = head.partition(b"content-length:")
            whole = end + 4 + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            self._transport.write(self._answer(head.split(b" ", 2)[1]))

    def _answer(self, path: bytes) -> bytes:
        if b"/tasks/" in path:
            body = b'{"output":{"task_id":"t1","task_status":"RUNNING"},"request_id":"1"}'
        elif b"synthesis" in path:
            body = b'{"output":{"task_id":"t1","task_status":"PENDING"},"request_id":"1"}'
        else:
            body = self._drawn
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def serve_upstream() -> None:
    drawn = answer(small_picture())
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(drawn), "127.0.0.1", 0)
    print(f"ready http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


class Caller:
    """One keep-alive connection to the gateway."""

    def __init__(self, url: str, key: str) -> None:
        self._place, self._key = urlsplit(url), key

    async def open(self) -> Caller:
        self._reader, self._writer = await asyncio.open_connection(self._place.hostname, self._place.port)
        return self

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {self._key}\r\n"
        self._writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        told = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(told.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        return int(told.split()[1]), json.loads(await self._reader.readexactly(length))


@contextmanager
def behind(folder: Path, database: str) -> Iterator[dict[str, str]]:
    """The environment of gateways whose providers are there."""
    (folder / "imageway.toml").write_text(LIMITS)
    with running([sys.executable, "-m", "benchmarks.tasks", "upstream"], {}, folder / "upstream.log") as provider:
        yield {
            "OPENAI_API_KEY": "sk-test-benchmark",
            "OPENAI_BASE_URL": f"{provider.url}/drawn",
            "DASHSCOPE_API_KEY": "sk-test-benchmark",
            "DASHSCOPE_BASE_URL": f"{provider.url}/polled",
            "IMAGEWAY_CONFIG": str(folder / "imageway.toml"),
            "IMAGEWAY_DATABASE": database,
            "IMAGEWAY_SPOOL_BYTES": str(1 << 50),
            "IMAGEWAY_LOG_LEVEL": "error",
        }


@asynccontextmanager
async def gateway(folder: Path, workers: int, database: str) -> AsyncIterator[tuple[Running, str]]:
    """With a key of a workspace that has money, on tables that are there: who makes them at his first start keeps the
    libraries for that, 27 MB, until his second."""
    key = await _key(database)
    command = [str(IMAGEWAY), "serve", "--port", "0", "--workers", str(workers), "--data", str(folder / "data")]
    with behind(folder, database) as environment, running(command, environment, folder / "gateway.log") as serving:
        yield serving, key


@asynccontextmanager
async def gateway_apart(folder: Path, database: str) -> AsyncIterator[tuple[Running, str]]:
    """One that only takes tasks, and a process that only runs them."""
    own = [str(IMAGEWAY), "worker", "--workers", "64", "--data", str(folder / "data")]
    async with gateway(folder, 0, database) as (serving, key):
        with behind(folder, database) as environment, running(own, environment, folder / "worker.log"):
            yield serving, key


async def _key(database: str) -> str:
    from tests.integration.processes import House

    house = House(Path(), {"IMAGEWAY_DATABASE": database})
    return await asyncio.to_thread(house.fund, "1000000")


async def run_and_wait(url: str, key: str, in_flight: int, seconds: float) -> int:
    """How many tasks ended, each waited for before its caller asks for the next."""
    until_s, ended = time.perf_counter() + seconds, 0

    async def call() -> None:
        nonlocal ended
        caller = await Caller(url, key).open()
        while time.perf_counter() < until_s:
            status, task = await caller.ask("POST", "/v1/images/generations", AT_ONCE)
            assert status == 202, task
            status, task = await caller.ask("GET", f"/v1/tasks/{task['id']}?wait=30")
            assert task["status"] == "succeeded", task
            ended += 1

    await asyncio.gather(*(call() for _ in range(in_flight)))
    return ended


async def newest(database: str, count: int) -> tuple[Task, ...]:
    store = await open_store(database)
    try:
        running_now = await store.read(RunningTasks())
        workspace = running_now[0].workspace_id if running_now else await _workspace(store)
        return (await store.read(FindTasks(workspace_id=workspace, limit=count, counted=False))).tasks
    finally:
        await store.close()


async def _workspace(store: Any) -> str:
    from imageway.ledger.queries import ListWorkspaces

    return str((await store.read(ListWorkspaces()))[0].id)


async def measure_speed(folder: Path, database: str) -> None:
    async with gateway(folder, 256, database) as (serving, key):
        await run_and_wait(serving.url, key, 8, 1.0)
        for in_flight in IN_FLIGHT:
            before_s, start_s = serving.cpu_s(), time.perf_counter()
            ended = await run_and_wait(serving.url, key, in_flight, SECONDS)
            wall_s, cpu_s = time.perf_counter() - start_s, serving.cpu_s() - before_s
            waits = sorted(task.attempts[0].at_ms - task.created_ms for task in await newest(database, ended))
            p50, p99 = percentile(waits, 0.5), percentile(waits, 0.99)
            print(
                f"{in_flight:3} in flight: {ended / wall_s:6.0f} tasks/s, {ended / cpu_s:6.0f} tasks/CPU-s,"
                f" accepted → begun p50 {p50:.0f} ms, p99 {p99:.0f} ms",
                flush=True,
            )


async def measure_apart(folder: Path, database: str) -> None:
    """One task after another, each at another moment of everybody's clocks."""
    async with gateway_apart(folder, database) as (serving, key):
        caller, heard = await Caller(serving.url, key).open(), []
        for number in range(APART):
            await asyncio.sleep(0.05 + 0.37 * number % 0.3)
            status, task = await caller.ask("POST", "/v1/images/generations", AT_ONCE)
            assert status == 202, task
            status, task = await caller.ask("GET", f"/v1/tasks/{task['id']}?wait=30")
            assert (status, task.get("status")) == (200, "succeeded"), task
            heard.append(time.time() * 1000)
        tasks = (await newest(database, APART))[::-1]
        waits = sorted(task.attempts[0].at_ms - task.created_ms for task in tasks)
        words = sorted(at_ms - (task.finished_ms or 0) for at_ms, task in zip(heard, tasks, strict=True))
        print(
            f"in two processes: accepted → begun p50 {percentile(waits, 0.5):.0f} ms, p99 {percentile(waits, 0.99):.0f}"
            f" ms; ended → told p50 {percentile(words, 0.5):.0f} ms, p99 {percentile(words, 0.99):.0f} ms",
            flush=True,
        )


async def measure_polling(folder: Path, database: str) -> None:
    async with gateway(folder, POLLING, database) as (serving, key):
        idle = serving.memory_bytes()

        async def submit(count: int) -> None:
            caller = await Caller(serving.url, key).open()
            for _ in range(count):
                status, task = await caller.ask("POST", "/v1/images/generations", POLLED)
                assert status == 202, task

        await asyncio.gather(*(submit(POLLING // 16) for _ in range(16)))
        await asyncio.sleep(12)
        before_s = serving.cpu_s()
        await asyncio.sleep(WATCHED_S)
        share = (serving.cpu_s() - before_s) / WATCHED_S
        memory = serving.memory_bytes()
        print(
            f"{POLLING} tasks that poll every 5 s: {share:.0%} of a core, {memory / 1e6:.0f} MB"
            f" ({idle / 1e6:.0f} MB idle, {(memory - idle) / POLLING / 1e3:.1f} KB each)",
            flush=True,
        )
        serving.process.kill()  # they would be waited for


MEASURES: Final = {"speed": measure_speed, "apart": measure_apart, "polling": measure_polling}


async def main(words: list[str]) -> None:
    chosen = [word for word in words if word in MEASURES] or list(MEASURES)
    place = next((word for word in words if "://" in word), None)
    for name in chosen:
        with work_folder(None) as folder:
            (folder / "data").mkdir()
            await MEASURES[name](folder, place or f"sqlite://{folder}/data/imageway.db")


if __name__ == "__main__":
    asked = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_upstream() if asked == ["upstream"] else main(asked))
