"""The end of a task: what was proved becomes a price, one commit, and an answer. Money moves here and nowhere else.

Before a capture commits, its images are in the media store; only a synchronous base64 answer may leave from the spool,
and its usage row says `undelivered` until the last byte has left (DESIGN §5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from imageway.bodies import Scope
from imageway.catalog import Bill, Charge, charge, cost
from imageway.core.errors import GatewayError
from imageway.core.intents import Generated
from imageway.core.ops import Op
from imageway.core.requests import RequestWarning
from imageway.core.steps import FailureKind, Usage
from imageway.engine.attempts import PartResult
from imageway.engine.facts import TaskFacts
from imageway.engine.images import Ready
from imageway.engine.notices import notices
from imageway.engine.pictures import ready_all, store_all
from imageway.engine.ports import Tools
from imageway.engine.results import REFUNDED, KeptPicture, KeptResult, pack_result
from imageway.engine.shortfall import missing_images
from imageway.engine.verdicts import task_state, verdict
from imageway.ledger.ops import BookCost, BookOverrun, Capture, MarkDelivery, RecordUsage, Refund, Void
from imageway.tasks.ops import EndAttempt, FinishTask, ReplaceResult
from imageway.telemetry import events, logger

NOTHING_KEPT: Final = KeptResult()
CANCELLED: Final = "the request was cancelled"


class Ending(Struct, frozen=True):
    """How a usage row says it ended (see ledger's RecordUsage for the words)."""

    outcome: str
    delivery: str = "none"
    price: Charge | None = None
    costs: tuple[BookCost, ...] = ()


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
    proved = [(result, image) for result in results for image in result.images]
    if not proved:
        sent = results[-1].option.fitted.request
        signed = sent.param("turns") if any(turn.signatures for turn in sent.turns) else None
        told = verdict([r.failure for r in results if r.failure], sent.extras, signed)
        return failed(tools, facts, results, told)
    pictures, transcoded = await ready_all(tools, facts, scope, [image for _, image in proved])
    stored = store or facts.form == "url"
    expires_ms = next((p.expires_ms for p in pictures if p.name), 0) or tools.keep_until_ms(facts.workspace_id)
    names = await store_all(tools, facts.task_id, pictures, expires_ms) if stored else ("",) * len(pictures)
    price = charge(tools.catalog, facts.model, _bill(results, len(proved)))
    captured = min(price.usd_micros, facts.hold_usd_micros)
    warnings = (*facts.warnings, *_told(facts, results), *transcoded)
    result = msgspec.structs.replace(
        _kept(pictures, names, captured, warnings, expires_ms),
        missing=missing_images(facts, results),
        text="\n".join(part.text for part in results if part.text) or None,
        seeds=tuple(part.seed for part in results for _ in part.images if part.seed is not None),
        usage=_reported(results),
    )
    now_ms = tools.clock.now_ms()
    costs = _costs(tools, facts, results, now_ms)
    ending = Ending("succeeded", "stored" if stored else "undelivered", Charge(captured, price.lines), costs)
    ops = (
        *_ended(results, now_ms),
        Capture(facts.task_id, captured, now_ms),
        *costs,
        usage_row(tools, facts, results, ending, now_ms),
        *_overrun(facts, price.usd_micros - captured, now_ms),
        FinishTask(facts.task_id, "succeeded", pack_result(result), now_ms),
        *notices(facts, "succeeded", now_ms),
    )
    return Settlement(ops, _generated(tools, facts, results, pictures, result), pictures, result)


def failed(tools: Tools, facts: TaskFacts, results: Sequence[PartResult], error: GatewayError) -> Settlement:
    """The end of a task without a single image: the hold goes back whole."""
    failures = [result.failure for result in results if result.failure]
    state = task_state(failures)
    result = KeptResult(error=(error.code, error.message), warnings=facts.warnings)
    now_ms = tools.clock.now_ms()
    costs = _costs(tools, facts, results, now_ms)
    ops = (
        *_ended(results, now_ms),
        Void(facts.task_id, now_ms),
        *costs,
        usage_row(tools, facts, results, Ending(state, costs=costs), now_ms),
        FinishTask(facts.task_id, state, pack_result(result), now_ms),
        *notices(facts, state, now_ms),
    )
    return Settlement(ops, error, result=result)


def cancelled(tools: Tools, facts: TaskFacts, attempt_ids: Sequence[str], why: str = CANCELLED) -> Settlement:
    """The end of a task of which nothing was submitted, or all given up by its providers."""
    error = GatewayError("request_timeout", f"{why}; nothing was charged")
    now_ms = tools.clock.now_ms()
    result = KeptResult(error=(error.code, error.message))
    usage = usage_row(tools, facts, (), Ending("cancelled"), now_ms)
    finish = FinishTask(facts.task_id, "cancelled", pack_result(result), now_ms)
    ended = (EndAttempt(attempt_id, "cancelled", "", now_ms) for attempt_id in attempt_ids)
    told = notices(facts, "cancelled", now_ms)
    return Settlement((*ended, Void(facts.task_id, now_ms), usage, finish, *told), error, result=result)


def _ended(results: Sequence[PartResult], at_ms: int) -> list[EndAttempt]:
    return [result.ended(at_ms) for result in results if result.attempt_id]


def refunded(task_id: str, at_ms: int) -> tuple[Op, ...]:
    """A price that is given back because nobody received what it was paid for; refused when somebody did after all."""
    replaced = ReplaceResult(task_id, pack_result(REFUNDED))
    return MarkDelivery(task_id, "refunded", at_ms), Refund(task_id, at_ms), replaced


def _overrun(facts: TaskFacts, excess_usd_micros: int, at_ms: int) -> tuple[Op, ...]:
    """What the hold does not cover is the operator's loss, and his to know."""
    if excess_usd_micros <= 0:
        return ()
    logger().error(events.OVERRUN, task=facts.task_id, usd_micros=excess_usd_micros)
    return (BookOverrun(facts.task_id, excess_usd_micros, at_ms),)


def usage_row(tools: Tools, facts: TaskFacts, results: Sequence[PartResult], ending: Ending, at_ms: int) -> RecordUsage:
    served = next((r for r in results if r.images), results[-1] if results else None)
    return RecordUsage(
        request_id=facts.task_id,
        workspace_id=facts.workspace_id,
        key_id=facts.key_id,
        model=facts.model.id,
        outcome=ending.outcome,
        n=facts.images,
        delivered=sum(len(result.images) for result in results),
        price_usd_micros=ending.price.usd_micros if ending.price else 0,
        cost_usd_micros=sum(booked.usd_micros for booked in ending.costs),
        lines=msgspec.json.encode(ending.price.lines if ending.price else ()),
        delivery=ending.delivery,
        owner=tools.owner,
        upstream_id=served.option.candidate.upstream.id if served else "",
        at_ms=at_ms,
    )


def _cost_of(tools: Tools, results: Sequence[PartResult]) -> list[tuple[str, int]]:
    """(upstream, micro-dollars) of every part whose provider made, or may have made, something."""
    costs = []
    for result in results:
        made = max(result.produced, _may_have_made(result))
        if made:
            candidate, fitted = result.option.candidate, result.option.fitted
            usage = result.usage if made == result.produced else None  # what was reported is not all
            bill = Bill(fitted.request, fitted.size, len(result.images), usage, produced=made)
            costs.append((candidate.upstream.id, cost(tools.catalog, candidate.offering, bill)))
    return costs


def _may_have_made(result: PartResult) -> int:
    """An answer that was lost or unreadable is booked as if the provider bills it; one that says "nothing" is not."""
    failure = result.failure
    if failure is None or failure.empty or failure.kind not in (FailureKind.UNKNOWN, FailureKind.SPOILED):
        return 0
    return result.asked


def _costs(tools: Tools, facts: TaskFacts, results: Sequence[PartResult], at_ms: int) -> tuple[BookCost, ...]:
    owed: dict[str, int] = {}
    for upstream_id, usd_micros in _cost_of(tools, results):
        owed[upstream_id] = owed.get(upstream_id, 0) + usd_micros
    return tuple(BookCost(facts.task_id, upstream, amount, at_ms) for upstream, amount in owed.items() if amount)


def _bill(results: Sequence[PartResult], delivered: int) -> Bill:
    """What the parts that delivered have used, and of that only the delivered share: what could not be proved is not
    paid for. Where one of them reported nothing, the reports do not add up to a bill; the tables then speak."""
    served = [result for result in results if result.images]
    reported = [result.usage for result in served if result.usage]
    usage = sum(reported[1:], reported[0]) if len(reported) == len(served) else None
    fitted, produced = served[0].option.fitted, sum(result.produced for result in served)
    return Bill(fitted.request, fitted.size, delivered, usage, produced=produced)


def _told(facts: TaskFacts, results: Sequence[PartResult]) -> tuple[RequestWarning, ...]:
    """What the answer does not honour, known only now: parts may have been served by different candidates."""
    served = [result for result in results if result.images]
    warnings = list(dict.fromkeys(warning for result in served for warning in result.option.fitted.warnings))
    delivered = sum(len(result.images) for result in served)
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
    return tuple(warnings)


def _kept(
    pictures: Sequence[Ready],
    names: Sequence[str],
    price_usd_micros: int,
    warnings: tuple[RequestWarning, ...],
    expires_ms: int,
) -> KeptResult:
    kept = tuple(
        KeptPicture(picture.media_type, picture.width, picture.height, name, picture.revised_prompt)
        for picture, name in zip(pictures, names, strict=True)
    )
    return KeptResult(kept, price_usd_micros, None, warnings, expires_ms if any(names) else 0)


def _reported(results: Sequence[PartResult]) -> Usage | None:
    reported = [part.usage for part in results if part.usage]
    return sum(reported[1:], reported[0]) if reported else None


def _generated(
    tools: Tools, facts: TaskFacts, results: Sequence[PartResult], pictures: Sequence[Ready], result: KeptResult
) -> Generated:
    as_url = facts.form == "url"
    return Generated(
        request_id=facts.task_id,
        model=facts.model.id,
        family=facts.model.family,
        created_s=facts.created_ms // 1000,
        pictures=tuple(
            ready.picture(tools.signer.sign(kept.name, result.expires_ms) if as_url else None)
            for ready, kept in zip(pictures, result.pictures, strict=True)
        ),
        prompt=facts.request.prompt,
        price_usd_micros=result.price_usd_micros,
        size=f"{pictures[0].width}x{pictures[0].height}",
        usage=result.usage,
        text=result.text,
        seeds=result.seeds,
        missing=result.missing,
        warnings=result.warnings,
        sandbox=any(part.option.candidate.upstream.sandbox for part in results),
    )
