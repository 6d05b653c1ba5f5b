"""What only PostgreSQL has to answer for: deadlocks, lost connections, and its own guards on rows."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import asyncpg
import pytest

from imageway.core.ops import Refused
from imageway.ledger import ops, queries
from imageway.storage import StorageError
from imageway.storage.postgres.store import one_by_one_text
from imageway.tasks import ops as tasks
from tests.store.places import COMMITTED, KEY, TOPUP, WORKSPACE, Place, commit, task

OTHER = ops.CreateWorkspace("ws_2", "other", 1)
LOCK = "UPDATE wallets SET held = held WHERE workspace_id = $1"


async def somebody_waits(place: Place) -> None:
    """For a lock that another session holds."""
    connection = await asyncpg.connect(place.url)
    try:
        async with asyncio.timeout(60):
            while not await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def test_the_victim_of_a_deadlock_is_tried_again(postgres_place: Place) -> None:
    store = await postgres_place.open()
    await commit(store, WORKSPACE, OTHER, TOPUP, ops.TopUp("top_2", "ws_2", 9, 2))
    rival = await asyncpg.connect(postgres_place.url)
    await rival.execute("SET deadlock_timeout = '20s'")  # so that the store finds out first, and loses
    async with rival.transaction():
        await rival.execute(LOCK, "ws_2")
        both = store.commit(ops.Hold("req_1", "ws_1", 5, 3), ops.Hold("req_2", "ws_2", 5, 3))
        waiting = asyncio.ensure_future(both)
        await somebody_waits(postgres_place)
        await rival.execute(LOCK, "ws_1")
    assert await asyncio.wait_for(waiting, 10) == COMMITTED
    assert [row.state for row in await store.read(queries.ListHolds())] == ["open", "open"]
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    for _ in range(50):
        if await rival.fetchval(deadlocks):
            break
        await asyncio.sleep(0.1)
    assert await rival.fetchval(deadlocks) == 1
    await rival.close()
    await store.close()


async def test_a_line_lost_in_the_middle_of_a_commit_is_told_as_not_known_and_the_next_one_works(
    postgres_place: Place,
) -> None:
    store = await postgres_place.open()
    await commit(store, WORKSPACE, TOPUP)
    rival = await asyncpg.connect(postgres_place.url)
    async with rival.transaction():
        await rival.execute(LOCK, "ws_1")
        waiting = asyncio.ensure_future(store.commit(ops.Hold("req_1", "ws_1", 5, 3)))
        await somebody_waits(postgres_place)
        await rival.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        with pytest.raises(StorageError, match="whether the commit happened is not known") as raised:
            await asyncio.wait_for(waiting, 10)
        assert not raised.value.undone
    await commit(store, ops.Hold("req_1", "ws_1", 5, 3))
    await rival.close()
    await store.close()


async def test_questions_are_answered_again_after_all_lines_were_lost(postgres_place: Place) -> None:
    store = await postgres_place.open()
    await commit(store, WORKSPACE)
    lines = [holder._con for holder in cast("Any", store)._pool._holders if holder._con is not None]
    assert lines
    rival = await asyncpg.connect(postgres_place.url)
    await rival.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(60):
        while not all(line.is_closed() for line in lines):
            await asyncio.sleep(0.01)
    assert len(await store.read(queries.ListWorkspaces())) == 1
    await rival.close()
    await store.close()


async def test_a_claim_that_waited_for_a_rival_sees_the_rivals_task(postgres_place: Place) -> None:
    """The rival's claim and its task come in one commit: who has waited for it must not think that the task is gone."""
    store = await postgres_place.open()
    await commit(store, WORKSPACE, KEY)
    rival = await asyncpg.connect(postgres_place.url)
    first, second = tasks.ClaimKey("ws_1", "once", "req_1", 5), tasks.ClaimKey("ws_1", "once", "req_2", 5)
    async with rival.transaction():
        unit = (task(), first)
        assert await rival.fetchval("SELECT imageway_commit($1)", one_by_one_text([unit])) == "[null]"
        waiting = asyncio.ensure_future(store.commit(task("req_2"), second))
        await somebody_waits(postgres_place)
        assert not waiting.done()
    assert await asyncio.wait_for(waiting, 10) == Refused(second, "in_use")
    await rival.close()
    await store.close()


async def test_rows_guard_themselves_whatever_the_code_does(postgres_place: Place) -> None:
    store = await postgres_place.open()
    await commit(store, WORKSPACE, TOPUP)
    await store.close()
    connection = await asyncpg.connect(postgres_place.url)
    for statement in ("UPDATE transfers SET usd_micros = 0", "DELETE FROM transfers", "TRUNCATE transfers"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never changed"):
            await connection.execute(statement)
    for column in ("available", "held", "spent"):
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(f"UPDATE wallets SET {column} = -1")  # noqa: S608
        with pytest.raises(asyncpg.CheckViolationError, match="wallets_sum"):
            await connection.execute(f"UPDATE wallets SET {column} = {column} + 1")  # noqa: S608
    await connection.close()
