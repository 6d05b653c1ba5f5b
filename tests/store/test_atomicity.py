"""All ops of a unit or none: the k-th fails, for every k, in every way an op can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from imageway.core.ops import Op, Query, Refused, Store
from imageway.ledger import ops as ledger
from imageway.storage import StorageClosed
from imageway.tasks import ops as tasks
from tests.store.places import (
    COMMITTED,
    HOLD,
    KEY,
    TOPUP,
    WORKSPACE,
    Place,
    attempt,
    commit,
    everything,
    finish,
    task,
    usage,
)

ACCEPT = (task(), HOLD, tasks.ClaimKey("ws_1", "once", "req_1", 5), attempt())
SETTLE = (
    tasks.EndAttempt("att_1", "proved", "", 9),
    ledger.Capture("req_1", 20_000, 9),
    ledger.BookCost("req_1", "up_1", 15_000, 9),
    finish(),
    usage(),
)
NO = tasks.FinishTask("req_none", "failed", b"", 9)


class Unheard(Op, frozen=True):
    """An op that no store knows."""


@dataclass(frozen=True, slots=True)
class Unasked(Query[int]):
    """A query that no store knows."""


@pytest.mark.parametrize("place_of_failure", range(len(ACCEPT) + 1))
async def test_an_accept_unit_whose_kth_op_is_refused_never_happened(store: Store, place_of_failure: int) -> None:
    await commit(store, WORKSPACE, TOPUP, KEY)
    rows = await everything(store)
    unit = (*ACCEPT[:place_of_failure], NO, *ACCEPT[place_of_failure:])
    assert await store.commit(*unit) == Refused(NO, "task_final")
    assert await everything(store) == rows
    assert await store.commit(*ACCEPT) == COMMITTED


@pytest.mark.parametrize("place_of_failure", range(len(SETTLE) + 1))
async def test_a_settle_unit_whose_kth_op_is_refused_never_happened(store: Store, place_of_failure: int) -> None:
    await commit(store, WORKSPACE, TOPUP, KEY)
    assert await store.commit(*ACCEPT) == COMMITTED
    rows = await everything(store)
    unit = (*SETTLE[:place_of_failure], NO, *SETTLE[place_of_failure:])
    assert await store.commit(*unit) == Refused(NO, "task_final")
    assert await everything(store) == rows
    assert await store.commit(*SETTLE) == COMMITTED


async def test_a_refusal_names_the_very_op_that_refused(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP)
    second = ledger.Hold("req_2", "ws_1", 999_999, 5)
    refused = await store.commit(HOLD, second)
    assert isinstance(refused, Refused)
    assert refused.op is second


async def test_units_that_share_a_group_stand_and_fall_alone(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP)
    good = [ledger.Hold(f"req_{number}", "ws_1", 10, 5) for number in range(20)]
    bad = ledger.Hold("req_bad", "ws_1", 10**9, 5)
    outcomes = await asyncio.gather(*(store.commit(op) for hold in good for op in (hold, bad)))
    assert list(outcomes) == [COMMITTED, Refused(bad, "insufficient_balance")] * 20
    assert len((await everything(store))["holds"]) == 20  # type: ignore[arg-type]


OF_ONE_KIND: dict[str, Callable[[str], Op]] = {
    "no_workspace": lambda name: ledger.Hold(f"other_{name}", "ws_1" if name != "3" else "nowhere", 1, 5),
    "duplicate": lambda name: ledger.Hold(f"other_{name}" if name != "3" else "req_1", "ws_1", 1, 5),
    "no_open_hold": lambda name: ledger.Capture(f"req_{name}", 5, 9),
    "above_hold": lambda name: ledger.Capture(f"req_{int(name) % 3}", 10 if name != "3" else 11, 9),
    "key_revoked": lambda name: task(f"other_{name}", key_id=KEY.id if name != "3" else "nobody"),
    "not_owner": lambda name: attempt(f"other_{name}", f"req_{name}"),
    "task_final": lambda name: tasks.EndAttempt(f"att_{name}", "proved", "", 9),
    "task_final ": lambda name: finish(f"req_{name}"),
    "not_undelivered": lambda name: ledger.MarkDelivery(f"req_{name}", "delivered", 9),
}


@pytest.mark.parametrize("why", OF_ONE_KIND)
async def test_of_ops_of_one_kind_in_one_group_only_the_refused_one_did_not_happen(store: Store, why: str) -> None:
    """SQLite runs them side by side, and must notice that one of them touched nothing."""
    await commit(store, WORKSPACE, TOPUP, KEY)
    for name in ("0", "1", "2"):
        hold = ledger.Hold(f"req_{name}", "ws_1", 10, 5)
        unit = (task(f"req_{name}"), hold, attempt(f"att_{name}", f"req_{name}"), usage(f"req_{name}"))
        assert await store.commit(*unit) == COMMITTED
    made = [OF_ONE_KIND[why](name) for name in ("1", "3", "2")]
    assert await asyncio.gather(*map(store.commit, made)) == [COMMITTED, Refused(made[1], why.strip()), COMMITTED]


async def test_an_op_nobody_taught_the_store_is_a_type_error_and_changes_nothing(store: Store) -> None:
    with pytest.raises(TypeError, match="Unheard"):
        await store.commit(WORKSPACE, Unheard())
    with pytest.raises(TypeError, match="Unasked"):
        await store.read(Unasked())
    await commit(store, WORKSPACE)


async def test_an_empty_unit_commits(store: Store) -> None:
    assert await store.commit() == COMMITTED


async def test_a_value_the_database_cannot_take_is_raised_to_its_own_unit_alone(durable_place: Place) -> None:
    """Half a surrogate pair is no text anywhere; what shares its group goes through."""
    store = await durable_place.open()
    spoiled = ledger.CreateWorkspace("ws_2", "half \ud83d", 1)
    outcomes = await asyncio.gather(
        store.commit(WORKSPACE), store.commit(TOPUP, spoiled), store.commit(TOPUP), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(COMMITTED), UnicodeEncodeError, type(COMMITTED)]
    await store.close()


async def test_a_nul_in_a_name_hurts_nobody_else(postgres_place: Place) -> None:
    """PostgreSQL alone minds it, and would refuse the whole group."""
    store = await postgres_place.open()
    spoiled = ledger.CreateWorkspace("ws_2", "nul \0", 1)
    outcomes = await asyncio.gather(
        store.commit(WORKSPACE), store.commit(spoiled), store.commit(TOPUP), return_exceptions=True
    )
    assert [type(outcome).__name__ for outcome in outcomes] == ["Committed", "StorageError", "Committed"]
    await store.close()


async def test_a_closed_store_says_so_and_may_be_closed_again(place: Place) -> None:
    store = await place.open()
    pending = asyncio.ensure_future(store.commit(WORKSPACE))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert await pending == COMMITTED
    with pytest.raises(StorageClosed):
        await store.commit(TOPUP)
    with pytest.raises(StorageClosed):
        await store.read(ledger_question())


def ledger_question() -> Query[object]:
    from imageway.ledger.queries import ListWorkspaces

    return ListWorkspaces()  # type: ignore[return-value]


async def test_a_waiter_that_goes_away_does_not_take_its_unit_along(store: Store) -> None:
    await commit(store, WORKSPACE)
    gone = asyncio.ensure_future(store.commit(TOPUP))
    await asyncio.sleep(0)
    gone.cancel()
    assert await store.commit(ledger.Hold("req_1", "ws_1", 1_000_000, 5)) == COMMITTED
