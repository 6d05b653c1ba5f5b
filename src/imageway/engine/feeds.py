"""What the followers of one task are told while it runs. Whoever comes late hears of the finished images again, not of
their previews."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from imageway.core.intents import Arrived, Preview


@dataclass(slots=True)
class _Line:
    """What one follower has not heard yet."""

    waiting: deque[Preview | Arrived]
    news: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Feed:
    """`events_kept`: finished images for whoever comes late, and events of any kind for whoever is slow; beyond that
    many, a slow follower misses previews."""

    events_kept: int
    ended: bool = False
    _history: list[Arrived] = field(default_factory=list)
    _lines: list[_Line] = field(default_factory=list)

    def tell(self, event: Preview | Arrived) -> None:
        if isinstance(event, Arrived) and len(self._history) < self.events_kept:
            self._history.append(event)
        for line in self._lines:
            if isinstance(event, Arrived) or len(line.waiting) < self.events_kept:
                line.waiting.append(event)
                line.news.set()

    def end(self) -> None:
        """Nothing more will be told."""
        self.ended = True
        for line in self._lines:
            line.news.set()

    async def follow(self) -> AsyncGenerator[Preview | Arrived, None]:
        """Everything that is told, up to the end."""
        line = _Line(deque(self._history))
        self._lines.append(line)
        try:
            while True:
                while line.waiting:
                    yield line.waiting.popleft()
                if self.ended:
                    return
                line.news.clear()
                await line.news.wait()
        finally:
            self._lines.remove(line)
