"""Budgets against a naive model: whatever is held, captured, given back and refunded, across days and months and late,
used is what the holds of the window that runs came to, and a hold is refused when it does not fit and never otherwise.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from imageway.core.access import Budget, Period
from imageway.core.ops import Committed, Refused, Store
from imageway.core.requests import Caller
from imageway.engine.limits import Spending, release_ops, spend_ops, spending_of
from imageway.ledger.access import FindBudgets, SetBudget
from imageway.ledger.ops import Capture, CreateKey, CreateWorkspace, Hold, Refund, SpendBudget, TopUp, Void

LIMITS: dict[Period, int] = {"day": 800, "month": 5000, "total": 20_000}
BEGAN_MS = int(datetime(2027, 12, 30, 20, tzinfo=UTC).timestamp() * 1000)
HOUR_MS = 3_600_000
STEPS = 300


@dataclass
class Taken:
    """One hold: what it came to so far counts in the windows that it was taken from."""

    id: str
    amount: int
    spending: Spending
    state: str = "open"
    captured: int = 0

    @property
    def counts(self) -> int:
        return {"open": self.amount, "captured": self.captured}.get(self.state, 0)


@dataclass
class Model:
    """`begun`: the latest window of each period that anybody held anything in."""

    now_ms: int = BEGAN_MS
    taken: list[Taken] = field(default_factory=list)
    begun: dict[Period, int] = field(default_factory=lambda: dict.fromkeys(LIMITS, 0))
    late: int = 0

    def used(self, period: Period, window_ms: int) -> int:
        return sum(hold.counts for hold in self.taken if (period, window_ms) in hold.spending.windows)

    def fits(self, hold: Taken) -> bool:
        return all(
            self.used(period, max(window_ms, self.begun[period])) + hold.amount <= LIMITS[period]
            for period, window_ms in hold.spending.windows
        )

    def take(self, hold: Taken) -> None:
        self.taken.append(hold)
        self.late += any(window_ms < self.begun[period] for period, window_ms in hold.spending.windows)
        for period, window_ms in hold.spending.windows:
            self.begun[period] = max(window_ms, self.begun[period])


async def settle(store: Store, hold: Taken, how: str, chance: random.Random) -> None:
    match how:
        case "capture":
            hold.captured = chance.randint(0, hold.amount)
            ops = (Capture(hold.id, hold.captured, 1), *release_ops(hold.spending, hold.amount - hold.captured))
            hold.state = "captured"
        case "void":
            ops = (Void(hold.id, 1), *release_ops(hold.spending, hold.amount))
            hold.state = "voided"
        case _:
            ops = (Refund(hold.id, 1), *release_ops(hold.spending, hold.captured))
            hold.state = "refunded"
    assert isinstance(await store.commit(*ops), Committed)


@pytest.mark.parametrize("seed", range(3))
async def test_a_budget_is_what_its_holds_came_to(store: Store, seed: int) -> None:
    chance, model = random.Random(seed), Model()
    key = CreateKey("key_1", "ws_1", "", b"d" * 32, "hint", (), 1)
    await store.commit(CreateWorkspace("ws_1", "w", 1), TopUp("top_1", "ws_1", 10**9, 1), key)
    await store.commit(*(SetBudget("key_1", period, limit) for period, limit in LIMITS.items()))
    caller = Caller("key_1", "ws_1", budget_id="key_1", budgets=tuple(Budget(*limit) for limit in LIMITS.items()))
    refusals = 0
    for step in range(STEPS):
        model.now_ms += chance.choice((0, 0, 0, HOUR_MS, 5 * HOUR_MS))
        how = chance.choice(("hold", "hold", "capture", "void", "refund"))
        wanted = "captured" if how == "refund" else "open"
        found = [hold for hold in model.taken if hold.state == wanted]
        if how != "hold" and found:
            await settle(store, chance.choice(found), how, chance)
        elif how == "hold":
            worked_out_ms = model.now_ms - chance.choice((0, 0, 0, HOUR_MS, 8 * HOUR_MS))
            spending, amount = spending_of(caller, worked_out_ms), chance.randint(0, 400)
            assert spending is not None
            hold = Taken(f"req_{step}", amount, spending)
            done = await store.commit(Hold(hold.id, "ws_1", amount, 1), *spend_ops(spending, amount))
            assert isinstance(done, Committed) == model.fits(hold), step
            if isinstance(done, Committed):
                model.take(hold)
            else:
                assert isinstance(done, Refused)
                assert isinstance(done.op, SpendBudget)
                refusals += 1
        for budget in await store.read(FindBudgets("key_1")):
            assert budget.window_ms == model.begun[budget.period], (step, budget)
            assert budget.used_usd_micros == model.used(budget.period, budget.window_ms), (step, budget)
    assert refusals > STEPS // 50
    assert model.late > 2
    assert {hold.state for hold in model.taken} >= {"open", "voided", "refunded"}
