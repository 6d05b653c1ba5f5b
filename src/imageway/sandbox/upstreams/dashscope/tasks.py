"""Tasks: pending, running, then finished at a time that was fixed when they were submitted; kept for 24 hours. The
picture is drawn when somebody first asks for a finished task."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone

from imageway.sandbox.cabinets import Cabinet
from imageway.sandbox.upstreams.dashscope.checks import Draft
from imageway.sandbox.upstreams.dashscope.painting import Ticket
from imageway.sandbox.upstreams.dashscope.records import Record, read_record

KEPT = 5_000
KEPT_S = 86_400
KEPT_BYTES = 64 * 2**20
INPUT_BYTES = 256 * 2**20  # of tasks that nobody has asked for since they could be drawn; the oldest are forgotten
PENDING_S = 0.1
RUNNING_S = 0.4
BEIJING = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a task: its pictures' URLs, what they were drawn from, and how many failed alone."""

    ticket: Ticket
    urls: list[str]
    lost: int = 0


@dataclass(slots=True)
class Task:
    """`finished` is filled by the first look at a finished task; `failure` is (code, message) of one that fails. `draw`
    holds `input_bytes` of what it draws from, until nothing is to be drawn any more. Seconds are the loop's, so that a
    loop with its own time rules here too; `submitted` alone is the wall clock's."""

    id: str
    owner: str
    draft: Draft
    submitted: datetime
    submitted_s: float
    late_s: float
    draw: Callable[[], Awaitable[Finished]] | None
    input_bytes: int
    failure: tuple[str, str] | None = None
    cancelled: bool = False
    finished: Finished | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def status(self, now_s: float) -> str:
        if self.cancelled:
            return "CANCELED"
        if now_s < self.submitted_s + PENDING_S:
            return "PENDING"
        if now_s < self.submitted_s + self.took_s:
            return "RUNNING"
        return "FAILED" if self.failure else "SUCCEEDED"

    async def finish(self) -> Finished:
        """The pictures, drawn once however many ask. Raises Refusal when the inputs cannot be had again."""
        async with self.lock:
            if self.finished is None:
                if self.draw is None:
                    raise RuntimeError("a task that was cancelled, or failed, has no pictures")
                self.finished = await self.draw()
                self.let_go()
            return self.finished

    def let_go(self) -> None:
        """Of what it was to be drawn from."""
        self.draw, self.input_bytes = None, 0

    def time_text(self, offset_s: float) -> str:
        moment = self.submitted.astimezone(BEIJING) + timedelta(seconds=offset_s)
        return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"

    @property
    def took_s(self) -> float:
        return PENDING_S + RUNNING_S + self.late_s


def now_s() -> float:
    return asyncio.get_running_loop().time()


class TaskList:
    """The tasks of all owners; one never sees another's. What is not in memory is looked for in the cabinet, where
    other processes' tasks are; `restore` makes a task of a record, None of one that it cannot use."""

    def __init__(self, cabinet: Cabinet | None, restore: Callable[[str, Record], Task | None]) -> None:
        self._cabinet = cabinet
        self._restore = restore
        self._tasks: OrderedDict[str, Task] = OrderedDict()

    async def add(self, task: Task, record: Record) -> None:
        """Durably, where there is a cabinet. Raises NotKept."""
        if self._cabinet is not None:
            await self._cabinet.put(task.id, record.as_bytes())
        self._remember(task)

    async def find(self, task_id: str, owner: str) -> Task | None:
        task = self._tasks.get(task_id) or await self._read(task_id)
        if task is None or task.owner != owner or now_s() > task.submitted_s + KEPT_S:
            return None
        return self._remember(task)

    async def of(self, owner: str, status: str | None) -> list[Task]:
        """Newest first."""
        names = await self._cabinet.names() if self._cabinet is not None else ()
        others = [await self._read(name) for name in names if name not in self._tasks]
        every = [*self._tasks.values(), *(task for task in others if task is not None)]
        mine = [task for task in every if task.owner == owner and status in (None, task.status(now_s()))]
        return sorted(mine, key=lambda task: task.submitted, reverse=True)

    async def cancel(self, task: Task) -> None:
        """Raises NotKept."""
        content = await self._cabinet.get(task.id) if self._cabinet is not None else None
        record = read_record(content) if content else None
        if self._cabinet is not None and record is not None:
            await self._cabinet.put(task.id, replace(record, cancelled=True).as_bytes())
        task.cancelled = True
        task.let_go()

    def _remember(self, task: Task) -> Task:
        """The one object there is of a task, whoever read it first."""
        if known := self._tasks.get(task.id):
            return known
        self._tasks[task.id] = task
        input_bytes = sum(task.input_bytes for task in self._tasks.values())
        while len(self._tasks) > KEPT or (input_bytes > INPUT_BYTES and len(self._tasks) > 1):
            _, oldest = self._tasks.popitem(last=False)
            input_bytes -= oldest.input_bytes
        return task

    async def _read(self, task_id: str) -> Task | None:
        content = await self._cabinet.get(task_id) if self._cabinet is not None else None
        record = read_record(content) if content else None
        return self._restore(task_id, record) if record else None


def loop_time(submitted_s: float) -> float:
    """When, by the loop's clock, it was that time of day; never later than now."""
    return now_s() - max(0.0, time.time() - submitted_s)


def moment(submitted_s: float) -> datetime:
    return datetime.fromtimestamp(submitted_s, UTC)
