"""What is forgotten when it is old, and what is not, on every executor."""

from __future__ import annotations

import asyncio

import pytest

from imageway.core.ops import Store
from imageway.ledger import ops as ledger
from imageway.ledger import queries as asked
from imageway.tasks import ops, queries, webhooks
from imageway.tasks.sweeping import ForgetClaims, ForgetTasks, OldestClaim, OldTasks
from tests.store.places import (
    CAPTURE,
    COMMITTED,
    HOLD,
    KEY,
    TOPUP,
    WORKSPACE,
    Place,
    all_transfers,
    attempt,
    commit,
    finish,
    task,
    usage,
)

TOLD = webhooks.AddDelivery("msg_1", "ws_1", "req_1", "https://hooks.test", "task.succeeded", 12)


@pytest.fixture
async def store(store: Store) -> Store:
    """With a task from beginning to end, delivered, and one that runs."""
    await commit(store, WORKSPACE, TOPUP, KEY, task(), HOLD, attempt())
    await commit(store, ops.EndAttempt("att_1", "proved", "", 8), CAPTURE, usage(delivery="stored"), finish())
    await commit(store, task("req_2"), ledger.Hold("req_2", "ws_1", 1, 5), attempt("att_2", task_id="req_2"))
    return store


async def old(store: Store, before_ms: int = 10**15, limit: int = 9) -> tuple[str, ...]:
    return await store.read(OldTasks(before_ms, limit))


async def is_there(store: Store, task_id: str = "req_1") -> bool:
    return await store.read(queries.ShowTask(task_id)) is not None


async def ended_ms(store: Store) -> int:
    found = await store.read(queries.ShowTask("req_1"))
    assert found is not None
    assert found.finished_ms is not None
    return found.finished_ms


async def test_a_task_is_old_once_it_ended_before_then(store: Store) -> None:
    """What ended at that moment is not, and what has not ended never is."""
    at_ms = await ended_ms(store)
    assert await old(store, at_ms) == ()
    assert await old(store, at_ms + 1) == ("req_1",)
    assert await old(store) == ("req_1",)


async def test_the_oldest_come_first_and_no_more_than_were_asked_for(store: Store) -> None:
    await commit(store, ops.FinishTask("req_2", "failed", b"{}", 7), task("req_3"))
    await commit(store, ops.FinishTask("req_3", "failed", b"{}", 8))
    assert await old(store, limit=2) == ("req_2", "req_3")


async def test_a_forgotten_task_is_gone_with_its_attempts(store: Store) -> None:
    await commit(store, ForgetTasks(("req_1",)))
    assert not await is_there(store)
    assert await old(store) == ()
    assert await store.commit(task(), attempt()) == COMMITTED, "not even the attempt's id is taken"


async def test_money_and_usage_are_kept(store: Store) -> None:
    async def books() -> list[object]:
        holds, wallet = await store.read(asked.ListHolds()), await store.read(asked.ShowWallet("ws_1"))
        return [await all_transfers(store), holds, wallet, await store.read(asked.ListUsage())]

    before = await books()
    await commit(store, ForgetTasks(("req_1",)))
    assert await books() == before


async def test_what_runs_is_not_forgotten_whoever_asks(store: Store) -> None:
    await commit(store, ForgetTasks(("req_1", "req_2", "req_9")))
    (left,) = await store.read(queries.RunningTasks())
    assert [attempt.id for attempt in left.attempts] == ["att_2"]


async def test_an_answer_that_is_still_to_be_delivered_or_refunded_keeps_its_task(store: Store) -> None:
    await commit(store, task("req_3"), ledger.Hold("req_3", "ws_1", 5, 5))
    await commit(store, ledger.Capture("req_3", 5, 6), usage("req_3"), ops.FinishTask("req_3", "succeeded", b"{}", 7))
    assert await old(store) == ("req_1",)
    await commit(store, ForgetTasks(("req_3",)))
    assert await is_there(store, "req_3")
    await commit(store, ledger.MarkDelivery("req_3", "refunded", 9), ledger.Refund("req_3", 9))
    assert await old(store) == ("req_3", "req_1")
    await commit(store, ForgetTasks(("req_3",)))
    assert not await is_there(store, "req_3")


async def test_a_task_that_somebody_is_still_to_be_told_of_is_kept(store: Store) -> None:
    await commit(store, TOLD)
    assert await old(store) == ()
    await commit(store, ForgetTasks(("req_1",)))
    assert await is_there(store)
    assert await store.read(webhooks.FindDelivery("msg_1"))


async def test_with_a_task_go_the_deliveries_that_told_of_it(store: Store) -> None:
    """They could not be replayed: there is nothing left to tell."""
    other = webhooks.AddDelivery("msg_2", "ws_1", "req_2", "https://hooks.test", "task.succeeded", 12)
    await commit(store, TOLD, other, webhooks.ClaimDelivery("msg_1", 0, 12, 50))
    await commit(store, webhooks.EndDelivery("msg_1", 1, "delivered", 200, "", 13))
    await commit(store, ForgetTasks(await old(store)))
    assert not await is_there(store)
    assert await store.read(webhooks.FindDelivery("msg_1")) is None
    assert await store.read(webhooks.FindDelivery("msg_2"))


async def test_claims_go_when_they_have_expired_the_oldest_first(store: Store) -> None:
    assert await store.read(OldestClaim()) is None
    for at_ms in (6, 5, 7, 8):
        await commit(store, ops.ClaimKey("ws_1", f"key {at_ms}", "req_2", at_ms))
    assert await store.read(OldestClaim()) == 5
    await commit(store, ForgetClaims(7, 2))
    assert await store.read(OldestClaim()) == 7
    await commit(store, ForgetClaims(7, 2))
    assert await store.read(OldestClaim()) == 8
    assert await store.read(queries.FindClaim("ws_1", "key 7")) is None
    assert await store.read(queries.FindClaim("ws_1", "key 8"))


async def test_a_key_whose_claim_is_gone_is_free(store: Store) -> None:
    claim = ops.ClaimKey("ws_1", "once", "req_2", 5)
    await commit(store, claim)
    await commit(store, ForgetClaims(5, 9))
    assert await store.commit(claim) == COMMITTED


async def test_two_stores_that_forget_the_same_are_not_in_each_others_way(durable_place: Place) -> None:
    first, second = await durable_place.open(), await durable_place.open()
    await commit(first, WORKSPACE, KEY)
    ids = [f"req_{number}" for number in range(100)]
    lives = [
        (task(one), attempt(f"att_{one}", task_id=one), ops.ClaimKey("ws_1", one, one, 5), finish(one)) for one in ids
    ]
    assert set(await asyncio.gather(*(first.commit(*life) for life in lives))) == {COMMITTED}
    while left := await first.read(OldTasks(10**15, 20)):
        sweeps = [store.commit(ForgetTasks(left), ForgetClaims(5, 15)) for store in (first, second)]
        assert set(await asyncio.gather(*sweeps)) == {COMMITTED}
    assert (await second.read(queries.FindTasks(workspace_id="ws_1"))).total == 0
    assert set(await asyncio.gather(*(store.commit(ForgetClaims(5, 99)) for store in (first, second)))) == {COMMITTED}
    assert await second.read(OldestClaim()) is None
    await first.close()
    await second.close()
