"""How fast bodies are lifted and spliced, and how much memory a blob takes on its way.

    .venv/bin/python benchmarks/bodies.py

Prints CPU figures of this process, threads included: 8 MB base64 answers in chunks of 64 KiB, lifted into spool files
and read back through `json_payload`, with one and with eight answers kept at a time (the kernel's copy into pages that
no cache holds is most of the difference); 8 MB as a file in a form and as base64 in an event of a stream; and
microseconds for small bodies and events."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pybase64

from imageway.bodies import (
    Budget,
    JsonLifter,
    Scope,
    Spool,
    event_chunks,
    json_payload,
    lift_json,
    read_events,
    read_form,
)
from imageway.core.blobs import Tree
from imageway.core.streams import StreamEvent

ANSWER_BYTES = 8_000_000
CHUNK_BYTES = 64 << 10
GROUPS = 12  # the best group counts: other processes share the cores and the caches
SMALL_ROUNDS = 20_000
EVENTS = 9_000  # in one stream; no more than the reader allows
BOUNDARY = "7c24ec1b4642b43210a24f2c9a04cd54"
FORM_START = f"""--{BOUNDARY}\r
Content-Disposition: form-data; name="prompt"\r
\r
a cat on a wall\r
--{BOUNDARY}\r
Content-Disposition: form-data; name="image[]"; filename="a.png"\r
Content-Type: image/png\r
\r
""".encode()
EVENT = StreamEvent({"type": "image.partial", "url": "https://media.example/0.png", "index": 0}, "image.partial")
REQUEST = (
    b'{"model":"painter-1","prompt":"a cat on a wall, watercolour, \xe9\x9b\xa8\xe5\xa4\xa9","n":1,"size":"1024x1024",'
    b'"seed":7,"guidance_scale":2.5,"watermark":false,"user":"u-1","response_format":"url"}'
)
ANSWER: Tree = {
    "created": 1_790_000_000,
    "data": [{"url": "https://media.example/v1/media/img_7k2m/0.png?key=1&expires=1790086400&signature=" + "a" * 43}],
    "usage": {"input_tokens": 12, "output_tokens": 4160, "total_tokens": 4172},
    "metadata": {"model": "painter-1", "width": 1024, "height": 1024, "seeds": [7]},
}


def answer_chunks() -> list[bytes]:
    picture = pybase64.b64encode(os.urandom(ANSWER_BYTES * 3 // 4))
    body = b'{"created":1790000000,"data":[{"b64_json":"' + picture + b'"}],"usage":{"total_tokens":4172}}'
    return cut(body)


def form_chunks() -> list[bytes]:
    return cut(FORM_START + os.urandom(ANSWER_BYTES) + f"\r\n--{BOUNDARY}--\r\n".encode())


def event_stream() -> list[bytes]:
    picture = pybase64.b64encode(os.urandom(ANSWER_BYTES * 3 // 4))
    return cut(b'event: image.completed\ndata: {"b64_json":"' + picture + b'"}\n\n')


def cut(body: bytes) -> list[bytes]:
    return [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]


async def arrive(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def lift(chunks: list[bytes], scope: Scope) -> Tree:
    return await lift_json(arrive(chunks), scope)


async def read_back(tree: Tree) -> int:
    size = 0
    payload = json_payload(tree)
    async for chunk in payload.chunks():
        size += len(chunk)
    assert size == payload.length
    return size


async def measure_large(spool: Spool, chunks: list[bytes], kept: int) -> None:
    size = sum(map(len, chunks)) * kept
    lifted_s, read_s, whole_s = [], [], []
    for _ in range(GROUPS):
        scopes = [spool.scope() for _ in range(kept)]
        start = time.process_time()
        trees = [await lift(chunks, scope) for scope in scopes]
        lifted = time.process_time()
        for tree in trees:
            await read_back(tree)
        read = time.process_time()
        for scope in scopes:
            scope.release()
        spool.executor.submit(int).result()
        lifted_s.append(lifted - start)
        read_s.append(read - lifted)
        whole_s.append(time.process_time() - start)
    for name, seconds in (("lift and spool", lifted_s), ("read back", read_s), ("whole, with deletion", whole_s)):
        print(f"{kept} x 8 MB, {name:21} {size / min(seconds) / 1e6:7,.0f} MB per CPU-second")


async def upload(chunks: list[bytes], scope: Scope) -> None:
    await read_form(arrive(chunks), BOUNDARY, scope)


async def follow(chunks: list[bytes], scope: Scope) -> None:
    async for _ in read_events(arrive(chunks), scope):
        pass


async def measure_reading(
    spool: Spool, name: str, read: Callable[[list[bytes], Scope], Awaitable[None]], chunks: list[bytes]
) -> None:
    seconds = []
    for _ in range(GROUPS):
        scope = spool.scope()
        start = time.process_time()
        await read(chunks, scope)
        seconds.append(time.process_time() - start)
        scope.release()
        spool.executor.submit(int).result()
    print(f"8 MB, {name:25} {sum(map(len, chunks)) / min(seconds) / 1e6:7,.0f} MB per CPU-second")


async def measure_events(spool: Spool) -> None:
    event = b"".join([chunk async for chunk in event_chunks(EVENT)])
    scope = spool.scope()
    start = time.process_time()
    await follow(cut(event * EVENTS), scope)
    read_s = time.process_time() - start
    start = time.process_time()
    for _ in range(EVENTS):
        async for _ in event_chunks(EVENT):
            pass
    written_s = time.process_time() - start
    print(f"read an event of {len(event)} bytes {read_s / EVENTS * 1e6:7.1f} µs")
    print(f"write an event of {len(event)} bytes {written_s / EVENTS * 1e6:7.1f} µs")
    scope.release()


async def measure_memory(spool: Spool, chunks: list[bytes], at_once: int = 16) -> None:
    tracemalloc.start()
    scopes = [spool.scope() for _ in range(at_once)]
    before, _ = tracemalloc.get_traced_memory()
    lifters = [JsonLifter(scope) for scope in scopes]
    for chunk in chunks:
        for lifter in lifters:
            lifter.feed(bytes(bytearray(chunk)))  # a copy of its own, as off a socket
            await lifter.drain()
    _, peak = tracemalloc.get_traced_memory()
    for lifter in lifters:
        await lifter.finish()
    tracemalloc.stop()
    print(f"memory per blob in flight, {at_once} at once {(peak - before) / at_once / 1024:7,.0f} KiB")
    for scope in scopes:
        scope.release()


async def measure_small(spool: Spool) -> None:
    scope = spool.scope()
    start = time.process_time()
    for _ in range(SMALL_ROUNDS):
        lifter = JsonLifter(scope)
        lifter.feed(REQUEST)
        await lifter.drain()
        await lifter.finish()
    lifted_s = time.process_time() - start
    start = time.process_time()
    for _ in range(SMALL_ROUNDS):
        async for _ in json_payload(ANSWER).chunks():
            pass
    written_s = time.process_time() - start
    print(f"lift a request of {len(REQUEST)} bytes   {lifted_s / SMALL_ROUNDS * 1e6:7.1f} µs")
    print(f"write an answer of {json_payload(ANSWER).length} bytes {written_s / SMALL_ROUNDS * 1e6:7.1f} µs")
    scope.release()


async def main() -> None:
    chunks = answer_chunks()
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder), Budget(4 << 30))
        await measure_large(spool, chunks, kept=1)
        await measure_large(spool, chunks, kept=8)
        await measure_reading(spool, "a file in a form", upload, form_chunks())
        await measure_reading(spool, "base64 in an event", follow, event_stream())
        await measure_memory(spool, chunks)
        await measure_small(spool)
        await measure_events(spool)
        spool.close()


if __name__ == "__main__":
    asyncio.run(main())
