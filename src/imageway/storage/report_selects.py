"""The queries of reports, as `selects` has the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from imageway.core.ops import Query
from imageway.ledger.reports import SumTransfers, TransferSum
from imageway.storage.rows import Row, Select, all_as


def sum_transfers(query: SumTransfers) -> Select:
    values: tuple[str | int, ...] = (query.since_ms, query.until_ms)
    where = "at_ms >= ? AND at_ms < ?"
    if query.workspace_id:
        where, values = f"{where} AND workspace_id = ?", (*values, query.workspace_id)
    sums = "COUNT(*), CAST(SUM(usd_micros) AS BIGINT)"
    sql = f"SELECT kind, account, {sums} FROM transfers WHERE {where} GROUP BY kind, account ORDER BY kind, account"  # noqa: S608  (names of ours)
    return Select(sql, values, all_as(_transfer_sum))


def _transfer_sum(row: Row) -> TransferSum:
    kind, account, transfers, usd_micros = row
    return TransferSum(kind=kind, account=account, transfers=transfers, usd_micros=usd_micros)


REPORT_SELECTS: Final[dict[type[Query[Any]], Callable[[Any], Select]]] = {SumTransfers: sum_transfers}
