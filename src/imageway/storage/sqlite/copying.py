"""One end of a copy of all tables: a SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imageway.storage.errors import StorageError
from imageway.storage.sqlite.connection import connect, version_in

BATCH: Final = 2000


@asynccontextmanager
async def open_end(path: Path) -> AsyncIterator[SqliteEnd]:
    """Raises FileNotFoundError, and StorageError for anything that goes wrong meanwhile."""
    await asyncio.to_thread(path.stat)
    with _told(path):
        connection = connect(path)
        try:
            yield SqliteEnd(connection)
        finally:
            connection.close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f'the database "{path}" cannot be copied: {error}') from error


@dataclass(frozen=True, slots=True)
class SqliteEnd:
    """The methods of storage.copying's Source and Target."""

    connection: sqlite3.Connection

    async def version(self) -> str | None:
        return version_in(self.connection)

    async def lock(self, tables: tuple[str, ...]) -> None:
        """All tables at once: SQLite knows no other lock."""
        self.connection.execute("BEGIN IMMEDIATE")

    async def busy_until_ms(self) -> int:
        return int(self.connection.execute("SELECT COALESCE(MAX(until_ms), 0) FROM leases").fetchone()[0])

    async def read(
        self, table: str, columns: tuple[str, ...], order: tuple[str, ...]
    ) -> AsyncIterator[list[tuple[Any, ...]]]:
        sql = f'SELECT {_names(columns)} FROM "{table}" ORDER BY {_names(order)}'  # noqa: S608  (names of ours)
        cursor = self.connection.execute(sql)
        while rows := cursor.fetchmany(BATCH):
            yield rows

    async def begin(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    async def count(self, table: str) -> int:
        return int(self.connection.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()[0])  # noqa: S608

    async def write(self, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(columns))
        self.connection.executemany(f'INSERT INTO "{table}" ({_names(columns)}) VALUES ({marks})', rows)  # noqa: S608

    async def go_on_numbering(self, table: str, column: str) -> None:
        """It does by itself: the next number is the largest and one."""

    async def commit(self) -> None:
        self.connection.execute("COMMIT")


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
