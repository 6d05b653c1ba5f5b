"""The end of a task: what was proved becomes a price, one commit, and an answer. Money moves here and nowhere else.

Before a capture commits, its images are in the media store; only a synchronous base64 answer may leave from the spool,
and its usage row says `undelivered` until the last byte has left (DESIGN §5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from imageway.bodies import blob_of, decoded, read_decoded
from imageway.catalog import Bill, Charge, charge, cost
from imageway.catalog.schema import Model
from imageway.core.blobs import Blob
from imageway.core.errors import GatewayError
from imageway.core.intents import Form, Generated, Picture
from imageway.core.ops import Op
from imageway.core.requests import ImageRequest, RequestWarning
from imageway.core.steps import FailureKind, Usage
from imageway.engine.attempts import PartResult, Proved
from imageway.engine.ports import Tools
from imageway.engine.results import REFUNDED, KeptPicture, KeptResult, pack_result
from imageway.engine.verdicts import task_state, verdict
from imageway.ledger.ops import BookCost, BookOverrun, Capture, MarkDelivery, RecordUsage, Refund, Void
from imageway.media.conversion import CannotConvert, convert
from imageway.media.proofs import MEDIA_TYPES
from imageway.tasks.ops import EndAttempt, FinishTask, ReplaceResult
from imageway.telemetry import events, logger

NOTHING_KEPT: Final = KeptResult()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """What settling asks about a task, fresh or resumed."""

    task_id: str
    workspace_id: str
    key_id: str
    model: Model
    request: ImageRequest
    form: Form
    hold_usd_micros: int
    images: int
    created_ms: int
    warnings: tuple[RequestWarning, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """A picture as it will be delivered."""

    blob: Blob
    media_type: str
    width: int
    height: int
    revised_prompt: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a usage row says it ended (see ledger's RecordUsage for the words)."""

    outcome: str
    delivery: str = "none"
    price: Charge | None = None
    costs: tuple[BookCost, ...] = ()


@dataclass(frozen=True, slots=True)
class Settlement:
    """The ops of the one commit that ends a task, and what its subscribers get once they are durable."""

    ops: tuple[Op, ...]
    answer: Generated | GatewayError
    pictures: tuple[Ready, ...] = ()
    result: KeptResult = NOTHING_KEPT

    @property
    def in_spool(self) -> bool:
        """Whether there are pictures that lie nowhere else: somebody must receive them, or they must be kept."""
        return any(not picture.name for picture in self.result.pictures)


async def settle(tools: Tools, facts: TaskFacts, results: Sequence[PartResult], *, store: bool) -> Settlement:
    """Builds the end of a task. `store`: the images go to the media store first."""
    proved = [(result, image) for result in results for image in result.images]
    if not proved:
        forwarded = results[-1].option.fitted.request.extras
        return failed(tools, facts, results, verdict([r.failure for r in results if r.failure], forwarded))
    pictures, transcoded = await _ready_all(tools, facts, [image for _, image in proved])
    warnings = (*facts.warnings, *_told(facts, results), *transcoded)
    stored = store or facts.form == "url"
    expires_ms = tools.clock.now_ms() + int(tools.settings.keep_images_s * 1000)
    names = await store_all(tools, facts.task_id, pictures, expires_ms) if stored else ("",) * len(pictures)
    bill = _bill(results, len(proved))
    price = charge(tools.catalog, facts.model, bill)
    captured = min(price.usd_micros, facts.hold_usd_micros)
    result = _kept(pictures, names, captured, warnings, expires_ms)
    ops = _ops(tools, facts, results, Charge(captured, price.lines), "stored" if stored else "undelivered")
    if price.usd_micros > captured:
        excess = price.usd_micros - captured
        logger().error(events.OVERRUN, task=facts.task_id, usd_micros=excess)
        ops = (*ops, BookOverrun(facts.task_id, excess, tools.clock.now_ms()))
    now_ms = tools.clock.now_ms()
    finish = FinishTask(facts.task_id, "succeeded", pack_result(result), now_ms)
    answer = _generated(tools, facts, results, pictures, result)
    return Settlement((*ops, finish), answer, pictures, result)


def failed(tools: Tools, facts: TaskFacts, results: Sequence[PartResult], error: GatewayError) -> Settlement:
    """The end of a task without a single image: the hold goes back whole."""
    failures = [result.failure for result in results if result.failure]
    state = task_state(failures)
    result = KeptResult(error=(error.code, error.message), warnings=facts.warnings)
    now_ms = tools.clock.now_ms()
    costs = _costs(tools, facts, results)
    ops = (
        *(part.ended(now_ms) for part in results),
        Void(facts.task_id, now_ms),
        *costs,
        usage_row(tools, facts, results, Ending(state, costs=costs)),
        FinishTask(facts.task_id, state, pack_result(result), now_ms),
    )
    return Settlement(ops, error, result=result)


def cancelled(tools: Tools, facts: TaskFacts, attempt_ids: Sequence[str]) -> Settlement:
    """The end of a task of which nothing was submitted."""
    error = GatewayError("request_timeout", "the request was cancelled before anything was sent; nothing was charged")
    now_ms = tools.clock.now_ms()
    result = KeptResult(error=(error.code, error.message))
    usage = usage_row(tools, facts, (), Ending("cancelled"))
    finish = FinishTask(facts.task_id, "cancelled", pack_result(result), now_ms)
    ended = (EndAttempt(attempt_id, "cancelled", "", now_ms) for attempt_id in attempt_ids)
    return Settlement((*ended, Void(facts.task_id, now_ms), usage, finish), error, result=result)


def refunded(task_id: str, at_ms: int) -> tuple[Op, ...]:
    """A price that is given back because nobody received what it was paid for; refused when somebody did after all."""
    replaced = ReplaceResult(task_id, pack_result(REFUNDED))
    return MarkDelivery(task_id, "refunded", at_ms), Refund(task_id, at_ms), replaced


def _ops(tools: Tools, facts: TaskFacts, results: Sequence[PartResult], price: Charge, delivery: str) -> tuple[Op, ...]:
    now_ms = tools.clock.now_ms()
    costs = _costs(tools, facts, results)
    return (
        *(part.ended(now_ms) for part in results),
        Capture(facts.task_id, price.usd_micros, now_ms),
        *costs,
        usage_row(tools, facts, results, Ending("succeeded", delivery, price, costs)),
    )


def usage_row(tools: Tools, facts: TaskFacts, results: Sequence[PartResult], ending: Ending) -> RecordUsage:
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
        at_ms=tools.clock.now_ms(),
    )


def _cost_of(tools: Tools, results: Sequence[PartResult]) -> list[tuple[str, int]]:
    """(upstream, micro-dollars) of every part whose provider made, or may have made, something."""
    costs = []
    for result in results:
        made = result.produced or _may_have_made(result)
        if made:
            candidate, fitted = result.option.candidate, result.option.fitted
            bill = Bill(fitted.request, fitted.size, len(result.images), result.usage, produced=made)
            costs.append((candidate.upstream.id, cost(tools.catalog, candidate.offering, bill)))
    return costs


def _may_have_made(result: PartResult) -> int:
    """An answer that was lost or unreadable is booked as if the provider bills it; one that says "nothing" is not."""
    failure = result.failure
    if failure is None or failure.empty or failure.kind not in (FailureKind.UNKNOWN, FailureKind.SPOILED):
        return 0
    return result.asked


def _costs(tools: Tools, facts: TaskFacts, results: Sequence[PartResult]) -> tuple[BookCost, ...]:
    now_ms = tools.clock.now_ms()
    owed: dict[str, int] = {}
    for upstream_id, usd_micros in _cost_of(tools, results):
        owed[upstream_id] = owed.get(upstream_id, 0) + usd_micros
    return tuple(BookCost(facts.task_id, upstream, amount, now_ms) for upstream, amount in owed.items() if amount)


def _bill(results: Sequence[PartResult], delivered: int) -> Bill:
    """What the parts that delivered have used, and of that only the delivered share: what could not be proved is not
    paid for. Where one of them reported nothing, the reports do not add up to a bill; the tables then speak."""
    served = [result for result in results if result.images]
    reported = [result.usage for result in served if result.usage]
    usage = sum(reported[1:], reported[0]) if len(reported) == len(served) else None
    fitted, produced = served[0].option.fitted, sum(result.produced for result in served)
    return Bill(fitted.request, fitted.size, delivered, usage, produced=produced)


async def _ready_all(
    tools: Tools, facts: TaskFacts, images: Sequence[Proved]
) -> tuple[tuple[Ready, ...], tuple[RequestWarning, ...]]:
    """Every picture in the format that was asked for; only what does not fit already is converted."""
    wanted = facts.request.output_format
    ready: list[Ready] = []
    warnings: dict[str, RequestWarning] = {}
    for image in images:
        picture = _as_it_came(facts, image)
        if wanted is not None and image.facts.format != wanted:
            picture, warning = await _converted(tools, facts, picture, image.facts.format)
            warnings[warning.code] = warning
        ready.append(picture)
    return tuple(ready), tuple(warnings.values())


def _as_it_came(facts: TaskFacts, image: Proved) -> Ready:
    revised = (image.revised_prompt or facts.request.prompt) if facts.model.revised_prompt else None
    return Ready(image.blob, MEDIA_TYPES[image.facts.format], image.facts.width, image.facts.height, revised)


async def _converted(tools: Tools, facts: TaskFacts, picture: Ready, came_as: str) -> tuple[Ready, RequestWarning]:
    request = facts.request
    wanted, param = request.output_format or came_as, request.param("output_format")
    try:
        content = await read_decoded(picture.blob, limit_bytes=tools.settings.convert_bytes)
        made = await tools.workers.run(lambda: convert(content, wanted, request.output_compression))
    except (CannotConvert, ValueError) as error:
        message = f'the image is a {came_as}, not the "{wanted}" asked for: {error}'
        return picture, RequestWarning("format_not_converted", param, message)
    message = f"converted from {came_as} to {wanted} here; provenance metadata of the original bytes is lost"
    return (
        replace(picture, blob=blob_of(made), media_type=MEDIA_TYPES[wanted]),
        RequestWarning("transcoded", param, message),
    )


def _told(facts: TaskFacts, results: Sequence[PartResult]) -> tuple[RequestWarning, ...]:
    """What the answer does not honour, known only now."""
    served = next(result for result in results if result.images)
    warnings = [*served.option.fitted.warnings]
    delivered = sum(len(result.images) for result in results)
    if delivered < facts.images and facts.request.group is None:
        message = f"{delivered} of {facts.images} images could be made; only those are charged"
        warnings.append(RequestWarning("partial_result", facts.request.param("n"), message))
    asked = served.option.fitted.size.pixels
    got = (served.images[0].facts.width, served.images[0].facts.height)
    if asked and asked != got:
        message = f"the provider made {got[0]}x{got[1]} pixels where {asked[0]}x{asked[1]} were asked for"
        warnings.append(RequestWarning("size_differs", facts.request.param("geometry"), message))
    return tuple(warnings)


async def store_all(tools: Tools, task_id: str, pictures: Sequence[Ready], expires_ms: int) -> tuple[str, ...]:
    """Puts every picture into the media store; returns their names in order."""
    names = []
    for index, picture in enumerate(pictures):
        name = f"{task_id}-{index}.{picture.media_type.removeprefix('image/')}"
        await tools.objects.put(name, decoded(picture.blob), media_type=picture.media_type, expires_ms=expires_ms)
        names.append(name)
    return tuple(names)


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


def _generated(
    tools: Tools, facts: TaskFacts, results: Sequence[PartResult], pictures: Sequence[Ready], result: KeptResult
) -> Generated:
    reported = [part.usage for part in results if part.usage]
    usage: Usage | None = sum(reported[1:], reported[0]) if reported else None
    as_url = facts.form == "url"
    seeds = [part.seed for part in results for _ in part.images]
    return Generated(
        request_id=facts.task_id,
        model=facts.model.id,
        family=facts.model.family,
        created_s=facts.created_ms // 1000,
        pictures=tuple(
            Picture(
                media_type=ready.media_type,
                width=ready.width,
                height=ready.height,
                blob=None if as_url else ready.blob,
                url=tools.signer.sign(kept.name, result.expires_ms) if as_url else None,
                revised_prompt=ready.revised_prompt,
            )
            for ready, kept in zip(pictures, result.pictures, strict=True)
        ),
        prompt=facts.request.prompt,
        price_usd_micros=result.price_usd_micros,
        size=f"{pictures[0].width}x{pictures[0].height}",
        usage=usage,
        text="\n".join(part.text for part in results if part.text) or None,
        seeds=tuple(seed for seed in seeds if seed is not None),
        warnings=result.warnings,
        sandbox=any(part.option.candidate.upstream.sandbox for part in results),
    )
