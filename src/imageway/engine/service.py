"""The engine's front door: accept a request, watch it, show what is known; it supervises everything long-running."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from msgspec.structs import replace

from imageway.bodies import Scope
from imageway.core.errors import GatewayError
from imageway.core.failures import StoreFailed
from imageway.core.ids import new_id
from imageway.core.intents import Estimate, Estimated, Generate, ListTasks, TaskList, TaskView
from imageway.core.money import format_usd
from imageway.core.ops import Op, Refused
from imageway.core.requests import Caller, RequestWarning
from imageway.engine.admission import Admission
from imageway.engine.arrivals import Arrivals
from imageway.engine.attempts import PartRun
from imageway.engine.facts import TaskFacts
from imageway.engine.feeds import Feed
from imageway.engine.memos import KeptTask, pack_task, plain_fields
from imageway.engine.patience import surely
from imageway.engine.ports import Tools
from imageway.engine.preparation import Prepared, all_images, prepare
from imageway.engine.results import accepted, view_of
from imageway.engine.runs import TaskHandle, TaskRun
from imageway.ledger.ops import Hold, MarkDelivery
from imageway.tasks.ops import ClaimKey, CreateTask
from imageway.tasks.queries import FindClaim, FindTasks, ShowTask
from imageway.telemetry import events, logger

LAST_WORDS_S: Final = 5.0  # what is cancelled at the end may still write down how it ended

MARK_AFTER_S = 0.005
NOT_CANCELLED: Final = RequestWarning(
    "not_cancelled", "id", "it is under way already: what the provider makes of it is delivered and charged"
)


@dataclass(slots=True)
class Engine:
    """Starts tasks and owns them until they are settled."""

    tools: Tools
    closing: bool = False
    _admission: Admission = field(init=False)
    _running: dict[asyncio.Task[None], TaskRun | None] = field(default_factory=dict)
    _marks: list[MarkDelivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._admission = Admission(self.tools.settings)

    async def start(self, intent: Generate, caller: Caller, scope: Scope) -> TaskHandle:
        """Accepts a request: task, hold, first attempts and idempotency claim in one commit. Raises GatewayError with
        nothing spent. The scope (and with it every blob of the request) is held until the task is settled."""
        if self.closing:
            raise _stopping()
        self._admission.enter(caller.key_id)
        try:
            return await self._start(intent, caller, scope)
        except BaseException:
            self._admission.leave(caller.key_id)
            raise

    async def _start(self, intent: Generate, caller: Caller, scope: Scope) -> TaskHandle:
        prepared = prepare(self.tools, intent, caller)
        if not scope.reserve(prepared.max_answer_bytes * len(prepared.counts)):
            raise GatewayError("overloaded", "there is no room for the answer just now", retry_after_s=1)
        run = self._task_run(prepared, scope)
        await self._accept(prepared, run)
        self.tools.faults.reach("after_accept")
        if self.closing:  # since this was admitted: nobody would wait for it any more
            await run.withdraw()
            raise _stopping()
        self.supervise(run, prepared)
        run.listeners = 1
        return TaskHandle(run)

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

    async def show_task(self, task_id: str, caller: Caller) -> TaskView:
        task = await self.tools.store.read(ShowTask(task_id, caller.workspace_id))
        if task is None:
            raise GatewayError("task_not_found", f'there is no task "{task_id}"', param="id")
        return view_of(task, self.tools.signer, self.tools.clock.now_ms())

    async def list_tasks(self, intent: ListTasks, caller: Caller) -> TaskList:
        """One page of the caller's workspace."""
        page = await self.tools.store.read(
            FindTasks(
                workspace_id=caller.workspace_id,
                since_ms=intent.since_ms,
                until_ms=intent.until_ms,
                states=intent.states,
                model=intent.model,
                limit=intent.limit,
                skip=intent.skip,
            )
        )
        now_ms = self.tools.clock.now_ms()
        views = tuple(view_of(task, self.tools.signer, now_ms) for task in page.tasks)
        return TaskList(tasks=views, total=page.total, skip=intent.skip, limit=intent.limit)

    async def cancel_task(self, task_id: str, caller: Caller) -> TaskView:
        """Ends a task of which nothing was sent yet, or all is given up by whoever has it. Any other runs on, as its
        view says: what a provider makes of it is delivered and charged. Raises GatewayError 404."""
        view = await self.show_task(task_id, caller)
        if view.finished_ms is not None:
            return view
        run = next((run for run in self._running.values() if run and run.facts.task_id == task_id), None)
        if run is not None and run.work is not None and (run.cancel_unsent() or await run.cancel_sent()):
            await asyncio.wait({run.work}, timeout=LAST_WORDS_S)
            view = await self.show_task(task_id, caller)
        return view if view.finished_ms is not None else replace(view, warnings=(*view.warnings, NOT_CANCELLED))

    def view(self, handle: TaskHandle) -> TaskView:
        """What was accepted, for whoever does not wait for it, with what is known already not to be honoured."""
        return replace(accepted(handle.run.facts), warnings=handle.warnings)

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

    def supervise(self, run: TaskRun, prepared: Prepared) -> None:
        """From here on the task runs to its end, whoever listens."""
        run.work = self._own(self._run(run, prepared), run)
        run.work.add_done_callback(lambda _: self._admission.leave(run.facts.key_id))

    def spawn(self, work: Coroutine[None, None, None], run: TaskRun | None) -> None:
        """Background work, of `run` or of the engine: never lost, never awaited by a request."""
        self._own(self._guarded(work), run)

    async def close(self, drain_s: float) -> None:
        """Takes nothing more; waits for what runs, at most `drain_s`; then gives up what is left (DESIGN §5)."""
        self.closing = True
        clock = self.tools.clock
        until_s = clock.monotonic_s() + drain_s
        while self._running and (left_s := until_s - clock.monotonic_s()) > 0:
            await asyncio.wait(list(self._running), timeout=left_s)
        left = list(self._running.items())
        for task, run in left:
            if run is not None:
                run.stopping = True
            task.cancel()
        if left:
            await asyncio.wait([task for task, _ in left], timeout=LAST_WORDS_S)

    def _task_run(self, prepared: Prepared, scope: Scope) -> TaskRun:
        tools = self.tools
        task_id = new_id("req", tools.random)
        task_deadline_s = tools.clock.monotonic_s() + _task_deadline_s(tools, prepared)
        facts = _facts_of(prepared, task_id, tools.clock.now_ms())
        follows = prepared.request.stream and not prepared.intent.background
        arrivals = Arrivals(tools, facts, scope, Feed(tools.settings.events_kept)) if follows else None
        parts = tuple(
            PartRun(
                tools=tools,
                scope=scope,
                task_id=task_id,
                part=index,
                count=count,
                options=prepared.options,
                attempt_id=new_id("att", tools.random),
                deadline_s=task_deadline_s,
                arrivals=arrivals,
            )
            for index, count in enumerate(prepared.counts)
        )
        store_images = prepared.intent.idempotency_key is not None or prepared.intent.background
        return TaskRun(tools, facts, scope, parts, store_images, arrivals)

    async def _accept(self, prepared: Prepared, run: TaskRun) -> None:
        try:
            committed = await self.tools.store.commit(*_accept_ops(self.tools, prepared, run))
        except StoreFailed as error:
            # Perhaps it was accepted after all: nobody would run it, so it is taken back.
            logger().error(events.STORE_FAILED, detail=str(error))
            self.spawn(run.withdraw(), run)
            message = "the request could not be accepted just now"
            raise GatewayError("overloaded", message, retry_after_s=1) from error
        if isinstance(committed, Refused):
            if isinstance(committed.op, ClaimKey):
                raise await self._in_use(committed.op)
            raise _refusal(committed, prepared)

    async def _in_use(self, claim: ClaimKey) -> GatewayError:
        """Names the request that came first, where the store still answers."""
        first = None
        with suppress(StoreFailed):
            first = await self.tools.store.read(FindClaim(claim.workspace_id, claim.key))
        used = f"by request {first}; GET /v1/tasks/{first} shows its result" if first else "already"
        return GatewayError("idempotency_key_in_use", f"this Idempotency-Key was used {used}", param="Idempotency-Key")

    async def _run(self, run: TaskRun, prepared: Prepared) -> None:
        try:
            await run.run(prepared.request)
        except Exception as error:  # noqa: BLE001  # a hole of ours must not leave a hold open; it is logged whole
            logger().exception(events.TASK_CRASHED, task=run.facts.task_id, exc_info=error)
            await run.abandon("the gateway failed on this request; nothing was charged")

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
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
            run.last_word()
            run.scope.release()


def _facts_of(prepared: Prepared, task_id: str, now_ms: int) -> TaskFacts:
    return TaskFacts(
        task_id=task_id,
        workspace_id=prepared.caller.workspace_id,
        key_id=prepared.caller.key_id,
        model=prepared.model,
        request=prepared.request,
        form=prepared.form,
        hold_usd_micros=prepared.quote.hold_usd_micros,
        images=prepared.images,
        created_ms=now_ms,
        warnings=prepared.warnings,
    )


def _stopping() -> GatewayError:
    return GatewayError("overloaded", "this gateway is being stopped; send the request again", retry_after_s=1)


def _task_deadline_s(tools: Tools, prepared: Prepared) -> float:
    """The longest of the candidates' own deadlines, else the setting."""
    own = (option.candidate.offering.task_deadline_s for option in prepared.options)
    return float(max((deadline_s for deadline_s in own if deadline_s), default=tools.settings.task_deadline_s))


def _accept_ops(tools: Tools, prepared: Prepared, run: TaskRun) -> tuple[Op, ...]:
    facts, now_ms = run.facts, run.facts.created_ms
    kept = KeptTask(
        request=plain_fields(prepared.request),
        counts=prepared.counts,
        form=prepared.form,
        hold_usd_micros=facts.hold_usd_micros,
        inputs=len(all_images(prepared.request)),
        geometry=prepared.request.geometry,
        group=prepared.request.group,
        spelled=dict(prepared.request.spelled),
        warnings=prepared.warnings,
    )
    create = CreateTask(
        id=facts.task_id,
        workspace_id=facts.workspace_id,
        key_id=facts.key_id,
        model=facts.model.id,
        owner=tools.owner,
        request=pack_task(kept),
        created_ms=now_ms,
        deadline_ms=now_ms + int(_task_deadline_s(tools, prepared) * 1000),
    )
    hold = Hold(facts.task_id, facts.workspace_id, facts.hold_usd_micros, now_ms)
    attempts = [part.begin() for part in run.parts]
    key = prepared.intent.idempotency_key
    claim = (ClaimKey(facts.workspace_id, key, facts.task_id, now_ms),) if key else ()
    return (create, *claim, hold, *attempts)


def _refusal(refused: Refused, prepared: Prepared) -> GatewayError:
    """Why the accept unit was not committed, in words for the caller."""
    if refused.why == "insufficient_balance":
        needed = format_usd(prepared.quote.hold_usd_micros)
        return GatewayError(
            "insufficient_balance",
            f"the wallet does not cover this request: ${needed} must be held for {prepared.images} image(s)",
        )
    if refused.why in ("key_revoked", "no_workspace"):
        return GatewayError("invalid_api_key", "this API key is not valid any more")
    return GatewayError("overloaded", "the request could not be accepted just now", retry_after_s=1)
