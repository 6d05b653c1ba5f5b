"""What only SQLite has to answer for: locks of other processes, full disks, statements that find rows by an index."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from imageway.core.ops import Op, Query, Refused, Store
from imageway.ledger import ops as ledger
from imageway.ledger import queries as asked
from imageway.storage import StorageError
from imageway.storage.selects import select
from imageway.storage.sqlite import groups, keys
from imageway.storage.sqlite.connection import connect, prepare
from imageway.storage.sqlite.groups import _apply
from imageway.storage.sqlite.store import SqliteStore
from imageway.tasks import queries as tasks_asked
from tests.store.places import COMMITTED, KEY, TOPUP, WORKSPACE, Place, commit
from tests.store.test_refusals import CASES


def file_of(place: Place) -> Path:
    return Path(place.url.removeprefix("sqlite://"))


@contextmanager
def somebody_writes(place: Place) -> Iterator[None]:
    """Another process has the write lock."""
    with closing(sqlite3.connect(file_of(place), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("COMMIT")


async def test_while_another_process_writes_the_loop_goes_on_and_the_commit_waits(sqlite_place: Place) -> None:
    store = await sqlite_place.open()
    with somebody_writes(sqlite_place):
        waiting = asyncio.ensure_future(store.commit(WORKSPACE))
        for _ in range(20):
            await asyncio.sleep(0.005)
            assert await store.read(asked.ListWorkspaces()) == ()
        assert not waiting.done()
    assert await asyncio.wait_for(waiting, 5) == COMMITTED
    await store.close()


async def test_a_lock_that_stays_is_an_error_and_not_for_ever(
    sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "BUSY_TIMEOUT_MS", 50)
    store = await sqlite_place.open()
    with somebody_writes(sqlite_place):
        outcomes = await asyncio.gather(store.commit(WORKSPACE), store.commit(TOPUP), return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["nothing was committed: database is locked"] * 2
        assert all(isinstance(outcome, StorageError) and outcome.undone for outcome in outcomes)
    await commit(store, WORKSPACE)
    await store.close()


async def test_a_process_that_hardly_ever_lets_go_of_the_lock_keeps_nobody_out(quick_place: Place) -> None:
    """Free for a millisecond in twenty: as long as a slow disk takes for the commits of a gateway under load."""
    store = await quick_place.open()
    await commit(store, WORKSPACE)
    enough = threading.Event()

    def hog() -> None:
        with closing(sqlite3.connect(file_of(quick_place), isolation_level=None, timeout=10)) as other:
            while not enough.is_set():
                other.execute("BEGIN IMMEDIATE")
                time.sleep(0.02)
                other.execute("COMMIT")
                time.sleep(0.001)

    rival = threading.Thread(target=hog)
    rival.start()
    try:
        async with asyncio.timeout(5):
            for number in range(20):
                await commit(store, ledger.TopUp(f"top_{number}", "ws_1", 1, 2))
    finally:
        enough.set()
        rival.join()
        await store.close()


async def test_a_full_disk_is_an_error_and_what_was_committed_before_stays(sqlite_place: Place) -> None:
    store = await sqlite_place.open()
    assert isinstance(store, SqliteStore)
    await commit(store, WORKSPACE)
    connection = store._writer._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    large = ledger.CreateKey("key_1", "ws_1", "k" * 100_000, bytes(32), "", (), 3)
    with pytest.raises(StorageError, match="full"):
        await store.commit(TOPUP, large)
    assert await store.read(asked.ListTransfers()) == ()
    connection.execute(f"PRAGMA max_page_count = {pages + 1000}")
    await commit(store, TOPUP, large)
    await store.close()


async def test_a_transfer_is_never_changed_or_deleted(sqlite_place: Place) -> None:
    store = await sqlite_place.open()
    await commit(store, WORKSPACE, TOPUP)
    await store.close()
    with closing(sqlite3.connect(file_of(sqlite_place))) as other:
        for statement in ("UPDATE transfers SET usd_micros = 0", "DELETE FROM transfers"):
            with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                other.execute(statement)


async def test_a_balance_can_never_be_negative_whatever_the_code_does(sqlite_place: Place) -> None:
    store = await sqlite_place.open()
    await commit(store, WORKSPACE, TOPUP)
    await store.close()
    with closing(sqlite3.connect(file_of(sqlite_place))) as other:
        for column in ("available", "held", "spent"):
            with pytest.raises(sqlite3.IntegrityError):
                other.execute(f"UPDATE wallets SET {column} = -1")  # noqa: S608


def scans(connection: sqlite3.Connection, statement: str, values: tuple[object, ...] = ()) -> list[str]:
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    return [row[3] for row in plan if row[3].startswith("SCAN ") and "USING" not in row[3]]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    prepare(tmp_path / "a.db", create=True)
    with closing(connect(tmp_path / "a.db")) as opened:
        yield opened


def test_no_op_ever_walks_through_a_whole_table(connection: sqlite3.Connection) -> None:
    """Every statement that any op runs, on its way through and on its way to a refusal."""
    seen: set[str] = set()
    connection.set_trace_callback(seen.add)
    connection.execute("BEGIN")
    for _, before, op, why in CASES:
        connection.execute("SAVEPOINT one_case")
        for unit in before:
            assert _apply(connection.cursor(), (unit,)) == COMMITTED
        assert _apply(connection.cursor(), (op,)) == Refused(op, why)
        connection.execute("ROLLBACK TO one_case")
    connection.set_trace_callback(None)
    statements = {text for text in seen if text.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE")}
    assert len(statements) > 50
    assert {text: found for text in statements if (found := scans(connection, text))} == {}


@pytest.mark.parametrize(
    "query",
    [
        asked.FindKey(bytes(32)),
        asked.ShowWallet("ws_1"),
        asked.FindWorkspace("studio"),
        asked.ListUsage("ws_1"),
        asked.ListTransfers("ws_1"),
        asked.Undelivered(("process_a", "process_b")),
        tasks_asked.ShowTask("req_1"),
        tasks_asked.FindClaim("ws_1", "once"),
        tasks_asked.RunningTasks(("process_a",)),
    ],
    ids=lambda query: type(query).__name__,
)
def test_questions_about_a_few_rows_find_them_by_an_index(connection: sqlite3.Connection, query: Query[object]) -> None:
    wanted = select(query)
    assert [found for found in scans(connection, wanted.sql, wanted.values) if found != "SCAN task"] == []


def test_an_op_that_breaks_a_check_is_an_error_and_leaves_the_transaction_usable(
    connection: sqlite3.Connection,
) -> None:
    connection.execute("BEGIN")
    bad: tuple[Op, ...] = (WORKSPACE, ledger.MarkDelivery("req_1", "stored", 3))
    assert _apply(connection.cursor(), bad) == Refused(bad[1], "not_undelivered")
    assert _apply(connection.cursor(), (WORKSPACE, TOPUP)) == COMMITTED
    connection.execute("CREATE TRIGGER no BEFORE INSERT ON holds BEGIN SELECT RAISE(ABORT, 'no'); END")
    broken = _apply(connection.cursor(), (ledger.TopUp("top_2", "ws_1", 1, 3), ledger.Hold("req_1", "ws_1", 1, 3)))
    assert isinstance(broken, StorageError)
    assert connection.execute("SELECT available FROM wallets").fetchone() == (1_000_000,)


# Keys are remembered


async def found(store: Store) -> asked.Key | None:
    return await store.read(asked.FindKey(KEY.digest))


async def test_what_another_process_does_to_a_key_is_seen_by_the_next_question(sqlite_place: Place) -> None:
    """Idle as well as in the middle of commits: a revoked key is worth nothing from then on."""
    ours, theirs = await sqlite_place.open(), await sqlite_place.open()
    await commit(ours, WORKSPACE, KEY)
    known = await found(ours)
    assert known is not None
    assert await found(ours) is known, "nothing has changed: it was not read again"
    busy = [ours.commit(ledger.TopUp(f"top_{number}", "ws_1", 1, 1)) for number in range(300)]
    beside = asyncio.gather(*busy)
    await commit(theirs, ledger.RevokeKey(KEY.id, 77))
    revoked = await found(ours)
    assert revoked is not None
    assert revoked.revoked_ms == 77
    await beside
    assert await found(ours) == revoked
    await asyncio.gather(ours.close(), theirs.close())


async def test_our_own_commits_leave_a_key_known_until_they_change_it(sqlite_place: Place) -> None:
    store = await sqlite_place.open()
    await commit(store, WORKSPACE)
    assert await found(store) is None
    await commit(store, KEY)
    known = await found(store)
    await commit(store, TOPUP)
    assert await found(store) is known is not None
    await commit(store, ledger.RevokeKey(KEY.id, 77))
    revoked = await found(store)
    assert revoked is not None
    assert revoked.revoked_ms == 77
    await store.close()


async def test_no_more_keys_are_remembered_than_the_limit(sqlite_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "REMEMBERED", 2)
    store = await sqlite_place.open()
    digests = [bytes([number]) * 32 for number in range(5)]
    made = [ledger.CreateKey(f"key_{n}", "ws_1", "", digest, "wxyz", (), 1) for n, digest in enumerate(digests)]
    await commit(store, WORKSPACE, *made)
    for digest in (*digests, *digests):
        assert (await store.read(asked.FindKey(digest))) is not None
        assert isinstance(store, SqliteStore)
        assert len(store._keys._keys) <= 2
    await store.close()
