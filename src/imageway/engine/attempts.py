"""One part: candidates tried in order until one delivers or a failure says stop (DESIGN §7's table).

Missing images are never bought again: only a failure that certainly produced nothing lets the next candidate try."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from imageway.bodies import Scope
from imageway.core.blobs import Blob, ImageFacts
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.ids import new_id
from imageway.core.ops import Refused
from imageway.core.requests import ImageRequest
from imageway.core.steps import Adapter, Call, Done, Failed, FailureKind, More, Produced, Reply, Send, Usage
from imageway.engine.memos import pack_memo
from imageway.engine.patience import surely
from imageway.engine.ports import Tools
from imageway.engine.preparation import Option
from imageway.media.proofs import prove
from imageway.tasks.ops import BeginAttempt, EndAttempt, KeepMemo
from imageway.telemetry import events, logger, redact_text

# What lets the next candidate try: nothing was produced, and nobody will bill it.
NEXT: Final = frozenset({FailureKind.NEVER_SENT, FailureKind.BUSY, FailureKind.DENIED, FailureKind.FAILED})


@dataclass(frozen=True, slots=True)
class Proved:
    """An image that was looked at."""

    blob: Blob
    facts: ImageFacts
    revised_prompt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartResult:
    """How a part ended. `images` empty: `failure` says why. `option` is the last candidate tried; `produced` counts
    what the provider says it made, provable or not."""

    part: int
    attempt_id: str
    option: Option
    images: tuple[Proved, ...] = ()
    usage: Usage | None = None
    text: str | None = None
    seed: int | None = None
    failure: Failed | None = None
    produced: int = 0
    asked: int = 1

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


@dataclass(slots=True)
class PartRun:
    """The changing state of one part. `options` are what is left to try, the present one first."""

    tools: Tools
    scope: Scope
    task_id: str
    part: int
    count: int
    options: tuple[Option, ...]
    attempt_id: str
    deadline_s: float  # the task's, monotonic
    until_s: float = field(init=False)  # the present attempt's: what its durable row says
    fence: int = 1
    request: ImageRequest | None = None  # with its remote inputs fetched; None: as fitted
    submitted: bool = False
    polling: bool = False  # a memo is durable: another process could go on
    result: PartResult | None = None  # how it ended

    def __post_init__(self) -> None:
        self.until_s = self.deadline_s

    @property
    def option(self) -> Option:
        return self.options[0]

    def begin(self) -> BeginAttempt:
        """The start of an attempt at the present candidate, to be durable before anything is sent; sets its clock."""
        clock, candidate = self.tools.clock, self.option.candidate
        now_s, now_ms = clock.monotonic_s(), clock.now_ms()
        self.until_s = self._until(now_s)
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

    def _until(self, now_s: float) -> float:
        """When an attempt at the present candidate that begins now must be over."""
        own_s = self.option.candidate.offering.attempt_deadline_s or self.tools.settings.attempt_deadline_s
        return min(self.deadline_s, now_s + own_s)

    async def run(self) -> PartResult:
        """Tries candidates until one is final. Never raises for what an upstream did."""
        while True:
            result = await self._concluded(await self._attempt())
            failure = result.failure
            nothing_made = failure is not None and failure.kind in NEXT and not result.produced
            if nothing_made and len(self.options) > 1 and await self._fail_over(result):
                continue
            self.result = result
            return result

    async def resume(self, send: Send) -> PartResult:
        """Goes on where another process stopped: with the read it would have sent next."""
        self.submitted = True
        self.result = await self._concluded(await self._converse(send))
        return self.result

    async def beside_others(self, work: Callable[[], Awaitable[PartResult]]) -> PartResult:
        """`work` of this part, whatever hole of ours it falls into: what the other parts bought must not be lost."""
        try:
            return await work()
        except Exception as error:  # noqa: BLE001  # see above; it is logged whole
            logger().exception(events.TASK_CRASHED, task=self.task_id, part=self.part, exc_info=error)
            kind = FailureKind.UNKNOWN if self.submitted else FailureKind.FAILED
            return self.given_up(Failed(kind, "crashed", type(error).__name__))

    def given_up(self, failed: Failed) -> PartResult:
        return PartResult(
            part=self.part, attempt_id=self.attempt_id, option=self.option, failure=failed, asked=self.count
        )

    async def _fail_over(self, result: PartResult) -> bool:
        """Makes the end of one attempt and the start of the next durable together, before anything is sent. False: the
        present one was the last."""
        tools, present = self.tools, (self.options, self.attempt_id, self.until_s)
        if tools.clock.monotonic_s() >= self.deadline_s:
            return False
        ended = result.ended(tools.clock.now_ms())
        self.options, self.attempt_id = self.options[1:], new_id("att", tools.random)
        begun = self.begin()
        committed = await surely(tools, lambda: tools.store.commit(ended, begun))
        # Only this process ends an attempt of a task that goes on: by a first try that nobody confirmed.
        if isinstance(committed, Refused) and committed.why != "attempt_final":
            self.options, self.attempt_id, self.until_s = present
            return False
        self.polling = False
        return True

    async def _attempt(self) -> Done | Failed:
        adapter, call = self._call()
        outcome = await self._converse(adapter.encode(call))
        if isinstance(outcome, Failed) and outcome.kind is FailureKind.BUSY:
            pause_s = outcome.retry_after_s
            if pause_s is not None and pause_s <= self.tools.settings.wait_on_busy_s:
                await self.tools.clock.sleep(pause_s)
                outcome = await self._converse(adapter.encode(call))
        return outcome

    async def _concluded(self, outcome: Done | Failed) -> PartResult:
        """What an attempt brought, once its images were looked at; and what that says about its route."""
        if isinstance(outcome, Done):
            result = await self._prove(outcome)
        else:
            self._tell_of(outcome)
            result = self.given_up(outcome)
        self._learn(result)
        return result

    async def _converse(self, send: Send) -> Done | Failed:
        """Exchange after exchange until the adapter says what it all means."""
        adapter, call = self._call()
        memo: Mapping[str, str] = {}
        while True:
            if send.memo != memo and not await self._keep_memo(send):
                return Failed(FailureKind.UNKNOWN, "taken_over", "another process finished this task")
            memo = send.memo
            reply = await self._exchange(send)
            if isinstance(reply, Failed):
                return reply
            step = adapter.decode(call, memo, reply)
            if isinstance(step, Send):
                send = step
            elif isinstance(step, More):
                return Failed(FailureKind.SPOILED, "stream", "a stream came where one answer was asked for")
            else:
                return step

    async def _exchange(self, send: Send) -> Reply | Failed:
        """One submit, or one read repeated until it is answered or the deadline has passed."""
        clock = self.tools.clock
        pause_s = send.after_s
        backoff_s = self.tools.settings.read_retry_s
        while True:
            if pause_s:
                await clock.sleep(max(0.0, min(pause_s, self.until_s - clock.monotonic_s())))
            left_s = self.until_s - clock.monotonic_s()
            if left_s <= 0:
                return _too_late(send)
            try:
                reply = await self._send(send, left_s)
            except FetchRefused as refused:
                return Failed(FailureKind.SPOILED, refused.code, f"the address to ask next: {refused.message}")
            except TransportFailed as failed:
                # An answer that broke a limit would break it again.
                if send.effect == "submit" or failed.kind is FailureKind.SPOILED:
                    return Failed(failed.kind, "transport", failed.detail, failed.retry_after_s)
            else:
                if send.effect == "submit" or reply.status < 400:
                    return reply
            pause_s, backoff_s = backoff_s, min(backoff_s * 2, self.tools.settings.read_retry_longest_s)

    async def _send(self, send: Send, left_s: float) -> Reply:
        candidate = self.option.candidate
        if send.effect == "submit":
            self.submitted = True
        reply = await self.tools.transport.send(
            candidate.upstream,
            send.request,
            self.scope,
            deadline_s=left_s,
            max_bytes=candidate.offering.max_answer_bytes,
        )
        if send.effect == "submit":
            self.tools.faults.reach("after_submit")
        return reply

    async def _keep_memo(self, send: Send) -> bool:
        tools = self.tools
        keep = KeepMemo(self.attempt_id, pack_memo(send), tools.clock.now_ms())
        kept = await surely(tools, lambda: tools.store.commit(keep))
        self.polling = True
        tools.faults.reach("after_memo")
        return not isinstance(kept, Refused)

    async def _prove(self, done: Done) -> PartResult:
        """Fetches what came as a link and looks at every image; what cannot be proved is left out."""
        looked_at = await asyncio.gather(*map(self._prove_one, done.images[: self.count]))
        proved = tuple(image for image in looked_at if isinstance(image, Proved))
        spoiled = [image for image in looked_at if isinstance(image, Failed)]
        if spoiled:
            self._tell_of(spoiled[0])
        empty = Failed(FailureKind.SPOILED, "empty", "no image", empty=True)
        return PartResult(
            part=self.part,
            attempt_id=self.attempt_id,
            option=self.option,
            images=proved,
            usage=done.usage,
            text=done.text,
            seed=self._seed(),
            failure=None if proved else (*spoiled, *done.missing, empty)[0],
            produced=len(done.images),
            asked=self.count,
        )

    async def _prove_one(self, produced: Produced) -> Proved | Failed:
        image = produced.image
        blob = await self._download(image) if isinstance(image, str) else image
        if isinstance(blob, Failed):
            return blob
        facts = prove(blob)
        if isinstance(facts, str):
            return Failed(FailureKind.SPOILED, "unprovable", facts)
        return Proved(blob, facts, produced.revised_prompt)

    async def _download(self, url: str) -> Blob | Failed:
        """A result link is a read: repeated until the deadline, unless the answer itself is final."""
        clock, settings, candidate = self.tools.clock, self.tools.settings, self.option.candidate
        backoff_s = settings.read_retry_s
        while (left_s := self.until_s - clock.monotonic_s()) > 0:
            try:
                reply = await self.tools.transport.download(
                    candidate.upstream,
                    url,
                    self.scope,
                    deadline_s=left_s,
                    max_bytes=candidate.offering.max_answer_bytes,
                )
            except FetchRefused as refused:
                return Failed(FailureKind.SPOILED, refused.code, f"the result link: {refused.message}")
            except TransportFailed as failed:
                if failed.kind is FailureKind.SPOILED:
                    return Failed(failed.kind, "result_link", failed.detail)
            else:
                return reply.blob
            await clock.sleep(max(0.0, min(backoff_s, self.until_s - clock.monotonic_s())))
            backoff_s = min(backoff_s * 2, settings.read_retry_longest_s)
        return Failed(FailureKind.UNKNOWN, "deadline", "the result link did not answer before the deadline")

    def _tell_of(self, failed: Failed) -> None:
        log, upstream_id = logger(), self.option.candidate.upstream.id
        about = {"task": self.task_id, "upstream": upstream_id, "kind": failed.kind.value}
        if failed.kind is FailureKind.INVALID:
            log.error(events.VALIDATION_HOLE, code=failed.code, detail=failed.detail, **about)
        else:
            log.warning(events.ATTEMPT_FAILED, code=failed.code, detail=failed.detail, **about)

    def _learn(self, result: PartResult) -> None:
        """Proved images speak for a route, whatever was answered; where nothing was sent, nothing can be learned."""
        health, route = self.tools.health, self.option.candidate.route
        if result.images:
            health.succeeded(route)
        elif result.failure and self.submitted:
            now_s, failed = self.tools.clock.monotonic_s(), result.failure
            health.failed(route, failed.kind, now_s=now_s, retry_after_s=failed.retry_after_s)

    def _call(self) -> tuple[Adapter, Call]:
        candidate, fitted = self.option.candidate, self.option.fitted
        request = fitted.request
        if self.request is not None:
            held = self.request
            request = replace(request, turns=held.turns, images=held.images, mask=held.mask)
        seed = self._seed()
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

    def _seed(self) -> int | None:
        """Part i sends seed + i, wrapping at 2^31 − 1, the smallest maximum of any model; −1 (random) stays."""
        seed = self.option.fitted.request.seed
        if seed is None or seed < 0:
            return seed
        return (seed + self.part) % 2_147_483_648


def _too_late(send: Send) -> Failed:
    if send.effect == "submit":
        return Failed(FailureKind.NEVER_SENT, "deadline", "the deadline had passed before anything could be sent")
    return Failed(FailureKind.UNKNOWN, "deadline", "no final answer before the deadline")
