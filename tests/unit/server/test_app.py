"""The ASGI callable when what it sends cannot be read to its end: the connection ends early, somebody is told, and
nothing that was paid for counts as delivered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from imageway.bodies import Payload
from imageway.server.app import App, Message
from imageway.server.gate import Head, Outgoing
from imageway.telemetry import events


async def broken(error: Exception) -> AsyncIterator[bytes]:
    yield b"first"
    yield b"second"
    raise error


@dataclass
class Behind:
    """Gate and media store at once: whatever is asked, this is what comes."""

    error: Exception
    finished: list[bool] = field(default_factory=list)

    @property
    def random(self) -> Any:
        return self

    def token_bytes(self, count: int) -> bytes:
        return bytes(count)

    async def handle(self, head: Head, chunks: AsyncIterator[bytes]) -> Outgoing:
        async for _ in chunks:
            pass
        return self.outgoing()

    async def serve(self, head: Head) -> Outgoing:
        return self.outgoing()

    def outgoing(self) -> Outgoing:
        return Outgoing(200, (), Payload(100, "image/png", lambda: broken(self.error)), self.finished.append)

    def reach(self, name: str) -> None:
        raise AssertionError("the last byte is never reached")


async def visit(behind: Behind, method: str, path: str) -> list[Message]:
    """What was sent, without an exception."""
    sent: list[Message] = []
    asked: asyncio.Queue[Message] = asyncio.Queue()
    asked.put_nowait({"type": "http.request", "body": b"{}"})

    async def send(message: Message) -> None:
        sent.append(message)

    app = App(cast("Any", behind), cast("Any", behind), cast("Any", behind))
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    await app(scope, asked.get, send)
    return sent


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), FileNotFoundError("swept"), EOFError("cut")])
async def test_a_stored_image_that_cannot_be_read_ends_early(error: Exception) -> None:
    behind = Behind(error)
    with capture_logs() as told:
        sent = await visit(behind, "GET", "/media/a.png")
    assert behind.finished
    assert [message.get("body") for message in sent] == [None, b"first"]
    assert [line["event"] for line in told] == [events.MEDIA_FAILED]


async def test_an_answer_that_cannot_be_read_back_was_not_delivered() -> None:
    behind = Behind(OSError(5, "Input/output error"))
    with capture_logs() as told:
        sent = await visit(behind, "POST", "/v1/images/generations")
    assert behind.finished == [False]
    assert sent[-1]["more_body"]
    assert [line["event"] for line in told] == [events.REQUEST_FAILED]
