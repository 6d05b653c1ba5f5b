"""Questions about workspaces, wallets, keys and usage, with the shapes of their answers."""

from __future__ import annotations

from dataclasses import dataclass

from imageway.core.access import Budget
from imageway.core.ops import Query


@dataclass(frozen=True, slots=True)
class Workspace:
    """`settings`: JSON of core.access.WorkspaceSettings."""

    id: str
    name: str
    created_ms: int
    settings: bytes = b"{}"
    alert_below_usd_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Wallet:
    """Balances in micro-dollars."""

    workspace_id: str
    workspace: str
    available: int
    held: int
    spent: int
    topped_up: int = 0
    granted: int = 0
    adjusted: int = 0


@dataclass(frozen=True, slots=True)
class Key:
    """`expires_ms` 0: never. `scope` and `settings` (the workspace's) are JSON of core.access. `budgets` are those of
    its root."""

    id: str
    workspace_id: str
    workspace: str
    name: str
    hint: str
    models: tuple[str, ...]
    created_ms: int
    revoked_ms: int | None
    scope: bytes = b"{}"
    expires_ms: int = 0
    root_id: str = ""
    signed: bool = False
    settings: bytes = b"{}"
    budgets: tuple[Budget, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    request_id: str
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


@dataclass(frozen=True, slots=True)
class Transfer:
    """One immutable entry. `kind`: topup, hold, capture, void, refund (account `wallet`), cost (`cost:<upstream>`) or
    overrun (`overrun`). The last two have no workspace: they are the operator's. `seq` grows, with gaps."""

    seq: int
    kind: str
    workspace_id: str | None
    task_id: str | None
    account: str
    usd_micros: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class HoldRow:
    """The one hold of a task. `state`: open, captured, voided, refunded. `captured` is 0 until it is captured."""

    task_id: str
    workspace_id: str
    usd_micros: int
    captured: int
    state: str


@dataclass(frozen=True, slots=True)
class FindWorkspace(Query[Workspace | None]):
    """By name or by id."""

    name_or_id: str


@dataclass(frozen=True, slots=True)
class ListWorkspaces(Query[tuple[Workspace, ...]]):
    """In the order they were created, from the one after `after` (created ms, id) on."""

    after: tuple[int, str] = (-1, "")
    limit: int = 10_000


@dataclass(frozen=True, slots=True)
class ShowWallet(Query[Wallet | None]):
    workspace_id: str


@dataclass(frozen=True, slots=True)
class FindKey(Query[Key | None]):
    """By the sha256 of what the caller presented. Revoked keys are found too: the caller of this must look."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class ShowKey(Query[Key | None]):
    """By its id, a revoked one too."""

    id: str


@dataclass(frozen=True, slots=True)
class ListKeys(Query[tuple[Key, ...]]):
    """In the order they were created, revoked ones too, from the one after `after` (created ms, id) on."""

    workspace_id: str | None = None
    after: tuple[int, str] = (-1, "")
    limit: int = 10_000


@dataclass(frozen=True, slots=True)
class ListUsage(Query[tuple[UsageRow, ...]]):
    """Newest first."""

    workspace_id: str | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class ListTransfers(Query[tuple[Transfer, ...]]):
    """In the order they were written, from the one after `after_seq` on; workspace None: all, operator accounts
    included."""

    workspace_id: str | None = None
    after_seq: int = 0
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class ListHolds(Query[tuple[HoldRow, ...]]):
    """By task id, from the one after `after_task` on."""

    workspace_id: str | None = None
    after_task: str = ""
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Undelivered(Query[tuple[UsageRow, ...]]):
    """Usage rows still `undelivered` whose owner is one of these processes, some of them if there are more."""

    owners: tuple[str, ...]
    limit: int = 1000
