"""One moment of a database, for questions that belong together while others go on writing."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from imageway.core.ops import Query
from imageway.storage.errors import StorageError
from imageway.storage.rows import Row, Select
from imageway.storage.selects import select

T = TypeVar("T")
Ask = Callable[[Select], Awaitable[list[Row]]]


class Snapshot:
    """Answers as a store does, all from the same moment. Closed with the block it was opened in."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def read(self, query: Query[T]) -> T:
        wanted = select(query)
        return cast("T", wanted.shape(await self._ask(wanted)))


@asynccontextmanager
async def open_snapshot(url: str) -> AsyncIterator[Snapshot]:
    """Of `sqlite:///path/file.db` or `postgresql://…`, whose tables must be there and up to date. Holds no lock that
    anybody waits for. Raises StorageError with a sentence."""
    if url.startswith("sqlite:///"):
        opened = _of_sqlite(Path(url.removeprefix("sqlite://")))
    elif url.startswith(("postgresql://", "postgres://")):
        opened = _of_postgres(url)
    else:
        raise StorageError(f'"{url.partition("://")[0]}://…" is no database that could be looked at')
    async with opened as snapshot:
        yield snapshot


@asynccontextmanager
async def _of_sqlite(path: Path) -> AsyncIterator[Snapshot]:
    from imageway.storage.sqlite.connection import connect, prepare

    await asyncio.to_thread(prepare, path, create=False)
    connection = connect(path, read_only=True)

    async def ask(wanted: Select) -> list[Row]:
        try:
            return await asyncio.to_thread(lambda: connection.execute(wanted.sql, wanted.values).fetchall())
        except sqlite3.Error as error:
            raise StorageError(f"the database could not be read: {error}") from error

    try:
        connection.execute("BEGIN")
        yield Snapshot(ask)
    finally:
        connection.close()


@asynccontextmanager
async def _of_postgres(url: str) -> AsyncIterator[Snapshot]:
    from imageway.storage.postgres.connection import OUTSIDE, open_pool
    from imageway.storage.postgres.store import _numbered

    pool = await open_pool(url, create=False)
    try:
        async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):

            async def ask(wanted: Select) -> list[Any]:
                try:
                    return await connection.fetch(_numbered(wanted.sql), *wanted.values)
                except OUTSIDE as error:
                    raise StorageError(f"the database could not be read: {error}") from error

            yield Snapshot(ask)
    finally:
        await pool.close()
