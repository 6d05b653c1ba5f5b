"""Budgets of keys: what a hold may take in a period, and what comes back."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import asyncpg
import pytest

from imageway.core.access import Budget
from imageway.core.ops import Committed, Refused, Store
from imageway.ledger import ops
from imageway.storage.memory import MemoryStore
from tests.store.places import HOLD, TOPUP, WORKSPACE, Place, commit

MONDAY, TUESDAY = 86_400_000, 2 * 86_400_000
INSERT = (
    "INSERT INTO budgets (budget_id, period, limit_usd_micros, used_usd_micros, window_ms)"
    " VALUES ('key_1', 'day', 100, 0, 0)"
)
SELECT = "SELECT used_usd_micros, window_ms FROM budgets"


def spend(usd_micros: int, window_ms: int = MONDAY, period: str = "day") -> ops.SpendBudget:
    return ops.SpendBudget("key_1", period, window_ms, usd_micros)


def release(usd_micros: int, window_ms: int = MONDAY) -> ops.ReleaseBudget:
    return ops.ReleaseBudget("key_1", "day", window_ms, usd_micros)


@pytest.fixture
async def limited(store: Store, place: Place) -> Store:
    """Of a hundred micro-dollars a day."""
    if isinstance(store, MemoryStore):
        store._tables.budgets["key_1", "day"] = Budget("day", 100)
    else:
        await run(place, INSERT)
    return store


async def run(place: Place, statement: str) -> tuple[int, int]:
    if place.name == "sqlite":
        with closing(sqlite3.connect(place.url.removeprefix("sqlite://"))) as connection, connection:
            row = connection.execute(statement).fetchone()
    else:
        rival = await asyncpg.connect(place.url)
        row = await rival.fetchrow(statement)
        await rival.close()
    return tuple(row) if row else (0, 0)


async def used(store: Store, place: Place) -> tuple[int, int]:
    """(micro-dollars, window ms)"""
    if isinstance(store, MemoryStore):
        budget = store._tables.budgets["key_1", "day"]
        return budget.used_usd_micros, budget.window_ms
    return await run(place, SELECT)


async def test_a_budget_is_spent_to_its_last_micro_dollar_and_no_further(limited: Store, place: Place) -> None:
    await commit(limited, spend(60), spend(40))
    assert await limited.commit(spend(1)) == Refused(spend(1), "budget_exceeded")
    assert await used(limited, place) == (100, MONDAY)


async def test_where_there_is_no_budget_nothing_happens(limited: Store, place: Place) -> None:
    await commit(limited, spend(10**9, period="month"), ops.ReleaseBudget("key_2", "day", MONDAY, 5))
    assert await used(limited, place) == (0, 0)


async def test_a_later_window_begins_with_nothing_spent(limited: Store, place: Place) -> None:
    await commit(limited, spend(90), spend(80, TUESDAY))
    assert await used(limited, place) == (80, TUESDAY)


async def test_a_window_that_is_over_is_not_begun_again(limited: Store, place: Place) -> None:
    """A process whose clock lags would otherwise open the budget anew, and anew again with the next request. What it
    holds has to fit into what is left of the window that runs."""
    await commit(limited, spend(80, TUESDAY))
    assert await limited.commit(spend(30, MONDAY)) == Refused(spend(30, MONDAY), "budget_exceeded")
    await commit(limited, spend(20, MONDAY))
    assert await used(limited, place) == (80, TUESDAY)


async def test_what_is_held_late_counts_in_no_later_window_and_goes_back_to_none(limited: Store, place: Place) -> None:
    """Two of them were worked out before midnight and come after another's of the day that has begun."""
    await commit(limited, spend(10))
    await commit(limited, spend(50, TUESDAY))
    await commit(limited, spend(30))
    await commit(limited, spend(40))
    assert await used(limited, place) == (50, TUESDAY)
    await commit(limited, release(30))
    await commit(limited, release(15))
    assert await used(limited, place) == (50, TUESDAY)
    await commit(limited, spend(50, TUESDAY), release(20, TUESDAY))
    assert await used(limited, place) == (80, TUESDAY)


async def test_what_a_late_hold_spent_counts_in_no_later_window_either(limited: Store, place: Place) -> None:
    """It belongs to the day in which it was worked out, which is over: the wallet pays, and the new day is whole."""
    await commit(limited, WORKSPACE, TOPUP, spend(50, TUESDAY))
    await commit(limited, ops.Hold("req_1", "ws_1", 40, 4), spend(40))
    await commit(limited, ops.Capture("req_1", 25, 5), release(15))
    assert await used(limited, place) == (50, TUESDAY)
    await commit(limited, ops.Refund("req_1", 6), release(25))
    assert await used(limited, place) == (50, TUESDAY)


async def test_late_ones_side_by_side_with_others_count_nowhere(limited: Store, place: Place) -> None:
    """Each alone fits; they are added up first, and the group falls apart where the sum does not."""
    await commit(limited, spend(60, TUESDAY))
    for _ in range(2):
        late = (limited.commit(spend(30)) for _ in range(3))
        assert await asyncio.gather(*late, limited.commit(spend(5, TUESDAY))) == [Committed()] * 4
    assert await used(limited, place) == (70, TUESDAY)
    gave_back = (limited.commit(release(30)) for _ in range(3))
    await asyncio.gather(*gave_back, limited.commit(release(10, TUESDAY)))
    assert await used(limited, place) == (60, TUESDAY)


async def test_what_was_not_taken_comes_back(limited: Store, place: Place) -> None:
    await commit(limited, spend(90), release(30))
    assert await used(limited, place) == (60, MONDAY)


async def test_what_was_taken_in_an_earlier_window_does_not_come_back_in_a_later_one(
    limited: Store, place: Place
) -> None:
    await commit(limited, spend(90), spend(50, TUESDAY), release(30))
    assert await used(limited, place) == (50, TUESDAY)


async def test_no_more_comes_back_than_is_there(limited: Store, place: Place) -> None:
    await commit(limited, spend(10), release(30))
    assert await used(limited, place) == (0, MONDAY)


async def test_a_refused_hold_leaves_the_budget_as_it_was(limited: Store, place: Place) -> None:
    await commit(limited, WORKSPACE, TOPUP)
    dear = ops.Hold("req_1", "ws_1", 10**9, 4)
    assert await limited.commit(spend(10), dear) == Refused(dear, "insufficient_balance")
    assert await limited.commit(HOLD, spend(101)) == Refused(spend(101), "budget_exceeded")
    assert await used(limited, place) == (0, 0)


async def test_of_many_at_once_exactly_as_many_fit_as_there_is_room_for(limited: Store, place: Place) -> None:
    """Side by side they are added up first; the group falls apart when the sum does not fit."""
    outcomes = await asyncio.gather(*(limited.commit(spend(9)) for _ in range(40)))
    assert outcomes.count(Committed()) == 11
    assert await used(limited, place) == (99, MONDAY)
