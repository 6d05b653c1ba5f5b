"""The queries about usage beyond the single row, on dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import structs

from imageway.ledger import usage
from imageway.ledger.ops import RecordUsage
from imageway.ledger.usage import DAY_MS, SumKey
from imageway.storage.memory.tables import Tables

_KEPT: Final = tuple(name for name in RecordUsage.__struct_fields__ if name != "owner")
_PLACES: Final = {name: place for place, name in enumerate(("workspace", "key", "model", "upstream", "outcome"), 2)}


def find_usage(tables: Tables, query: usage.FindUsage) -> tuple[usage.UsageDetail, ...]:
    newest_first = sorted(_found(tables, query), key=lambda place: place[:2], reverse=True)
    return tuple(_detail(tables, seq, row) for _, seq, row in newest_first[: query.limit])


def _found(tables: Tables, query: usage.FindUsage) -> Iterator[tuple[int, int, RecordUsage]]:
    """(at ms, seq, row)"""
    for seq, row in enumerate(tables.usage.values(), 1):
        wanted = (query.workspace_id, query.key_id, query.model, query.outcome)
        told = (row.workspace_id, row.key_id, row.model, row.outcome)
        if (
            all(value in ("", mine) for value, mine in zip(wanted, told, strict=True))
            and row.at_ms >= query.since_ms
            and (query.until_ms is None or row.at_ms < query.until_ms)
            and (query.before is None or (row.at_ms, seq) < query.before)
        ):
            yield row.at_ms, seq, row


def _detail(tables: Tables, seq: int, row: RecordUsage) -> usage.UsageDetail:
    kept = structs.asdict(row)
    owner = tables.workspaces.get(row.workspace_id)
    named = owner.name if owner else row.workspace_id
    return usage.UsageDetail(seq=seq, workspace=named, **{name: kept[name] for name in _KEPT})


def sum_usage(tables: Tables, query: usage.SumUsage) -> tuple[usage.UsageSum, ...]:
    found = (
        (tuple(_value(name, key) for name in query.by), added)
        for stretch in usage.stretches(query)
        for key, added in tables.sums.items()
        if _is_wanted(query, stretch, key)
    )
    return usage.in_order(query, found)


def _is_wanted(query: usage.SumUsage, stretch: usage.Stretch, key: SumKey) -> bool:
    span_ms, begin_ms, *told = key
    wanted = (query.workspace_id, query.key_id, query.model)
    return (
        span_ms == stretch.span_ms
        and begin_ms >= stretch.since_ms
        and (stretch.until_ms is None or begin_ms < stretch.until_ms)
        and all(value in ("", mine) for value, mine in zip(wanted, told, strict=False))
    )


def _value(name: usage.By, key: SumKey) -> int | str:
    if name == "hour":
        return key[1]
    return key[1] // DAY_MS * DAY_MS if name in ("day", "month") else key[_PLACES[name]]
