"""Answers that come event by event: each one a Reply of its own, whole, and the way they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from imageway.bodies import Budget, Scope, Spool
from imageway.core.failures import TransportFailed
from imageway.core.steps import BlobReply, FailureKind, HttpRequest, JsonBody, JsonReply, Page, Reply
from imageway.core.streams import StreamEnd, StreamEvent
from imageway.core.upstreams import Upstream
from imageway.sandbox.wire import SandboxAnswer, SandboxRequest
from imageway.transport import Transport
from imageway.transport.wire import Incoming, Outgoing
from tests.sim.virtual_time import run_virtually

UPSTREAM = Upstream(id="one", provider="p", base_url="https://api.example", auth="bearer", secrets={"key": "sk-test-1"})
PRETEND = Upstream(id="two", provider="p", base_url="sandbox:/v", auth="bearer", secrets={"key": "sk"}, sandbox=True)
ORDER = HttpRequest("POST", "/images", JsonBody({"stream": True}))
EVENTS = "text/event-stream"
TWO = b'event: first\ndata: {"n": 1}\n\n: waiting\n\ndata: [DONE]\n\n'
Piece = bytes | Exception | float
"""Bytes that come, what goes wrong, or seconds of silence."""


class Script:
    """A wire that answers with these pieces, and notes whether the answer was read to its end."""

    def __init__(self, pieces: list[Piece], headers: dict[str, str], status: int = 200) -> None:
        self.pieces = pieces
        self.incoming = Incoming(status, headers, self._chunks(), delimited=False)
        self.open = 0

    @asynccontextmanager
    async def exchange(self, outgoing: Outgoing) -> AsyncIterator[Incoming]:
        outgoing.left = True
        self.open += 1
        try:
            yield self.incoming
        finally:
            self.open -= 1

    async def _chunks(self) -> AsyncIterator[bytes]:
        while self.pieces:
            piece = self.pieces.pop(0)
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                yield piece

    async def close(self) -> None: ...


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[Scope]:
    spool = Spool(tmp_path, Budget(1 << 30))
    yield spool.scope()
    spool.close()


def over(*pieces: Piece, content_type: str = EVENTS, status: int = 200) -> tuple[Transport, Script]:
    script = Script(list(pieces), {"content-type": content_type}, status)
    transport = Transport()
    transport._wires = {False: script, True: script}
    return transport, script


async def read(transport: Transport, scope: Scope, **limits: Any) -> list[Reply]:
    limits = {"deadline_s": 5, "max_bytes": 1 << 20, **limits}
    return [reply async for reply in transport.stream(UPSTREAM, ORDER, scope, **limits)]


async def test_each_event_is_a_reply_and_the_end_is_the_last(scope: Scope) -> None:
    transport, _ = over(TWO[:20], TWO[20:])
    replies = await read(transport, scope)
    assert [reply.body for reply in replies] == [StreamEvent({"n": 1}, "first"), StreamEvent("[DONE]"), StreamEnd()]
    assert {(reply.status, reply.headers["content-type"]) for reply in replies} == {(200, EVENTS)}


async def test_the_media_type_may_be_written_in_any_case_and_with_a_charset(scope: Scope) -> None:
    transport, _ = over(TWO, content_type="Text/Event-Stream; charset=utf-8")
    assert len(await read(transport, scope)) == 3


@pytest.mark.parametrize(
    ("content", "content_type", "kind"),
    [
        (b'{"error": {"code": "x"}}', "application/json", JsonReply),
        (b"<html>busy</html>", "text/html", Page),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 500, "image/png", BlobReply),
    ],
)
async def test_an_answer_that_is_no_stream_comes_whole(
    scope: Scope, content: bytes, content_type: str, kind: type
) -> None:
    transport, _ = over(content, content_type=content_type, status=429)
    (reply,) = await read(transport, scope)
    assert (reply.status, type(reply.body)) == (429, kind)


async def test_an_event_is_there_before_the_next_one_has_come(scope: Scope) -> None:
    transport, script = over(b'data: {"n": 1}\n\n', 60.0)
    async with aclosing(transport.stream(UPSTREAM, ORDER, scope, deadline_s=5, max_bytes=100)) as replies:
        assert (await anext(replies)).body == StreamEvent({"n": 1})
        assert script.open == 1
    assert script.open == 0


async def failure(transport: Transport, scope: Scope, **limits: Any) -> tuple[int, FailureKind]:
    """(replies before it, its kind)."""
    seen = 0
    limits = {"deadline_s": 5, "max_bytes": 1 << 20, **limits}
    try:
        async for _ in transport.stream(UPSTREAM, ORDER, scope, **limits):
            seen += 1
    except TransportFailed as failed:
        return seen, failed.kind
    raise AssertionError("nothing failed")


async def test_a_cut_is_unknown_and_comes_after_what_was_whole(scope: Scope) -> None:
    reset = TransportFailed(FailureKind.UNKNOWN, "reset")
    for pieces in ((TWO, b'data: {"n"'), (TWO, b"data: more\n"), (TWO, reset)):
        transport, script = over(*pieces)
        assert await failure(transport, scope) == (2, FailureKind.UNKNOWN)
        assert script.open == 0


async def test_an_event_that_cannot_be_read_spoils_the_answer(scope: Scope) -> None:
    transport, _ = over(TWO, b'data: {"n": }\n\n')
    assert await failure(transport, scope) == (2, FailureKind.SPOILED)


async def test_the_limit_counts_all_events_together(scope: Scope) -> None:
    event = b"data: " + b"x" * 90 + b"\n\n"
    transport, _ = over(*[event] * 3)
    assert len(await read(transport, scope, max_bytes=300)) == 4
    transport, _ = over(*[event] * 4)
    assert await failure(transport, scope, max_bytes=300) == (3, FailureKind.SPOILED)


def test_the_deadline_covers_the_whole_stream(scope: Scope) -> None:
    """However busy it is: and what goes off is the wait for the upstream, not whoever reads."""
    transport, script = over(*[b"data: x\n\n", 0.04] * 10)
    assert run_virtually(failure(transport, scope, deadline_s=0.1)) == (3, FailureKind.UNKNOWN)
    assert script.open == 0


def test_a_slow_reader_is_not_interrupted_by_the_deadline(scope: Scope) -> None:
    """What has come is his, however late he is; what has not come by then never will."""

    async def read_slowly() -> None:
        transport, _ = over(b"data: x\n\n", b"data: y\n\n", 60.0)
        replies = transport.stream(UPSTREAM, ORDER, scope, deadline_s=0.05, max_bytes=100)
        for _ in range(2):
            await anext(replies)
            await asyncio.sleep(0.1)
        with pytest.raises(TransportFailed, match=r"within 0\.05 s"):
            await anext(replies)

    run_virtually(read_slowly())


async def test_without_room_the_answer_is_not_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "tight", Budget(1000))
    transport, _ = over(b'data: {"image": "' + b"A" * 400_000 + b'"}\n\n')
    assert await failure(transport, spool.scope()) == (0, FailureKind.SPOILED)
    spool.close()


async def test_a_sandbox_streams_alike(scope: Scope) -> None:
    class Pretender:
        def __init__(self, *pieces: Piece) -> None:
            self.script = Script(list(pieces), {})

        async def handle(self, request: SandboxRequest) -> SandboxAnswer:
            return SandboxAnswer(200, (("Content-Type", EVENTS),), self.script.incoming.chunks)

    transport = Transport(sandbox=Pretender(TWO))
    replies = [r async for r in transport.stream(PRETEND, ORDER, scope, deadline_s=5, max_bytes=1000)]
    assert [type(reply.body) for reply in replies] == [StreamEvent, StreamEvent, StreamEnd]
    transport = Transport(sandbox=Pretender(TWO, ConnectionResetError()))
    with pytest.raises(TransportFailed, match="cut the reply"):
        [reply async for reply in transport.stream(PRETEND, ORDER, scope, deadline_s=5, max_bytes=1000)]
