"""How long the engine asks a store that does not answer: a question is asked again until somebody says what became of
it, because an image that was made is charged or given back, never forgotten. A media store that fails is asked a few
times: without it the image is given up, and the hold goes back.

A commit that is tried again may be refused by its own first try, whose fate nobody told: whoever asks must know that
refusal when he sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Final, TypeVar

from imageway.core.failures import StoreFailed
from imageway.engine.ports import Tools
from imageway.telemetry import events, logger

T = TypeVar("T")
PAUSES_S: Final = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)  # then the last of them, again and again
STORING_PAUSES_S: Final = (0.1, 0.5, 2.0)


async def surely(tools: Tools, ask: Callable[[], Awaitable[T]]) -> T:
    """What the store answers, however long that takes. Only cancelling ends it sooner."""
    failures = 0
    while True:
        try:
            return await ask()
        except StoreFailed as error:
            logger().error(events.STORE_FAILED, detail=str(error))
        await tools.clock.sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
        failures += 1


async def wholly(work: Coroutine[None, None, T]) -> T:
    """What comes of work that must not be torn in two: who is cancelled meanwhile hears of it when it is done."""
    doing = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        while not doing.done():
            with suppress(asyncio.CancelledError):  # who says it twice means the same
                await asyncio.wait({doing})
        if not doing.cancelled():
            doing.exception()  # which nobody is there to hear
        raise


async def patiently(tools: Tools, work: Callable[[], Awaitable[T]]) -> T:
    """What comes of work that may fail for a moment. Raises OSError when it fails to the last."""
    for pause_s in STORING_PAUSES_S:
        try:
            return await work()
        except OSError as error:
            logger().warning(events.MEDIA_FAILED, detail=str(error))
        await tools.clock.sleep(pause_s)
    return await work()
