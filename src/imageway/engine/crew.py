"""The workers of one process: they claim tasks that wait, as many as they have hands for, and run them like any other.
What was accepted in this process is begun at once; for the rest they look from time to time."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from msgspec.structs import replace

from imageway.core.errors import GatewayError
from imageway.core.failures import StoreFailed
from imageway.core.ids import new_id
from imageway.core.ops import Committed
from imageway.core.requests import ImageRequest
from imageway.engine.acceptance import room_bytes, run_for_s
from imageway.engine.arrivals import Arrivals
from imageway.engine.attempts import PartRun
from imageway.engine.feeds import Feed
from imageway.engine.keeping import take_ask
from imageway.engine.memos import KeptAsk, KeptTask, unpack_task
from imageway.engine.patience import surely
from imageway.engine.ports import Tools
from imageway.engine.preparation import Option, options_again
from imageway.engine.rests import Rests
from imageway.engine.rows import facts_of, give_up
from imageway.engine.runs import TaskRun
from imageway.engine.service import Engine
from imageway.tasks.queries import ShowTask, Task
from imageway.tasks.queue import ClaimTask, QueuedTasks, Waiting
from imageway.telemetry import events, logger

NOTHING_STORED: Final = KeptAsk()


@dataclass(slots=True)
class Crew:
    """`size`: how many tasks at once. `_fresh`: accepted here since the last look at the store; `_behind`: there may be
    more than what is fresh; `_full_until_s`: there was no room for an answer, and nothing is claimed before."""

    engine: Engine
    size: int
    _of_key: Counter[str] = field(default_factory=Counter)
    _at_work: set[str] = field(default_factory=set)  # by id: one that is found twice is claimed once
    _fresh: deque[Waiting] = field(default_factory=deque)
    _behind: bool = True
    _full_until_s: float = 0.0
    _rests: Rests = field(init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _freed: Callable[[TaskRun], None] = field(init=False)  # the same for all of them

    def __post_init__(self) -> None:
        self._freed = self._end_of
        self._rests = Rests(self.tools.settings.queue_poll_s)

    @property
    def tools(self) -> Tools:
        return self.engine.tools

    @property
    def full(self) -> bool:
        return self.tools.clock.monotonic_s() < self._full_until_s

    def offer(self, waiting: Waiting) -> None:
        """Accepted in this process just now."""
        if len(self._at_work) + len(self._fresh) < self.size and not self.full:
            self._fresh.append(waiting)
            self._news.set()
        else:
            self.tools.bulletin.post("queued", waiting.id)
            self.look()

    def look(self) -> None:
        """There may be something in the store for whoever has a hand free here."""
        self._behind = True
        self._news.set()

    async def keep_going(self) -> None:
        """Until it is cancelled, or the engine takes nothing more."""
        while not self.engine.closing:
            try:
                await self._round()
            except StoreFailed as error:
                logger().error(events.STORE_FAILED, detail=str(error))
            except Exception as error:  # noqa: BLE001  # the next round comes, whatever hole this one fell into
                logger().exception(events.ROUND_FAILED, exc_info=error)
            await self._news_or_time()

    async def _news_or_time(self) -> None:
        """What others accepted is found by looking."""
        try:
            async with asyncio.timeout(self.tools.settings.queue_poll_s):
                await self._news.wait()
        except TimeoutError:
            self._behind = True
        self._news.clear()

    async def _round(self) -> None:
        while (free := self.size - len(self._at_work)) > 0 and not (self.full or self.engine.closing):
            taken = [self._take(waiting) for waiting in await self._next(free)]
            if not any(taken):  # which may be because their claims take long: then nobody looks again before they end
                return
            if self._behind:
                await asyncio.sleep(0)  # so that what was taken is claimed before the next look

    async def _next(self, free: int) -> Sequence[Waiting]:
        if not self._behind:
            return [self._fresh.popleft() for _ in range(min(free, len(self._fresh)))]
        self._fresh.clear()
        now_s = self.tools.clock.monotonic_s()
        limit = min(free, self.tools.settings.claims_at_once) + self._rests.count(now_s)
        most = self.tools.settings.queued_per_key_at_once
        busy = tuple(sorted(key for key, count in self._of_key.items() if count >= most))
        found = await self.tools.store.read(QueuedTasks(limit, busy))
        self._behind = len(found) == limit
        return [waiting for waiting in found if not self._rests.has(waiting.id, now_s)][:free]

    def _take(self, waiting: Waiting) -> bool:
        """Whether it was free to be taken. Those of a key that has enough wait on."""
        enough = self._of_key[waiting.key_id] >= self.tools.settings.queued_per_key_at_once
        if enough or waiting.id in self._at_work:
            return False
        self._at_work.add(waiting.id)
        self._of_key[waiting.key_id] += 1
        self.engine.spawn(self._claim(waiting), None)
        return True

    def _done(self, task_id: str, key_id: str) -> None:
        self._at_work.remove(task_id)
        self._of_key[key_id] -= 1
        if not self._of_key[key_id]:
            del self._of_key[key_id]
        self._behind = True
        self._news.set()

    def _end_of(self, run: TaskRun) -> None:
        self._full_until_s = 0.0
        self._done(run.facts.task_id, run.facts.key_id)

    async def _claim(self, waiting: Waiting) -> None:
        handed_on = False
        try:
            task = await self._claimed(waiting)
            if task is not None:
                handed_on = await self._begin(task)
        finally:
            if not handed_on:
                self._done(waiting.id, waiting.key_id)
            elif self._behind:
                self._news.set()  # it does not stand in front of the others any more

    async def _claimed(self, waiting: Waiting) -> Task | None:
        """None: somebody was faster."""
        tools, claim = self.tools, ClaimTask(waiting.id, waiting.fence, self.tools.owner)
        committed = await surely(tools, lambda: tools.store.commit(claim))
        if isinstance(committed, Committed):
            tools.faults.reach("after_claim")
        # Refused: perhaps by a first try that nobody confirmed.
        task = await surely(tools, lambda: tools.store.read(ShowTask(waiting.id)))
        mine = ("running", tools.owner, waiting.fence + 1)
        return task if task is not None and (task.state, task.owner, task.fence) == mine else None

    async def _begin(self, task: Task) -> bool:
        """Whether it runs now."""
        try:
            kept = unpack_task(task.request)
            run = self._run_of(task, kept)
        except Exception as error:  # noqa: BLE001  # a model that is gone, a row of another version: not readable here
            await give_up(self.tools, task, error)
            return False
        if not self._wanted(run, kept, task):
            await (run.put_back() if task.cancel_ms is None else run.withdraw())
            run.scope.release()
            return False
        self._rests.end(task.id)
        self.tools.watch.tell(task.id)
        run.freed = self._freed
        self.engine.supervise(run, run.run_claimed(partial(self._plan, run, kept, task)))
        run.scope.release()
        return True

    def _wanted(self, run: TaskRun, kept: KeptTask, task: Task) -> bool:
        """Whether to begin it here and now. One that was called off while somebody else had it ends unsent."""
        return task.cancel_ms is None and not self.engine.closing and self._has_room(run, kept)

    def _run_of(self, task: Task, kept: KeptTask) -> TaskRun:
        tools = self.tools
        facts, scope = facts_of(tools, task, kept), tools.spool.scope()
        follows = facts.request.stream
        arrivals = Arrivals(tools, facts, scope, Feed(tools.settings.events_kept)) if follows else None
        return TaskRun(tools, facts, scope, (), store_images=True, arrivals=arrivals, fence=task.fence, ask=kept.ask)

    def _has_room(self, run: TaskRun, kept: KeptTask) -> bool:
        """For the answers: as at any other acceptance, before anything is sent."""
        needed = room_bytes(run.facts, len(kept.counts))
        if run.scope.reserve(needed):
            return True
        now_s = self.tools.clock.monotonic_s()
        rest_s = self._rests.begin(run.facts.task_id, now_s)
        self._full_until_s = now_s + self.tools.settings.queue_poll_s  # or until something has ended
        logger().warning(events.TASK_WITHOUT_ROOM, task=run.facts.task_id, size_bytes=needed, again_after_s=rest_s)
        return False

    async def _plan(self, run: TaskRun, kept: KeptTask, task: Task) -> tuple[ImageRequest, tuple[PartRun, ...]]:
        if kept.ask is None:
            raise GatewayError("internal_error", "the gateway failed on this request; nothing was charged")
        request = await take_ask(self.tools, kept, kept.ask, run.scope)
        options = options_again(self.tools, run.facts.model, request, kept)
        options = tuple(_sharing(option, run.facts.request) for option in options)
        if not any(kept.ask.names):
            run.ask = NOTHING_STORED
        return request, tuple(self._part(run, task, options, index, count) for index, count in enumerate(kept.counts))

    def _part(self, run: TaskRun, task: Task, options: tuple[Option, ...], index: int, count: int) -> PartRun:
        clock = self.tools.clock
        left_s = max(0, task.deadline_ms - clock.now_ms()) / 1000
        return PartRun(
            tools=self.tools,
            scope=run.scope,
            task_id=task.id,
            part=index,
            count=count,
            options=options,
            attempt_id=new_id("att", self.tools.random, clock.now_ms()),
            deadline_s=clock.monotonic_s() + min(left_s, run_for_s(self.tools, options)),
            fence=task.fence,
            arrivals=run.arrivals,
            begun=False,
        )


def _sharing(option: Option, request: ImageRequest) -> Option:
    """The option with that request, where it asks for the same: ten thousand may poll at once, each with its own."""
    fitted = option.fitted
    return replace(option, fitted=replace(fitted, request=request)) if fitted.request == request else option
