"""How tests wait on machines that stand still now and then: turns of the loop are counted, and so are short pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

ENOUGH: Final = 100_000


async def some_turns(count: int = 100) -> None:
    """Whoever is ready goes on, and whoever waits for him after that."""
    for _ in range(count):
        await asyncio.sleep(0)


async def soon(holds: Callable[[], object], *, seconds: float = 5) -> None:
    """Looks every 10 ms, for what threads, processes or sockets bring. While the machine stands still nobody looks, and
    no time is lost."""
    for _ in range(int(seconds * 100)):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


async def until(holds: Callable[[], object]) -> None:
    """Fails after so many turns in which it never held."""
    for _ in range(ENOUGH):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")
