"""Streams that end otherwise than with their last event: what fails after the first byte is told in the stream, and
what nobody hears any more is read all the same, so that the event loop has nothing to tell."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from imageway.bodies import Payload
from imageway.core.errors import GatewayError
from imageway.core.failures import StoreFailed
from imageway.core.intents import Event, Generate, TaskNews
from imageway.core.requests import ImageRequest
from imageway.dialects import DIALECTS
from imageway.server.following import NewsStream
from imageway.server.streaming import EventStream

INTENT = Generate(request=ImageRequest(model="m", prompt="a cat", stream=True))


@dataclass
class Slow:
    """A task that fails when it is told to."""

    error: Exception = field(default_factory=lambda: GatewayError("bad_response", "the provider failed"))
    fail: asyncio.Event = field(default_factory=asyncio.Event)
    id: str = "req_1"

    async def events(self) -> AsyncIterator[Event]:
        await self._end()
        yield cast("Event", None)

    async def news(self) -> AsyncGenerator[TaskNews, None]:
        await self._end()
        yield cast("TaskNews", None)

    async def _end(self) -> None:
        await self.fail.wait()
        raise self.error


async def left_when_it_failed(slow: Slow, chunks: AsyncIterator[bytes]) -> list[str]:
    """What the loop tells when the first heartbeat is the last thing that the client took."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
    assert await anext(chunks)
    slow.fail.set()
    for _ in range(3):
        await asyncio.sleep(0)
    await cast("AsyncGenerator[bytes, None]", chunks).aclose()
    del chunks  # with which go the events behind it, in turns of the loop
    for _ in range(10):
        gc.collect()
        await asyncio.sleep(0)
    return told


@pytest.mark.parametrize(
    ("error", "code", "logged"),
    [
        (GatewayError("bad_response", "the provider failed"), "bad_response", []),
        (StoreFailed("the connection to the database is gone"), "overloaded", ["store.failed"]),
        (KeyError("a hole of ours"), "internal_error", ["request.crashed"]),
    ],
)
async def test_what_fails_in_a_stream_is_told_there_as_it_would_have_been_before_it(
    error: Exception, code: str, logged: list[str]
) -> None:
    slow = Slow(error)
    chunks = (await EventStream(DIALECTS[0], INTENT, cast("Any", slow), heartbeat_s=0.01).opened()).chunks()
    assert await anext(chunks)
    slow.fail.set()
    with capture_logs() as logs:
        rest = b"".join([chunk async for chunk in chunks]).decode()
    told = json.loads(rest[rest.index("{") :])
    assert (told["error"]["code"], [entry["event"] for entry in logs]) == (code, logged)
    assert "connection" not in rest
    assert "ours" not in rest


async def test_a_stream_that_is_left_when_its_task_has_failed_leaves_nothing_unread() -> None:
    slow = Slow()
    stream = EventStream(DIALECTS[0], INTENT, cast("Any", slow), heartbeat_s=0.01)
    assert await left_when_it_failed(slow, (await stream.opened()).chunks()) == []


async def test_news_that_are_left_when_they_cannot_be_had_leave_nothing_unread() -> None:
    slow = Slow()
    opened = NewsStream(DIALECTS[0], heartbeat_s=0.01).opened
    assert await left_when_it_failed(slow, cast("Payload", await opened(slow.news())).chunks()) == []
