"""The load: `python -m benchmarks.load` with a JSON order on standard input keeps connections busy for a bounded time
and prints what came back as JSON. It reads bytes into one buffer and counts them; nothing is parsed but heads."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Final, cast

import uvloop

_HEAD_END: Final = b"\r\n\r\n"
_BUFFER_BYTES: Final = 1 << 20
_SLOW_READ_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`method`, `path`, `body`: the request that is repeated. Each connection stops after `requests_each` of them or
    when `seconds` have passed, and finishes what it began. `pause_s` lies between two requests of a connection.
    `read_bytes_per_s`: how fast a connection reads at most; 0 is as fast as it can."""

    host: str
    port: int
    path: str
    method: str = "POST"
    key: str = ""
    body: str = ""
    connections: int = 1
    seconds: float = 5.0
    requests_each: int = 0
    pause_s: float = 0.0
    read_bytes_per_s: int = 0

    def request(self) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", f"host: {self.host}:{self.port}"]
        if self.key:
            lines.append(f"authorization: Bearer {self.key}")
        if self.body:
            lines += ["content-type: application/json", f"content-length: {len(self.body.encode())}"]
        return "\r\n".join([*lines, "", self.body]).encode()


@dataclass(slots=True)
class Report:
    """What came back. `statuses` counts answers; `body_bytes` are those of the 200s; `lost` connections ended early."""

    requests: int = 0
    body_bytes: int = 0
    lost: int = 0
    wall_s: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)


class Client(asyncio.BufferedProtocol):
    """One keep-alive connection."""

    def __init__(self, order: Order, request: bytes, report: Report, until_s: float) -> None:
        self._order = order
        self._request = request
        self._report = report
        self._until_s = until_s
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(_SLOW_READ_BYTES if order.read_bytes_per_s else _BUFFER_BYTES))
        self._head = b""
        self._left_bytes = 0
        self._length = 0
        self._sent = 0
        self._started_s = 0.0
        self.done: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._left_bytes:
            self._take(nbytes)
        else:
            self._head += self._buffer[:nbytes]
            end = self._head.find(_HEAD_END)
            if end >= 0:
                self._begin(end + len(_HEAD_END))
        rate = self._order.read_bytes_per_s
        if rate and not self.done.done():
            self._transport.pause_reading()
            self._loop.call_later(nbytes / rate, self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._report.lost += 1
            self.done.set_result(None)

    def _go_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _send(self) -> None:
        self._sent += 1
        self._started_s = time.perf_counter()
        self._transport.write(self._request)

    def _begin(self, body_at: int) -> None:
        head, body = self._head[:body_at].lower(), len(self._head) - body_at
        self._head = b""
        status = head[9:12].decode()
        self._report.statuses[status] = self._report.statuses.get(status, 0) + 1
        self._length = self._left_bytes = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        self._take(body)

    def _take(self, size: int) -> None:
        self._left_bytes -= size
        if self._left_bytes:
            return
        report, now_s = self._report, time.perf_counter()
        report.requests += 1
        report.body_bytes += self._length
        report.latencies_s.append(now_s - self._started_s)
        if now_s >= self._until_s or self._sent == self._order.requests_each:
            self.done.set_result(None)
            self._transport.close()
        elif self._order.pause_s:
            self._loop.call_later(self._order.pause_s, self._send)
        else:
            self._send()


async def run(order: Order) -> Report:
    loop = asyncio.get_running_loop()
    report = Report()
    request = order.request()
    start_s = time.perf_counter()
    clients = []
    for _ in range(order.connections):
        client = Client(order, request, report, start_s + order.seconds)
        await loop.create_connection(lambda client=client: client, sock=_socket(order))  # type: ignore[misc]
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    report.wall_s = time.perf_counter() - start_s
    return report


def _socket(order: Order) -> socket.socket:
    """A slow reader has a small window: what it has not read must not lie in the kernel."""
    connection = socket.socket()
    if order.read_bytes_per_s:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_READ_BYTES)
    connection.connect((order.host, order.port))
    connection.setblocking(False)
    return connection


def main() -> None:
    written: dict[str, Any] = json.load(sys.stdin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(run(Order(**written)))
    json.dump(asdict(report), sys.stdout)


if __name__ == "__main__":
    main()
