"""One end of a copy of all tables: a PostgreSQL database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from imageway.storage.errors import StorageError
from imageway.storage.postgres.connection import CONNECT_TIMEOUT_S, OUTSIDE, place_of, version_in

if TYPE_CHECKING:
    from imageway.storage.postgres.connection import Connection

BATCH: Final = 2000


@asynccontextmanager
async def open_end(url: str) -> AsyncIterator[PostgresEnd]:
    """Raises StorageError for a database that cannot be reached, or anything that goes wrong meanwhile."""
    place = place_of(url)
    with _told(place):
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
        try:
            yield PostgresEnd(connection)
        finally:
            await connection.close()


@contextmanager
def _told(place: str) -> Iterator[None]:
    try:
        yield
    except (*OUTSIDE, ValueError) as error:
        raise StorageError(f'the database "{place}" cannot be copied: {error}') from error


@dataclass(frozen=True, slots=True)
class PostgresEnd:
    """The methods of storage.copying's Source and Target."""

    connection: Connection

    async def version(self) -> str | None:
        return await version_in(self.connection)

    async def lock(self, tables: tuple[str, ...]) -> None:
        """Reads go on; whoever would write waits."""
        await self.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await self.connection.execute(f"LOCK TABLE {_names(tables)} IN SHARE MODE")

    async def busy_until_ms(self) -> int:
        return int(await self.connection.fetchval("SELECT COALESCE(MAX(until_ms), 0) FROM leases"))

    async def read(
        self, table: str, columns: tuple[str, ...], order: tuple[str, ...]
    ) -> AsyncIterator[list[tuple[Any, ...]]]:
        sql = f'SELECT {_names(columns)} FROM "{table}" ORDER BY {_names(order)}'  # noqa: S608  (names of ours)
        cursor = await self.connection.cursor(sql)
        while rows := await cursor.fetch(BATCH):
            yield [tuple(row) for row in rows]

    async def begin(self) -> None:
        await self.connection.execute("BEGIN")

    async def count(self, table: str) -> int:
        return int(await self.connection.fetchval(f'SELECT COUNT(*) FROM "{table}"'))  # noqa: S608

    async def write(self, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        await self.connection.copy_records_to_table(table, columns=columns, records=rows)

    async def go_on_numbering(self, table: str, column: str) -> None:
        await self.connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), MAX({column})) FROM \"{table}\""  # noqa: S608
            f" HAVING MAX({column}) IS NOT NULL"
        )

    async def commit(self) -> None:
        await self.connection.execute("COMMIT")


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
