"""One task on its way: parts side by side, then one settlement, then whoever waits is told.

Runs belong to the engine's supervisor, never to a request handler: hanging up only unsubscribes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing

from msgspec import Struct, field
from msgspec.structs import replace

from imageway.bodies import Scope
from imageway.core.errors import GatewayError
from imageway.core.intents import Event, Finished, Generated
from imageway.core.ops import Committed, Refused
from imageway.core.requests import ImageRequest, RequestWarning
from imageway.core.steps import Failed, FailureKind
from imageway.engine.arrivals import Arrivals
from imageway.engine.attempts import NEXT, PartResult, PartRun
from imageway.engine.facts import TaskFacts
from imageway.engine.inputs import check_mask, check_weight, hold_all
from imageway.engine.keeping import drop_ask
from imageway.engine.memos import KeptAsk
from imageway.engine.once import Once
from imageway.engine.patience import surely, wholly
from imageway.engine.pictures import store_all
from imageway.engine.ports import Tools
from imageway.engine.preparation import all_images, with_images
from imageway.engine.results import pack_result
from imageway.engine.settlement import Settlement, cancelled, failed, refunded, settle
from imageway.ledger.ops import MarkDelivery
from imageway.tasks.ops import EndAttempt, ReplaceResult
from imageway.tasks.queries import ShowTask
from imageway.tasks.queue import RequeueTask
from imageway.telemetry import events, logger

Plan = Callable[[], Awaitable[tuple[ImageRequest, tuple[PartRun, ...]]]]
"""Reads what a claimed task's caller wrote, and decides who could serve it. Raises GatewayError."""


class TaskRun(Struct, eq=False):
    """A task in this process. `store_images`: an answer that must survive this process goes to the media store before
    it is charged. `admitted`: it counts among those of its key. `accepting`: whether it is accepted is not known yet,
    and nobody's leaving ends it before. `settling`: how it ends is decided, and nobody's leaving changes that any more.
    `arrivals` None: nobody follows what comes before the end."""

    tools: Tools
    facts: TaskFacts
    scope: Scope
    parts: tuple[PartRun, ...]
    store_images: bool
    arrivals: Arrivals | None = None
    listeners: int = 0
    work: asyncio.Task[None] | None = None
    settling: bool = False
    settlement: Settlement | None = None  # once it is durable
    stopping: bool = False
    fence: int = 1
    ask: KeptAsk | None = None  # it waited, and goes back to that while nothing of it was sent
    marked: bool = False  # its caller's wish to cancel was heeded
    ending: bool = False  # because of that
    admitted: bool = False
    accepting: bool = False
    acceptance: Once[None] = field(default_factory=Once)
    answer: Once[Generated] = field(default_factory=Once)
    freed: Callable[[TaskRun], None] | None = None  # hears that its work has ended, however that was

    @property
    def submitted(self) -> bool:
        return any(part.submitted for part in self.parts)

    @property
    def sandbox(self) -> bool:
        """Whether a pretend upstream has part in it."""
        return any(part.option.candidate.upstream.sandbox for part in self.parts)

    def cancel_unsent(self) -> bool:
        """Ends it when nothing of it has left this house. False: it has, and runs on."""
        if self.work is None or self.accepting or self.settling or self.submitted:
            return False
        return self.work.cancel()

    async def cancel_sent(self) -> bool:
        """Asks for no more, and those who were asked to give up. Whether one of them agreed."""
        return any(await asyncio.gather(*(part.cancel() for part in self.parts)))

    def run(self, request: ImageRequest) -> Coroutine[None, None, None]:
        """From accepted to settled. Never raises but CancelledError, for what the world did."""
        return self._to_its_end(self._work(request))

    def run_claimed(self, plan: Plan) -> Coroutine[None, None, None]:
        """From claimed to settled, or back to where it waited. Never raises but CancelledError either."""
        return self._to_its_end(self._begin_and_work(plan))

    async def _work(self, request: ImageRequest) -> None:
        await self._hold_inputs(request)
        await self.end((await self.parts[0].run(),) if len(self.parts) == 1 else await self._run_beside())

    async def _begin_and_work(self, plan: Plan) -> None:
        request, self.parts = await plan()
        del plan  # with the row: a task may poll for hours beside ten thousand others
        await self._hold_inputs(request)
        del request
        if await wholly(self._begin()):
            await self.end((await self.parts[0].run(),) if len(self.parts) == 1 else await self._run_beside())

    async def _begin(self) -> bool:
        """Makes the start of the first attempts durable. False: another process has this task by now."""
        store, attempts = self.tools.store, [part.begin() for part in self.parts]
        committed = await surely(self.tools, lambda: store.commit(*attempts))
        # "duplicate": by a first try that nobody confirmed.
        if isinstance(committed, Refused) and committed.why != "duplicate":
            self._tell(_elsewhere())
            return False
        for part in self.parts:
            part.begun = True
        self.tools.faults.reach("after_begin")
        self.tools.tell_change(self.facts.task_id)
        return True

    async def _to_its_end(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except GatewayError as error:
            unsent = Failed(FailureKind.NEVER_SENT, "inputs", error.message)
            results = [part.given_up(unsent) for part in self.parts]
            await self._commit(failed(self.tools, self.facts, results, error))
        except asyncio.CancelledError:
            if self.settling:
                raise  # what became of that commit, whoever comes next will see
            if not self.submitted:
                await (self.put_back() if self.ask and self.stopping else self.withdraw())
            elif self.stopping and not any(part.polling and part.result is None for part in self.parts):
                await self._stop_here()
            else:
                raise

    async def withdraw(self, told: GatewayError | None = None) -> None:
        """Ends a task of which nothing was submitted."""
        settlement = cancelled(self.tools, self.facts, self._open_attempts())
        await self._commit(settlement if told is None else replace(settlement, answer=told))

    def refuse(self, why: Exception) -> None:
        """It was not accepted: there is no such task."""
        self.acceptance.fail(why)
        self.answer.fail(why)

    async def put_back(self) -> None:
        """Lets it wait again, for whoever has a hand free; nothing was submitted."""
        now_ms, store = self.tools.clock.now_ms(), self.tools.store
        ended = [EndAttempt(attempt_id, "cancelled", "put back", now_ms) for attempt_id in self._open_attempts()]
        requeue = RequeueTask(self.facts.task_id, self.tools.owner, self.fence)
        await surely(self.tools, lambda: store.commit(*ended, requeue))
        self.tools.bulletin.post("queued", self.facts.task_id)
        self._tell(_elsewhere())

    def _open_attempts(self) -> list[str]:
        return [part.attempt_id for part in self.parts if part.begun]

    async def _stop_here(self) -> None:
        """What has come is delivered; of what was sent without a memo nobody will ever know more."""
        stopped = Failed(FailureKind.UNKNOWN, "stopped", "the gateway was stopped before the provider answered")
        results = [part.result or part.cut_short(stopped) for part in self.parts]
        if any(result.images for result in results):
            await self.end(results)
        else:
            await self.abandon("the gateway was stopped before the provider answered; nothing was charged")

    async def abandon(self, told: str) -> None:
        """Ends a task whose parts will never be known: what was submitted is `unknown`, nothing is charged."""
        kind = FailureKind.UNKNOWN if self.submitted else FailureKind.FAILED
        results = [part.given_up(Failed(kind, "abandoned", told)) for part in self.parts]
        error = GatewayError("request_timeout" if self.submitted else "internal_error", told)
        error.resend_override = False
        await self._commit(failed(self.tools, self.facts, results, error))

    async def _hold_inputs(self, request: ImageRequest) -> None:
        if not (images := all_images(request)):
            return
        limits = self.facts.model.inputs
        held = await hold_all(self.tools, images, limits, self.scope, self.facts.workspace_id)
        ready = with_images(request, held)
        check_mask(ready, limits)
        check_weight(ready, (option.candidate.offering for option in self.parts[0].options))
        for part in self.parts:
            part.request = ready

    async def _run_beside(self) -> Sequence[PartResult]:
        return await asyncio.gather(*(part.beside_others(part.run) for part in self.parts))

    async def end(self, results: Sequence[PartResult]) -> None:
        """Settles with what the parts brought."""
        if self._is_given_up(results):
            await self._commit(cancelled(self.tools, self.facts, [result.attempt_id for result in results]))
            return
        store = self.store_images or self.listeners == 0
        try:
            settlement = await settle(self.tools, self.facts, self.scope, results, store=store)
        except OSError as error:
            # The images cannot be kept, so they cannot be charged.
            logger().error(events.MEDIA_FAILED, task=self.facts.task_id, detail=str(error))
            spoiled = Failed(FailureKind.SPOILED, "not_stored", "the media store did not take the images")
            lost = [replace(r, images=(), failure=r.failure or spoiled) for r in results]
            error_told = GatewayError("overloaded", "the images could not be stored; nothing was charged")
            error_told.resend_override = False
            settlement = failed(self.tools, self.facts, lost, error_told)
        await self._commit(settlement)

    def _is_given_up(self, results: Sequence[PartResult]) -> bool:
        """Whether its caller wanted no more of it, and for certain there is nothing of it."""
        return bool(results) and all(part.cancelled for part in self.parts) and all(map(_came_to_nothing, results))

    async def _commit(self, settlement: Settlement) -> None:
        """Ends the task durably, then tells whoever waits."""
        self.settling = True
        committed = await self._commit_surely(settlement)
        self.tools.faults.reach("after_capture")
        if committed:
            self.settlement = settlement
            self._tell(settlement.answer)
            self.tools.tell_end(self.facts.task_id, self.facts.webhook, awaited=self.listeners > 0)
            if self.listeners == 0:  # the last one left while this was being committed
                await self.keep()
            if self.ask is not None:
                await drop_ask(self.tools, self.ask)
        else:
            self._tell(_elsewhere())

    async def _commit_surely(self, settlement: Settlement) -> bool:
        """False: the task was ended by somebody else."""
        store = self.tools.store
        if isinstance(await surely(self.tools, lambda: store.commit(*settlement.ops)), Committed):
            return True
        # Refused: by our own commit, when an earlier try was done after all though nobody said so.
        task = await surely(self.tools, lambda: store.read(ShowTask(self.facts.task_id)))
        return task is not None and task.result == pack_result(settlement.result)

    def last_word(self) -> None:
        """Nobody works on this here any more: whoever still waits is told so."""
        if not self.answer.told:
            told = "this process stopped before the answer came; ask for it by its id"
            self._tell(GatewayError("request_timeout", told))

    def _tell(self, answer: Generated | GatewayError) -> None:
        if self.answer.told:
            return
        if isinstance(answer, GatewayError):
            answer.request_id = self.facts.task_id
            answer.sandbox = self.sandbox
            self.acceptance.fail(answer)
            self.answer.fail(answer)
        else:
            self.answer.tell(answer)
        if self.arrivals is not None:
            self.arrivals.finish(self.settlement.pictures if self.settlement else (), answer)

    async def keep(self) -> None:
        """The answer could not be delivered: its images move to the media store, or are refunded."""
        tools, settlement = self.tools, self.settlement
        if settlement is None or not settlement.in_spool:
            return
        now_ms, expires_ms = tools.clock.now_ms(), tools.keep_until_ms(self.facts.keep_images_s)
        try:
            names = await store_all(tools, self.facts.task_id, settlement.pictures, expires_ms)
        except OSError as error:
            logger().error(events.REFUNDED, task=self.facts.task_id, detail=f"not kept: {error}")
            facts, price_usd_micros = self.facts, settlement.result.price_usd_micros
            ops = refunded(facts.task_id, now_ms, facts.spending, price_usd_micros, workspace_id=facts.workspace_id)
            await surely(tools, lambda: tools.store.commit(*ops))
            return
        named = zip(settlement.result.pictures, names, strict=True)
        pictures = tuple(replace(picture, name=name) for picture, name in named)
        result = replace(settlement.result, pictures=pictures, expires_ms=expires_ms)
        replaced = ReplaceResult(self.facts.task_id, pack_result(result))
        marked = MarkDelivery(self.facts.task_id, "stored", now_ms)
        await surely(tools, lambda: tools.store.commit(replaced, marked))


def _elsewhere() -> GatewayError:
    return GatewayError("request_timeout", "another process has this request; ask for it by its id")


def _came_to_nothing(result: PartResult) -> bool:
    return result.failure is not None and result.failure.kind in NEXT and not result.produced


class TaskHandle(Struct, eq=False):
    """One subscriber of a task. Use it once: wait for the outcome, then say how the delivery went."""

    run: TaskRun
    left: bool = False

    @property
    def id(self) -> str:
        return self.run.facts.task_id

    @property
    def warnings(self) -> tuple[RequestWarning, ...]:
        """What is certain by now not to be honoured, provided that nobody else serves it in the end."""
        own = (warning for part in self.run.parts for warning in part.option.fitted.warnings)
        return tuple(dict.fromkeys((*self.run.facts.warnings, *own)))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of every image there may be, in their order, provided as well that nobody else serves it in the end."""
        return tuple(part.seed for part in self.run.parts for _ in range(part.count) if part.seed is not None)

    @property
    def sandbox(self) -> bool:
        return self.run.sandbox

    async def events(self) -> AsyncGenerator[Event, None]:
        """Previews and finished images as they come, then Finished, once it is paid for. Raises GatewayError when there
        is none, perhaps after previews. Who comes late hears of finished images again."""
        if (arrivals := self.run.arrivals) is not None:
            async with aclosing(arrivals.feed.follow()) as told:
                async for event in told:
                    yield event
        yield Finished(await self.outcome())

    def accepted(self) -> Coroutine[None, None, None]:
        """Returns when the task is there, durably. Raises GatewayError when it was refused, with nothing spent."""
        return self.run.acceptance.hear()

    def outcome(self) -> Coroutine[None, None, Generated]:
        """The pictures, once they are paid for. Raises GatewayError. Cancelling the wait cancels nothing else."""
        return self.run.answer.hear()

    @property
    def undelivered(self) -> bool:
        """Whether somebody must still be told that the last byte has left."""
        settlement = self.run.settlement
        return settlement is not None and settlement.in_spool
