"""A database that an earlier Imageway left behind: its rows stay, and it learns what came later."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from imageway.core.ops import Op, Store
from imageway.ledger import ops as ledger
from imageway.ledger import queries as asked
from imageway.storage import StorageError
from imageway.storage.migrations import HEAD, REVISIONS, running
from imageway.storage.postgres.store import _parcel
from imageway.storage.sqlite.connection import connect
from imageway.storage.sqlite.groups import _apply
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

FIRST = REVISIONS[0]
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


@pytest.fixture
def up_to_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps end where the first Imageway ended."""

    def steps(directory: ScriptDirectory) -> Callable[[Any, Any], Any]:
        return lambda version, _: directory._upgrade_revs(FIRST, version)

    monkeypatch.setattr(running, "_steps", steps)


@pytest.fixture
async def old_place(durable_place: Place, up_to_first: None, monkeypatch: pytest.MonkeyPatch) -> Place:
    """With rows of its own, written by the ops that there were."""
    await {"sqlite": make_old_sqlite, "postgres": make_old_postgres}[durable_place.name](durable_place)
    monkeypatch.undo()
    return durable_place


async def make_old_sqlite(place: Place) -> None:
    path = Path(place.url.removeprefix("sqlite://"))
    path.parent.mkdir(parents=True)
    path.touch()
    with closing(connect(path)) as connection:
        engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
        with engine.connect() as bound, running._environment() as environment:
            bound.exec_driver_sql("BEGIN IMMEDIATE")
            environment.configure(connection=bound, transactional_ddl=True, render_as_batch=True)
            environment.run_migrations()
            bound.commit()
        connection.execute("BEGIN")
        assert _apply(connection, OLD_LIFE) == COMMITTED
        connection.execute("COMMIT")


async def make_old_postgres(place: Place) -> None:
    script = io.StringIO()
    with running._environment(as_sql=True, starting_rev="base") as environment:
        environment.configure(dialect_name="postgresql", output_buffer=script, transactional_ddl=False)
        environment.run_migrations()
    connection = await asyncpg.connect(place.url)
    async with connection.transaction():
        await connection.execute(script.getvalue())
    units = f"[{_parcel(OLD_LIFE).text.decode()}]"
    assert json.loads(await connection.fetchval("SELECT imageway_commit($1)", units)) == [None]
    await connection.close()


async def old_rows(store: Store) -> list[object]:
    """All that an earlier Imageway could have told."""
    return [
        await store.read(query)
        for query in (
            asked.ListWorkspaces(),
            asked.ShowWallet("ws_1"),
            asked.ListKeys(),
            asked.ListUsage(),
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


async def test_an_old_database_keeps_its_rows_and_goes_on(old_place: Place) -> None:
    """The same rows as a new one would hold after the same ops; what was under way can be ended, and is told."""
    assert await version_of(old_place) == FIRST
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
    assert wallet == asked.Wallet("ws_1", "studio", 980_000, 0, 20_000)
    await upgraded.close()


async def test_without_leave_an_old_database_is_left_as_it_is(old_place: Place) -> None:
    with pytest.raises(StorageError, match=rf'"{FIRST}", older than "{HEAD}": run `imageway serve` once'):
        await old_place.open(create=False)
    assert await version_of(old_place) == FIRST


async def test_an_upgrade_happens_once_however_many_come(old_place: Place) -> None:
    for _ in range(3):
        await (await old_place.open()).close()
    assert await version_of(old_place) == HEAD
