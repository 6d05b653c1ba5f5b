"""The queries about usage beyond the single row, as `selects` has the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, Final

from imageway.core.ops import Query
from imageway.ledger import usage
from imageway.ledger.usage import DAY_MS, HOUR_MS, SUM_COLUMNS
from imageway.storage.rows import Row, Rows, Select, all_as

Condition = tuple[str, tuple[str | int, ...]]

_FIELDS: Final = tuple(field.name for field in fields(usage.UsageDetail))
_NAME: Final = "COALESCE((SELECT name FROM workspaces WHERE id = usage.workspace_id), workspace_id)"
_COLUMNS: Final = ", ".join(_NAME if name == "workspace" else name for name in _FIELDS)
_WENT_WRONG: Final = "outcome <> 'succeeded'"  # word for word what the partial indexes say
_TOTALS: Final = ", ".join(f"CAST(SUM({name}) AS BIGINT)" for name in SUM_COLUMNS)
_GROUPS: Final = {
    "hour": f"begin_ms / {HOUR_MS} * {HOUR_MS}",
    "day": f"begin_ms / {DAY_MS} * {DAY_MS}",
    "month": f"begin_ms / {DAY_MS} * {DAY_MS}",  # days, which make months when they have been read
    "workspace": "workspace_id",
    "key": "key_id",
    "model": "model",
    "upstream": "upstream_id",
    "outcome": "outcome",
}


def find_usage(query: usage.FindUsage) -> Select:
    where, values = _joined(_found(query))
    sql = f"SELECT {_COLUMNS} FROM usage WHERE {where} ORDER BY at_ms DESC, seq DESC LIMIT ?"  # noqa: S608  (callers' words are parameters)
    return Select(sql, (*values, query.limit), all_as(_detail))


def _detail(row: Row) -> usage.UsageDetail:
    return usage.UsageDetail(**dict(zip(_FIELDS, row, strict=True)))


def _found(query: usage.FindUsage) -> Iterator[Condition]:
    """Each column has an index that begins with it and goes on in the order of pages, `outcome` of what went wrong."""
    for column in ("workspace_id", "key_id", "model", "outcome"):
        if wanted := getattr(query, column):
            yield f"{column} = ?", (wanted,)
    if query.outcome and query.outcome != "succeeded":
        yield _WENT_WRONG, ()
    if query.since_ms:
        yield "at_ms >= ?", (query.since_ms,)
    if query.until_ms is not None:
        yield "at_ms < ?", (query.until_ms,)
    if query.before is not None:
        yield "(at_ms, seq) < (?, ?)", query.before


def sum_usage(query: usage.SumUsage) -> Select:
    """Each stretch is added up by itself: what is left of it is little, and put together when it has been read."""
    groups = [_GROUPS[name] for name in query.by]
    head, tail = ", ".join([*groups, _TOTALS]), f" GROUP BY {', '.join(groups)}" if groups else ""
    chosen = [_joined([*_stretch(stretch), *_summed(query)]) for stretch in usage.stretches(query)]
    sql = " UNION ALL ".join(
        f"SELECT {head} FROM usage_sums WHERE {where}{tail} HAVING COUNT(*) > 0"  # noqa: S608  (callers' words are parameters)
        for where, _ in chosen
    )
    return Select(sql, tuple(value for _, values in chosen for value in values), _shape(query))


def _stretch(stretch: usage.Stretch) -> list[Condition]:
    begun: Condition = ("begin_ms >= ?", (stretch.since_ms,))
    ended: list[Condition] = [] if stretch.until_ms is None else [("begin_ms < ?", (stretch.until_ms,))]
    return [(f"span_ms = {stretch.span_ms}", ()), begun, *ended]


def _summed(query: usage.SumUsage) -> Iterator[Condition]:
    for column in ("workspace_id", "key_id", "model"):
        if wanted := getattr(query, column):
            yield f"{column} = ?", (wanted,)


def _joined(conditions: Iterator[Condition] | list[Condition]) -> Condition:
    found = list(conditions)
    return " AND ".join(text for text, _ in found) or "TRUE", tuple(value for _, values in found for value in values)


def _shape(query: usage.SumUsage) -> Callable[[Rows], tuple[usage.UsageSum, ...]]:
    width = len(query.by)

    def shaped(rows: Rows) -> tuple[usage.UsageSum, ...]:
        return usage.in_order(query, ((tuple(row)[:width], tuple(row)[width:]) for row in rows))

    return shaped


USAGE_SELECTS: Final[dict[type[Query[Any]], Callable[[Any], Select]]] = {
    usage.FindUsage: find_usage,
    usage.SumUsage: sum_usage,
}
