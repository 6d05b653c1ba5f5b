"""Usage rows, and the sums of their hours and days, which are written with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from sqlite3 import Cursor
from typing import Final

from imageway.core.ops import Op
from imageway.ledger import ops as ledger
from imageway.ledger.usage import HOUR_MS, SPANS_MS, SUM_COLUMNS, SUM_KEY, SumKey, Sums, day_of, sum_key, sums_of
from imageway.storage.sqlite.statements import Apply, all_touched

_FIELDS: Final = ledger.RecordUsage.__struct_fields__
_VALUES: Final = attrgetter(*_FIELDS, "at_ms")
_MARK: Final = attrgetter("delivery", "at_ms", "request_id")
_ROW: Final = (
    f"INSERT INTO usage ({', '.join(_FIELDS)}, delivery_ms)"  # noqa: S608  (names of ours)
    f" VALUES ({', '.join('?' * (len(_FIELDS) + 1))}) ON CONFLICT DO NOTHING"
)
_KEY: Final = ", ".join(SUM_KEY)
_ADD: Final = (
    f"INSERT INTO usage_sums ({_KEY}, {', '.join(SUM_COLUMNS)})"  # noqa: S608
    f" VALUES ({', '.join('?' * (len(SUM_KEY) + len(SUM_COLUMNS)))}) ON CONFLICT ({_KEY})"
    f" DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in SUM_COLUMNS)}"
)
_REFUND: Final = (
    "UPDATE usage_sums SET refunded_usd_micros = refunded_usd_micros + row.price_usd_micros"
    " FROM (SELECT * FROM usage WHERE request_id = ?) AS row"
    " WHERE span_ms = ? AND begin_ms = row.at_ms / ? * ? AND usage_sums.workspace_id = row.workspace_id"
    " AND usage_sums.key_id = row.key_id AND usage_sums.model = row.model"
    " AND usage_sums.upstream_id = row.upstream_id AND usage_sums.outcome = row.outcome"
)


def record_usage(cursor: Cursor, ops: Sequence[ledger.RecordUsage]) -> str | None:
    if not all_touched(cursor, _ROW, map(_VALUES, ops), len(ops)):
        return "duplicate"
    cursor.executemany(_ADD, _added(ops))
    return None


def _added(ops: Sequence[ledger.RecordUsage]) -> Iterator[tuple[int | str, ...]]:
    """Added up here first: those that come together are nearly all of one hour."""
    hours: dict[SumKey, list[Sums]] = {}
    days: dict[SumKey, list[Sums]] = {}
    for op in ops:
        hours.setdefault(sum_key(op, HOUR_MS), []).append(sums_of(op))
    for hour, many in hours.items():
        days.setdefault(day_of(hour), []).extend(many)
    for begun, many in (*hours.items(), *days.items()):
        yield (*begun, *map(sum, zip(*many, strict=True)))


def mark_delivery(cursor: Cursor, ops: Sequence[ledger.MarkDelivery]) -> str | None:
    sql = "UPDATE usage SET delivery = ?, delivery_ms = ? WHERE request_id = ? AND delivery = 'undelivered'"
    if not all_touched(cursor, sql, map(_MARK, ops), len(ops)):
        return "not_undelivered"
    if refunded := [op.request_id for op in ops if op.delivery == "refunded"]:
        cursor.executemany(_REFUND, ((request_id, span, span, span) for request_id in refunded for span in SPANS_MS))
    return None


USAGE_WRITES: Final[dict[type[Op], Apply]] = {
    ledger.RecordUsage: record_usage,
    ledger.MarkDelivery: mark_delivery,
}
