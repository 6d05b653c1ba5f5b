"""Many at once: in one process, in two stores on one database, in two processes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter

import pytest

from imageway.core.ops import Committed, Op, Refused, Store
from imageway.engine.settlement import refunded
from imageway.ledger import ops, queries
from imageway.tasks import ops as tasks
from tests.store.places import COMMITTED, KEY, WORKSPACE, Place, all_transfers, attempt, commit, finish, task, usage

PRICE = 30_000


async def hold_at_once(stores: list[Store], count: int) -> Counter[str]:
    outcomes = await asyncio.gather(
        *(
            stores[number % len(stores)].commit(ops.Hold(f"req_{number}", "ws_1", PRICE, 5), task(f"req_{number}"))
            for number in range(count)
        )
    )
    return Counter(outcome.why if isinstance(outcome, Refused) else "committed" for outcome in outcomes)


async def test_of_200_holds_at_once_exactly_those_that_fit_go_through(store: Store) -> None:
    await commit(store, WORKSPACE, KEY, ops.TopUp("top_1", "ws_1", 137 * PRICE + PRICE - 1, 2))
    assert await hold_at_once([store], 200) == {"committed": 137, "insufficient_balance": 63}
    came, wallet = 138 * PRICE - 1, await store.read(queries.ShowWallet("ws_1"))
    assert wallet == queries.Wallet("ws_1", "studio", PRICE - 1, 137 * PRICE, 0, topped_up=came)
    assert len(await store.read(queries.ListHolds())) == 137


async def test_two_stores_on_one_database_never_spend_the_same_money(durable_place: Place) -> None:
    first, second = await durable_place.open(), await durable_place.open()
    await commit(first, WORKSPACE, KEY, ops.TopUp("top_1", "ws_1", 137 * PRICE, 2))
    assert await hold_at_once([first, second], 200) == {"committed": 137, "insufficient_balance": 63}
    wallet = await second.read(queries.ShowWallet("ws_1"))
    assert wallet == queries.Wallet("ws_1", "studio", 0, 137 * PRICE, 0, topped_up=137 * PRICE)
    await first.close()
    await second.close()


async def test_two_stores_that_cross_each_other_in_many_wallets_both_come_through(durable_place: Place) -> None:
    """Groups of two replicas over the same wallets in opposite order: sorted, retried, never stuck."""
    first, second = await durable_place.open(), await durable_place.open()
    names = [f"ws_{number}" for number in range(16)]
    for name in names:
        await commit(first, ops.CreateWorkspace(name, name, 1), ops.TopUp(f"top_{name}", name, 10**9, 2))
    for turn in range(10):
        outcomes = await asyncio.gather(
            *(first.commit(ops.Hold(f"a{turn}{name}", name, 1, 5)) for name in names),
            *(second.commit(ops.Hold(f"b{turn}{name}", name, 1, 5)) for name in reversed(names)),
        )
        assert set(outcomes) == {COMMITTED}
    voids = [
        (store, f"{letter}{turn}{name}")
        for store, letter in ((first, "a"), (second, "b"))
        for turn in range(10)
        for name in (names if letter == "a" else reversed(names))
    ]
    outcomes = await asyncio.gather(*(store.commit(ops.Void(task_id, 6)) for store, task_id in voids))
    assert set(outcomes) == {COMMITTED}
    assert sum(row.usd_micros for row in await all_transfers(first) if row.kind == "void") == 320
    await first.close()
    await second.close()


async def test_a_task_is_adopted_by_one_alone_and_ended_by_one_alone(durable_place: Place) -> None:
    """Two replicas race for each of 40 tasks: adoption against the old owner's next attempt, then end against end."""
    first, second = await durable_place.open(), await durable_place.open()
    await commit(first, WORKSPACE, KEY)
    for number in range(40):
        await commit(first, task(f"req_{number}"))
    adopted = await asyncio.gather(
        *(
            store.commit(tasks.AdoptTask(f"req_{number}", "process_a", 1, name))
            for number in range(40)
            for store, name in ((first, "process_b"), (second, "process_c"))
        )
    )
    begun = await asyncio.gather(*(first.commit(attempt(f"att_{n}", f"req_{n}")) for n in range(40)))
    ended = await asyncio.gather(
        *(store.commit(finish(f"req_{number}", "failed")) for number in range(40) for store in (first, second))
    )
    assert [sum(isinstance(one, Committed) for one in pair) for pair in pairs(adopted)] == [1] * 40
    assert not any(isinstance(one, Committed) for one in begun)
    assert [sum(isinstance(one, Committed) for one in pair) for pair in pairs(ended)] == [1] * 40
    await first.close()
    await second.close()


def pairs(outcomes: list[Committed | Refused]) -> list[list[Committed | Refused]]:
    return [outcomes[place : place + 2] for place in range(0, len(outcomes), 2)]


async def test_a_store_sees_what_another_one_was_told_is_committed(durable_place: Place) -> None:
    first, second = await durable_place.open(), await durable_place.open()
    for number in range(20):
        await commit(first, ops.CreateWorkspace(f"ws_{number}", f"name {number}", number))
        assert len(await second.read(queries.ListWorkspaces())) == number + 1
    await first.close()
    await second.close()


OTHER_PROCESS = """
import asyncio, sys
from imageway.ledger import ops, queries
from imageway.storage import open_store

async def main(url):
    store = await open_store(url, create=False)
    found = await store.read(queries.FindWorkspace("studio"))
    print(await store.commit(ops.TopUp("top_2", found.id, 5, 3)), flush=True)
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


async def test_a_second_process_gets_its_turn_while_the_first_is_busy(quick_place: Place) -> None:
    """The command line works while the gateway serves: rows are seen both ways, and nobody waits for seconds."""
    store = await quick_place.open()
    await commit(store, WORKSPACE, ops.TopUp("top_1", "ws_1", 10**12, 2))
    busy = True

    async def keep_busy(letter: str) -> None:
        number = 0
        while busy:
            number += 1
            await commit(store, ops.Hold(f"{letter}{number}", "ws_1", 1, 5))

    load = [asyncio.ensure_future(keep_busy(letter)) for letter in "abcdefgh"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OTHER_PROCESS, quick_place.url, stdout=asyncio.subprocess.PIPE
    )
    started_s = time.monotonic()
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    busy = False
    await asyncio.gather(*load)
    assert output.decode().strip() == "Committed()"
    assert 5 in {row.usd_micros for row in await all_transfers(store) if row.kind == "topup"}
    assert time.monotonic() - started_s < 10
    await store.close()


async def test_commits_go_on_while_the_loop_is_busy(quick_place: Place) -> None:
    """Slices of work that leave the loop only for a poll starve a thread that runs statements (docs/decisions)."""
    store = await quick_place.open()
    await commit(store, WORKSPACE, ops.TopUp("top_1", "ws_1", 10**12, 2))
    busy = True

    async def slices() -> None:
        while busy:
            until_s = time.perf_counter() + 0.0001
            while time.perf_counter() < until_s:
                pass
            await asyncio.sleep(0)

    load = asyncio.ensure_future(slices())
    started_s = time.monotonic()
    for turn in range(5):
        await asyncio.gather(*(store.commit(ops.Hold(f"{turn}-{n}", "ws_1", 1, 5)) for n in range(32)))
    took_s = time.monotonic() - started_s
    busy = False
    await load
    assert took_s < 5
    await store.close()


@pytest.mark.parametrize("count", [1, 31, 32, 33, 100])
async def test_groups_of_every_size_answer_everybody(store: Store, count: int) -> None:
    await commit(store, WORKSPACE, KEY, ops.TopUp("top_1", "ws_1", 10**9, 2))
    assert await hold_at_once([store], count) == {"committed": count}


async def test_a_replica_that_refunds_and_one_that_books_never_wait_for_each_other_in_a_circle(
    postgres_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both change the workspace's wallet and its sums of the hour. A deadlock would be resolved and tried again,
    after a second in which nobody of that workspace gets anywhere; here the first one counts."""
    monkeypatch.setattr("imageway.storage.postgres.store.TRIES", 1)
    first, second = await postgres_place.open(), await postgres_place.open()
    await commit(first, WORKSPACE, ops.TopUp("top_1", "ws_1", 10**9, 2), KEY)

    def accepted(task_id: str) -> tuple[Op, ...]:
        return task(task_id), ops.Hold(task_id, "ws_1", 10, 5), attempt(f"att_{task_id}", task_id=task_id)

    def settled(task_id: str) -> tuple[Op, ...]:
        return ops.Capture(task_id, 10, 9), usage(task_id), finish(task_id)

    async def life(store: Store, task_id: str) -> None:
        for unit in (accepted(task_id), settled(task_id)):
            assert await store.commit(*unit) == COMMITTED

    for turn in range(20):
        lost = [f"lost_{turn}_{number}" for number in range(30)]
        await asyncio.gather(*(life(first, task_id) for task_id in lost))
        refunds = [refunded(task_id, 10, None, 10, workspace_id="ws_1") for task_id in lost]
        busy = [life(first, f"busy_{turn}_{number}") for number in range(60)]
        done = await asyncio.gather(*(second.commit(*refund) for refund in refunds), *busy)
        assert set(done) == {COMMITTED, None}
    await first.close()
    await second.close()
