"""Answers that come event by event, and what faults make of them. An event is whole or not there; which bytes one has
is its provider's business."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from imageway.sandbox.answers import Headers, Json, in_chunks, spell
from imageway.sandbox.cabinets import NotKept
from imageway.sandbox.wire import SandboxAnswer

Frame = list[bytes]
"""One event as it is written, in pieces."""
BREAKS: Final = ("reset_mid", "stall_mid", "error_event")
SILENCE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Stream:
    """A 200 whose events are still being made. `failure` is the provider's own event for what goes wrong in the
    middle. No content-length: a stream has none."""

    headers: Headers
    frames: AsyncGenerator[Frame, None]
    failure: Frame


def sse_frame(tree: Json, event: str | None = None, *, newline: str = "\n") -> Frame:
    """A server-sent event with one line of JSON (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    head = f"event: {event}{newline}data: " if event else "data: "
    return [head.encode(), *spell(tree), (newline * 2).encode()]


async def begun(frames: AsyncGenerator[Frame, None]) -> AsyncGenerator[Frame, None]:
    """The same events, the first of them made by now: for a provider whose head waits for it."""
    first = await anext(frames)

    async def whole() -> AsyncGenerator[Frame, None]:
        async with aclosing(frames):
            yield first
            async for frame in frames:
                yield frame

    return whole()


def play(stream: Stream, fault: str | None, ended: Callable[[bool], None]) -> SandboxAnswer:
    """The answer that leaves, its events bent by BREAKS; every other fault is none of this module's. `ended` hears
    whether it came to its end, or was given up by its reader."""
    frames = _broken(stream, fault) if fault in BREAKS else _whole(stream)
    return SandboxAnswer(200, stream.headers, _watched(frames, ended))


async def _watched(frames: AsyncGenerator[Frame, None], ended: Callable[[bool], None]) -> AsyncIterator[bytes]:
    came_to_end = False
    try:
        async with aclosing(frames):
            async for frame in frames:
                async for chunk in in_chunks(frame):
                    yield chunk
        came_to_end = True
    except ConnectionResetError:
        came_to_end = True
        raise
    finally:
        ended(came_to_end)


async def _whole(stream: Stream) -> AsyncGenerator[Frame, None]:
    try:
        async with aclosing(stream.frames) as frames:
            async for frame in frames:
                yield frame
    except NotKept:
        yield stream.failure


async def _broken(stream: Stream, fault: str | None) -> AsyncGenerator[Frame, None]:
    """The first event, then what the fault says."""
    async with aclosing(_whole(stream)) as frames:
        async for frame in frames:
            yield frame
            break
    if fault == "error_event":
        yield stream.failure
        return
    if fault == "stall_mid":
        await asyncio.sleep(SILENCE_S)
    raise ConnectionResetError("the stream died on demand")
