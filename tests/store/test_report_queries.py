"""What reports ask, on every executor."""

from __future__ import annotations

from imageway.core.ops import Committed, Store
from imageway.ledger.ops import BookCost, Capture, CreateWorkspace, Hold, TopUp, Void
from imageway.ledger.reports import SumTransfers, TransferSum


async def commit(store: Store, *ops: object) -> None:
    assert isinstance(await store.commit(*ops), Committed)  # type: ignore[arg-type]


async def test_transfers_are_summed_by_kind_and_account_within_the_span(store: Store) -> None:
    await commit(store, CreateWorkspace("ws_1", "one", 1), CreateWorkspace("ws_2", "two", 1))
    await commit(store, TopUp("top_1", "ws_1", 1_000, 10), TopUp("top_2", "ws_2", 500, 10))
    await commit(store, Hold("req_1", "ws_1", 100, 20), Hold("req_2", "ws_1", 200, 20), Hold("req_3", "ws_2", 5, 20))
    await commit(store, Capture("req_1", 60, 30), BookCost("req_1", "up", 40, 30))
    await commit(store, Void("req_2", 40))

    def total(kind: str, transfers: int, usd_micros: int, account: str = "wallet") -> TransferSum:
        return TransferSum(kind=kind, account=account, transfers=transfers, usd_micros=usd_micros)

    assert await store.read(SumTransfers(workspace_id="ws_1", since_ms=0, until_ms=40)) == (
        total("capture", 1, 60),
        total("hold", 2, 300),
        total("topup", 1, 1_000),
        total("void", 1, 40),
    )
    assert await store.read(SumTransfers(since_ms=20, until_ms=31)) == (
        total("capture", 1, 60),
        total("cost", 1, 40, "cost:up"),
        total("hold", 3, 305),
        total("void", 1, 40),
    )
    assert await store.read(SumTransfers(workspace_id="ws_2", since_ms=21, until_ms=99)) == ()
