"""A budget that somebody resets, or drops and sets again: what was held of it before does not come back to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from imageway.core.errors import GatewayError
from imageway.core.ops import Committed, Refused, Store
from imageway.core.requests import Caller
from imageway.engine.limits import Spending, release_ops, spend_ops, spending_of
from imageway.ledger.access import FindBudgets, SetBudget
from imageway.ledger.ops import Capture, Hold, Refund, SpendBudget, Void
from imageway.server.administration.keys import change_budgets
from imageway.server.administration.office import Office
from imageway.server.machine import SystemRandom
from tests.store.places import KEY, TOPUP, WORKSPACE, commit

NOON_MS = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000
PERIODS = ("day", "month", "total")


class Watch:
    """A clock that somebody sets."""

    def __init__(self) -> None:
        self.at_ms = NOON_MS

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.at_ms / 1000

    async def sleep(self, seconds: float) -> None: ...


class Desk:
    """Whoever spends of a key's budgets, and whoever resets them."""

    def __init__(self, store: Store) -> None:
        self.store, self.clock, self.held = store, Watch(), 0
        self.office = Office(store, self.clock, SystemRandom(), "cli")

    async def caller(self) -> Caller:
        return Caller("key_1", "ws_1", budget_id="key_1", budgets=await self.store.read(FindBudgets("key_1")))

    async def spending(self, caller: Caller | None = None) -> Spending:
        found = spending_of(caller or await self.caller(), self.clock.at_ms)
        assert found is not None
        return found

    async def hold(self, amount: int, spending: Spending | None = None) -> tuple[str, Spending]:
        taken = spending or await self.spending()
        self.held += 1
        name = f"req_{self.held}"
        await commit(self.store, Hold(name, "ws_1", amount, 4), *spend_ops(taken, amount))
        return name, taken

    async def refused(self, amount: int) -> bool:
        """Whether a budget refuses it; what it does not refuse is not taken either."""
        taken = await self.spending()
        self.held += 1
        done = await self.store.commit(
            Hold(f"req_{self.held}", "ws_1", amount, 4),
            *spend_ops(taken, amount),
            *release_ops(taken, amount),
            Void(f"req_{self.held}", 5),
        )
        assert isinstance(done, Committed) or isinstance(done.op, SpendBudget)
        return isinstance(done, Refused)

    async def void(self, hold: tuple[str, Spending], amount: int) -> None:
        await commit(self.store, Void(hold[0], 5), *release_ops(hold[1], amount))

    async def change(self, limits: Mapping[str, str | None], reset: Sequence[str] = ()) -> Any:
        self.clock.at_ms += 1
        shown = await change_budgets(self.office, "key_1", limits, reset)
        self.clock.at_ms += 1
        return shown

    async def used(self) -> dict[str, int]:
        return {one.period: one.used_usd_micros for one in await self.store.read(FindBudgets("key_1"))}


@pytest.fixture
async def desk(store: Store) -> Desk:
    """Of a hundred micro-dollars in each period."""
    limits = (SetBudget("key_1", period, 100) for period in PERIODS)
    await commit(store, WORKSPACE, TOPUP, KEY, *limits)
    return Desk(store)


async def test_what_was_held_before_a_reset_does_not_come_back_after_it(desk: Desk) -> None:
    """Neither voided, nor captured for less, nor refunded: else a key would spend above its limit."""
    voided, captured, refunded = await desk.hold(40), await desk.hold(30), await desk.hold(20)
    await commit(desk.store, Capture(refunded[0], 20, 5))
    await desk.change({}, PERIODS)
    assert await desk.used() == dict.fromkeys(PERIODS, 0)
    await desk.hold(90)
    await desk.void(voided, 40)
    await commit(desk.store, Capture(captured[0], 10, 6), *release_ops(captured[1], 20))
    await commit(desk.store, Refund(refunded[0], 6), *release_ops(refunded[1], 20))
    assert await desk.used() == dict.fromkeys(PERIODS, 90)
    assert await desk.refused(11)
    assert not await desk.refused(10)


async def test_what_is_held_after_a_reset_comes_back(desk: Desk) -> None:
    await desk.hold(100)
    await desk.change({}, PERIODS)
    later = await desk.hold(60)
    await desk.void(later, 60)
    assert await desk.used() == dict.fromkeys(PERIODS, 0)


async def test_only_what_is_reset_begins_anew(desk: Desk) -> None:
    hold = await desk.hold(40)
    await desk.change({}, ["day"])
    assert await desk.used() == {"day": 0, "month": 40, "total": 40}
    await desk.hold(10)
    await desk.void(hold, 40)
    assert await desk.used() == {"day": 10, "month": 10, "total": 10}


async def test_one_reset_after_another_in_the_same_moment_begins_anew_each_time(desk: Desk) -> None:
    for _ in range(3):
        hold = await desk.hold(70)
        desk.clock.at_ms = NOON_MS
        await desk.change({}, PERIODS)
        await desk.hold(80)
        await desk.void(hold, 70)
        assert await desk.used() == dict.fromkeys(PERIODS, 80)
        await desk.change({}, PERIODS)


async def test_a_reset_by_a_clock_that_lags_begins_anew_as_well(desk: Desk) -> None:
    desk.clock.at_ms += 2 * DAY_MS
    hold = await desk.hold(70)
    desk.clock.at_ms = NOON_MS - 3 * DAY_MS
    await desk.change({}, PERIODS)
    await desk.hold(80)
    await desk.void(hold, 70)
    assert await desk.used() == dict.fromkeys(PERIODS, 80)


async def test_whose_price_was_worked_out_before_a_reset_counts_in_what_is_over(desk: Desk) -> None:
    """As one from before midnight does: it has to fit, and neither what it holds nor what comes back of it counts."""
    before = await desk.spending()
    await desk.change({}, PERIODS)
    await desk.hold(30)
    late = await desk.hold(60, before)
    assert await desk.used() == dict.fromkeys(PERIODS, 30)
    await desk.void(late, 60)
    assert await desk.used() == dict.fromkeys(PERIODS, 30)


async def test_a_budget_that_was_dropped_and_set_again_knows_nothing_of_before(desk: Desk) -> None:
    hold = await desk.hold(70)
    await desk.change(dict.fromkeys(PERIODS))
    await desk.change(dict.fromkeys(PERIODS, "0.0001"))
    await desk.hold(80)
    await desk.void(hold, 70)
    assert await desk.used() == dict.fromkeys(PERIODS, 80)


async def test_a_new_limit_takes_nothing_from_what_is_spent_and_lets_it_come_back(desk: Desk) -> None:
    hold = await desk.hold(70)
    await desk.change(dict.fromkeys(PERIODS, "0.0002"))
    assert await desk.used() == dict.fromkeys(PERIODS, 70)
    await desk.void(hold, 70)
    assert await desk.used() == dict.fromkeys(PERIODS, 0)


async def test_the_next_day_and_month_begin_when_they_always_do(desk: Desk) -> None:
    await desk.change({}, PERIODS)
    await desk.hold(90)
    shown = (await desk.change({})).budgets
    assert {period: one.used_usd for period, one in shown.items()} == dict.fromkeys(PERIODS, "0.000090")
    assert [shown[period].resets and shown[period].resets[:10] for period in PERIODS] == [
        "2026-11-21",
        "2026-12-01",
        None,
    ]
    desk.clock.at_ms = NOON_MS + DAY_MS
    assert (await desk.change({})).budgets["day"].used_usd == "0.000000"
    desk.clock.at_ms = NOON_MS + 30 * DAY_MS
    assert {period: one.used_usd for period, one in (await desk.change({})).budgets.items()} == {
        "day": "0.000000",
        "month": "0.000000",
        "total": "0.000090",
    }
    assert await desk.refused(11)
    assert not await desk.refused(10)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("limits", [{}, {"day": None}, {"month": "0.5", "day": None}])
async def test_what_is_not_there_cannot_be_reset(desk: Desk, there: bool, limits: dict[str, str | None]) -> None:
    """Nor what is dropped with the same words; and nothing else is done then."""
    if not there:
        await desk.change({"day": None})
    elif not limits:
        limits = {"day": None}
    before = await desk.store.read(FindBudgets("key_1"))
    with pytest.raises(GatewayError, match="there is no such budget: key_1") as raised:
        await desk.change(limits, ["month", "day"])
    assert raised.value.code == "not_found"
    assert await desk.store.read(FindBudgets("key_1")) == before
    await desk.change({"day": "0.0001"}, ["day"])
    assert (await desk.used())["day"] == 0
