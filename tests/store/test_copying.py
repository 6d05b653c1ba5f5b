"""An installation moves from one database to another: all of it, counted, or nothing; and its life goes on there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from imageway.core.ops import Op
from imageway.ledger import access
from imageway.ledger import ops as ledger
from imageway.ledger.queries import FindKey
from imageway.storage import StorageError
from imageway.storage.copying import copy, upgrade, version_of
from imageway.storage.migrations import HEAD
from imageway.storage.tables import METADATA
from imageway.tasks import ops as tasks
from tests.store.places import (
    CAPTURE,
    DELIVERY,
    ENDPOINT,
    HOLD,
    KEY,
    RULE,
    SEALED,
    SECRET,
    TOPUP,
    UPSTREAM,
    WORKSPACE,
    Place,
    attempt,
    commit,
    everything,
    finish,
    task,
    usage,
    waiting,
)

LIFE: tuple[Op, ...] = (
    WORKSPACE,
    TOPUP,
    KEY,
    access.SetBudget("key_1", "day", 100_000),
    access.SetWorkspace("ws_1", b'{"form":"url"}', 5),
    access.AddMember("ws_1", "ada", "owner", 4),
    access.CreateAdminKey("adm_1", "ops", b"\x00" * 32, "wxyz", "admin", 5),
    access.UseSignature(b"\xff" * 32, 9, 5),
    access.RecordChange("cli", "x", "y", b"\x00", b"", 5),
    RULE,
    SEALED,
    UPSTREAM,
    task(),
    HOLD,
    tasks.ClaimKey("ws_1", "once", "req_1", 5, b"\x01\x02"),
    attempt(),
    tasks.EndAttempt("att_1", "proved", "ä", 8),
    CAPTURE,
    ledger.BookCost("req_1", "up_1", 15_000, 9),
    usage(),
    finish(),
    waiting("req_2"),
    tasks.RenewLease("process_z", 77),
    ENDPOINT,
    SECRET,
    DELIVERY,
)
"""A row in every table; the lease is over."""


@pytest.fixture(params=[("sqlite", "postgres"), ("postgres", "sqlite"), ("sqlite", "sqlite")], ids="-".join)
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Place, Place]:
    found: list[Place] = [request.getfixturevalue(f"{name}_place") for name in request.param]
    if request.param[0] == request.param[1]:
        found[1] = Place("sqlite", f"sqlite://{tmp_path}/other/b.db")
    return found[0], found[1]


async def test_everything_moves_and_goes_on(places: tuple[Place, Place]) -> None:
    source, target = places
    opened = await source.open()
    await commit(opened, *LIFE)
    before = await everything(opened)
    await opened.close()
    copied = await copy(source.url, target.url)
    assert set(copied) == {table.name for table in METADATA.sorted_tables}
    assert {name for name, count in copied.items() if not count} == set()
    moved = await target.open(create=False)
    assert await everything(moved) == before
    numbers = [row.seq for row in await moved.read(access.ListChanges())]
    again = (
        task("req_3"),
        ledger.Hold("req_3", "ws_1", 5, 20),
        usage("req_3"),
        access.RecordChange("cli", "z", "y", b"", b"", 21),
        attempt("att_3", "req_3"),
    )
    await commit(moved, *again)
    assert [row.seq for row in await moved.read(access.ListChanges())] == [numbers[0] + 1, *numbers]
    assert await moved.read(FindKey(KEY.digest)) is not None
    await moved.close()


async def test_more_rows_than_fit_into_a_batch_all_arrive(
    sqlite_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageway.storage.sqlite.copying.BATCH", 3)
    store = await sqlite_place.open()
    await commit(store, WORKSPACE, *(ledger.TopUp(f"top_{number}", "ws_1", number, 2) for number in range(10)))
    await store.close()
    assert (await copy(sqlite_place.url, f"sqlite://{tmp_path}/b.db"))["transfers"] == 10


async def test_a_source_in_use_is_left_alone(durable_place: Place, tmp_path: Path) -> None:
    store = await durable_place.open()
    await commit(store, WORKSPACE, tasks.RenewLease("process_a", time.time_ns() // 1_000_000 + 20_000))
    with pytest.raises(StorageError, match="a gateway or worker uses the source"):
        await copy(durable_place.url, f"sqlite://{tmp_path}/b.db")
    await commit(store, tasks.DropLease("process_a"))
    await store.close()
    assert (await copy(durable_place.url, f"sqlite://{tmp_path}/b.db"))["workspaces"] == 1


async def test_a_target_that_holds_anything_is_left_as_it_is(durable_place: Place, tmp_path: Path) -> None:
    other = Place("sqlite", f"sqlite://{tmp_path}/b.db")
    for place in (durable_place, other):
        store = await place.open()
        await commit(store, WORKSPACE, *(() if place is other else (KEY,)))
        await store.close()
    with pytest.raises(StorageError, match='the target is not empty: its table "keys" holds rows already'):
        await copy(other.url, durable_place.url)
    with pytest.raises(StorageError, match="the target is the source"):
        await copy(other.url, other.url)


async def test_what_goes_wrong_in_the_middle_leaves_an_empty_target(
    places: tuple[Place, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = places
    store = await source.open()
    await commit(store, *LIFE)
    await store.close()
    end = {"postgres": "postgres.copying.PostgresEnd", "sqlite": "sqlite.copying.SqliteEnd"}[target.name]
    with monkeypatch.context() as patched:
        patched.setattr(f"imageway.storage.{end}.go_on_numbering", broken)
        with pytest.raises(RuntimeError, match="the cable"):
            await copy(source.url, target.url)
    assert (await copy(source.url, target.url))["keys"] == 1


async def broken(*_: object) -> None:
    raise RuntimeError("the cable")


async def test_a_source_that_is_not_there_or_old_is_a_sentence(sqlite_place: Place, tmp_path: Path) -> None:
    for source in (sqlite_place.url, "memory://"):
        with pytest.raises(StorageError, match=r"there is no database|cannot be copied"):
            await copy(source, f"sqlite://{tmp_path}/b.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(StorageError, match="run `imageway db upgrade`"):
        await copy(f"sqlite://{tmp_path}/empty.db", f"sqlite://{tmp_path}/b.db")
    with pytest.raises(StorageError) as raised:
        await copy("postgresql://me:hunter2@127.0.0.1:1/imageway", f"sqlite://{tmp_path}/b.db")
    assert "hunter2" not in str(raised.value)


async def test_an_upgrade_says_from_where_to_where(durable_place: Place) -> None:
    assert (await version_of(durable_place.url)).now is None
    assert [version.now for version in await upgrade(durable_place.url)] == [None, HEAD]
    assert [version.now for version in await upgrade(durable_place.url)] == [HEAD, HEAD]


async def test_nobody_writes_to_a_postgresql_source_meanwhile(
    postgres_place: Place, postgres_url: Callable[[str], str]
) -> None:
    """Who would, waits until the copy is over; who reads does not."""
    from imageway.storage.postgres.copying import open_end

    await (await postgres_place.open()).close()
    async with open_end(postgres_place.url) as source:
        await source.lock(tuple(table.name for table in METADATA.sorted_tables))
        rival = await asyncpg.connect(postgres_place.url)
        await rival.execute("SET lock_timeout = 200")
        assert await rival.fetchval("SELECT COUNT(*) FROM keys") == 0
        with pytest.raises(asyncpg.LockNotAvailableError):
            await rival.execute("INSERT INTO leases VALUES ('process_a', 1)")
        await rival.close()
