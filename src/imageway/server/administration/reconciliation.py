"""Our books against the world: what ended unknown, what providers cost against what callers paid, and a provider's own
invoice against our attempts."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from msgspec import Struct

from imageway.catalog import Catalog
from imageway.catalog.terms import day_of
from imageway.core.errors import InvalidRequest, Problem
from imageway.core.money import MICROS_PER_USD, format_usd
from imageway.core.wording import quoted
from imageway.ledger.reports import SumTransfers
from imageway.ledger.usage import SumUsage
from imageway.server.administration.office import Office
from imageway.server.administration.statements import span_ms
from imageway.server.administration.usage import iso
from imageway.tasks.queries import Task, UnknownTasks

PAGE_TASKS: Final = 10_000
MOST_DIGITS: Final = 12  # of an amount
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "date": ("date", "day", "usage_date", "start_time"),
    "model": ("model", "sku", "product", "item"),
    "amount": ("amount_usd", "amount", "cost", "cost_usd", "total"),
}
"""What we need of an invoice, and what columns of that meaning are called (any case)."""
CURRENCY: Final = "currency"  # a column that may be missing
CURRENCIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("", "USD", "$"), "USD"),
    **dict.fromkeys(("CNY", "RMB", "¥", "￥"), "CNY"),
}


class UnknownShown(Struct, frozen=True, kw_only=True):
    """A task of which nobody knows whether its provider made anything: to be looked for in the provider's own bill."""

    task: str
    workspace_id: str
    model: str
    ended: str
    upstreams: tuple[str, ...]
    detail: str


class RouteShown(Struct, frozen=True, kw_only=True):
    """One upstream. `unknown_cost_usd` is booked as if it will be billed, beside what is certain (`cost_usd`)."""

    upstream: str
    requests: int
    revenue_usd: str
    cost_usd: str
    unknown_cost_usd: str
    margin_usd: str


class InvoiceRow(Struct, frozen=True, kw_only=True):
    """One day and model: what the invoice says and what our books say; `difference_usd` is theirs less ours."""

    day: str
    model: str
    invoiced_usd: str
    booked_usd: str
    difference_usd: str


class Reconciliation(Struct, frozen=True, kw_only=True):
    """One month (UTC). `overrun_usd` is what captures would have been above their holds: the operator bore it."""

    month: str
    unknown: tuple[UnknownShown, ...]
    upstreams: tuple[RouteShown, ...]
    overrun_usd: str
    invoice: tuple[InvoiceRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Invoice:
    """What one upstream's provider charged by day and model: millionths of dollars, and those of yuan."""

    upstream: str
    usd_micros: Mapping[tuple[str, str], int]
    cny_micros: Mapping[tuple[str, str], int]


async def reconcile(office: Office, catalog: Catalog, month: str, invoice: Invoice | None = None) -> Reconciliation:
    """Raises InvalidRequest for a month that is none."""
    since_ms, until_ms = span_ms(month)
    moved = await office.store.read(SumTransfers(since_ms=since_ms, until_ms=until_ms))
    paid = await office.store.read(SumUsage(since_ms=since_ms, until_ms=until_ms, by=("upstream",), limit=10_000))
    costs = {row.account: row.usd_micros for row in moved if row.kind in ("cost", "unknown")}
    revenue = {one.group[0]: (one.requests, one.price_usd_micros - one.refunded_usd_micros) for one in paid}
    names = sorted({*(name for name in revenue if name), *(account.partition(":")[2] for account in costs)})
    return Reconciliation(
        month=month,
        unknown=await _unknown(office, since_ms, until_ms),
        upstreams=tuple(_route(name, *revenue.get(name, (0, 0)), costs) for name in names),
        overrun_usd=format_usd(sum(row.usd_micros for row in moved if row.kind == "overrun")),
        invoice=await _compared(office, catalog, invoice, since_ms, until_ms) if invoice else (),
    )


async def _unknown(office: Office, since_ms: int, until_ms: int) -> tuple[UnknownShown, ...]:
    """Page by page: of each task only what is shown is kept."""
    shown, before = list[UnknownShown](), (until_ms, "")
    while page := await office.store.read(UnknownTasks(PAGE_TASKS, since_ms=since_ms, before=before)):
        shown += map(_unknown_shown, page)
        before = (page[-1].finished_ms or 0, page[-1].id)
    return tuple(shown)


def _unknown_shown(task: Task) -> UnknownShown:
    lost = [one for one in task.attempts if one.state == "unknown"]
    return UnknownShown(
        task=task.id,
        workspace_id=task.workspace_id,
        model=task.model,
        ended=iso(task.finished_ms or 0),
        upstreams=tuple(dict.fromkeys(one.upstream_id for one in lost)),
        detail="; ".join(one.detail for one in lost),
    )


def _route(name: str, requests: int, revenue: int, costs: Mapping[str, int]) -> RouteShown:
    known, unknown = costs.get(f"cost:{name}", 0), costs.get(f"unknown:{name}", 0)
    return RouteShown(
        upstream=name,
        requests=requests,
        revenue_usd=format_usd(revenue),
        cost_usd=format_usd(known),
        unknown_cost_usd=format_usd(unknown),
        margin_usd=format_usd(revenue - known - unknown),
    )


async def _compared(
    office: Office, catalog: Catalog, invoice: Invoice, since_ms: int, until_ms: int
) -> tuple[InvoiceRow, ...]:
    """By day and our own model ids; what an invoice calls otherwise is found by the catalog's names for it."""
    asked = SumUsage(since_ms=since_ms, until_ms=until_ms, by=("day", "model", "upstream"), limit=1_000_000)
    booked: dict[tuple[str, str], int] = {}
    for one in await office.store.read(asked):
        begin, model, upstream = one.group
        if upstream == invoice.upstream:
            booked[iso(int(begin))[:10], model] = one.cost_usd_micros
    invoiced: dict[tuple[str, str], int] = {}
    for (day, name), usd_micros in _in_dollars(catalog, invoice):
        if since_ms <= _day_ms(day) < until_ms:
            place = day, our_name(catalog, name)
            invoiced[place] = invoiced.get(place, 0) + usd_micros
    return tuple(
        InvoiceRow(
            day=day,
            model=model,
            invoiced_usd=format_usd(invoiced.get((day, model), 0)),
            booked_usd=format_usd(booked.get((day, model), 0)),
            difference_usd=format_usd(invoiced.get((day, model), 0) - booked.get((day, model), 0)),
        )
        for day, model in sorted({*booked, *invoiced})
    )


def _in_dollars(catalog: Catalog, invoice: Invoice) -> Iterator[tuple[tuple[str, str], int]]:
    """Yuan by the rate of their day, as our own costs are."""
    yield from invoice.usd_micros.items()
    for place, cny_micros in invoice.cny_micros.items():
        yield place, round(cny_micros * catalog.on(day_of(place[0])).usd_per_cny)


def our_name(catalog: Catalog, name: str) -> str:
    """The id of the model that is called, or sold, by this name; the name itself where there is none."""
    found = catalog.find(name)
    if found:
        return found.model.id
    sold_as = (
        model.id for model in catalog.models.values() if any(one.upstream_name == name for one in model.offerings)
    )
    return next(sold_as, name)


def _day_ms(day: str) -> int:
    moment = date.fromisoformat(day)
    return int(datetime(moment.year, moment.month, moment.day, tzinfo=UTC).timestamp() * 1000)


def read_invoice(upstream: str, lines: Iterable[str]) -> Invoice:
    """A CSV file with a header: a day (ISO 8601), a model, and an amount a row, whatever else it has; rows of one day
    and model are added up. Amounts are dollars unless their sign or a column `currency` says yuan. Raises
    InvalidRequest with every line that is wrong."""
    try:
        sums = _summed(csv.DictReader(lines))
    except csv.Error as error:
        raise InvalidRequest(Problem("invoice", "invalid_value", f"the file is no CSV: {error}")) from None
    return Invoice(upstream, sums["USD"], sums["CNY"])


def _summed(rows: csv.DictReader[str]) -> dict[str, dict[tuple[str, str], int]]:
    """Millionths by currency, then by day and model, rounded once they are added up. Raises InvalidRequest,
    csv.Error."""
    columns = {name.strip().lower(): name for name in rows.fieldnames or ()}
    chosen = {need: next((columns[name] for name in names if name in columns), None) for need, names in NAMES.items()}
    problems = [_missing(need) for need, column in chosen.items() if column is None]
    if problems:
        raise InvalidRequest(*problems)
    read = (*(chosen[need] or "" for need in ("date", "model", "amount")), columns.get(CURRENCY, ""))
    sums: dict[str, dict[tuple[str, str], Decimal]] = {"USD": {}, "CNY": {}}
    for number, row in enumerate(rows, start=2):
        day, model, amount, currency = ((row.get(column) or "").strip() for column in read)
        try:
            place = date.fromisoformat(day[:10]).isoformat(), model
            of_it = sums[_currency(amount, currency)]
            of_it[place] = of_it.get(place, Decimal(0)) + _number(amount)
        except (ValueError, InvalidOperation):
            said = f"line {number}: the day is {quoted(day)}, the amount {quoted(f'{amount} {currency}'.strip())}"
            message = f"{said}; accepted: a day such as 2026-11-02 and an amount such as 0.08, in USD or CNY"
            problems.append(Problem(f"line {number}", "invalid_value", message))
    if problems:
        raise InvalidRequest(*problems)
    return {
        currency: {place: int((total * MICROS_PER_USD).to_integral_value()) for place, total in of_it.items()}
        for currency, of_it in sums.items()
    }


def _currency(amount: str, column: str) -> str:
    """By the sign before an amount and the column beside it, of which either may say nothing. Raises ValueError."""
    sign = amount[:1] if amount[:1] in CURRENCIES else ""
    said = {CURRENCIES.get(word, word) for word in (sign, column.upper()) if word} or {"USD"}
    if len(said) > 1 or not said <= {"USD", "CNY"}:
        raise ValueError("nobody here converts it")
    return said.pop()


def _number(written: str) -> Decimal:
    """Raises ValueError, InvalidOperation."""
    amount = Decimal(written[1:] if written[:1] in CURRENCIES else written)
    if not amount.is_finite() or amount.adjusted() > MOST_DIGITS:
        raise ValueError("nobody is sent such an invoice")
    return amount


def _missing(need: str) -> Problem:
    accepted = NAMES[need]
    message = f"no column says the {need}; accepted: {', '.join(accepted)}"
    return Problem(need, "missing_required_parameter", message, accepted)
