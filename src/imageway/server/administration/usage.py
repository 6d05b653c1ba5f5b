"""Usage as operators and programs read it: rows page by page or as a file, sums, and a month's statement."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from imageway.bodies.payload import Payload
from imageway.core.errors import InvalidRequest, Problem
from imageway.core.money import format_usd
from imageway.core.ops import Store
from imageway.core.wording import quoted
from imageway.ledger.usage import By, FindUsage, SumUsage, UsageDetail, UsageSum

Form = Literal["csv", "jsonl"]
CONTENT_TYPES: Final[dict[Form, str]] = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
_PLACE: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
PAGE_ROWS: Final = 1000  # of an export at a time: what is in memory of it
TIMES: Final = ("hour", "day", "month")


class Tokens(Struct, frozen=True, kw_only=True):
    input_text: int
    input_image: int
    output_text: int
    output_image: int


class Latency(Struct, frozen=True, kw_only=True):
    """Milliseconds: in the queue, with upstreams, what is left for the gateway, altogether."""

    queue_ms: int
    upstream_ms: int
    gateway_ms: int
    total_ms: int


class UsageShown(Struct, frozen=True, kw_only=True):
    """One request. Dollars as decimal text with six places. `lines` are the price rows that were used: the caller's
    (`price`), ours (`cost`), and the operator's rules that changed the caller's (`rules`)."""

    request_id: str
    at: str
    workspace: str
    key_id: str
    model: str
    dialect: str
    operation: str
    offering: str
    upstream: str
    outcome: str
    error: str | None
    n: int
    delivered: int
    size: str | None
    tokens: Tokens
    price_usd: str
    cost_usd: str
    lines: dict[str, Any]
    delivery: str
    latency: Latency
    warnings: tuple[str, ...]


class SumShown(Struct, frozen=True, kw_only=True):
    """`group`: what the sums are grouped by → its value; times as ISO 8601. `net_usd` is what was paid and not given
    back; `margin_usd` what of it the providers' costs left."""

    group: dict[str, str]
    requests: int
    asked: int
    delivered: int
    price_usd: str
    refunded_usd: str
    net_usd: str
    cost_usd: str
    margin_usd: str
    tokens: int
    mean_ms: int
    mean_upstream_ms: int


CSV_COLUMNS: Final = (
    *("request_id", "at", "workspace", "key_id", "model", "dialect", "operation", "offering", "upstream", "outcome"),
    *("error", "n", "delivered", "size", "input_text_tokens", "input_image_tokens", "output_text_tokens"),
    *("output_image_tokens", "price_usd", "cost_usd", "delivery", "queue_ms", "upstream_ms", "gateway_ms", "total_ms"),
    "warnings",
)


def shown(row: UsageDetail) -> UsageShown:
    return UsageShown(
        request_id=row.request_id,
        at=iso(row.at_ms),
        workspace=row.workspace,
        key_id=row.key_id,
        model=row.model,
        dialect=row.dialect,
        operation=row.operation,
        offering=row.offering,
        upstream=row.upstream_id,
        outcome=row.outcome,
        error=row.error or None,
        n=row.n,
        delivered=row.delivered,
        size=row.size or None,
        tokens=Tokens(
            input_text=row.input_text_tokens,
            input_image=row.input_image_tokens,
            output_text=row.output_text_tokens,
            output_image=row.output_image_tokens,
        ),
        price_usd=format_usd(row.price_usd_micros),
        cost_usd=format_usd(row.cost_usd_micros),
        lines=_lines(row.lines),
        delivery=row.delivery,
        latency=Latency(
            queue_ms=row.queue_ms, upstream_ms=row.upstream_ms, gateway_ms=_gateway_ms(row), total_ms=row.total_ms
        ),
        warnings=tuple(row.warnings.split()),
    )


def _gateway_ms(row: UsageDetail) -> int:
    return max(0, row.total_ms - row.queue_ms - row.upstream_ms)


def _lines(written: bytes) -> dict[str, Any]:
    """Rows of before costs were kept beside have the caller's lines alone."""
    lines = msgspec.json.decode(written)
    return lines if isinstance(lines, dict) else {"price": lines}


async def page(store: Store, query: FindUsage) -> tuple[tuple[UsageShown, ...], str | None]:
    """One page, and what `before` must be for the next (None: that was all)."""
    rows = await store.read(replace(query, limit=query.limit + 1))
    further = rows[query.limit - 1] if len(rows) > query.limit else None
    return tuple(map(shown, rows[: query.limit])), f"{further.at_ms}-{further.seq}" if further else None


def place(written: str | None) -> tuple[int, int] | None:
    """What `page` gave as the next place. Raises InvalidRequest."""
    if written is None:
        return None
    found = _PLACE.fullmatch(written)
    if found is None:
        raise no_place(written)
    return int(found[1]), int(found[2])


def no_place(written: str) -> InvalidRequest:
    """Of a page that no list ever named."""
    return InvalidRequest(Problem("before", "invalid_value", f"before is {quoted(written)}; take `next` of a page"))


def export(store: Store, query: FindUsage, form: Form) -> Payload:
    """All rows that fit, as a stream, however many: a page of them is in memory."""
    return Payload(-1, CONTENT_TYPES[form], lambda: _written(store, query, form))


async def _written(store: Store, query: FindUsage, form: Form) -> AsyncIterator[bytes]:
    if form == "csv":
        yield _csv([CSV_COLUMNS])
    before: tuple[int, int] | None = None
    while True:
        rows = await store.read(replace(query, before=before, limit=PAGE_ROWS))
        if not rows:
            return
        yield _csv([_cells(row) for row in rows]) if form == "csv" else _jsonl(rows)
        before = rows[-1].at_ms, rows[-1].seq


def _jsonl(rows: tuple[UsageDetail, ...]) -> bytes:
    return b"".join([msgspec.json.encode(shown(row)) + b"\n" for row in rows])


def _csv(rows: list[tuple[Any, ...]]) -> bytes:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)  # RFC 4180
    return lines.getvalue().encode()


def _cells(row: UsageDetail) -> tuple[Any, ...]:
    values = {
        **{name: getattr(row, name, "") for name in CSV_COLUMNS},
        "at": iso(row.at_ms),
        "upstream": row.upstream_id,
        "gateway_ms": _gateway_ms(row),
        "price_usd": format_usd(row.price_usd_micros),
        "cost_usd": format_usd(row.cost_usd_micros),
    }
    return tuple(_as_text(values[name]) for name in CSV_COLUMNS)


def _as_text(value: Any) -> Any:
    """A spreadsheet would take some of what callers may name for formulas."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


async def sums(store: Store, query: SumUsage) -> tuple[SumShown, ...]:
    return tuple(_sum(one, query.by) for one in await store.read(query))


def _sum(one: UsageSum, by: tuple[By, ...]) -> SumShown:
    net = one.price_usd_micros - one.refunded_usd_micros
    values = zip(by, one.group, strict=True)
    group: dict[str, str] = {name: iso(int(value)) if name in TIMES else value for name, value in values}
    return SumShown(
        group=group,
        requests=one.requests,
        asked=one.asked,
        delivered=one.delivered,
        price_usd=format_usd(one.price_usd_micros),
        refunded_usd=format_usd(one.refunded_usd_micros),
        net_usd=format_usd(net),
        cost_usd=format_usd(one.cost_usd_micros),
        margin_usd=format_usd(net - one.cost_usd_micros),
        tokens=one.tokens,
        mean_ms=one.total_ms // max(1, one.requests),
        mean_upstream_ms=one.upstream_ms // max(1, one.requests),
    )


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
