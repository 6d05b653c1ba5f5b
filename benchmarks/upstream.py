"""The pretend provider: `python -m benchmarks.upstream` prints "ready URL" and answers every request under /small with
a 1 KB answer and every one under /large with an 8 MB one, as fast as the socket takes it."""

from __future__ import annotations

import asyncio
from typing import Final, cast

import uvloop

from benchmarks.pictures import answer, large_picture, small_picture

_HEAD_END: Final = b"\r\n\r\n"


def _whole(body: bytes) -> tuple[bytes, bytes]:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    return head, body


class Provider(asyncio.Protocol):
    """One connection: requests one after the other, bodies skipped by their length."""

    def __init__(self, answers: dict[bytes, tuple[bytes, bytes]]) -> None:
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(_HEAD_END)) >= 0:
            head = self._received[:end].lower()
            whole = end + len(_HEAD_END) + _length(head)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            self._reply(head)

    def _reply(self, head: bytes) -> None:
        place = head.split(b" ", 2)[1].split(b"/")[1]
        start, body = self._answers[place]
        if len(body) < 1 << 16:
            self._transport.write(start + body)
        else:
            self._transport.writelines((start, body))


def _length(head: bytes) -> int:
    _, found, rest = head.partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


async def serve() -> None:
    answers = {b"small": _whole(answer(small_picture())), b"large": _whole(answer(large_picture()))}
    server = await asyncio.get_running_loop().create_server(lambda: Provider(answers), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"ready http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
