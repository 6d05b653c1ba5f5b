"""Blocking work beside the loop: in threads, and in batches that are worth the trip to one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

T = TypeVar("T")
_BATCH_BYTES: Final = 1 << 20


async def in_thread(work: Callable[[], T]) -> T:
    """`work` in a thread. A cancelled caller leaves only after the thread has: it must not lose its file under it."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        running.exception()  # what became of it no longer matters, only that somebody looked
        raise


async def batches(content: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Chunks gathered until a trip to a thread is worth it."""
    batch: list[bytes] = []
    size_bytes = 0
    async for chunk in content:
        batch.append(chunk)
        size_bytes += len(chunk)
        if size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
