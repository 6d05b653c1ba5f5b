"""The SQLite executor: one connection that writes in groups, one that answers short questions on the spot, one that
works through lists in a thread."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from imageway.core.ops import Committed, Op, Query, Refused
from imageway.ledger.queries import FindKey, FindWorkspace, Key, ShowWallet
from imageway.storage.errors import StorageClosed, StorageError, assert_known
from imageway.storage.pump import Outcome, Pump, Unit
from imageway.storage.rows import Select
from imageway.storage.selects import select
from imageway.storage.sqlite.connection import connect, prepare
from imageway.storage.sqlite.groups import GroupWriter
from imageway.storage.sqlite.keys import KeyMemory
from imageway.storage.sqlite.writes import WRITES
from imageway.tasks.queries import FindClaim, ShowTask

T = TypeVar("T")
GAP_S: Final = 0.001  # without it a second process waits for the lock for seconds
SHORT: Final[frozenset[type[Query[Any]]]] = frozenset({FindWorkspace, ShowWallet, ShowTask, FindClaim})
"""A few rows by key: up to 20 µs on the loop, less than the way to a thread. In WAL mode a reader waits for nobody."""


async def open_sqlite(path: Path, *, create: bool) -> SqliteStore:
    """Raises StorageError with a sentence when the file cannot be had or belongs to a newer Imageway."""
    await asyncio.to_thread(prepare, path, create=create)
    return SqliteStore(path)


class SqliteStore:
    """Belongs to the loop it is used in. Other processes may have the same file open."""

    def __init__(self, path: Path) -> None:
        self._writer = GroupWriter(connect(path, busy_timeout_ms=0))
        self._keys = KeyMemory(self._writer.version)
        self._pump = Pump(self._commit_group, gap_s=GAP_S)
        self._short = connect(path, read_only=True)
        self._long = connect(path, read_only=True)
        self._reader = ThreadPoolExecutor(1, "imageway-reader")
        self._closed = False

    async def commit(self, *ops: Op) -> Committed | Refused:
        assert_known(ops, WRITES)
        return await self._pump.submit(ops)

    async def _commit_group(self, units: list[Unit]) -> list[Outcome]:
        try:
            return await self._writer.commit(units)
        finally:
            self._keys.forget(units)

    async def read(self, query: Query[T]) -> T:
        if self._closed:
            raise StorageClosed("the store is closed")
        if isinstance(query, FindKey):
            return cast("T", self._find_key(query))
        wanted = select(query)
        if type(query) in SHORT:
            return cast("T", _answer(self._short, wanted))
        loop = asyncio.get_running_loop()
        return cast("T", await loop.run_in_executor(self._reader, _answer, self._long, wanted))

    def _find_key(self, query: FindKey) -> Key | None:
        try:
            key = self._keys.get(query.digest)
        except sqlite3.OperationalError:  # whether anything has changed cannot be told just now
            key = None
        if key is None:
            key = cast("Key | None", _answer(self._short, select(query)))
            if key is not None:
                self._keys.put(query.digest, key)
        return key

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._pump.close()
        await self._writer.close()
        await asyncio.to_thread(self._reader.shutdown)
        self._short.close()
        self._long.close()


def _answer(connection: sqlite3.Connection, wanted: Select) -> object:
    try:
        return wanted.shape(connection.execute(wanted.sql, wanted.values).fetchall())
    except sqlite3.Error as error:
        raise StorageError(f"the database could not be read: {error}") from error
