"""One part: candidates tried in order until one delivers or a failure says stop (DESIGN §7's table).

Missing images are never bought again: only a failure that certainly produced nothing lets the next candidate try."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from imageway.bodies import Scope
from imageway.core.blobs import Blob, ImageFacts
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.ids import new_id
from imageway.core.ops import Refused
from imageway.core.requests import ImageRequest
from imageway.core.steps import Adapter, BlobReply, Call, Done, Failed, FailureKind, More, Produced, Reply, Send, Usage
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
        if self.images:
            return "proved"
        kind = self.failure.kind if self.failure else FailureKind.FAILED
        return "unknown" if kind is FailureKind.UNKNOWN else "failed"

    def ended(self, at_ms: int) -> EndAttempt:
        detail = redact_text(f"{self.failure.kind} {self.failure.code} {self.failure.detail}") if self.failure else ""
        return EndAttempt(self.attempt_id, self.state, detail, at_ms)


@dataclass(slots=True)
class PartRun:
    """The changing state of one part. `options` are what is left to try, the current one first."""

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

    async def run(self) -> PartResult:
        """Tries candidates until one is final. Never raises for what an upstream did."""
        while True:
            option = self.options[0]
            outcome = await self._attempt(option)
            self._learn(option, outcome)
            if isinstance(outcome, Done):
                result = await self._prove(option, outcome)
            else:
                result = self._ended(option, outcome)
                if outcome.kind in NEXT and len(self.options) > 1 and await self._fail_over(result):
                    continue
            self.result = result
            return result

    async def resume(self, send: Send) -> PartResult:
        """Goes on where another process stopped: with the read it would have sent next."""
        option = self.options[0]
        self.submitted = True
        outcome = await self._converse(option, send)
        return await self._prove(option, outcome) if isinstance(outcome, Done) else self._ended(option, outcome)

    async def _fail_over(self, result: PartResult) -> bool:
        """Makes the end of one attempt and the start of the next durable together, before anything is sent."""
        tools = self.tools
        if tools.clock.monotonic_s() >= self.deadline_s:
            return False
        now_ms = tools.clock.now_ms()
        following = self.options[1]
        next_id = new_id("att", tools.random)
        begin = begin_attempt(self, following, attempt_id=next_id)
        committed = await surely(tools, lambda: tools.store.commit(result.ended(now_ms), begin))
        # Only this process ends an attempt of a task that goes on: by a first try that nobody confirmed.
        if isinstance(committed, Refused) and committed.why != "attempt_final":
            return False
        self.attempt_id = next_id
        self.options = self.options[1:]
        self.polling = False
        return True

    async def _attempt(self, option: Option) -> Done | Failed:
        adapter, call = self._call(option)
        outcome = await self._converse(option, adapter.encode(call))
        if isinstance(outcome, Failed) and outcome.kind is FailureKind.BUSY:
            pause_s = outcome.retry_after_s
            if pause_s is not None and pause_s <= self.tools.settings.wait_on_busy_s:
                await self.tools.clock.sleep(pause_s)
                outcome = await self._converse(option, adapter.encode(call))
        return outcome

    async def _converse(self, option: Option, send: Send) -> Done | Failed:
        """Exchange after exchange until the adapter says what it all means."""
        adapter, call = self._call(option)
        memo: Mapping[str, str] = {}
        while True:
            if send.memo != memo and not await self._keep_memo(send):
                return Failed(FailureKind.UNKNOWN, "taken_over", "another process finished this task")
            memo = send.memo
            reply = await self._exchange(option, send)
            if isinstance(reply, Failed):
                return reply
            step = adapter.decode(call, memo, reply)
            if isinstance(step, Send):
                send = step
            elif isinstance(step, More):
                return Failed(FailureKind.SPOILED, "stream", "a stream came where one answer was asked for")
            else:
                return step

    async def _exchange(self, option: Option, send: Send) -> Reply | Failed:
        """One submit, or one read repeated until it is answered or the deadline has passed."""
        clock, offering = self.tools.clock, option.candidate.offering
        pause_s = send.after_s
        backoff_s = self.tools.settings.read_retry_s
        while True:
            if pause_s:
                await clock.sleep(max(0.0, min(pause_s, self.until_s - clock.monotonic_s())))
            left_s = self.until_s - clock.monotonic_s()
            if left_s <= 0:
                return _too_late(send)
            try:
                reply = await self._send(option, send, left_s, offering.max_answer_bytes)
            except FetchRefused as refused:
                return Failed(FailureKind.SPOILED, refused.code, f"the address to ask next: {refused.message}")
            except TransportFailed as failed:
                if send.effect == "submit":
                    return Failed(failed.kind, "transport", failed.detail, failed.retry_after_s)
            else:
                if send.effect == "submit" or reply.status < 400:
                    return reply
            pause_s, backoff_s = backoff_s, min(backoff_s * 2, self.tools.settings.read_retry_longest_s)

    async def _send(self, option: Option, send: Send, left_s: float, max_bytes: int) -> Reply:
        if send.effect == "submit":
            self.submitted = True
        reply = await self.tools.transport.send(
            option.candidate.upstream, send.request, self.scope, deadline_s=left_s, max_bytes=max_bytes
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

    async def _prove(self, option: Option, done: Done) -> PartResult:
        """Fetches what came as a link and looks at every image; what cannot be proved is left out."""
        looked_at = await asyncio.gather(*(self._prove_one(option, produced) for produced in done.images[: self.count]))
        proved = tuple(image for image in looked_at if isinstance(image, Proved))
        spoiled = [image for image in looked_at if isinstance(image, Failed)]
        failure = (
            None
            if proved
            else (*spoiled, *done.missing, Failed(FailureKind.SPOILED, "empty", "no image", empty=True))[0]
        )
        if spoiled:
            logger().warning(events.ATTEMPT_FAILED, task=self.task_id, code=spoiled[0].code, detail=spoiled[0].detail)
        return PartResult(
            part=self.part,
            attempt_id=self.attempt_id,
            option=option,
            images=proved,
            usage=done.usage,
            text=done.text,
            seed=self._seed(option),
            failure=failure,
            produced=len(done.images),
            asked=self.count,
        )

    async def _prove_one(self, option: Option, produced: Produced) -> Proved | Failed:
        blob: Blob | Failed
        if isinstance(produced.image, str):
            blob = await self._download(option, produced.image)
        else:
            blob = produced.image
        if isinstance(blob, Failed):
            return blob
        facts = prove(blob)
        if isinstance(facts, str):
            return Failed(FailureKind.SPOILED, "unprovable", facts)
        return Proved(blob, facts, produced.revised_prompt)

    async def _download(self, option: Option, url: str) -> Blob | Failed:
        """A result link is a read: repeated until the deadline, unless the answer itself is final."""
        clock, settings = self.tools.clock, self.tools.settings
        backoff_s = settings.read_retry_s
        while (left_s := self.until_s - clock.monotonic_s()) > 0:
            try:
                reply: BlobReply = await self.tools.transport.download(
                    option.candidate.upstream,
                    url,
                    self.scope,
                    deadline_s=left_s,
                    max_bytes=option.candidate.offering.max_answer_bytes,
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

    def given_up(self, failed: Failed) -> PartResult:
        option = self.options[0]
        return PartResult(part=self.part, attempt_id=self.attempt_id, option=option, failure=failed, asked=self.count)

    def _ended(self, option: Option, failed: Failed) -> PartResult:
        log = logger()
        about = {"task": self.task_id, "upstream": option.candidate.upstream.id, "kind": failed.kind.value}
        if failed.kind is FailureKind.INVALID:
            log.error(events.VALIDATION_HOLE, code=failed.code, detail=failed.detail, **about)
        else:
            log.warning(events.ATTEMPT_FAILED, code=failed.code, detail=failed.detail, **about)
        return PartResult(part=self.part, attempt_id=self.attempt_id, option=option, failure=failed, asked=self.count)

    def _learn(self, option: Option, outcome: Done | Failed) -> None:
        health, route = self.tools.health, option.candidate.route
        if isinstance(outcome, Done):
            health.succeeded(route)
        else:
            now_s = self.tools.clock.monotonic_s()
            health.failed(route, outcome.kind, now_s=now_s, retry_after_s=outcome.retry_after_s)

    def _deadline_of(self, option: Option) -> float:
        own_s = option.candidate.offering.attempt_deadline_s or self.tools.settings.attempt_deadline_s
        return min(self.deadline_s, self.tools.clock.monotonic_s() + own_s)

    def _call(self, option: Option) -> tuple[Adapter, Call]:
        offering = option.candidate.offering
        fitted = option.fitted.request
        if self.request is not None:
            held = self.request
            fitted = replace(fitted, turns=held.turns, images=held.images, mask=held.mask)
        seed = self._seed(option)
        call = Call(
            model=offering.upstream_name,
            request=fitted if fitted.seed == seed else replace(fitted, seed=seed),
            size=option.fitted.size,
            count=self.count,
            options=offering.options,
            upstream=option.candidate.upstream.values,
            idempotency_key=f"{self.task_id}-{self.part}",
        )
        return self.tools.adapters[offering.adapter], call

    def _seed(self, option: Option) -> int | None:
        """Part i sends seed + i, wrapping at 2^31 − 1, the smallest maximum of any model; −1 (random) stays."""
        seed = option.fitted.request.seed
        if seed is None or seed < 0:
            return seed
        return (seed + self.part) % 2_147_483_648


def _too_late(send: Send) -> Failed:
    if send.effect == "submit":
        return Failed(FailureKind.NEVER_SENT, "deadline", "the deadline had passed before anything could be sent")
    return Failed(FailureKind.UNKNOWN, "deadline", "no final answer before the deadline")


def begin_attempt(run: PartRun, option: Option, *, attempt_id: str) -> BeginAttempt:
    """Sets the part's clock for this candidate."""
    tools = run.tools
    now_ms = tools.clock.now_ms()
    run.until_s = run._deadline_of(option)
    deadline_s = run.until_s - tools.clock.monotonic_s()
    return BeginAttempt(
        id=attempt_id,
        task_id=run.task_id,
        part=run.part,
        upstream_id=option.candidate.upstream.id,
        offering=option.candidate.offering.upstream_name,
        owner=tools.owner,
        fence=run.fence,
        at_ms=now_ms,
        deadline_ms=now_ms + int(deadline_s * 1000),
    )
