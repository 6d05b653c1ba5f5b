"""Who waits for news of tasks: told at once of what happens in this process, and of the rest as soon as the next look
at the store finds it. One look serves everybody who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from imageway.tasks.queue import TaskState


@dataclass(slots=True, eq=False)
class Watcher:
    """One who waits for news of one task."""

    task_id: str
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def news(self, timeout_s: float) -> None:
        """Until something may have changed since the last time, or so long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def tell(self) -> None:
        self._news.set()


@dataclass(slots=True)
class Watch:
    """All who wait in this process. `wanted` is set while there are any."""

    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _watchers: dict[str, list[Watcher]] = field(default_factory=dict)
    _seen: dict[str, TaskState] = field(default_factory=dict)

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the tasks that are waited for."""
        return tuple(self._watchers)

    @contextmanager
    def following(self, task_id: str) -> Iterator[Watcher]:
        watcher = Watcher(task_id)
        self._watchers.setdefault(task_id, []).append(watcher)
        self.wanted.set()
        try:
            yield watcher
        finally:
            others = self._watchers[task_id]
            others.remove(watcher)
            if not others:
                del self._watchers[task_id]
                self._seen.pop(task_id, None)
            if not self._watchers:
                self.wanted.clear()

    def tell(self, task_id: str) -> None:
        """Something became of it, durably."""
        for watcher in self._watchers.get(task_id, ()):
            watcher.tell()

    def wake(self) -> None:
        """Everybody looks again, whatever he waits for."""
        for task_id in self.ids:
            self.tell(task_id)

    def compare(self, states: tuple[TaskState, ...]) -> None:
        """A look at the store: whoever waits for a task that is not as it was is told."""
        for state in states:
            if self._seen.get(state.id) != state and state.id in self._watchers:
                self._seen[state.id] = state
                self.tell(state.id)
