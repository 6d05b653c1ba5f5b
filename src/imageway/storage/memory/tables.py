"""The rows in memory, and how a half-done unit is taken back: every change remembers what stood there before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from imageway.core.access import Budget
from imageway.ledger.access import AdminKey, Change, Member
from imageway.ledger.ops import RecordUsage
from imageway.ledger.queries import HoldRow, Key, Transfer, Wallet, Workspace
from imageway.ledger.sealed import Secret as SealedSecret
from imageway.ledger.sealed import StoredUpstream
from imageway.ledger.terms import PriceRule
from imageway.ledger.usage import SumKey, Sums
from imageway.tasks.queries import Attempt, Claim, Task
from imageway.tasks.webhooks import Delivery, Endpoint, Secret

K = TypeVar("K")
V = TypeVar("V")
_ABSENT: Any = object()


@dataclass(slots=True)
class Tables:
    """Dictionaries keep the order in which rows were written; rows are frozen, a change puts a new one."""

    workspaces: dict[str, Workspace] = field(default_factory=dict)
    wallets: dict[str, Wallet] = field(default_factory=dict)
    transfers: dict[int, Transfer] = field(default_factory=dict)
    topups: dict[str, int] = field(default_factory=dict)
    holds: dict[str, HoldRow] = field(default_factory=dict)
    budgets: dict[tuple[str, str], Budget] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    digests: dict[bytes, str] = field(default_factory=dict)
    usage: dict[str, RecordUsage] = field(default_factory=dict)
    sums: dict[SumKey, Sums] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    task_of: dict[str, str] = field(default_factory=dict)  # attempt id → task id
    leases: dict[str, int] = field(default_factory=dict)
    claims: dict[tuple[str, str], Claim] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    alerted: dict[str, int] = field(default_factory=dict)
    members: dict[tuple[str, str], Member] = field(default_factory=dict)
    admin_keys: dict[str, AdminKey] = field(default_factory=dict)
    admin_digests: dict[bytes, str] = field(default_factory=dict)
    signatures: dict[bytes, int] = field(default_factory=dict)
    changes: dict[int, Change] = field(default_factory=dict)
    price_rules: dict[str, PriceRule] = field(default_factory=dict)
    sealed: dict[tuple[str, str], SealedSecret] = field(default_factory=dict)
    upstreams: dict[str, StoredUpstream] = field(default_factory=dict)
    _before: list[tuple[dict[Any, Any], Any, Any]] = field(default_factory=list)

    def put(self, table: dict[K, V], key: K, row: V) -> None:
        self._before.append((table, key, table.get(key, _ABSENT)))
        table[key] = row

    def drop(self, table: dict[K, V], key: K) -> None:
        self._before.append((table, key, table.pop(key, _ABSENT)))

    def keep(self) -> None:
        """The unit is done: nothing of it can be taken back any more."""
        self._before.clear()

    def take_back(self) -> None:
        """Everything since the last `keep` never happened."""
        while self._before:
            table, key, row = self._before.pop()
            if row is _ABSENT:
                table.pop(key, None)
            else:
                table[key] = row

    def is_good(self, key_id: str, now_ms: int) -> bool:
        """A key that is there, that nobody revoked, and that has not expired."""
        key = self.keys.get(key_id)
        return key is not None and key.revoked_ms is None and (key.expires_ms == 0 or key.expires_ms > now_ms)

    def attempt(self, attempt_id: str) -> tuple[Task, Attempt] | None:
        task_id = self.task_of.get(attempt_id)
        if task_id is None:
            return None
        task = self.tasks[task_id]
        return task, next(attempt for attempt in task.attempts if attempt.id == attempt_id)
