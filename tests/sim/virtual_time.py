"""An event loop whose clock is a number: when nothing is ready, time jumps to the next timer. The same program with the
same seed runs the same way every time, and an hour takes as long as what happens in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
STEPS_AT_ONE_MOMENT = 100_000


class Deadlock(Exception):
    """Everybody waits, and nobody will ever come."""


class Livelock(Exception):
    """Somebody keeps the loop busy without letting time go on."""


class VirtualLoop(asyncio.BaseEventLoop):
    """No sockets, no threads, no signals: timers and callbacks alone, in the order they were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._steps = 0
        self._selector = self

    def time(self) -> float:
        return self._now_s

    def stand_still(self, seconds: float) -> None:
        """Time goes on, and nobody has looked yet."""
        self._now_s += seconds

    def select(self, timeout_s: float | None) -> tuple[()]:
        """What the loop calls when it would wait for the outside world."""
        if timeout_s is None:
            raise Deadlock(f"after {self._now_s:.3f} s nobody can go on")
        self._steps = 0 if timeout_s > 0 else self._steps + 1
        if self._steps > STEPS_AT_ONE_MOMENT:
            raise Livelock(f"at {self._now_s:.3f} s something runs in circles")
        self._now_s += timeout_s
        return ()

    def _process_events(self, event_list: object) -> None:
        """There is no outside world."""

    def _write_to_self(self) -> None:
        """Nothing sleeps that would have to be woken."""


class VirtualPolicy(asyncio.DefaultEventLoopPolicy):
    """For tests that are coroutines, as their `event_loop_policy`."""

    def new_event_loop(self) -> VirtualLoop:
        return VirtualLoop()


def run_virtually(main: Coroutine[Any, Any, T], prepare: Callable[[VirtualLoop], None] | None = None) -> T:
    """Runs `main` to its end on a loop of its own. What is left running then is cancelled."""
    loop = VirtualLoop()
    if prepare is not None:
        prepare(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=1))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
