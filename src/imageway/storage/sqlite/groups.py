"""Commits in groups: what waits together shares one transaction and one fsync, each unit in a savepoint of its own, so
that a refused one goes alone.

Statements run on the loop's own thread, 40 µs a unit; only what waits for the disk or for another process (COMMIT, a
lock) runs in the writer thread. A thread that runs statements asks for the interpreter lock at each of them and starves
under a busy loop: see docs/decisions/sqlite-statements-run-on-the-loop.md."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from imageway.core.ops import Committed, Op, Refused
from imageway.storage.errors import StorageClosed, StorageError
from imageway.storage.sqlite.connection import BUSY_TIMEOUT_MS
from imageway.storage.sqlite.writes import WRITES

R = TypeVar("R")
Unit = tuple[Op, ...]
Outcome = Committed | Refused | Exception
UNITS_PER_GROUP: Final = 32
GAP_S: Final = 0.001  # without it a second process waits for the lock for seconds
COMMITTED: Final = Committed()


class GroupWriter:
    """Owns a connection for writing. Belongs to one loop."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, "imageway-writer")
        self._waiting: deque[tuple[Unit, asyncio.Future[Committed | Refused]]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._ready_s = 0.0
        self._closed = False

    def submit(self, unit: Unit) -> asyncio.Future[Committed | Refused]:
        """Cancelling the future forgets the outcome; the unit is committed all the same."""
        if self._closed:
            raise StorageClosed("the store is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Committed | Refused] = loop.create_future()
        self._waiting.append((unit, future))
        if self._pump is None:
            self._pump = loop.create_task(self._commit_groups())
        return future

    async def close(self) -> None:
        """What was submitted is done first."""
        self._closed = True
        if self._pump is not None:
            await self._pump
        await asyncio.to_thread(self._thread.shutdown)
        self._connection.close()

    async def _commit_groups(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                if (early_s := self._ready_s - loop.time()) > 0:
                    await asyncio.sleep(early_s)
                group = [self._waiting.popleft() for _ in range(min(UNITS_PER_GROUP, len(self._waiting)))]
                outcomes = await self._commit_group([unit for unit, _ in group])
                self._ready_s = loop.time() + GAP_S
                for (_, future), outcome in zip(group, outcomes, strict=True):
                    _resolve(future, outcome)
        finally:
            self._pump = None

    async def _commit_group(self, units: list[Unit]) -> list[Outcome]:
        try:
            await self._begin()
            outcomes = [_apply(self._connection, unit) for unit in units]
            await self._in_thread(lambda: self._connection.execute("COMMIT"))
        except sqlite3.Error as error:
            await self._in_thread(self._connection.rollback)
            failed = StorageError(f"nothing was committed: {error}")
            failed.__cause__ = error
            return [failed] * len(units)
        return outcomes

    async def _begin(self) -> None:
        """Takes the lock at once when it is free; else the thread waits for it."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            await self._in_thread(self._begin_later)

    def _begin_later(self) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        finally:
            self._connection.execute("PRAGMA busy_timeout = 0")

    async def _in_thread(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _apply(connection: sqlite3.Connection, unit: Unit) -> Outcome:
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


def _resolve(future: asyncio.Future[Committed | Refused], outcome: Outcome) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
