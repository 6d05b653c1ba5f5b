"""Taking over from processes that died. What has a memo is resumed; what was submitted without one is `unknown`; what
was captured but never delivered is refunded (docs/architecture.md).

A process is dead when its lease has run out, or at once when the lock it held on this machine is free."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from imageway.catalog import fit
from imageway.catalog.schema import Offering
from imageway.core.failures import StoreFailed
from imageway.core.ops import Refused
from imageway.core.steps import Failed, FailureKind
from imageway.core.upstreams import Upstream
from imageway.engine.attempts import PartResult, PartRun
from imageway.engine.limits import held_of
from imageway.engine.memos import KeptTask, unpack_memo, unpack_task
from imageway.engine.patience import surely
from imageway.engine.ports import Tools
from imageway.engine.preparation import Option
from imageway.engine.rows import end_waiting, facts_of, give_up
from imageway.engine.runs import TaskRun
from imageway.engine.service import Engine
from imageway.engine.settlement import refunded
from imageway.engine.sweeping import forget_old
from imageway.ledger.queries import Undelivered, UsageRow
from imageway.routing import Candidate
from imageway.tasks.ops import AdoptTask, DropLease, RenewLease
from imageway.tasks.queries import Attempt, Owners, RunningTasks, ShowTask, Task
from imageway.tasks.queue import OverdueTasks, RequeueTask, Waiting
from imageway.tasks.states import FINAL_PART
from imageway.telemetry import events, logger

REFUNDS_AT_ONCE: Final = 256
NUMBERS: Final = 100
"""Of images, for each who took a task over: whoever had it before may still store some of his under the first ones."""


@dataclass(slots=True)
class Recovery:
    """Renews this process's lease, looks for the dead, sweeps images and forgets old tasks, until it is cancelled."""

    engine: Engine

    @property
    def tools(self) -> Tools:
        return self.engine.tools

    async def keep_going(self) -> None:
        """Side by side, so that neither a long sweep nor a crowd of orphans costs us the lease."""
        settings = self.tools.settings
        await asyncio.gather(
            self._every(settings.lease_renew_s, self.renew),
            self._every(settings.lease_renew_s, self.take_over),
            self._every(settings.sweep_every_s, self.sweep),
            self._every(settings.sweep_every_s, lambda: forget_old(self.tools)),
            self._every(settings.lease_renew_s, self.engine.heed_marks),
            self._every(settings.queue_poll_s, self.expire),
            self._every(0, self.engine.look),
        )

    async def _every(self, pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self.tools.clock.sleep(pause_s)
            try:
                await work()
            except StoreFailed as error:
                logger().error(events.STORE_FAILED, detail=str(error))
            except Exception as error:  # noqa: BLE001  # the next round comes, whatever hole this one fell into
                logger().exception(events.ROUND_FAILED, exc_info=error)

    async def renew(self) -> None:
        until_ms = self.tools.clock.now_ms() + int(self.tools.settings.lease_s * 1000)
        await self.tools.store.commit(RenewLease(self.tools.owner, until_ms))

    async def sweep(self) -> None:
        try:
            removed = await self.tools.objects.sweep(self.tools.clock.now_ms())
        except OSError as error:  # what is over stays so until the next round
            logger().error(events.MEDIA_FAILED, detail=str(error))
        else:
            logger().info(events.MEDIA_SWEPT, removed=removed)

    async def expire(self) -> None:
        """Ends what waited past its deadline."""
        for waiting in await self.tools.store.read(OverdueTasks(self.tools.clock.now_ms())):
            await end_waiting(self.tools, waiting.id, "the deadline passed before anybody could begin")

    async def resign(self) -> None:
        """The orderly end of this process: whatever it leaves running is anybody's at once."""
        try:
            await self.tools.store.commit(DropLease(self.tools.owner))
        except StoreFailed as error:  # it runs out by itself
            logger().error(events.STORE_FAILED, detail=str(error))

    async def begin(self) -> None:
        """The first round, before anybody is served: however long it takes, this process is not to look dead."""
        renewing = asyncio.ensure_future(self._every(self.tools.settings.lease_renew_s, self.renew))
        try:
            await self.take_over()
        finally:
            renewing.cancel()

    async def take_over(self) -> None:
        """Everything the dead left behind, once; by a process that goes on itself."""
        looked_after: set[str] = set()
        while not self.engine.closing:
            # Asked anew before each: what was true of the second may not be once the first is done.
            dead = [one for one in await self._dead() if one[0] not in looked_after]
            if not dead:
                return
            owner, proven = dead[0]
            looked_after.add(owner)
            await self._refund(owner)
            for task in await self._orphans(owner):
                if not await self._put_back(task):
                    await self._adopt(task, proven=proven)
            if await self._is_dead(owner):  # without the lease of one that has come back, it would look dead to all
                await self.tools.store.commit(DropLease(owner))

    async def _orphans(self, owner: str) -> tuple[Task, ...]:
        """None while it lives, which it may again."""
        return await self.tools.store.read(RunningTasks((owner,))) if await self._is_dead(owner) else ()

    async def _is_dead(self, owner: str) -> bool:
        return owner in dict(await self._dead())

    async def _dead(self) -> list[tuple[str, bool]]:
        """(owner, proven): proven when its lock is free, so that no evidence can come from it any more."""
        now_ms = self.tools.clock.now_ms()
        dead = []
        for owner, until_ms in await self.tools.store.read(Owners()):
            if owner == self.tools.owner:
                continue
            if self.tools.liveness.is_dead(owner):
                dead.append((owner, True))
            elif until_ms <= now_ms:
                dead.append((owner, False))
        return dead

    async def _refund(self, owner: str) -> None:
        """Side by side, so that they are few groups of commits. Where nothing of it could be done, another process is
        at it; what that one leaves comes in the next round. Whoever has come back to life keeps the rest."""
        while rows := await self.tools.store.read(Undelivered((owner,), REFUNDS_AT_ONCE)):
            done = await asyncio.gather(*map(self._refund_row, rows))
            if not any(done) or not await self._is_dead(owner):
                return

    async def _refund_row(self, row: UsageRow) -> bool:
        task = await self.tools.store.read(ShowTask(row.request_id))
        spending, workspace_id = (held_of(task.request)[0], task.workspace_id) if task else (None, "")
        now_ms, price_usd_micros = self.tools.clock.now_ms(), row.price_usd_micros
        ops = refunded(row.request_id, now_ms, spending, price_usd_micros, workspace_id=workspace_id)
        if isinstance(await self.tools.store.commit(*ops), Refused):
            return False
        logger().warning(events.REFUNDED, task=row.request_id, usd_micros=row.price_usd_micros)
        return True

    async def _put_back(self, task: Task) -> bool:
        """Lets a task wait again of which nothing was sent. False: something may have been."""
        if any(attempt.state not in FINAL_PART for attempt in task.attempts) or b'"ask":' not in task.request:
            return False
        requeue = RequeueTask(task.id, task.owner, task.fence)
        if isinstance(await surely(self.tools, lambda: self.tools.store.commit(requeue)), Refused):
            return await self._waits(task)
        logger().warning(events.TASK_ADOPTED, task=task.id, owner=task.owner)
        self.engine.queued(
            Waiting(
                id=task.id,
                workspace_id=task.workspace_id,
                key_id=task.key_id,
                fence=task.fence,
                created_ms=task.created_ms,
                deadline_ms=task.deadline_ms,
            )
        )
        return True

    async def _waits(self, task: Task) -> bool:
        """Whether somebody else was faster, or an earlier try was done after all though nobody said so."""
        now = await surely(self.tools, lambda: self.tools.store.read(ShowTask(task.id)))
        return now is None or (now.state, now.owner, now.fence) != ("running", task.owner, task.fence)

    async def _adopt(self, found: Task, *, proven: bool) -> None:
        adopt = AdoptTask(found.id, found.owner, found.fence, self.tools.owner)
        # Refused: perhaps by a first try that nobody confirmed.
        await surely(self.tools, lambda: self.tools.store.commit(adopt))
        task = await self._ours(found)
        if task is None:
            return
        logger().warning(events.TASK_ADOPTED, task=task.id, owner=found.owner)
        try:
            kept = unpack_task(task.request)
            run = self._run_of(task, kept)
        except Exception as error:  # noqa: BLE001  # a model that is gone, a row of another version: not readable here
            await give_up(self.tools, task, error)
            return
        self.engine.spawn(self._finish(run, task, kept.counts, proven=proven), run)
        run.scope.release()

    async def _ours(self, found: Task) -> Task | None:
        """The task as it is since it was adopted: what began before, while its owner was not dead after all, is known,
        and nothing begins any more. None: somebody else was faster."""
        task = await surely(self.tools, lambda: self.tools.store.read(ShowTask(found.id)))
        adopted = ("running", self.tools.owner, found.fence + 1)
        return task if task is not None and (task.state, task.owner, task.fence) == adopted else None

    def _run_of(self, task: Task, kept: KeptTask) -> TaskRun:
        tools = self.tools
        facts = replace(facts_of(tools, task, kept), first_image=NUMBERS * task.fence)
        return TaskRun(tools, facts, tools.spool.scope(), (), store_images=True, fence=task.fence, ask=kept.ask)

    async def _finish(self, run: TaskRun, task: Task, counts: Sequence[int], *, proven: bool) -> None:
        latest = {attempt.part: attempt for attempt in task.attempts}.values()
        try:
            run.parts = tuple(self._part_of(run, task, attempt, counts[attempt.part]) for attempt in latest)
            results = await asyncio.gather(
                *(self._end_of(part, attempt, proven) for part, attempt in zip(run.parts, latest, strict=True))
            )
            await run.end(results)
        except Exception as error:  # noqa: BLE001  # nobody else would end it while this process lives
            await give_up(self.tools, task, error)
        else:
            logger().info(events.TASK_RESUMED, task=task.id)

    def _part_of(self, run: TaskRun, task: Task, attempt: Attempt, count: int) -> PartRun:
        return PartRun(
            tools=self.tools,
            scope=run.scope,
            task_id=task.id,
            part=attempt.part,
            count=count,
            options=(self._option(run, attempt),),
            attempt_id=attempt.id,
            deadline_s=self._until(min(attempt.deadline_ms, task.deadline_ms)),
            fence=task.fence,
        )

    async def _end_of(self, part: PartRun, attempt: Attempt, proven: bool) -> PartResult:
        if attempt.memo and self._upstream(attempt):
            return await part.beside_others(lambda: part.resume(unpack_memo(attempt.memo)))
        if not proven:
            # Its process may still bring evidence until then.
            await self.tools.clock.sleep(max(0.0, part.deadline_s - self.tools.clock.monotonic_s()))
        logger().warning(events.TASK_UNKNOWN, task=part.task_id, attempt=attempt.id)
        return part.given_up(Failed(FailureKind.UNKNOWN, "lost", "the process that sent it is gone"))

    def _until(self, deadline_ms: int) -> float:
        return self.tools.clock.monotonic_s() + max(0, deadline_ms - self.tools.clock.now_ms()) / 1000

    def _upstream(self, attempt: Attempt) -> Upstream | None:
        return next((one for one in self.tools.upstreams if one.id == attempt.upstream_id), None)

    def _option(self, run: TaskRun, attempt: Attempt) -> Option:
        """The candidate as it was. One that was taken out of the configuration is named in the books all the same."""
        model = run.facts.model
        upstream = self._upstream(attempt) or Upstream(
            id=attempt.upstream_id, provider=model.offerings[0].provider, base_url="", auth=""
        )
        offering: Offering = next(
            (o for o in model.offerings if o.provider == upstream.provider and o.upstream_name == attempt.offering),
            model.offerings[0],
        )
        return Option(Candidate(offering, upstream), fit(model, offering, run.facts.request))
