"""Questions of reports: what moved in a span of time."""

from __future__ import annotations

from dataclasses import dataclass

from imageway.core.ops import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSum:
    """Of one kind and account (ledger.queries.Transfer says which there are)."""

    kind: str
    account: str
    transfers: int
    usd_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SumTransfers(Query[tuple[TransferSum, ...]]):
    """Transfers of [since_ms, until_ms) by kind and account, in their order. Workspace empty: all, the operator's
    included."""

    workspace_id: str = ""
    since_ms: int = 0
    until_ms: int
