"""Connects to PostgreSQL and brings its tables up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import asyncpg

from imageway.storage.errors import StorageError
from imageway.storage.migrations import assert_may_migrate, is_behind

if TYPE_CHECKING:  # the library itself does not know that its classes are generic
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]

CONNECTIONS: Final = 8
CONNECT_TIMEOUT_S: Final = 10
COMMAND_TIMEOUT_S: Final = 30
MIGRATION_TIMEOUT_S: Final = 6 * 3600  # an index of ten million rows takes a minute, and whoever waits for it as long
MIGRATION_LOCK: Final = 0x696D6167657761  # "imagewa": any number, the same for every Imageway
OUTSIDE: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What a connection may raise because of something out there."""


async def open_pool(url: str, *, create: bool) -> Pool:
    """A pool on a database with the newest tables. Raises StorageError with a sentence that holds no password."""
    place = place_of(url)
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=CONNECTIONS,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            reset=_keep,
        )
    except (*OUTSIDE, ValueError) as error:
        raise StorageError(f'the database "{place}" cannot be reached: {error}') from error
    try:
        async with pool.acquire() as connection:
            await _prepare(connection, place, create=create)
    except OUTSIDE as error:
        await pool.close()
        raise StorageError(f'the tables of "{place}" cannot be set up: {error}') from error
    except BaseException:
        await pool.close()
        raise
    return pool


async def _prepare(connection: Connection, place: str, *, create: bool) -> None:
    version = await version_in(connection)
    if not is_behind(version, place):
        return
    assert_may_migrate(version, place, create=create)
    from imageway.storage.migrations.running import postgresql_script

    async with connection.transaction():
        # Whoever comes at the same time waits here, then finds nothing to do.
        await connection.execute(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})", timeout=MIGRATION_TIMEOUT_S)
        version = await version_in(connection)
        if is_behind(version, place):
            await connection.execute(postgresql_script(version), timeout=MIGRATION_TIMEOUT_S)


async def version_in(connection: Connection) -> str | None:
    # Not to_regclass: a session that has once heard "no such table" from it may hear so again after another made it.
    if not await connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE tablename = 'alembic_version'"
        " AND schemaname = ANY (current_schemas(false)))"
    ):
        return None
    version: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return version


async def _keep(_: Connection) -> None:
    """Nothing here changes a session, so that giving a connection back need not cost a round trip."""


def place_of(url: str) -> str:
    """Host and database, without user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'localhost'}{parts.path}"
