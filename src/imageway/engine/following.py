"""What becomes of a task, told as it happens to whoever follows it, from any process: what is numbered comes out of the
durable row, so that who was cut off goes on where he was; previews are told in the process that draws them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Final

from imageway.core.intents import FollowTask, Preview, TaskNews, TaskView
from imageway.core.requests import Caller
from imageway.engine.runs import TaskRun
from imageway.engine.service import Engine
from imageway.engine.watching import Watcher

LOOK_AGAIN_S: Final = 30.0  # whatever was or was not told


def news_of(view: TaskView) -> Iterator[TaskNews]:
    """Everything there is to tell of a task, in the order it happened; the numbers never change."""
    yield TaskNews(kind="queued", number=1, task=view)
    if view.attempts:
        yield TaskNews(kind="started", number=2, task=view)
    for attempt in range(1, view.attempts + 1):
        yield TaskNews(kind="attempt", number=2 + attempt, task=view, attempt=attempt)
    if view.finished_ms is not None:
        yield TaskNews(kind="completed", number=3 + view.attempts, task=view)


@dataclass(slots=True)
class Previews:
    """Of one task, as long as it runs in this process."""

    watcher: Watcher
    waiting: deque[Preview] = field(default_factory=deque)
    _reading: asyncio.Task[None] | None = None

    def attach(self, run: TaskRun | None) -> None:
        if self._reading is None and run is not None and run.arrivals is not None:
            self._reading = asyncio.ensure_future(self._read(run))

    async def _read(self, run: TaskRun) -> None:
        if run.arrivals is None:
            return
        async for event in run.arrivals.feed.follow():
            if isinstance(event, Preview):
                self.waiting.append(event)
                self.watcher.tell()

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()


async def follow(engine: Engine, intent: FollowTask, caller: Caller) -> AsyncGenerator[TaskNews, None]:
    """Up to its end, or to the end of this process. Raises GatewayError 404 before anything else."""
    told = intent.after
    with engine.tools.watch.following(intent.id) as watcher:
        previews = Previews(watcher)
        try:
            while not engine.closing:
                view = await engine.show_task(intent.id, caller)
                for news in news_of(view):
                    if news.number > told:
                        told = news.number
                        yield news
                if view.finished_ms is not None:
                    return
                previews.attach(engine.running_here(intent.id))
                while previews.waiting:
                    yield TaskNews(kind="partial", number=0, task=view, preview=previews.waiting.popleft())
                await watcher.news(LOOK_AGAIN_S)
        finally:
            previews.close()
