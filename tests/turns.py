"""Turns of the loop, counted: how tests wait for what needs no clock, on machines that stand still now and then too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

ENOUGH: Final = 100_000


async def some_turns(count: int = 100) -> None:
    """Whoever is ready goes on, and whoever waits for him after that."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(holds: Callable[[], object]) -> None:
    """Fails after so many turns in which it never held."""
    for _ in range(ENOUGH):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")
