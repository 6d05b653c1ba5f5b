"""One group of units in one transaction, their ops side by side. Where one is refused, each runs in a savepoint of its
own, so that it goes alone.

Statements run on the loop's own thread, 20 µs a unit; only what waits for the disk or for another process (COMMIT, a
lock) runs in the writer thread. A thread that runs statements asks for the interpreter lock at each of them and starves
under a busy loop: see docs/decisions/0015-sqlite-statements-run-on-the-loop.md."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from imageway.core.ops import Refused
from imageway.storage.errors import StorageError
from imageway.storage.pump import COMMITTED, Outcome, Unit, side_by_side
from imageway.storage.sqlite.connection import BUSY_TIMEOUT_MS
from imageway.storage.sqlite.writes import WRITES

R = TypeVar("R")
LOOK_EVERY_S: Final = 0.0005


class GroupWriter:
    """Owns a connection for writing, opened with a busy timeout of 0: the loop never waits for a lock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()  # of one group after the other
        self._looking = connection.cursor()  # the loop's, whatever the thread is at
        self._thread = ThreadPoolExecutor(1, "imageway-writer")
        self._has_lock = False
        self._version = 0

    def version(self) -> int:
        """Another number as soon as another process has changed anything; our own commits do not count. While the lock
        is ours, nobody can."""
        if not self._has_lock:
            self._look(self._looking)
        return self._version

    async def commit(self, units: list[Unit]) -> list[Outcome]:
        try:
            await self._begin()
            outcomes = _apply_all(self._cursor, units)
            await self._in_thread(self._commit)
        except sqlite3.Error as error:
            await self._in_thread(self._connection.rollback)
            return [_failed(error)] * len(units)
        return outcomes

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        self._connection.close()

    async def _begin(self) -> None:
        """Takes the lock at once when it is free; else the thread waits for it."""
        if not self._took_lock():
            await self._in_thread(self._begin_later)

    def _begin_later(self) -> None:
        """Looks often: a process under load leaves the lock alone for a millisecond between two groups, which SQLite's
        own way of waiting, a look every 100 ms, misses for seconds."""
        until_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
        while not self._took_lock(is_last_try=time.monotonic() > until_s):
            time.sleep(LOOK_EVERY_S)

    def _took_lock(self, *, is_last_try: bool = False) -> bool:
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if is_last_try or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        self._look(self._cursor)
        self._has_lock = True
        return True

    def _commit(self) -> None:
        try:
            self._cursor.execute("COMMIT")
        finally:
            self._has_lock = False

    def _look(self, cursor: sqlite3.Cursor) -> None:
        self._version = cursor.execute("PRAGMA data_version").fetchone()[0]

    async def _in_thread(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _apply_all(cursor: sqlite3.Cursor, units: list[Unit]) -> list[Outcome]:
    """All units in one savepoint, as if none could be refused, which is nearly always so; else once more, one by one:
    a savepoint for each is a tenth of the work."""
    if len(units) == 1:
        return [_apply(cursor, units[0])]
    cursor.execute("SAVEPOINT units")
    if _are_done(cursor, units):
        cursor.execute("RELEASE units")
        return [COMMITTED] * len(units)
    cursor.execute("ROLLBACK TO units")
    cursor.execute("RELEASE units")
    return [_apply(cursor, unit) for unit in units]


def _are_done(cursor: sqlite3.Cursor, units: list[Unit]) -> bool:
    """False: something stands in the way of one of them. An error that ended the whole transaction is raised."""
    try:
        return all(WRITES[kind](cursor, ops) is None for kind, ops in side_by_side(units))
    except Exception:  # running them one by one finds out whose it is
        if not cursor.connection.in_transaction:
            raise
        return False


def _apply(cursor: sqlite3.Cursor, unit: Unit) -> Outcome:
    """Runs one unit in a savepoint. An error that ended the whole transaction is raised, any other is the outcome."""
    cursor.execute("SAVEPOINT unit")
    outcome: Outcome = COMMITTED
    try:
        for op in unit:
            why = WRITES[type(op)](cursor, (op,))
            if why is not None:
                outcome = Refused(op, why)
                break
        else:
            cursor.execute("RELEASE unit")
            return COMMITTED
    except sqlite3.Error as error:
        if not cursor.connection.in_transaction:
            raise
        outcome = _failed(error)
    except Exception as error:  # noqa: BLE001  (raised again where the unit is awaited)
        outcome = error
    cursor.execute("ROLLBACK TO unit")
    cursor.execute("RELEASE unit")
    return outcome


def _failed(error: sqlite3.Error) -> StorageError:
    failed = StorageError(f"nothing was committed: {error}", undone=True)
    failed.__cause__ = error
    return failed
