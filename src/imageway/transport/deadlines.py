"""Time limits of many waits at once, with one timer for all of them: setting and stopping one for every request costs
as much as putting the request together."""

from __future__ import annotations

import asyncio
import math
from types import TracebackType


class Deadlines:
    """Belongs to the loop it is used in. Whoever is done early leaves the timer as it is; it then finds nothing."""

    __slots__ = ("_limits", "_next_s", "_timer")

    def __init__(self) -> None:
        self._limits: set[Limit] = set()
        self._next_s = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def within(self, seconds: float) -> Limit:
        return Limit(self, asyncio.get_running_loop().time() + seconds)

    def until(self, at_s: float) -> Limit:
        """A context that raises TimeoutError in place of what it is waiting for when the loop's clock shows `at_s`."""
        return Limit(self, at_s)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next_s = math.inf

    # What follows is for limits.

    def add(self, limit: Limit) -> None:
        self._limits.add(limit)
        if limit.at_s < self._next_s:
            self._set(limit.at_s)

    def discard(self, limit: Limit) -> None:
        self._limits.discard(limit)

    def _set(self, at_s: float) -> None:
        self.close()
        self._next_s = at_s
        self._timer = asyncio.get_running_loop().call_at(at_s, self._look)

    def _look(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._timer, self._next_s = None, math.inf
        for limit in tuple(self._limits):
            if limit.at_s <= now_s:
                self._limits.discard(limit)
                limit.expire()
        if self._limits:
            self._set(min(limit.at_s for limit in self._limits))


class Limit:
    """One wait of one task. What is cancelled by somebody else meanwhile stays cancelled (as with asyncio.timeout)."""

    __slots__ = ("_cancels", "_deadlines", "_expired", "_task", "at_s")

    def __init__(self, deadlines: Deadlines, at_s: float) -> None:
        self.at_s = at_s
        self._deadlines = deadlines
        self._expired = False
        self._cancels = 0
        self._task: asyncio.Task[object] | None = None

    def expire(self) -> None:
        if self._task is not None:
            self._expired = True
            self._task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be given a time limit")
        self._task, self._cancels = task, task.cancelling()
        self._deadlines.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.discard(self)
        task, self._task = self._task, None
        if self._expired and task is not None and task.uncancel() <= self._cancels and kind is asyncio.CancelledError:
            raise TimeoutError from error
