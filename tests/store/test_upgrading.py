"""A database that an earlier Imageway left behind: its rows stay, and it learns what came later."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from imageway.core.ops import Op, Store
from imageway.ledger import ops as ledger
from imageway.ledger import queries as asked
from imageway.ledger import usage as summed
from imageway.storage import StorageError
from imageway.storage.migrations import HEAD, REVISIONS, running
from imageway.storage.postgres.connection import COMMAND_TIMEOUT_S
from imageway.tasks import ops as tasks
from imageway.tasks import queries as tasks_asked
from imageway.tasks import webhooks
from tests.store.places import (
    CAPTURE,
    CLAIM,
    COMMITTED,
    DELIVERY,
    ENDPOINT,
    HOLD,
    KEY,
    NAMED,
    ROTATION,
    SECRET,
    TOPUP,
    WORKSPACE,
    Place,
    attempt,
    commit,
    finish,
    task,
    usage,
)
from tests.store.releases import inserted, leave_postgres, leave_sqlite

OLD_LIFE: tuple[Op, ...] = (
    WORKSPACE,
    TOPUP,
    KEY,
    task(),
    HOLD,
    attempt(),
    tasks.KeepMemo("att_1", b'{"id":"a"}', 7),
    tasks.EndAttempt("att_1", "proved", "", 8),
    CAPTURE,
    usage(delivery="stored"),
    finish(),
    task("req_2", created_ms=12),
    ledger.Hold("req_2", "ws_1", 40_000, 12),
    tasks.ClaimKey("ws_1", "once", "req_2", 12),
    attempt("att_2", "req_2"),
)
"""One request that has ended, and one that is under way."""
ASKED = b'{"prompt": "a cat \xe7\x8c\xab"}'
OLD_ROWS: tuple[tuple[str, str, tuple[object, ...]], ...] = (
    ("workspaces", "id name created_ms", ("ws_1", "studio", 1)),
    *(
        (
            "transfers",
            "kind workspace_id task_id topup_id account usd_micros at_ms",
            (kind, "ws_1", task_id, topup_id, "wallet", usd_micros, at_ms),
        )
        for kind, task_id, topup_id, usd_micros, at_ms in (
            ("topup", None, "top_1", 1_000_000, 2),
            ("hold", "req_1", None, 30_000, 4),
            ("capture", "req_1", None, 20_000, 9),
            ("void", "req_1", None, 10_000, 9),
            ("hold", "req_2", None, 40_000, 12),
        )
    ),
    ("holds", "task_id workspace_id usd_micros captured state", ("req_1", "ws_1", 30_000, 20_000, "captured")),
    ("holds", "task_id workspace_id usd_micros captured state", ("req_2", "ws_1", 40_000, 0, "open")),
    *(
        (
            "tasks",
            "id workspace_id key_id model owner fence request created_ms deadline_ms state result finished_ms",
            (task_id, "ws_1", "key_1", "draw-1", "process_a", 1, ASKED, created_ms, 900_005, *end),
        )
        for task_id, created_ms, end in (
            ("req_1", 5, ("succeeded", b'{"images": 1}', 9)),
            ("req_2", 12, ("running", b"", None)),
        )
    ),
    *(
        (
            "attempts",
            "id task_id part upstream_id offering state memo detail at_ms deadline_ms changed_ms",
            (attempt_id, task_id, 0, "up_1", "draw-1@maker", state, memo, "", 6, 300_006, changed_ms),
        )
        for attempt_id, task_id, state, memo, changed_ms in (
            ("att_1", "req_1", "proved", b'{"id":"a"}', 8),
            ("att_2", "req_2", "submitted", b"", 6),
        )
    ),
    (
        "usage",
        "request_id workspace_id key_id model outcome n delivered price_usd_micros cost_usd_micros lines delivery owner"
        " upstream_id at_ms delivery_ms",
        (
            *("req_1", "ws_1", "key_1", "draw-1", "succeeded", 2, 1, 20_000, 15_000, b'[{"what": "image"}]', "stored"),
            *("process_a", "up_1", 9, 9),
        ),
    ),
    ("claims", "workspace_id key task_id at_ms", ("ws_1", "once", "req_2", 12)),
)
"""What the first Imageway wrote for that life, and every later one up to the one before this, but for what follows."""
OLD_KEY = (
    "keys",
    "id workspace_id name digest hint models created_ms",
    ("key_1", "ws_1", "laptop", KEY.digest, "wxyz", '["draw-*", "other"]', 3),
)
WALLET = ("wallets", "workspace_id available held spent", ("ws_1", 940_000, 40_000, 20_000))
SUMS = (
    "span_ms begin_ms workspace_id key_id model upstream_id outcome requests asked delivered price_usd_micros"
    " refunded_usd_micros cost_usd_micros tokens total_ms upstream_ms"
)
SUMMED = (
    (WALLET[0], f"{WALLET[1]} topped_up granted adjusted", (*WALLET[2], 1_000_000, 0, 0)),
    *(
        (
            "usage_sums",
            SUMS,
            (span_ms, 0, "ws_1", "key_1", "draw-1", "up_1", "succeeded", 1, 2, 1, 20_000, 0, 15_000, 0, 0, 0),
        )
        for span_ms in summed.SPANS_MS
    ),
)
ROOTED_KEY = OLD_KEY[0], f"{OLD_KEY[1]} root_id", (*OLD_KEY[2], "key_1")
OF_A_VERSION: dict[str, tuple[tuple[str, str, tuple[object, ...]], ...]] = {
    "0001": (OLD_KEY, WALLET),
    "0002": (OLD_KEY, WALLET),
    "0003": (OLD_KEY, WALLET),
    "0004": (OLD_KEY, *SUMMED),
    "0005": (ROOTED_KEY, *SUMMED),
    "0006": (ROOTED_KEY, *SUMMED),
    "0007": (ROOTED_KEY, *SUMMED),
}


@pytest.fixture(params=REVISIONS[:-1])
def old_version(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
async def old_place(durable_place: Place, old_version: str) -> Place:
    """A database that an Imageway of that version has used."""
    rows = [
        inserted(table, dict(zip(columns.split(), values, strict=True)))
        for table, columns, values in (*OLD_ROWS, *OF_A_VERSION[old_version])
    ]
    if durable_place.name == "sqlite":
        leave_sqlite(Path(durable_place.url.removeprefix("sqlite://")), old_version, rows)
    else:
        await leave_postgres(durable_place.url, old_version, rows)
    return durable_place


async def old_rows(store: Store) -> list[object]:
    """All that an earlier Imageway could have told."""
    return [
        await store.read(query)
        for query in (
            asked.ListWorkspaces(),
            asked.ShowWallet("ws_1"),
            asked.ListKeys(),
            asked.ListUsage(),
            summed.FindUsage(),
            summed.SumUsage(by=("hour", *NAMED)),
            summed.SumUsage(by=("day", "model")),
            asked.ListTransfers(),
            asked.ListHolds(),
            tasks_asked.ShowTask("req_1"),
            tasks_asked.ShowTask("req_2"),
            tasks_asked.RunningTasks(),
            tasks_asked.FindClaim("ws_1", "once"),
        )
    ]


async def version_of(place: Place) -> str:
    statement = "SELECT version_num FROM alembic_version"
    if place.name == "sqlite":
        with closing(sqlite3.connect(place.url.removeprefix("sqlite://"))) as connection:
            return str(connection.execute(statement).fetchone()[0])
    connection = await asyncpg.connect(place.url)
    try:
        return str(await connection.fetchval(statement))
    finally:
        await connection.close()


async def test_an_old_database_keeps_its_rows_and_goes_on(old_place: Place, old_version: str) -> None:
    """The same rows as a new one would hold after the same ops; what was under way can be ended, and is told."""
    assert await version_of(old_place) == old_version
    upgraded, fresh = await old_place.open(), await Place("memory", "memory://").open()
    assert await version_of(old_place) == HEAD
    assert await fresh.commit(*OLD_LIFE) == COMMITTED
    assert await old_rows(upgraded) == await old_rows(fresh)
    await commit(upgraded, ENDPOINT, SECRET, ROTATION, DELIVERY, CLAIM)
    ending = (
        tasks.EndAttempt("att_2", "failed", "", 20),
        ledger.Void("req_2", 20),
        finish("req_2", "failed"),
        webhooks.NotifyEndpoints("req_2", "ws_1", "task.failed", 20),
    )
    assert await upgraded.commit(*ending) == COMMITTED
    told = await upgraded.read(webhooks.DueDeliveries(30, 10))
    assert [(row.id, row.event) for row in told] == [("msg_2_1", "task.failed")]
    wallet = await upgraded.read(asked.ShowWallet("ws_1"))
    assert wallet == asked.Wallet("ws_1", "studio", 980_000, 0, 20_000, topped_up=1_000_000)
    await upgraded.close()


async def test_without_leave_an_old_database_is_left_as_it_is(old_place: Place, old_version: str) -> None:
    with pytest.raises(StorageError, match=rf'"{old_version}", older than "{HEAD}": run `imageway serve` once'):
        await old_place.open(create=False)
    assert await version_of(old_place) == old_version


async def test_an_upgrade_happens_once_however_many_come(old_place: Place) -> None:
    for _ in range(3):
        await (await old_place.open()).close()
    assert await version_of(old_place) == HEAD


@pytest.mark.parametrize("old_version", [version for version in REVISIONS if version < "0004"])
async def test_a_wallet_that_its_topups_do_not_explain_is_upgraded_all_the_same(old_place: Place) -> None:
    """What is missing stands there as an adjustment that nothing was booked for. From 0004 on, no wallet can be so."""
    lost = "UPDATE wallets SET available = available - 7"
    if old_place.name == "sqlite":
        with closing(sqlite3.connect(old_place.url.removeprefix("sqlite://"))) as connection, connection:
            connection.execute(lost)
    else:
        rival = await asyncpg.connect(old_place.url)
        await rival.execute(lost)
        await rival.close()
    store = await old_place.open()
    wallet = await store.read(asked.ShowWallet("ws_1"))
    assert wallet is not None
    assert (wallet.available, wallet.topped_up, wallet.adjusted) == (939_993, 1_000_000, -7)
    await store.close()


async def test_a_step_may_take_longer_than_any_other_statement(
    postgres_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index of millions of rows does, and so does waiting for whoever is making it: an hour and more."""
    execute = asyncpg.Connection.execute
    given_s: dict[str, list[float | None]] = {}

    async def timed(self: Any, query: str, *values: object, timeout: float | None = None) -> str:
        given_s.setdefault(query, []).append(timeout)
        return await execute(self, query, *values, timeout=timeout)

    monkeypatch.setattr(asyncpg.Connection, "execute", timed)
    for store in await asyncio.gather(postgres_place.open(), postgres_place.open()):
        await store.close()
    assert await version_of(postgres_place) == HEAD
    (steps,) = given_s.pop(running.postgresql_script(None))
    (waits,) = [found for query, found in given_s.items() if "pg_advisory_xact_lock" in query]
    assert len(waits) == 2
    assert all(one is not None and one > 3600 > COMMAND_TIMEOUT_S for one in (steps, *waits))


async def test_a_step_that_takes_longer_is_waited_for(postgres_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the one who makes it, and by the other who comes meanwhile."""
    script = running.postgresql_script
    monkeypatch.setattr("imageway.storage.postgres.connection.COMMAND_TIMEOUT_S", 1)
    monkeypatch.setattr(running, "postgresql_script", lambda version: f"SELECT pg_sleep(1.5); {script(version)}")
    for store in await asyncio.gather(postgres_place.open(), postgres_place.open()):
        await store.close()
    assert await version_of(postgres_place) == HEAD
