"""The SQLite executor. Units that wait together share one transaction and one fsync; each stands in a savepoint of its
own, so that a refused one goes alone."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Final, TypeVar, cast

from imageway.core.ops import Committed, Op, Query, Refused
from imageway.storage.errors import StorageError, assert_known
from imageway.storage.selects import Select, select
from imageway.storage.sqlite.connection import connect, prepare
from imageway.storage.sqlite.groups import GroupThread
from imageway.storage.sqlite.writes import WRITES

T = TypeVar("T")
Outcome = Committed | Refused | Exception
UNITS_PER_GROUP: Final = 32
READS_PER_GROUP: Final = 64
GAP_S: Final = 0.001  # without it a second process waits for the lock for seconds (DESIGN §6)
COMMITTED: Final = Committed()


async def open_sqlite(path: Path, *, create: bool) -> SqliteStore:
    """Raises StorageError with a sentence when the file cannot be had or belongs to a newer Imageway."""
    await asyncio.to_thread(prepare, path, create=create)
    return SqliteStore(path)


class SqliteStore:
    """Belongs to the loop it was opened in. Other processes may have the same file open."""

    def __init__(self, path: Path) -> None:
        self._writer = connect(path)
        self._reader = connect(path)
        self._reader.execute("PRAGMA query_only = ON")
        self._writes: GroupThread[tuple[Op, ...], Committed | Refused] = GroupThread(
            "imageway-writer", self._commit_group, most=UNITS_PER_GROUP, gap_s=GAP_S
        )
        self._reads: GroupThread[Select, object] = GroupThread(
            "imageway-reader", self._read_group, most=READS_PER_GROUP
        )

    async def commit(self, *ops: Op) -> Committed | Refused:
        assert_known(ops, WRITES)
        return await self._writes.submit(ops)

    async def read(self, query: Query[T]) -> T:
        found = await self._reads.submit(select(query))
        return cast("T", found)

    async def close(self) -> None:
        await self._writes.close()
        await self._reads.close()
        self._writer.close()
        self._reader.close()

    def _commit_group(self, units: list[tuple[Op, ...]]) -> list[Outcome]:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            outcomes = [_apply(self._writer, unit) for unit in units]
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise StorageError(f"nothing was committed: {error}") from error
        return outcomes

    def _read_group(self, selects: list[Select]) -> list[object]:
        return [_answer(self._reader, wanted) for wanted in selects]


def _apply(connection: sqlite3.Connection, unit: tuple[Op, ...]) -> Outcome:
    """Runs one unit in a savepoint. An error that ended the whole transaction is raised, any other is the outcome."""
    cursor = connection.cursor()
    cursor.execute("SAVEPOINT unit")
    outcome: Outcome = COMMITTED
    try:
        for op in unit:
            why = WRITES[type(op)](cursor, op)
            if why is not None:
                outcome = Refused(op, why)
                break
        else:
            cursor.execute("RELEASE unit")
            return COMMITTED
    except Exception as error:  # raised again where the unit is awaited
        if not connection.in_transaction:
            raise
        outcome = error
    cursor.execute("ROLLBACK TO unit")
    cursor.execute("RELEASE unit")
    return outcome


def _answer(connection: sqlite3.Connection, wanted: Select) -> object:
    try:
        return wanted.shape(connection.execute(wanted.sql, wanted.values).fetchall())
    except sqlite3.Error as error:
        return StorageError(f"the database could not be read: {error}")
