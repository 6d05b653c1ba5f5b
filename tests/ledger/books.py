"""The auditor: a naive model of the ledger written another way than the executors, and the laws that books must obey.

The model keeps no balances and no sums. It keeps what happened to each hold and each request, and adds everything up
anew whenever it is asked."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field

from imageway.core.access import Budget
from imageway.core.ops import Op, Store
from imageway.ledger import access, ops, queries
from imageway.ledger.accounts import entries
from imageway.ledger.usage import FindUsage, SumUsage
from imageway.ledger.verifying import verify
from tests.store.places import all_holds, all_transfers

DAY_MS = 86_400_000
SOURCES: dict[type[Op], str] = {ops.TopUp: "topped_up", ops.Grant: "granted", ops.Adjust: "adjusted"}


@dataclass
class Books:
    """What should be true. `told` applies an op and says the word of refusal, or None."""

    workspaces: set[str] = field(default_factory=set)
    income: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # id → (source, workspace, amount)
    holds: dict[str, list[int | str]] = field(default_factory=dict)  # task → [workspace, held, taken, state]
    usage: dict[str, ops.RecordUsage] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)  # request → delivery
    budget: list[int] = field(default_factory=list)  # [limit, used, window] of the only one

    def copy(self) -> Books:
        return deepcopy(self)

    def income_of(self, workspace_id: str, source: str) -> int:
        return sum(amount for kind, owner, amount in self.income.values() if (kind, owner) == (source, workspace_id))

    def available(self, workspace_id: str) -> int:
        money = sum(amount for _, owner, amount in self.income.values() if owner == workspace_id)
        return money - self.held(workspace_id) - self.spent(workspace_id)

    def held(self, workspace_id: str) -> int:
        mine = [hold for hold in self.holds.values() if hold[0] == workspace_id]
        return sum(int(held) for _, held, _, state in mine if state == "open")

    def spent(self, workspace_id: str) -> int:
        mine = [hold for hold in self.holds.values() if hold[0] == workspace_id]
        return sum(int(taken) for _, _, taken, state in mine if state == "captured")

    def days(self) -> dict[tuple[str, str], tuple[int, int, int, int]]:
        """(day, workspace) → (requests, price, refunded, cost), for which there was a request."""
        sums: dict[tuple[str, str], tuple[int, int, int, int]] = {}
        for request_id, row in self.usage.items():
            place = str(row.at_ms - row.at_ms % DAY_MS), row.workspace_id
            requests, price, refunded, cost = sums.get(place, (0, 0, 0, 0))
            back = row.price_usd_micros if self.marks[request_id] == "refunded" else 0
            sums[place] = (
                requests + 1,
                price + row.price_usd_micros,
                refunded + back,
                cost + row.cost_usd_micros,
            )
        return sums

    def told(self, op: Op) -> str | None:
        match op:
            case ops.CreateWorkspace(id=name):
                return "name_taken" if name in self.workspaces else self.workspaces.add(name)
            case ops.TopUp() | ops.Grant() | ops.Adjust():
                return self._come_in(op)
            case ops.Hold(task_id=task, workspace_id=owner, usd_micros=amount):
                return self._hold(task, owner, amount)
            case ops.Capture() | ops.Void() | ops.Refund():
                return self._resolve(op)
            case ops.RecordUsage(request_id=request):
                if request in self.usage:
                    return "duplicate"
                self.usage[request], self.marks[request] = op, op.delivery
            case ops.MarkDelivery(request_id=request, delivery=delivery):
                if self.marks.get(request) != "undelivered":
                    return "not_undelivered"
                self.marks[request] = delivery
            case ops.SpendBudget() | ops.ReleaseBudget():
                return self._budget(op)
            case access.SetBudget(limit_usd_micros=limit):
                self.budget = [limit, 0, 0]
            case ops.BookCost() | ops.CreateKey():
                pass
            case _:
                raise AssertionError(op)
        return None

    def _come_in(self, op: ops.TopUp | ops.Grant | ops.Adjust) -> str | None:
        if op.workspace_id not in self.workspaces:
            return "no_workspace"
        if self.available(op.workspace_id) + op.usd_micros < 0:
            return "insufficient_balance"
        if op.id in self.income:
            return "duplicate"
        self.income[op.id] = (SOURCES[type(op)], op.workspace_id, op.usd_micros)
        return None

    def _resolve(self, op: ops.Capture | ops.Void | ops.Refund) -> str | None:
        hold = self.holds.get(op.task_id, ["", 0, 0, "none"])
        if isinstance(op, ops.Refund):
            if hold[3] != "captured":
                return "not_captured"
            hold[3] = "refunded"
        elif hold[3] != "open":
            return "no_open_hold"
        elif isinstance(op, ops.Void):
            hold[3] = "voided"
        elif op.usd_micros > int(hold[1]):
            return "above_hold"
        else:
            hold[2:] = [op.usd_micros, "captured"]
        return None

    def _budget(self, op: ops.SpendBudget | ops.ReleaseBudget) -> str | None:
        limit, used, window_ms = self.budget
        if isinstance(op, ops.ReleaseBudget):
            if op.window_ms == window_ms:
                self.budget[1] = max(0, used - op.usd_micros)
        elif (after := op.usd_micros + (0 if op.window_ms > window_ms else used)) > limit:
            return "budget_exceeded"
        elif op.window_ms >= window_ms:  # what comes late has to fit, and counts nowhere
            self.budget[1:] = [after, op.window_ms]
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


async def audit(store: Store, books: Books) -> None:
    """The store tells what the books tell, its own rows agree with each other, and it says so itself. Raises
    AssertionError."""
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
        assert balances == (books.available(workspace_id), books.held(workspace_id), books.spent(workspace_id))
        sources = (wallet.topped_up, wallet.granted, wallet.adjusted)
        assert sources == tuple(books.income_of(workspace_id, name) for name in ("topped_up", "granted", "adjusted"))
        assert sum(balances) == sum(sources)
        assert balances == replayed(await all_transfers(store, workspace_id))
    assert_double_entry(await all_transfers(store))
    assert {row.request_id: row.delivery for row in await store.read(FindUsage(limit=10**6))} == books.marks
    days = await store.read(SumUsage(by=("day", "workspace")))
    assert {
        row.group: (row.requests, row.price_usd_micros, row.refunded_usd_micros, row.cost_usd_micros) for row in days
    } == books.days()
    if books.budget:
        (key,) = await store.read(queries.ListKeys())
        assert key.budgets == (Budget("day", *books.budget),)
    assert await verify(store) == ()


# From where to where each kind of transfer moves its amount.
WAYS = {
    "topup": (None, "available"),
    "grant": (None, "available"),
    "adjust_up": (None, "available"),
    "adjust_down": ("available", None),
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


def assert_double_entry(transfers: tuple[queries.Transfer, ...]) -> None:
    """All entries of all accounts sum to zero."""
    accounts: Counter[tuple[str | None, str]] = Counter()
    for row in transfers:
        for entry in entries(row.kind, row.workspace_id, row.account, row.usd_micros):
            accounts[entry.workspace_id, entry.account] += entry.usd_micros
    assert sum(accounts.values()) == 0
