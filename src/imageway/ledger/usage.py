"""Questions about usage beyond the single row: pages of rows, and sums that were added up hour by hour and
day by day while the rows were written, so that years of them are answered from thousands of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import add
from typing import Final, Literal, cast

from imageway.core.ops import Query
from imageway.ledger.ops import RecordUsage

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SPANS_MS: Final = (HOUR_MS, DAY_MS)
"""Each row is added to the sums of its hour and of its day (both UTC's)."""

By = Literal["hour", "day", "month", "workspace", "key", "model", "upstream", "outcome"]


SUM_KEY: Final = ("span_ms", "begin_ms", "workspace_id", "key_id", "model", "upstream_id", "outcome")
SUM_COLUMNS: Final = (
    *("requests", "asked", "delivered", "price_usd_micros", "refunded_usd_micros", "cost_usd_micros", "tokens"),
    *("total_ms", "upstream_ms"),
)
SumKey = tuple[int, int, str, str, str, str, str]
"""What sums are kept for, as SUM_KEY names it."""

Sums = tuple[int, int, int, int, int, int, int, int, int]
"""As SUM_COLUMNS names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageDetail:
    """One row as it stands (ledger.ops.RecordUsage says what each means)."""

    seq: int
    request_id: str
    workspace_id: str
    workspace: str
    key_id: str
    model: str
    outcome: str
    n: int
    delivered: int
    price_usd_micros: int
    cost_usd_micros: int
    lines: bytes
    delivery: str
    upstream_id: str
    at_ms: int
    dialect: str
    operation: str
    offering: str
    size: str
    input_text_tokens: int
    input_image_tokens: int
    output_text_tokens: int
    output_image_tokens: int
    queue_ms: int
    upstream_ms: int
    total_ms: int
    warnings: str
    error: str


Row = RecordUsage | UsageDetail


def sum_key(row: Row, span_ms: int) -> SumKey:
    begin_ms = row.at_ms - row.at_ms % span_ms
    return span_ms, begin_ms, row.workspace_id, row.key_id, row.model, row.upstream_id, row.outcome


def day_of(hour: SumKey) -> SumKey:
    """The same for the day that an hour is part of."""
    return DAY_MS, hour[1] - hour[1] % DAY_MS, *hour[2:]


def sums_of(row: Row) -> Sums:
    """What one row adds."""
    return (
        1,
        row.n,
        row.delivered,
        row.price_usd_micros,
        row.price_usd_micros if row.delivery == "refunded" else 0,
        row.cost_usd_micros,
        row.input_text_tokens + row.input_image_tokens + row.output_text_tokens + row.output_image_tokens,
        row.total_ms,
        row.upstream_ms,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FindUsage(Query[tuple[UsageDetail, ...]]):
    """Newest first, by keyset: `before` is the (at ms, seq) of the last row of the page before. Empty: any."""

    workspace_id: str = ""
    key_id: str = ""
    model: str = ""
    outcome: str = ""
    since_ms: int = 0
    until_ms: int | None = None
    before: tuple[int, int] | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class UsageSum:
    """`group`: a value for each of the query's `by`, in its order; times as epoch ms in decimal, the rest by id.
    `price` is what was captured, `refunded` what of it was given back; `total_ms` and `upstream_ms` are sums over the
    requests."""

    group: tuple[str, ...]
    requests: int
    asked: int
    delivered: int
    price_usd_micros: int
    refunded_usd_micros: int
    cost_usd_micros: int
    tokens: int
    total_ms: int
    upstream_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SumUsage(Query[tuple[UsageSum, ...]]):
    """Sums of the hours that begin in [since_ms, until_ms), grouped: by time, and at the same time the dearest first.
    Nothing where there was no request."""

    workspace_id: str = ""
    key_id: str = ""
    model: str = ""
    since_ms: int = 0
    until_ms: int | None = None
    by: tuple[By, ...] = ()
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Stretch:
    """Sums of one span that begin in [since_ms, until_ms)."""

    span_ms: int
    since_ms: int
    until_ms: int | None


def stretches(query: SumUsage) -> Iterator[Stretch]:
    """Whole days are read as days, what is left at both ends as hours; nothing but hours where hours are asked for."""
    since_ms, until_ms = query.since_ms, query.until_ms
    first_ms = -(-since_ms // DAY_MS) * DAY_MS
    last_ms = None if until_ms is None else until_ms // DAY_MS * DAY_MS
    if "hour" in query.by or (last_ms is not None and first_ms >= last_ms):
        yield Stretch(HOUR_MS, since_ms, until_ms)
        return
    if since_ms < first_ms:
        yield Stretch(HOUR_MS, since_ms, first_ms)
    yield Stretch(DAY_MS, first_ms, last_ms)
    if last_ms is not None and until_ms is not None and last_ms < until_ms:
        yield Stretch(HOUR_MS, last_ms, until_ms)


def in_order(query: SumUsage, found: Iterable[tuple[tuple[int | str, ...], Sums]]) -> tuple[UsageSum, ...]:
    """The answer to a query, from sums by its `by`: the days that stores keep become months here, which no two
    databases reckon alike."""
    months = [place for place, name in enumerate(query.by) if name == "month"]
    merged: dict[tuple[int | str, ...], Sums] = {}
    for group, sums in found:
        key = tuple(_month_ms(value) if place in months else value for place, value in enumerate(group))
        before = merged.get(key)
        merged[key] = cast("Sums", tuple(map(add, before, sums))) if before else sums
    times = [place for place, name in enumerate(query.by) if name in ("hour", "day", "month")]

    def order(item: tuple[tuple[int | str, ...], Sums]) -> tuple[object, ...]:
        group, sums = item
        return ([group[place] for place in times], -sums[SUM_COLUMNS.index("price_usd_micros")], group)

    chosen = sorted(merged.items(), key=order)[: query.limit]
    return tuple(UsageSum(tuple(map(str, group)), *sums) for group, sums in chosen)


def _month_ms(begin_ms: int | str) -> int:
    day = datetime.fromtimestamp(int(begin_ms) / 1000, UTC)
    return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000
