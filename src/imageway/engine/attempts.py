"""One part: candidates tried in order until one delivers or a failure says stop (the table in docs/architecture.md).

Missing images are never bought again: only a failure that certainly produced nothing lets the next candidate try, and
of a stream only one that comes before anything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from imageway.bodies import Scope
from imageway.catalog import too_large
from imageway.core.ids import new_id
from imageway.core.ops import Refused
from imageway.core.requests import ImageRequest
from imageway.core.steps import Adapter, Call, Done, Failed, FailureKind, Send, Settled, Usage
from imageway.engine.arrivals import Arrivals
from imageway.engine.exchanges import Exchanges
from imageway.engine.harvest import Attempt, Harvest
from imageway.engine.images import Proved
from imageway.engine.patience import surely, wholly
from imageway.engine.ports import Tools
from imageway.engine.preparation import Option
from imageway.tasks.ops import BeginAttempt, EndAttempt
from imageway.telemetry import events, logger, redact_text

_EMPTY: Final = Failed(FailureKind.SPOILED, "empty", "no image", empty=True)
# What lets the next candidate try: nothing was produced, and nobody will bill it.
NEXT: Final = frozenset({FailureKind.NEVER_SENT, FailureKind.BUSY, FailureKind.DENIED, FailureKind.FAILED})


class PartResult(Struct, frozen=True, kw_only=True):
    """How a part ended. `images` empty: `failure` says why; beside images it says how their stream died. `option` is
    the last candidate tried, `attempt_id` empty when none was; `produced` counts what the provider says it made,
    provable or not; `missing` are the images that came to nothing by themselves. It was with upstreams from `began_ms`
    (0: begun in another process) to `ended_ms`."""

    part: int
    attempt_id: str
    option: Option
    images: tuple[Proved, ...] = ()
    usage: Usage | None = None
    settled: Settled | None = None
    text: str | None = None
    seed: int | None = None
    failure: Failed | None = None
    missing: tuple[Failed, ...] = ()
    produced: int = 0
    asked: int = 1
    began_ms: int = 0
    ended_ms: int = 0

    @property
    def state(self) -> str:
        """How its attempt ended, in the words of `tasks.states`."""
        if self.images:
            return "proved"
        kind = self.failure.kind if self.failure else FailureKind.FAILED
        return "unknown" if kind is FailureKind.UNKNOWN else "failed"

    def ended(self, at_ms: int) -> EndAttempt:
        detail = redact_text(f"{self.failure.kind} {self.failure.code} {self.failure.detail}") if self.failure else ""
        return EndAttempt(self.attempt_id, self.state, detail, at_ms)


class PartRun(Struct, eq=False):
    """The changing state of one part. `options` are what is left to try, the present one first."""

    tools: Tools
    scope: Scope
    task_id: str
    part: int
    count: int
    options: tuple[Option, ...]
    attempt_id: str
    deadline_s: float  # the task's, monotonic
    until_s: float = 0.0  # the present attempt's: what its durable row says
    fence: int = 1
    request: ImageRequest | None = None  # with its remote inputs fetched; None: as fitted
    arrivals: Arrivals | None = None
    begun: bool = True  # its attempt is durable, or will be before it is run
    exchanges: Exchanges | None = None  # with the present candidate
    result: PartResult | None = None  # how it ended
    cancelled: bool = False  # nobody else is asked for it
    began_ms: int = 0  # the first attempt
    _sent: bool = False  # to an earlier candidate
    _hurried: bool = False  # the present attempt has not half of the time that it may take

    def __post_init__(self) -> None:
        self.until_s = self.deadline_s

    @property
    def option(self) -> Option:
        return self.options[0]

    @property
    def submitted(self) -> bool:
        """Something may have left this house."""
        return self._sent or (self.exchanges is not None and self.exchanges.submitted)

    @property
    def polling(self) -> bool:
        """A memo is durable: another process could go on."""
        return self.exchanges is not None and self.exchanges.polling

    def begin(self) -> BeginAttempt:
        """The start of an attempt at the present candidate, to be durable before anything is sent; sets its clock."""
        clock, candidate = self.tools.clock, self.option.candidate
        now_s, now_ms = clock.monotonic_s(), clock.now_ms()
        own_s = candidate.offering.attempt_deadline_s or self.tools.settings.attempt_deadline_s
        self.until_s = min(self.deadline_s, now_s + own_s)
        self._hurried = 2 * (self.until_s - now_s) < own_s
        self.began_ms = self.began_ms or now_ms
        return BeginAttempt(
            id=self.attempt_id,
            task_id=self.task_id,
            part=self.part,
            upstream_id=candidate.upstream.id,
            offering=candidate.offering.upstream_name,
            owner=self.tools.owner,
            fence=self.fence,
            at_ms=now_ms,
            deadline_ms=now_ms + int((self.until_s - now_s) * 1000),
        )

    async def run(self) -> PartResult:
        """Tries candidates until one is final. Never raises for what an upstream did."""
        while True:
            exchanges = self._open()
            result = await self._concluded(exchanges.harvest, await self._attempt(exchanges))
            if (
                len(self.options) > 1
                and _made_nothing(result, exchanges.harvest)
                and await wholly(self._fail_over(result))
            ):
                continue
            self.result = result
            return result

    async def resume(self, send: Send) -> PartResult:
        """Goes on where another process stopped: with the read it would have sent next."""
        exchanges = self._open()
        exchanges.submitted = True
        self.result = await self._concluded(exchanges.harvest, await exchanges.go_on(send))
        return self.result

    async def beside_others(self, work: Callable[[], Awaitable[PartResult]]) -> PartResult:
        """`work` of this part, whatever hole of ours it falls into: what the other parts bought must not be lost."""
        try:
            return await work()
        except Exception as error:  # noqa: BLE001  # see above; it is logged whole
            logger().exception(events.TASK_CRASHED, task=self.task_id, part=self.part, exc_info=error)
            kind = FailureKind.UNKNOWN if self.submitted else FailureKind.FAILED
            return self.cut_short(Failed(kind, "crashed", type(error).__name__))

    def given_up(self, failed: Failed) -> PartResult:
        """Without anything."""
        attempt_id = self.attempt_id if self.begun else ""
        return PartResult(part=self.part, attempt_id=attempt_id, option=self.option, failure=failed, asked=self.count)

    def cut_short(self, failed: Failed) -> PartResult:
        """With whatever has come so far, perhaps in the middle of a stream."""
        return self._brought(self.exchanges.harvest, failed) if self.exchanges else self.given_up(failed)

    async def cancel(self) -> bool:
        """Whether the provider gave it up."""
        self.cancelled = True
        return self.result is None and self.exchanges is not None and await self.exchanges.cancel()

    def _open(self) -> Exchanges:
        """The conversation with the present candidate, before its first word."""
        adapter, call = self._call()
        attempt = Attempt(self.attempt_id, self.option, self.count, self.until_s, self.tools, self.scope)
        self.exchanges = Exchanges(attempt, adapter, call, Harvest(attempt, self.arrivals))
        return self.exchanges

    async def _attempt(self, exchanges: Exchanges) -> Done | Failed:
        """What was linked is weighed here for each seller: nobody knew before how large it is."""
        if self.request is not None and any(too_large(self.option.candidate.offering, self.request)):
            return Failed(FailureKind.NEVER_SENT, "input_too_large", "a linked image is larger than this seller takes")
        outcome = await exchanges.begin()
        pause_s = self._pause_after(outcome, exchanges)
        if pause_s is not None:
            await self.tools.clock.sleep(pause_s)
            if not self.cancelled:
                outcome = await exchanges.begin()
        return outcome

    def _pause_after(self, outcome: Done | Failed, exchanges: Exchanges) -> float | None:
        """How long to leave a busy candidate alone before it is asked once more; None: somebody else is asked. Nothing
        of its answer may be there yet: neither an event nor a memo, by which another process would go on."""
        if isinstance(outcome, Done) or outcome.kind is not FailureKind.BUSY:
            return None
        hint_s, begun = outcome.retry_after_s, exchanges.harvest.flowing or exchanges.polling
        return None if begun or hint_s is None or hint_s > self.tools.settings.wait_on_busy_s else hint_s

    async def _concluded(self, harvest: Harvest, outcome: Done | Failed) -> PartResult:
        """What an attempt brought, once its images were looked at; and what that says about its route."""
        if isinstance(outcome, Done):
            await harvest.finish(outcome)
            result = self._brought(harvest, None)
        else:
            self._tell_of(outcome)
            await harvest.close()
            result = self._brought(harvest, outcome)
        if result.missing and (spoiled := harvest.spoiled):
            self._tell_of(spoiled[0])
        self._learn(result)
        return result

    def _brought(self, harvest: Harvest, died: Failed | None) -> PartResult:
        """`died`: what ended it before its last word. It says nothing once every image is there."""
        images = harvest.images
        missing = (*harvest.spoiled, *harvest.missing)
        failure = died if len(images) < self.count else None
        if not images and (failure is None or (harvest.spoiled and failure.kind in NEXT)):
            failure = (*missing, _EMPTY)[0]  # what was made and cannot be had is not made up for by asking again
        return PartResult(
            part=self.part,
            attempt_id=self.attempt_id,
            option=self.option,
            images=images,
            usage=harvest.reported,
            settled=harvest.settled,
            text="".join(harvest.texts) or None,
            seed=self.seed,
            failure=failure,
            missing=missing,
            produced=harvest.produced,
            asked=self.count,
            began_ms=self.began_ms,
            ended_ms=self.tools.clock.now_ms(),
        )

    async def _fail_over(self, result: PartResult) -> bool:
        """Makes the end of one attempt and the start of the next durable together, before anything is sent. False: the
        present one was the last."""
        tools, present = self.tools, (self.options, self.attempt_id, self.until_s)
        if self.cancelled or tools.clock.monotonic_s() >= self.deadline_s:
            return False
        ended = result.ended(tools.clock.now_ms())
        self.options, self.attempt_id = self.options[1:], new_id("att", tools.random, tools.clock.now_ms())
        begun = self.begin()
        committed = await surely(tools, lambda: tools.store.commit(ended, begun))
        # Only this process ends an attempt of a task that goes on: by a first try that nobody confirmed.
        if isinstance(committed, Refused) and committed.why != "attempt_final":
            self.options, self.attempt_id, self.until_s = present
            return False
        self._sent = self.submitted
        return True

    def _tell_of(self, failed: Failed) -> None:
        """Parameters that are refused are our mistake, unless the caller's own fields went along with them."""
        log, upstream_id = logger(), self.option.candidate.upstream.id
        about = {"task": self.task_id, "upstream": upstream_id, "kind": failed.kind.value}
        if failed.kind is FailureKind.INVALID and not self.option.fitted.request.extras:
            log.error(events.VALIDATION_HOLE, code=failed.code, detail=failed.detail, **about)
        else:
            log.warning(events.ATTEMPT_FAILED, code=failed.code, detail=failed.detail, **about)

    def _learn(self, result: PartResult) -> None:
        """Proved images speak for a route, whatever was answered; where nothing was sent, nothing can be learned, nor
        where the caller's deadline, or what was tried before, left it too little time to answer."""
        health, route = self.tools.health, result.option.candidate.route
        if result.images:
            health.succeeded(route)
        elif (failed := result.failure) and self.exchanges and self.exchanges.submitted:
            now_s = self.tools.clock.monotonic_s()
            late = failed.kind is FailureKind.UNKNOWN and now_s >= self.until_s
            if not (late and self._hurried):
                health.failed(route, failed.kind, now_s=now_s, retry_after_s=failed.retry_after_s)

    def _call(self) -> tuple[Adapter, Call]:
        option = self.option
        candidate, fitted = option.candidate, option.fitted
        request = fitted.request
        if self.request is not None:
            held = self.request
            request = replace(request, turns=held.turns, images=held.images, mask=held.mask)
        seed = self.seed
        call = Call(
            model=candidate.offering.upstream_name,
            request=request if request.seed == seed else replace(request, seed=seed),
            size=fitted.size,
            count=self.count,
            options=candidate.offering.options,
            upstream=candidate.upstream.values,
            idempotency_key=f"{self.task_id}-{self.part}",
        )
        return self.tools.adapters[candidate.offering.adapter], call

    @property
    def seed(self) -> int | None:
        """Part i sends seed + i, wrapping at 2^31 − 1, the smallest maximum of any model; −1 (random) stays."""
        seed = self.option.fitted.request.seed
        if seed is None or seed < 0:
            return seed
        return (seed + self.part) % 2_147_483_648


def _made_nothing(result: PartResult, harvest: Harvest) -> bool:
    """And nobody was shown anything of it."""
    failure = result.failure
    return failure is not None and failure.kind in NEXT and not (result.produced or harvest.flowing)
