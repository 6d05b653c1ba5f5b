"""Tasks: pending, running, then finished at a time that was fixed when they were submitted; kept for 24 hours. The
picture is drawn when somebody first asks for a finished task."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

from imageway.sandbox.upstreams.dashscope.painting import Ticket

KEPT = 5_000
KEPT_S = 86_400
PENDING_S = 0.1
RUNNING_S = 0.4
BEIJING = timezone(timedelta(hours=8))


@dataclass(slots=True)
class Task:
    """`urls` is filled by the first look at a finished task; `failure` is (code, message) of one that fails. Seconds
    are the loop's, so that a loop with its own time rules here too."""

    id: str
    key: str
    ticket: Ticket
    submitted: datetime
    submitted_s: float
    due_s: float
    draw: Callable[[], Awaitable[list[str]]]
    failure: tuple[str, str] | None = None
    cancelled: bool = False
    urls: list[str] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def status(self, now_s: float) -> str:
        if self.cancelled:
            return "CANCELED"
        if now_s < self.submitted_s + PENDING_S:
            return "PENDING"
        if now_s < self.due_s:
            return "RUNNING"
        return "FAILED" if self.failure else "SUCCEEDED"

    async def finish(self) -> list[str]:
        """The pictures' URLs, drawn once however many ask."""
        async with self.lock:
            if self.urls is None:
                self.urls = await self.draw()
            return self.urls

    def time_text(self, offset_s: float) -> str:
        moment = self.submitted.astimezone(BEIJING) + timedelta(seconds=offset_s)
        return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"

    @property
    def took_s(self) -> float:
        return self.due_s - self.submitted_s


class TaskList:
    """The tasks of all keys; one key never sees another's."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[str, Task] = OrderedDict()

    @staticmethod
    def now_s() -> float:
        return asyncio.get_running_loop().time()

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)

    def add(self, task: Task) -> None:
        self._tasks[task.id] = task
        while len(self._tasks) > KEPT:
            self._tasks.popitem(last=False)

    def find(self, task_id: str, key: str) -> Task | None:
        task = self._tasks.get(task_id)
        if task is None or task.key != key or self.now_s() > task.submitted_s + KEPT_S:
            return None
        return task

    def of(self, key: str, status: str | None) -> list[Task]:
        """Newest first."""
        now_s = self.now_s()
        mine = (task for task in reversed(self._tasks.values()) if task.key == key)
        return [task for task in mine if status in (None, task.status(now_s))]
