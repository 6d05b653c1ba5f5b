"""Budgets against a naive model: whatever is held, captured, given back and refunded, across days, months and resets
and late, used is what the holds of the window that runs came to, and a hold is refused when it does not fit and never
otherwise."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from imageway.core.access import Budget, Period
from imageway.core.ops import Committed, Refused, Store
from imageway.core.requests import Caller
from imageway.engine.limits import Spending, anew_op, release_ops, spend_ops, spending_of
from imageway.ledger.access import FindBudgets, SetBudget
from imageway.ledger.ops import Capture, CreateKey, CreateWorkspace, Hold, Refund, SpendBudget, TopUp, Void

LIMITS: dict[Period, int] = {"day": 800, "month": 5000, "total": 20_000}
BEGAN_MS = int(datetime(2027, 12, 30, 20, tzinfo=UTC).timestamp() * 1000)
HOUR_MS = 3_600_000
STEPS = 300


@dataclass
class Taken:
    """One hold: what it came to so far counts in the windows that it was taken from. `resets`: how many its caller knew
    of when he read his key."""

    id: str
    amount: int
    spending: Spending
    resets: dict[Period, int]
    state: str = "open"
    captured: int = 0

    @property
    def counts(self) -> int:
        return {"open": self.amount, "captured": self.captured}.get(self.state, 0)


@dataclass
class Model:
    """`begun`: the latest window of each period that anybody held anything in, or that a reset began. `reads`: what
    callers knew at a time of their budgets and of how many resets there had been."""

    now_ms: int = BEGAN_MS
    taken: list[Taken] = field(default_factory=list)
    begun: dict[Period, int] = field(default_factory=lambda: dict.fromkeys(LIMITS, 0))
    resets: dict[Period, int] = field(default_factory=lambda: dict.fromkeys(LIMITS, 0))
    reads: list[tuple[tuple[Budget, ...], dict[Period, int]]] = field(default_factory=list)
    late: int = 0
    gone: int = 0

    def used(self, period: Period, window_ms: int) -> int:
        return sum(hold.counts for hold in self.taken if (period, window_ms) in hold.spending.windows)

    def fits(self, hold: Taken) -> bool:
        return all(
            self.used(period, max(window_ms, self.begun[period])) + hold.amount <= LIMITS[period]
            for period, window_ms in hold.spending.windows
        )

    def reset(self, period: Period) -> None:
        """Nothing that was held before counts any more."""
        self.begun[period] = max(self.now_ms, self.begun[period] + 1)
        self.resets[period] += 1

    def since_reset(self, period: Period) -> int:
        """At most what may be used: of everybody who knew of the last reset, whatever window he spent in."""
        return sum(hold.counts for hold in self.taken if hold.resets[period] == self.resets[period])

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


async def reset(store: Store, model: Model, periods: list[Period]) -> None:
    begun = {budget.period: budget.window_ms for budget in await store.read(FindBudgets("key_1"))}
    ops = [anew_op("key_1", period, model.now_ms, window_ms=begun[period]) for period in sorted(periods)]
    assert isinstance(await store.commit(*ops), Committed)
    for period in periods:
        model.reset(period)


def hold_of(model: Model, step: int, chance: random.Random) -> Taken:
    """By a caller who read his key just now or some steps ago, worked out by a clock that may lag."""
    worked_out_ms = model.now_ms - chance.choice((0, 0, 0, HOUR_MS, 8 * HOUR_MS))
    known, resets = chance.choice((model.reads[-1], model.reads[-1], chance.choice(model.reads[-8:])))
    spending = spending_of(Caller("key_1", "ws_1", budget_id="key_1", budgets=known), worked_out_ms)
    assert spending is not None
    return Taken(f"req_{step}", chance.randint(0, 400), spending, resets)


async def take(store: Store, model: Model, hold: Taken) -> bool:
    done = await store.commit(Hold(hold.id, "ws_1", hold.amount, 1), *spend_ops(hold.spending, hold.amount))
    assert isinstance(done, Committed) == model.fits(hold), hold
    if isinstance(done, Committed):
        model.take(hold)
        return True
    assert isinstance(done, Refused)
    assert isinstance(done.op, SpendBudget)
    return False


@pytest.mark.parametrize("seed", range(3))
async def test_a_budget_is_what_its_holds_came_to(store: Store, seed: int) -> None:
    chance, model = random.Random(seed), Model()
    key = CreateKey("key_1", "ws_1", "", b"d" * 32, "hint", (), 1)
    await store.commit(CreateWorkspace("ws_1", "w", 1), TopUp("top_1", "ws_1", 10**9, 1), key)
    await store.commit(*(SetBudget("key_1", period, limit) for period, limit in LIMITS.items()))
    refusals = 0
    for step in range(STEPS):
        model.reads.append((await store.read(FindBudgets("key_1")), dict(model.resets)))
        model.now_ms += chance.choice((0, 0, 0, HOUR_MS, 5 * HOUR_MS))
        how = chance.choice(("hold", "hold", "hold", "capture", "void", "refund"))
        wanted = "captured" if how == "refund" else "open"
        found = [hold for hold in model.taken if hold.state == wanted]
        if chance.random() < 0.04:
            await reset(store, model, chance.sample(list(LIMITS), chance.randint(1, 3)))
        elif how != "hold" and found:
            hold = chance.choice(found)
            model.gone += any(hold.resets[period] < model.resets[period] for period in LIMITS)
            await settle(store, hold, how, chance)
        elif how == "hold":
            refusals += not await take(store, model, hold_of(model, step, chance))
        for budget in await store.read(FindBudgets("key_1")):
            assert budget.window_ms == model.begun[budget.period], (step, budget)
            assert budget.used_usd_micros == model.used(budget.period, budget.window_ms), (step, budget)
            assert model.since_reset("total") <= LIMITS["total"]
    assert refusals > STEPS // 50
    assert model.late > 2
    assert model.gone > 2
    assert {hold.state for hold in model.taken} >= {"open", "voided", "refunded"}
