"""The engine's front door: accept a request, watch it, show what is known; it supervises everything long-running."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from msgspec.structs import replace

from imageway.bodies import Scope
from imageway.core.errors import GatewayError, InvalidRequest
from imageway.core.failures import StoreFailed
from imageway.core.ids import new_id
from imageway.core.intents import Estimate, Estimated, Generate, Generated, ListTasks, TaskList, TaskView
from imageway.core.ops import Refused
from imageway.core.requests import Caller, RequestWarning
from imageway.engine.acceptance import (
    begin_ops,
    facts_for,
    never_ops,
    not_accepted,
    queue_deadline_s,
    queue_ops,
    receipt,
    refusal,
    room_bytes,
    task_for,
)
from imageway.engine.admission import Admission
from imageway.engine.defaults import meant
from imageway.engine.facts import TaskFacts
from imageway.engine.keeping import GRACE_MS, drop_ask, put_ask
from imageway.engine.outcomes import answer_of, ended_badly
from imageway.engine.patience import surely
from imageway.engine.ports import Tools
from imageway.engine.preparation import Prepared, prepare, too_long
from imageway.engine.results import view_of
from imageway.engine.rows import end_waiting, give_up
from imageway.engine.runs import TaskHandle, TaskRun
from imageway.engine.settlement import CANCELLED
from imageway.ledger.ops import MarkDelivery
from imageway.tasks.queries import FindTasks, ShowTask
from imageway.tasks.queue import CancelMarks, MarkCancel, TaskStates, Waiting
from imageway.telemetry import events, logger

HOLE: Final = "the gateway failed on this request; nothing was charged"
LAST_WORDS_S: Final = 5.0  # what is cancelled at the end may still write down how it ended

MARK_AFTER_S = 0.005
NOT_CANCELLED: Final = RequestWarning(
    "not_cancelled", "id", "it is under way already: what the provider makes of it is delivered and charged"
)


@dataclass(slots=True)
class Engine:
    """Starts tasks and owns them until they are settled. `queued` hears of every task that was accepted to wait."""

    tools: Tools
    closing: bool = False
    queued: Callable[[Waiting], None] = lambda waiting: None
    _admission: Admission = field(init=False)
    _running: dict[asyncio.Task[None], TaskRun | None] = field(default_factory=dict)
    _marks: list[MarkDelivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._admission = Admission(self.tools.settings)

    def start(self, intent: Generate, caller: Caller, scope: Scope) -> TaskHandle:
        """Begins to accept a request: task, hold, first attempts and idempotency claim in one commit. Raises
        GatewayError for what cannot be; whether it was accepted, the handle tells. Leaving meanwhile tears nothing in
        two. The scope (and with it every blob of the request) is held until the task is settled."""
        if self.closing:
            raise _stopping()
        self._admission.enter(caller.key_id)
        try:
            prepared = prepare(self.tools, intent, caller)
            if not scope.reserve(prepared.max_answer_bytes * len(prepared.counts)):
                raise GatewayError("overloaded", "there is no room for the answer just now", retry_after_s=1)
            run = task_for(self.tools, prepared, scope)
        except BaseException:
            self._admission.leave(caller.key_id)
            raise
        run.admitted = run.accepting = True
        run.listeners = 1
        self.supervise(run, self._accept_and_run(prepared, run))
        return TaskHandle(run)

    async def _accept_and_run(self, prepared: Prepared, run: TaskRun) -> None:
        try:
            await self._accept(prepared, run)
            self.tools.faults.reach("after_accept")
        except GatewayError as refused:
            run.scope.give_back()  # whose request may wait on, for an earlier one that needs this room
            run.refuse(refused)
        except Exception:
            run.refuse(GatewayError("internal_error", HOLE))
            raise
        else:
            run.accepting = False
            if self.closing:  # since this was admitted: nobody would wait for it any more
                await run.withdraw(_stopping())
            elif run.listeners == 0 and not run.store_images:
                await run.withdraw()
            else:
                run.acceptance.tell(None)
                await run.run(prepared.request)

    async def enqueue(self, intent: Generate, caller: Caller) -> TaskView:
        """Accepts a request that anybody may run, later: task, hold and idempotency claim in one commit, and what the
        caller sent durable before it. Raises GatewayError with nothing spent."""
        if self.closing:
            raise _stopping()
        tools, prepared = self.tools, prepare(self.tools, intent, caller)
        now_ms = prepared.priced_ms
        facts = facts_for(prepared, new_id("req", tools.random, now_ms))
        if room_bytes(facts, len(prepared.counts)) > tools.spool.budget.limit_bytes:
            raise GatewayError("overloaded", "there is never room for such an answer here", retry_after_s=1)
        expires_ms = now_ms + int(queue_deadline_s(tools, prepared) * 1000) + GRACE_MS
        try:
            ask = await put_ask(tools, prepared.request, facts.task_id, strict=intent.strict, expires_ms=expires_ms)
        except OSError as error:
            logger().error(events.MEDIA_FAILED, task=facts.task_id, detail=str(error))
            raise not_accepted() from error
        try:
            committed = await tools.store.commit(*queue_ops(tools, prepared, facts, ask))
        except StoreFailed as error:
            logger().error(events.STORE_FAILED, detail=str(error))
            if error.undone or not await self._is_accepted(prepared, facts):
                await drop_ask(tools, ask)
                raise not_accepted() from error
        else:
            if isinstance(committed, Refused):
                await drop_ask(tools, ask)
                raise await refusal(tools, committed, prepared)
        tools.faults.reach("after_enqueue")
        self.queued(
            Waiting(
                id=facts.task_id,
                workspace_id=facts.workspace_id,
                key_id=facts.key_id,
                fence=1,
                created_ms=now_ms,
                deadline_ms=expires_ms - GRACE_MS,
            )
        )
        return receipt(facts, prepared)

    async def within(self, intent: Generate, view: TaskView, caller: Caller, scope: Scope) -> Generated | TaskView:
        """The answer of a task that was accepted to wait, if it comes within the time its caller gives it. Raises the
        GatewayError that a task ended with."""
        now = await self.show_task(view.id, caller, intent.wait_s)
        if now.finished_ms is None:
            return replace(now, warnings=view.warnings, sandbox=view.sandbox)
        task = await self.tools.store.read(ShowTask(view.id, caller.workspace_id))
        if task is None or now.status != "succeeded":
            raise ended_badly(now, sandbox=view.sandbox)
        return await answer_of(self.tools, task, scope, sandbox=view.sandbox)

    async def _is_accepted(self, prepared: Prepared, facts: TaskFacts) -> bool:
        """What became of a commit of which nobody heard. One that has not arrived by now never will."""
        create, finish = never_ops(self.tools, prepared, facts)
        await surely(self.tools, lambda: self.tools.store.commit(create, finish))
        task = await surely(self.tools, lambda: self.tools.store.read(ShowTask(facts.task_id)))
        return task is not None and task.result != finish.result

    async def _take_back(self, prepared: Prepared, run: TaskRun) -> None:
        """Its caller was told that it was not accepted."""
        if await self._is_accepted(prepared, run.facts):
            await run.withdraw()

    def estimate(self, intent: Estimate, caller: Caller) -> Estimated:
        """What a request would cost; works on an empty wallet and touches nothing."""
        prepared = prepare(self.tools, intent.generate, caller)
        return Estimated(
            hold_usd_micros=prepared.quote.hold_usd_micros,
            worst_usd_micros=prepared.quote.worst_usd_micros,
            expected_usd_micros=prepared.quote.expected_usd_micros,
            prices=prepared.quote.lines,
            warnings=(*prepared.warnings, *prepared.options[0].fitted.warnings),
        )

    async def show_task(self, task_id: str, caller: Caller, wait_s: float = 0) -> TaskView:
        """As it is when it has ended, or after `wait_s`. Raises GatewayError: 404, 400 for too long a wait."""
        if wait_s > self.tools.settings.longest_wait_s:
            raise InvalidRequest(too_long("wait", wait_s, self.tools.settings.longest_wait_s))
        clock = self.tools.clock
        until_s = clock.monotonic_s() + wait_s
        with self.tools.watch.following(task_id) as watcher:
            while True:
                view = await self._view_of(task_id, caller)
                if view.finished_ms is not None or (left_s := until_s - clock.monotonic_s()) <= 0 or self.closing:
                    return view
                await watcher.news(left_s)

    async def _view_of(self, task_id: str, caller: Caller) -> TaskView:
        task = await self.tools.store.read(ShowTask(task_id, caller.workspace_id))
        if task is None:
            raise GatewayError("task_not_found", f'there is no task "{task_id}"', param="id")
        return view_of(task, self.tools.signer, self.tools.clock.now_ms(), self.tools.pretend)

    async def list_tasks(self, intent: ListTasks, caller: Caller) -> TaskList:
        """One page of the caller's workspace."""
        model = None if intent.model is None else self.tools.catalog.id_of(meant(caller, intent.model))
        page = await self.tools.store.read(
            FindTasks(
                workspace_id=caller.workspace_id,
                since_ms=intent.since_ms,
                until_ms=intent.until_ms,
                states=intent.states,
                model=model,
                limit=intent.limit + 1,
                skip=intent.skip,
                before=intent.before,
                counted=intent.counted,
            )
        )
        now_ms, shown, pretend = self.tools.clock.now_ms(), page.tasks[: intent.limit], self.tools.pretend
        views = tuple(view_of(task, self.tools.signer, now_ms, pretend) for task in shown)
        further = (shown[-1].created_ms, shown[-1].id) if len(page.tasks) > len(shown) else None
        return TaskList(tasks=views, total=page.total, skip=intent.skip, limit=intent.limit, next=further)

    async def cancel_task(self, task_id: str, caller: Caller) -> TaskView:
        """Ends a task of which nothing was sent yet, or all is given up by whoever has it. Any other runs on, as its
        view says: what a provider makes of it is delivered and charged. Raises GatewayError 404."""
        view = await self._view_of(task_id, caller)
        if view.finished_ms is not None:
            return view
        if view.status == "queued" and await end_waiting(self.tools, task_id, CANCELLED):
            return await self._view_of(task_id, caller)
        if await self._call_off(task_id):
            view = await self.show_task(task_id, caller, min(LAST_WORDS_S, self.tools.settings.longest_wait_s))
        return view if view.finished_ms is not None else replace(view, warnings=(*view.warnings, NOT_CANCELLED))

    async def _call_off(self, task_id: str) -> bool:
        """Tells whoever has it that no more is wanted of it. Whether it is ending; of another process nobody knows."""
        mark, tools = MarkCancel(task_id, self.tools.clock.now_ms()), self.tools
        await surely(tools, lambda: tools.store.commit(mark))  # refused when it has ended, or waits again
        run = self.running_here(task_id)
        if run is None:
            tools.bulletin.post("cancelled", task_id)
        return run is None or await self.heed(run)

    def running_here(self, task_id: str) -> TaskRun | None:
        """Of those that were accepted."""
        running = (run for run in self._running.values() if run and not run.accepting)
        return next((run for run in running if run.facts.task_id == task_id), None)

    async def heed_marks(self) -> None:
        """What others were told by those who want no more of what runs here."""
        for task_id in await self.tools.store.read(CancelMarks(self.tools.owner)):
            run = self.running_here(task_id)
            if run is not None and not run.marked:
                self.spawn(self.heed(run), run)

    async def heed(self, run: TaskRun) -> bool:
        """Whether it is ending because its caller wants no more of it."""
        if not run.marked:
            run.marked = run.ending = True  # who asks meanwhile waits for its end as well
            run.ending = run.cancel_unsent() or await run.cancel_sent()
        return run.ending

    async def look(self) -> None:
        """Once somebody waits for tasks here: finds what became of them elsewhere."""
        watch = self.tools.watch
        await watch.wanted.wait()
        await self.tools.clock.sleep(self.tools.settings.watch_every_s)
        watch.compare(await self.tools.store.read(TaskStates(watch.ids)))

    def leave(self, handle: TaskHandle) -> None:
        """The subscriber hung up. Cancels only what nobody else hears and what never left this house."""
        if handle.left:
            return
        handle.left = True
        run = handle.run
        run.listeners -= 1
        if handle.undelivered:
            self.spawn(run.keep(), run)
        elif run.listeners == 0 and not run.store_images:
            run.cancel_unsent()

    def delivered(self, handle: TaskHandle) -> None:
        """The last byte has left."""
        handle.left = True
        handle.run.listeners -= 1
        if handle.undelivered:
            if not self._marks:
                self.spawn(self._mark_deliveries(), None)
            self._marks.append(MarkDelivery(handle.id, "delivered", self.tools.clock.now_ms()))

    def supervise(self, run: TaskRun, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """From here on the task runs to its end, whoever listens."""
        run.work = self._own(self._run(run, work), run)
        return run.work

    def spawn(self, work: Coroutine[None, None, object], run: TaskRun | None) -> None:
        """Background work, of `run` or of the engine: never lost, never awaited by a request."""
        self._own(self._guarded(work), run)

    async def close(self, drain_s: float) -> None:
        """Takes nothing more; waits for what runs, at most `drain_s`; then gives up what is left."""
        self.closing = True
        self.tools.watch.wake()  # nobody waits here any more for what happens elsewhere
        clock = self.tools.clock
        until_s = clock.monotonic_s() + drain_s
        while self._running and (left_s := until_s - clock.monotonic_s()) > 0:
            await asyncio.wait(list(self._running), timeout=left_s)
        left = list(self._running.items())
        for task, run in left:
            if run is not None:
                run.stopping = True
            if run is None or not run.accepting:  # which is taken back as soon as it is accepted
                task.cancel()
        if left:
            await asyncio.wait([task for task, _ in left], timeout=LAST_WORDS_S)

    async def _accept(self, prepared: Prepared, run: TaskRun) -> None:
        try:
            committed = await self.tools.store.commit(*begin_ops(self.tools, prepared, run.facts, run.parts))
        except StoreFailed as error:
            logger().error(events.STORE_FAILED, detail=str(error))
            if not error.undone:
                self.spawn(self._take_back(prepared, run), run)
            raise not_accepted() from error
        if isinstance(committed, Refused):
            raise await refusal(self.tools, committed, prepared)

    async def _run(self, run: TaskRun, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  # a hole of ours must not leave a hold open; it is logged whole
            logger().exception(events.TASK_CRASHED, task=run.facts.task_id, exc_info=error)
            await self._abandon(run)

    async def _abandon(self, run: TaskRun) -> None:
        """Whatever hole it fell into: where its end falls into one as well, its hold goes back all the same."""
        try:
            await run.abandon(HOLE)
        except Exception as error:  # noqa: BLE001  # see above; it is logged whole
            task = await surely(self.tools, lambda: self.tools.store.read(ShowTask(run.facts.task_id)))
            if task is not None and task.finished_ms is None:
                await give_up(self.tools, task, error)

    async def _guarded(self, work: Coroutine[None, None, object]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  # background work has nobody else to tell; it is logged whole
            logger().exception(events.TASK_CRASHED, exc_info=error)

    async def _mark_deliveries(self) -> None:
        """What was delivered within a moment is marked in one commit, less what meanwhile has another mark. The moment
        also keeps marks, which nobody waits for, out of the way of what comes next."""
        with contextlib.suppress(asyncio.CancelledError):  # the end of the process: mark at once
            await self.tools.clock.sleep(MARK_AFTER_S)
        marks, self._marks = self._marks, []
        while marks:
            committed = await surely(self.tools, partial(self.tools.store.commit, *marks))
            if not isinstance(committed, Refused):
                return
            marks = [mark for mark in marks if mark != committed.op]

    def _own(self, work: Coroutine[None, None, None], run: TaskRun | None) -> asyncio.Task[None]:
        """A task that is not lost, and the scope of its run open as long as it lasts, however it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._running[task] = run
        if run is not None:
            run.scope.hold()
        task.add_done_callback(self._disown)
        return task

    def _disown(self, task: asyncio.Task[None]) -> None:
        if run := self._running.pop(task):
            run.scope.release()
            if task is run.work:
                self._end_of(run)

    def _end_of(self, run: TaskRun) -> None:
        """Its work is over, however that was; what else was done for it is not."""
        run.last_word()
        if run.freed is not None:
            run.freed(run)
        if run.admitted:
            self._admission.leave(run.facts.key_id)


def _stopping() -> GatewayError:
    return GatewayError("overloaded", "this gateway is being stopped; send the request again", retry_after_s=1)
