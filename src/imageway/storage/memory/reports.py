"""The queries of reports on dictionaries."""

from __future__ import annotations

from imageway.ledger.reports import SumTransfers, TransferSum
from imageway.storage.memory.tables import Tables


def sum_transfers(tables: Tables, query: SumTransfers) -> tuple[TransferSum, ...]:
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for row in tables.transfers.values():
        if query.since_ms <= row.at_ms < query.until_ms and query.workspace_id in ("", row.workspace_id):
            count, usd_micros = sums.get((row.kind, row.account), (0, 0))
            sums[row.kind, row.account] = (count + 1, usd_micros + row.usd_micros)
    return tuple(
        TransferSum(kind=kind, account=account, transfers=count, usd_micros=usd_micros)
        for (kind, account), (count, usd_micros) in sorted(sums.items())
    )
