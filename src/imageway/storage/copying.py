"""Moves an installation: every table of one database into another, empty one, all of it or nothing. Nothing may work
with the source meanwhile."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Table

from imageway.storage.errors import StorageError
from imageway.storage.migrations import HEAD, is_behind
from imageway.storage.opening import open_store
from imageway.storage.tables import METADATA

Rows = list[tuple[Any, ...]]


class Source(Protocol):
    """A database that is read, as of one moment; nobody writes to it until it is let go."""

    async def version(self) -> str | None: ...

    async def lock(self, tables: tuple[str, ...]) -> None: ...

    async def busy_until_ms(self) -> int:
        """When the last lease of a process ends; 0 without any."""

    def read(self, table: str, columns: tuple[str, ...], order: tuple[str, ...]) -> AsyncIterator[Rows]:
        """All rows, a batch at a time."""


class Target(Protocol):
    """A database that is filled, in one transaction."""

    async def version(self) -> str | None: ...

    async def begin(self) -> None: ...

    async def count(self, table: str) -> int: ...

    async def write(self, table: str, columns: tuple[str, ...], rows: Rows) -> None: ...

    async def go_on_numbering(self, table: str, column: str) -> None:
        """After the largest number that was copied."""

    async def commit(self) -> None: ...


class End(Source, Target, Protocol):
    """Either side."""


@dataclass(frozen=True, slots=True)
class Version:
    """`now` None: no tables yet."""

    now: str | None
    newest: str = HEAD


async def version_of(url: str) -> Version:
    """Of the tables at this URL, if there are any. Raises StorageError."""
    try:
        async with _opened(url) as end:
            return Version(await end.version())
    except FileNotFoundError:
        return Version(None)


async def upgrade(url: str) -> tuple[Version, Version]:
    """Brings the tables up to date, or makes them; what they were, and what they are. Raises StorageError."""
    before = await version_of(url)
    await (await open_store(url)).close()
    return before, await version_of(url)


async def copy(source_url: str, target_url: str) -> dict[str, int]:
    """How many rows of each table there are now, in both. Raises StorageError, with nothing copied: for a source that
    is in use or not up to date, a target that holds anything, and a copy that is not whole."""
    if _place(source_url) == _place(target_url):
        raise StorageError("the target is the source: name another database")
    try:
        return await _copy(source_url, target_url)
    except FileNotFoundError as error:
        raise StorageError(f'there is no database at "{error.filename}"') from None


async def _copy(source_url: str, target_url: str) -> dict[str, int]:
    tables = METADATA.sorted_tables
    names = tuple(table.name for table in tables)
    async with _opened(source_url) as source:
        await _assert_current(source, source_url)
        await source.lock(names)
        if await source.busy_until_ms() > time.time_ns() // 1_000_000:
            raise StorageError(
                "a gateway or worker uses the source: stop it; one that was killed counts for half a minute"
            )
        await (await open_store(target_url)).close()
        async with _opened(target_url) as target:
            await target.begin()
            full = [name for name in names if await target.count(name)]
            if full:
                raise StorageError(f'the target is not empty: its table "{full[0]}" holds rows already')
            copied = {table.name: await _copy_table(source, target, table) for table in tables}
            await target.commit()
    return copied


async def _assert_current(source: Source, url: str) -> None:
    version = await source.version()
    if version is None or is_behind(version, _place(url)):
        raise StorageError(f'the source has tables of version "{version}", not "{HEAD}": run `imageway db upgrade`')


async def _copy_table(source: Source, target: Target, table: Table) -> int:
    columns = tuple(column.name for column in table.columns)
    keys = tuple(column.name for column in table.primary_key.columns)
    count = 0
    async for rows in source.read(table.name, columns, keys):
        await target.write(table.name, columns, rows)
        count += len(rows)
    found = await target.count(table.name)
    if found != count:
        raise StorageError(f'of {count} rows of the table "{table.name}" {found} arrived: nothing was copied')
    if "seq" in columns:
        await target.go_on_numbering(table.name, "seq")
    return count


def _place(url: str) -> str:
    """Without user and password."""
    return url.rpartition("@")[2]


def _opened(url: str) -> AbstractAsyncContextManager[End]:
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        from imageway.storage.sqlite.copying import open_end

        return open_end(Path(rest))
    if scheme in ("postgresql", "postgres"):
        from imageway.storage.postgres.copying import open_end as open_postgres_end

        return open_postgres_end(url)
    raise StorageError(f'"{scheme}://…" cannot be copied: write sqlite:///path/file.db or postgresql://…')
