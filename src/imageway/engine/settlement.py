"""The end of a task: what was proved becomes a price, one commit, and an answer. Money moves here and nowhere else.

Before a capture commits, its images are in the media store; only a synchronous base64 answer may leave from the spool,
and its usage row says `undelivered` until the last byte has left (docs/billing.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from imageway.bodies import Scope
from imageway.catalog import Charge, charge_all
from imageway.catalog.terms import DAY_MS
from imageway.core.errors import GatewayError
from imageway.core.intents import Generated
from imageway.core.ops import Op
from imageway.core.requests import RequestWarning
from imageway.core.steps import Settled, Usage
from imageway.engine.attempts import PartResult
from imageway.engine.costs import bills_of, costs_of
from imageway.engine.facts import TaskFacts
from imageway.engine.images import Proved, Ready
from imageway.engine.limits import Spending, release_ops
from imageway.engine.notices import notices
from imageway.engine.pictures import ready_all, store_all
from imageway.engine.ports import Tools
from imageway.engine.results import REFUNDED, KeptPicture, KeptResult, pack_result
from imageway.engine.shortfall import missing_images
from imageway.engine.usage_rows import Ending, usage_row
from imageway.engine.verdicts import task_state, verdict
from imageway.ledger.ops import BookOverrun, Capture, MarkDelivery, Refund, Void
from imageway.tasks.ops import EndAttempt, FinishTask, ReplaceResult
from imageway.telemetry import events, logger

NOTHING_KEPT: Final = KeptResult()
CANCELLED: Final = "the request was cancelled"


class Settlement(Struct, frozen=True):
    """The ops of the one commit that ends a task, and what its subscribers get once they are durable."""

    ops: tuple[Op, ...]
    answer: Generated | GatewayError
    pictures: tuple[Ready, ...] = ()
    result: KeptResult = NOTHING_KEPT

    @property
    def in_spool(self) -> bool:
        """Whether there are pictures that lie nowhere else: somebody must receive them, or they must be kept."""
        return any(not picture.name for picture in self.result.pictures)


async def settle(
    tools: Tools, facts: TaskFacts, scope: Scope, results: Sequence[PartResult], *, store: bool
) -> Settlement:
    """Builds the end of a task. `store`: the images go to the media store first; OSError when it does not take them."""
    served: list[PartResult] = []
    images: list[Proved] = []
    texts: list[str] = []
    seeds: list[int] = []
    for result in results:
        if result.text:
            texts.append(result.text)
        if result.images:
            served.append(result)
            images += result.images
            if result.seed is not None:
                seeds += [result.seed] * len(result.images)
    if not served:
        sent = results[-1].option.fitted.request
        signed = sent.param("turns") if any(turn.signatures for turn in sent.turns) else None
        told = verdict([r.failure for r in results if r.failure], sent.unknown, signed)
        return failed(tools, facts, results, told)
    pictures, transcoded = await ready_all(tools, facts, scope, images)
    stored = store or facts.form == "url"
    expires_ms, names = 0, ("",) * len(pictures)
    if stored:
        expires_ms = next((p.expires_ms for p in pictures if p.name), 0) or tools.keep_until_ms(facts.keep_images_s)
        names = await store_all(tools, facts.task_id, pictures, expires_ms, first=facts.first_image)
    price = charge_all(tools.catalog.on(facts.created_ms // DAY_MS), facts.model, bills_of(served))
    captured = min(price.usd_micros, facts.hold_usd_micros)
    warnings = (*facts.warnings, *_told(facts, served), *transcoded)
    kept = KeptResult(
        pictures=tuple(map(_kept, pictures, names)),
        price_usd_micros=captured,
        warnings=warnings,
        expires_ms=expires_ms,
        missing=missing_images(facts, results),
        text="\n".join(texts) or None,
        seeds=tuple(seeds),
        usage=_reported(results),
        settled=_settled(served),
    )
    now_ms = tools.clock.now_ms()
    costs = costs_of(tools, facts, results, now_ms)
    delivery, paid = "stored" if stored else "undelivered", Charge(captured, price.lines, price.tokens)
    ending = Ending("succeeded", delivery, paid, costs, warnings)
    ops = (
        *_ended(results, now_ms),
        Capture(facts.task_id, captured, now_ms),
        *release_ops(facts.spending, facts.hold_usd_micros - captured),
        *costs.ops,
        usage_row(tools, facts, results, ending, now_ms),
        *_overrun(facts, price.usd_micros - captured, now_ms),
        FinishTask(facts.task_id, "succeeded", pack_result(kept), now_ms),
        *notices(facts, "succeeded", now_ms),
    )
    return Settlement(ops, _generated(tools, facts, results, pictures, kept), pictures, kept)


def failed(tools: Tools, facts: TaskFacts, results: Sequence[PartResult], error: GatewayError) -> Settlement:
    """The end of a task without a single image: the hold goes back whole."""
    failures = [result.failure for result in results if result.failure]
    state = task_state(failures)
    result = KeptResult(error=(error.code, error.message), warnings=facts.warnings)
    now_ms = tools.clock.now_ms()
    costs = costs_of(tools, facts, results, now_ms)
    ending = Ending(state, costs=costs, warnings=facts.warnings, error=error.code)
    ops = (
        *_ended(results, now_ms),
        Void(facts.task_id, now_ms),
        *release_ops(facts.spending, facts.hold_usd_micros),
        *costs.ops,
        usage_row(tools, facts, results, ending, now_ms),
        FinishTask(facts.task_id, state, pack_result(result), now_ms),
        *notices(facts, state, now_ms),
    )
    return Settlement(ops, error, result=result)


def cancelled(tools: Tools, facts: TaskFacts, attempt_ids: Sequence[str], why: str = CANCELLED) -> Settlement:
    """The end of a task of which nothing was submitted, or all given up by its providers."""
    error = GatewayError("request_timeout", f"{why}; nothing was charged")
    now_ms = tools.clock.now_ms()
    result = KeptResult(error=(error.code, error.message))
    usage = usage_row(tools, facts, (), Ending("cancelled", error=error.code), now_ms)
    finish = FinishTask(facts.task_id, "cancelled", pack_result(result), now_ms)
    ended = (EndAttempt(attempt_id, "cancelled", "", now_ms) for attempt_id in attempt_ids)
    given_back = Void(facts.task_id, now_ms), *release_ops(facts.spending, facts.hold_usd_micros)
    told = notices(facts, "cancelled", now_ms)
    return Settlement((*ended, *given_back, usage, finish, *told), error, result=result)


def _ended(results: Sequence[PartResult], at_ms: int) -> list[EndAttempt]:
    return [result.ended(at_ms) for result in results if result.attempt_id]


def refunded(
    task_id: str, at_ms: int, spending: Spending | None, price_usd_micros: int, *, workspace_id: str
) -> tuple[Op, ...]:
    """A price that is given back because nobody received what it was paid for; refused when somebody did after all."""
    given_back = Refund(task_id, at_ms, workspace_id), *release_ops(spending, price_usd_micros)
    return *given_back, MarkDelivery(task_id, "refunded", at_ms), ReplaceResult(task_id, pack_result(REFUNDED))


def _overrun(facts: TaskFacts, excess_usd_micros: int, at_ms: int) -> tuple[Op, ...]:
    """What the hold does not cover is the operator's loss, and his to know."""
    if excess_usd_micros <= 0:
        return ()
    logger().error(events.OVERRUN, task=facts.task_id, usd_micros=excess_usd_micros)
    return (BookOverrun(facts.task_id, excess_usd_micros, at_ms),)


def _told(facts: TaskFacts, served: Sequence[PartResult]) -> tuple[RequestWarning, ...]:
    """What the answer does not honour, known only now: parts may have been served by different candidates."""
    warnings: list[RequestWarning] = []
    delivered = 0
    for result in served:
        warnings += result.option.fitted.warnings
        delivered += len(result.images)
    group = facts.request.group
    if delivered < facts.images and (group is None or group.counted):
        message = f"{delivered} of {facts.images} images could be made; only those are charged"
        warnings.append(RequestWarning("partial_result", facts.request.param("n"), message))
    for result in served:
        asked, got = result.option.fitted.size.pixels, result.images[0].facts
        if asked and asked != (got.width, got.height):
            message = f"the provider made {got.width}x{got.height} pixels where {asked[0]}x{asked[1]} were asked for"
            warnings.append(RequestWarning("size_differs", facts.request.spelled.get("geometry"), message))
            break
    return tuple(dict.fromkeys(warnings))


def _kept(picture: Ready, name: str) -> KeptPicture:
    return KeptPicture(picture.media_type, picture.width, picture.height, name, picture.revised_prompt)


def _reported(results: Sequence[PartResult]) -> Usage | None:
    reported: Usage | None = None
    for part in results:
        if part.usage:
            reported = reported + part.usage if reported else part.usage
    return reported


def _settled(served: Sequence[PartResult]) -> Settled | None:
    """Parts that chose differently have nothing to say together."""
    chosen = served[0].settled
    for result in served:
        if result.settled != chosen:
            return None
    return chosen


def _generated(
    tools: Tools, facts: TaskFacts, results: Sequence[PartResult], pictures: Sequence[Ready], result: KeptResult
) -> Generated:
    links: Sequence[str | None] = (None,) * len(pictures)
    if facts.form == "url":
        links = [tools.signer.sign(kept.name, result.expires_ms) for kept in result.pictures]
    return Generated(
        request_id=facts.task_id,
        model=facts.model.id,
        family=facts.model.family,
        created_s=facts.created_ms // 1000,
        pictures=tuple(map(Ready.picture, pictures, links)),
        prompt=facts.request.prompt,
        price_usd_micros=result.price_usd_micros,
        size=f"{pictures[0].width}x{pictures[0].height}",
        usage=result.usage,
        text=result.text,
        seeds=result.seeds,
        missing=result.missing,
        settled=result.settled,
        warnings=result.warnings,
        sandbox=any(part.option.candidate.upstream.sandbox for part in results),
    )
