"""The one usage record of a request: who asked for what, what came of it, what that costs either side by which price
rows, and where the time went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from imageway.catalog import Charge
from imageway.core.money import PriceLine
from imageway.core.requests import RequestWarning, Size
from imageway.engine.attempts import PartResult
from imageway.engine.costs import NO_COSTS, Costs
from imageway.engine.facts import TaskFacts
from imageway.engine.ports import Tools
from imageway.ledger.ops import RecordUsage

_ENCODER: Final = msgspec.json.Encoder()


class Ending(Struct, frozen=True):
    """How a usage row says it ended (see ledger's RecordUsage for the words). `error` is the code its caller got."""

    outcome: str
    delivery: str = "none"
    price: Charge | None = None
    costs: Costs = NO_COSTS
    warnings: tuple[RequestWarning, ...] = ()
    error: str = ""


class Lines(Struct, frozen=True, omit_defaults=True):
    """What a usage row keeps of the price rows that were used: the caller's and ours side by side. `rules` are the
    operator's that changed the caller's."""

    price: tuple[PriceLine, ...] = ()
    cost: tuple[PriceLine, ...] = ()
    rules: tuple[str, ...] = ()


def usage_row(tools: Tools, facts: TaskFacts, results: Sequence[PartResult], ending: Ending, at_ms: int) -> RecordUsage:
    served: PartResult | None = None  # the first that brought something, else the last
    delivered = began_ms = ended_ms = 0
    for result in results:
        if served is None or not served.images:
            served = result
        delivered += len(result.images)
        if result.began_ms and (not began_ms or result.began_ms < began_ms):
            began_ms = result.began_ms
        ended_ms = max(ended_ms, result.ended_ms)
    price, candidate = ending.price, served.option.candidate if served else None
    text, image, output_text, output_image = price.tokens if price else _used(results)
    return RecordUsage(
        request_id=facts.task_id,
        workspace_id=facts.workspace_id,
        key_id=facts.key_id,
        model=facts.model.id,
        outcome=ending.outcome,
        n=facts.images,
        delivered=delivered,
        price_usd_micros=price.usd_micros if price else 0,
        cost_usd_micros=ending.costs.usd_micros,
        lines=_ENCODER.encode(Lines(price.lines if price else (), ending.costs.lines, facts.terms.rule_ids)),
        delivery=ending.delivery,
        owner=tools.owner,
        upstream_id=candidate.upstream.id if candidate else "",
        at_ms=at_ms,
        dialect=facts.dialect,
        operation=facts.request.operation.value,
        offering=candidate.offering.upstream_name if candidate else "",
        size=_size(served.option.fitted.size) if served else "",
        input_text_tokens=text,
        input_image_tokens=image,
        output_text_tokens=output_text,
        output_image_tokens=output_image,
        queue_ms=max(0, began_ms - facts.created_ms) if began_ms else 0,
        upstream_ms=max(0, ended_ms - began_ms) if began_ms else 0,
        total_ms=max(0, at_ms - facts.created_ms),
        warnings=" ".join(dict.fromkeys([warning.code for warning in ending.warnings])) if ending.warnings else "",
        error=ending.error,
    )


def _used(results: Sequence[PartResult]) -> tuple[int, int, int, int]:
    """Of what nobody pays for: tokens as reported, of all parts that said so."""
    reported = [result.usage for result in results if result.usage]
    if not reported:
        return 0, 0, 0, 0
    used = sum(reported[1:], reported[0])
    return used.input_text, used.input_image, used.output_text, used.output_image


def _size(size: Size) -> str:
    """As it was asked of the provider: pixels, else its word, else ratio and tier."""
    if size.width and size.height:
        return f"{size.width}x{size.height}"
    return size.word or " ".join([part for part in (size.ratio, size.tier) if part])
