"""The auditor: a naive model of the ledger written another way than the executors, and the laws that books must obey.

The model keeps no balances. It keeps what happened to each hold and adds everything up anew whenever it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from imageway.core.ops import Op, Store
from imageway.ledger import ops, queries
from tests.store.places import all_holds, all_transfers


@dataclass
class Books:
    """What should be true. `told` applies an op and says the word of refusal, or None."""

    workspaces: set[str] = field(default_factory=set)
    topups: dict[str, tuple[str, int]] = field(default_factory=dict)
    holds: dict[str, list[int | str]] = field(default_factory=dict)  # task → [workspace, held, taken, state]

    def available(self, workspace_id: str) -> int:
        money = sum(amount for owner, amount in self.topups.values() if owner == workspace_id)
        return money - self.held(workspace_id) - self.spent(workspace_id)

    def held(self, workspace_id: str) -> int:
        mine = [hold for hold in self.holds.values() if hold[0] == workspace_id]
        return sum(int(held) for _, held, _, state in mine if state == "open")

    def spent(self, workspace_id: str) -> int:
        mine = [hold for hold in self.holds.values() if hold[0] == workspace_id]
        return sum(int(taken) for _, _, taken, state in mine if state == "captured")

    def told(self, op: Op) -> str | None:
        match op:
            case ops.CreateWorkspace(id=name):
                return "name_taken" if name in self.workspaces else self.workspaces.add(name)
            case ops.TopUp(id=topup, workspace_id=owner, usd_micros=amount):
                return self._top_up(topup, owner, amount)
            case ops.Hold(task_id=task, workspace_id=owner, usd_micros=amount):
                return self._hold(task, owner, amount)
            case ops.Capture(task_id=task, usd_micros=amount):
                if not self._is(task, "open"):
                    return "no_open_hold"
                if amount > int(self.holds[task][1]):
                    return "above_hold"
                self.holds[task][2:] = [amount, "captured"]
            case ops.Void(task_id=task):
                if not self._is(task, "open"):
                    return "no_open_hold"
                self.holds[task][3] = "voided"
            case ops.Refund(task_id=task):
                if not self._is(task, "captured"):
                    return "not_captured"
                self.holds[task][3] = "refunded"
            case _:
                raise AssertionError(op)
        return None

    def _top_up(self, topup: str, owner: str, amount: int) -> str | None:
        if owner not in self.workspaces:
            return "no_workspace"
        if topup in self.topups:
            return "duplicate"
        self.topups[topup] = (owner, amount)
        return None

    def _hold(self, task: str, owner: str, amount: int) -> str | None:
        if task in self.holds:
            return "duplicate"
        if owner not in self.workspaces:
            return "no_workspace"
        if self.available(owner) < amount:
            return "insufficient_balance"
        self.holds[task] = [owner, amount, 0, "open"]
        return None

    def _is(self, task: str, state: str) -> bool:
        return task in self.holds and self.holds[task][3] == state


async def audit(store: Store, books: Books) -> None:
    """The store tells what the books tell, and its own rows agree with each other. Raises AssertionError."""
    holds = await all_holds(store)
    found = {row.task_id: [row.workspace_id, row.usd_micros, row.captured, row.state] for row in holds}
    assert found == books.holds
    for row in holds:
        assert row.state in ("open", "captured", "voided", "refunded")
        assert 0 <= row.captured <= row.usd_micros
    for workspace_id in books.workspaces:
        wallet = await store.read(queries.ShowWallet(workspace_id))
        assert wallet is not None
        balances = (wallet.available, wallet.held, wallet.spent)
        assert min(balances) >= 0
        toppedup = sum(amount for owner, amount in books.topups.values() if owner == workspace_id)
        assert sum(balances) == toppedup
        assert balances == (books.available(workspace_id), books.held(workspace_id), books.spent(workspace_id))
        assert balances == replayed(await all_transfers(store, workspace_id))


# From where to where each kind of transfer moves its amount.
WAYS = {
    "topup": (None, "available"),
    "hold": ("available", "held"),
    "capture": ("held", "spent"),
    "void": ("held", "available"),
    "refund": ("spent", "available"),
}


def replayed(transfers: tuple[queries.Transfer, ...]) -> tuple[int, int, int]:
    """The balances that the transfers alone lead to; none of them may be overdrawn on the way."""
    balances: dict[str | None, int] = {None: 10**18, "available": 0, "held": 0, "spent": 0}
    for transfer in transfers:
        source, target = WAYS[transfer.kind]
        balances[source] -= transfer.usd_micros
        balances[target] += transfer.usd_micros
        assert balances[source] >= 0, transfer
    return balances["available"], balances["held"], balances["spent"]
