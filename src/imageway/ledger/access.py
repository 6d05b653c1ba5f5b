"""Who may do what: keys beyond their making, budgets, members, settings of workspaces, operators' own keys, signatures
that were used, and what operators changed. Rare ops, all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from imageway.core.access import Budget, Period
from imageway.core.ops import Op, Query
from imageway.ledger.ops import MAX_USD_MICROS

PERIODS: Final[frozenset[str]] = frozenset({"day", "month", "total"})
ROLES: Final = frozenset({"owner", "admin", "member", "viewer"})
ADMIN_ROLES: Final = frozenset({"admin", "viewer"})


class ExpireKey(Op, frozen=True):
    """From `expires_ms` on the key is worth nothing; 0: it does not expire. Refused: "no_key" (unknown or revoked)."""

    id: str
    expires_ms: int


class ChangeKey(Op, frozen=True):
    """Another name, other models, another scope. Refused: "no_key" (unknown or revoked)."""

    id: str
    name: str
    models: tuple[str, ...]
    scope: bytes


class SetBudget(Op, frozen=True):
    """What the keys of one root may spend in a period; what they have spent in it stays. Refused: "no_key"."""

    budget_id: str
    period: Period
    limit_usd_micros: int

    def __post_init__(self) -> None:
        if self.period not in PERIODS or not 0 <= self.limit_usd_micros <= MAX_USD_MICROS:
            raise ValueError(f"no budget: {self.limit_usd_micros} micro-dollars a {self.period}")


class DropBudget(Op, frozen=True):
    """Refused: "no_budget"."""

    budget_id: str
    period: Period


class SetWorkspace(Op, frozen=True):
    """A workspace's settings: JSON of core.access.WorkspaceSettings; `alert_below_usd_micros` is the balance under
    which its low balance is told (None: never). Refused: "no_workspace"."""

    id: str
    settings: bytes
    alert_below_usd_micros: int | None


class MarkAlerted(Op, frozen=True):
    """The low balance of a wallet is being told: once, until it is above again. Refused: "not_low" (or told before)."""

    workspace_id: str
    at_ms: int


class RearmAlerts(Op, frozen=True):
    """Wallets that were low and are so no more may be told of again. Never refused."""

    at_ms: int


class AddMember(Op, frozen=True):
    """`name` is how the member is known, an address mostly. A member who is there already gets the role.
    Refused: "no_workspace"."""

    workspace_id: str
    name: str
    role: str
    at_ms: int

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f'"{self.role}" is none of {", ".join(sorted(ROLES))}')


class RemoveMember(Op, frozen=True):
    """Refused: "no_member"."""

    workspace_id: str
    name: str


class CreateAdminKey(Op, frozen=True):
    """An operator's own key: `digest` is sha256 of it. `role`: admin (may change) or viewer. Refused: "duplicate"."""

    id: str
    name: str
    digest: bytes
    hint: str
    role: str
    at_ms: int

    def __post_init__(self) -> None:
        if self.role not in ADMIN_ROLES:
            raise ValueError(f'"{self.role}" is none of {", ".join(sorted(ADMIN_ROLES))}')


class RevokeAdminKey(Op, frozen=True):
    """Refused: "no_key" (unknown or revoked already)."""

    id: str
    at_ms: int


class UseSignature(Op, frozen=True):
    """A signature is good once. What was over before `at_ms` is forgotten on the way. Refused: "replayed"."""

    digest: bytes
    until_ms: int
    at_ms: int


class RecordChange(Op, frozen=True):
    """What an operator changed: part of the commit that changes it. `before` and `after` are JSON, without secrets."""

    actor: str
    action: str
    target: str
    before: bytes
    after: bytes
    at_ms: int


# Questions


@dataclass(frozen=True, slots=True)
class Member:
    workspace_id: str
    name: str
    role: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class AdminKey:
    id: str
    name: str
    hint: str
    role: str
    created_ms: int
    revoked_ms: int | None


@dataclass(frozen=True, slots=True)
class Change:
    seq: int
    actor: str
    action: str
    target: str
    before: bytes
    after: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class LowWallet:
    """Below its threshold, and nobody was told yet."""

    workspace_id: str
    workspace: str
    available: int
    alert_below_usd_micros: int


@dataclass(frozen=True, slots=True)
class FindBudgets(Query[tuple[Budget, ...]]):
    """Of one root, by period."""

    budget_id: str


@dataclass(frozen=True, slots=True)
class ListMembers(Query[tuple[Member, ...]]):
    """By name."""

    workspace_id: str


@dataclass(frozen=True, slots=True)
class FindAdminKey(Query[AdminKey | None]):
    """By the sha256 of what was presented. Revoked ones are found too: the caller of this must look."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class ShowAdminKey(Query[AdminKey | None]):
    """By its id, a revoked one too."""

    id: str


@dataclass(frozen=True, slots=True)
class ListAdminKeys(Query[tuple[AdminKey, ...]]):
    """In the order they were created."""


@dataclass(frozen=True, slots=True)
class ListChanges(Query[tuple[Change, ...]]):
    """Newest first, from the one before `before_seq` (0: the newest) on; of one target where it is named."""

    target: str = ""
    before_seq: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class LowWallets(Query[tuple[LowWallet, ...]]):
    """All of them."""
