"""What sockets cannot be made to do on purpose: a client that leaves between two turns of the loop. And whose turn
it is while somebody reads as fast as we write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from imageway.bodies import Payload
from imageway.server.gate import Chunks, Head, Outgoing
from imageway.server.http.connection import Connection, Shared
from imageway.server.http.heads import read_head
from imageway.server.http.request_body import RequestBody
from imageway.server.http.sending import Sender
from imageway.server.limits import ConnectionLimits

CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"


@dataclass
class Wire:
    """A transport that takes everything at once."""

    written: list[bytes] = field(default_factory=list)
    closing: bool = False
    reading: bool = True

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == 65536

    def write(self, content: bytes) -> None:
        assert not self.closing
        self.written.append(content)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def get_extra_info(self, name: str) -> None:
        return None


@dataclass
class Site:
    """Answers when `go` is set."""

    asked: int = 0
    left: int = 0
    finished: list[bool] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, head: Head, chunks: Chunks) -> Outgoing:
        self.asked += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise

        async def content() -> AsyncIterator[bytes]:
            yield b"hi"

        return Outgoing(200, (), Payload(2, "text/plain", content), self.finished.append)

    def before_last_byte(self, head: Head, outgoing: Outgoing) -> None:
        pass

    def cut(self, head: Head, error: Exception) -> None:
        raise AssertionError(error)


@dataclass
class Line:
    """A connection on a wire."""

    site: Site = field(default_factory=Site)
    wire: Wire = field(default_factory=Wire)

    def __post_init__(self) -> None:
        self.shared = Shared(self.site, ConnectionLimits(), asyncio.get_running_loop())
        self.connection = Connection(self.shared)
        self.connection.connection_made(cast("Any", self.wire))

    def lose(self) -> None:
        self.wire.closing = True
        self.connection.connection_lost(None)


async def some_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_leaves_before_his_request_was_begun_has_not_asked() -> None:
    line = Line()
    line.connection.data_received(REQUEST)
    line.lose()
    await some_turns()
    assert (line.site.asked, line.site.finished) == (0, [])
    assert not line.shared.connections


async def test_who_leaves_while_his_request_runs_is_forgotten_when_it_has_ended() -> None:
    line = Line()
    line.connection.data_received(REQUEST)
    await some_turns()
    line.lose()
    assert line.shared.connections
    await some_turns()
    assert (line.site.left, line.site.finished) == (1, [])
    assert not line.shared.connections


async def test_the_end_of_what_a_client_says_is_its_leaving() -> None:
    """At once: the transport may still be busy with what was written."""
    line = Line()
    line.connection.data_received(REQUEST)
    await some_turns()
    line.connection.eof_received()
    await some_turns()
    assert line.site.left == 1


async def test_who_leaves_before_the_last_byte_did_not_get_it() -> None:
    """Although the transport would take it without a word."""
    line = Line()
    line.connection.data_received(REQUEST)
    await some_turns()
    line.wire.closing = True
    line.site.go.set()
    await some_turns()
    assert line.wire.written == []
    assert line.site.finished == [False]


async def test_an_answer_that_was_written_counts_whatever_comes_behind() -> None:
    line = Line()
    line.site.go.set()
    line.connection.data_received(REQUEST)
    await some_turns()
    line.lose()
    await some_turns()
    assert line.site.finished == [True]
    assert line.site.left == 0
    assert not line.shared.connections


async def test_a_small_answer_is_one_write() -> None:
    line = Line()
    line.site.go.set()
    for _ in range(3):
        line.connection.data_received(REQUEST)
        await some_turns()
    assert len(line.wire.written) == 3
    assert all(content.endswith(b"\r\n\r\nhi") for content in line.wire.written)


async def test_a_request_is_one_task() -> None:
    """Nothing watches the client beside it."""
    line = Line()
    before = len(asyncio.all_tasks())
    line.connection.data_received(REQUEST)
    await some_turns()
    assert len(asyncio.all_tasks()) == before + 1
    line.lose()


def sender(wire: Wire) -> Sender:
    return Sender(asyncio.get_running_loop(), cast("Any", wire), 60)


async def test_others_have_their_turn_while_somebody_reads_as_fast_as_we_write() -> None:
    wire, turns = Wire(), 0

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(128):
            yield bytes(65536)

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    assert await sender(wire).count(b"head", 128 * 65536, pieces(), lambda: None)
    others.cancel()
    assert sum(map(len, wire.written)) == 128 * 65536 + 4
    assert turns >= 7


@pytest.mark.parametrize("way", ["by its end", "by leaving", "by being cancelled"])
async def test_a_stream_is_closed_before_it_is_left(way: str) -> None:
    """What it holds is given back then, not when the garbage is collected."""
    wire, closed = Wire(), False

    async def events() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            for _ in range(3):
                yield b"data: x\n\n"
        finally:
            closed = True

    kept = events()  # somebody else may hold it as well
    sending = sender(wire)
    if way == "by leaving":
        wire.write = lambda content: wire.close()  # type: ignore[method-assign]
    elif way == "by being cancelled":
        sending.pause()
    streaming = asyncio.create_task(sending.stream(b"head", kept, lambda: None, chunked=True))
    await some_turns()
    streaming.cancel()
    await asyncio.gather(streaming, return_exceptions=True)
    assert closed


async def test_the_rest_of_a_body_that_nobody_reads_is_read_past() -> None:
    """However much of it came before the answer: what is thrown away holds nobody back, and the next request is
    served on the same connection."""
    line = Line()
    line.site.go.set()
    body = bytes(100_000)
    line.connection.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + body[:40_000])
    await some_turns()
    assert len(line.wire.written) == 1
    for start in range(40_000, 100_000, 10_000):
        assert line.wire.reading, f"reading stopped at byte {start}"
        line.connection.data_received(body[start : start + 10_000])
    line.connection.data_received(REQUEST)
    await some_turns()
    assert len(line.wire.written) == 2


async def test_who_comes_when_all_places_are_taken_is_told_to_come_again() -> None:
    """Nothing of him is read, and a place that is given up is free again."""
    line = Line()
    line.shared.limits = ConnectionLimits(at_once=2)

    def come() -> tuple[Connection, Wire]:
        wire, connection = Wire(), Connection(line.shared)
        connection.connection_made(cast("Any", wire))
        return connection, wire

    _, second = come()
    third_connection, third = come()
    assert not second.written
    assert third.closing
    head, _, content = third.written[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1\r\n" in head
    assert b"x-should-retry" not in head
    assert b'"code": "overloaded"' in content
    third_connection.connection_lost(None)
    line.lose()
    _, fourth = come()
    assert not fourth.written


async def test_chunks_of_a_byte_come_as_one_piece() -> None:
    """Thousands of them would cost everybody who reads a body a turn each."""
    body = RequestBody(Line().connection, read_head(CHUNKED_HEAD), ConnectionLimits())
    assert body.arrive(b"".join(b"1\r\n%c\r\n" % byte for byte in b"abcdefghijkl") + b"3\r\nxyz\r\n") is None
    assert body.arrive(b"2\r\n01\r\n2\r\n23\r\n0\r\n\r\n") == b""
    assert [piece async for piece in body] == [b"abcdefghijklxyz", b"01", b"23"]
