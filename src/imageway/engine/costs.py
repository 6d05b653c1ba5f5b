"""What a task is to be billed by: to its caller for what was delivered, and by providers for what they made or may have
made, with the price rows that say so."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from imageway.catalog import Bill, cost
from imageway.catalog.terms import DAY_MS, bought
from imageway.core.money import PriceLine
from imageway.core.steps import FailureKind
from imageway.engine.attempts import PartResult
from imageway.engine.facts import TaskFacts
from imageway.engine.ports import Tools
from imageway.ledger.ops import BookCost


class Costs(Struct, frozen=True):
    """What is owed to providers, and the rows it was worked out from."""

    ops: tuple[BookCost, ...] = ()
    lines: tuple[PriceLine, ...] = ()

    @property
    def usd_micros(self) -> int:
        return sum([op.usd_micros for op in self.ops])


NO_COSTS = Costs()


def bills_of(served: Sequence[PartResult]) -> tuple[Bill, ...]:
    """Of parts that delivered: one for each way in which the request was fitted to who served it. Nearly always that is
    one, of all of them."""
    if len(served) == 1:
        return (_billed(served),)
    first = served[0].option.fitted
    alike: list[PartResult] = []
    others: list[PartResult] = []
    for result in served:
        fitted = result.option.fitted
        (alike if fitted is first or fitted == first else others).append(result)
    return (_billed(alike), *bills_of(others)) if others else (_billed(alike),)


def _billed(alike: Sequence[PartResult]) -> Bill:
    """What these parts have used, and of that only the delivered share: what could not be proved is not paid for. Where
    one of them reported nothing, the reports do not add up to a bill; the tables then speak."""
    first, usage = alike[0], alike[0].usage
    delivered = produced = 0
    for result in alike:
        delivered += len(result.images)
        produced += result.produced
        if result is not first:
            usage = usage + result.usage if usage and result.usage else None
    fitted = first.option.fitted
    return Bill(fitted.request, fitted.size, delivered, usage, produced=produced)


def costs_of(tools: Tools, facts: TaskFacts, results: Sequence[PartResult], at_ms: int) -> Costs:
    """For every part whose provider made, or may have made, something; one op for each upstream and certainty."""
    owed: dict[tuple[str, bool], int] = {}
    lines: list[PriceLine] = []
    day = at_ms // DAY_MS
    for result in results:
        made = max(result.produced, _may_have_made(result))
        if made:
            upstream_id = result.option.candidate.upstream.id
            offering = bought(result.option.candidate.offering, day)
            charged = cost(tools.catalog.on(day), offering, _made(result, made))
            route = upstream_id, made == result.produced
            owed[route] = owed.get(route, 0) + charged.usd_micros
            lines += charged.lines
    booked = [BookCost(facts.task_id, route[0], usd, at_ms, route[1]) for route, usd in owed.items() if usd]
    return Costs(tuple(booked), tuple(lines)) if owed else NO_COSTS


def _made(result: PartResult, made: int) -> Bill:
    """Where more may have been made than was reported, what was reported is not all."""
    fitted = result.option.fitted
    usage = result.usage if made == result.produced else None
    return Bill(fitted.request, fitted.size, len(result.images), usage, produced=made)


def _may_have_made(result: PartResult) -> int:
    """An answer that was lost or unreadable is booked as if the provider bills it; one that says "nothing" is not."""
    failure = result.failure
    if failure is None or failure.empty or failure.kind not in (FailureKind.UNKNOWN, FailureKind.SPOILED):
        return 0
    return result.asked
