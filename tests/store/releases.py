"""Databases as an earlier Imageway has left them: its tables, and rows that were written into those."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from imageway.storage.migrations import running
from imageway.storage.postgres.store import _numbered
from imageway.storage.sqlite.connection import connect

Inserts = Iterable[tuple[str, tuple[object, ...]]]
"""Statements with their values."""


def inserted(table: str, row: Mapping[str, object]) -> tuple[str, tuple[object, ...]]:
    marks = ", ".join("?" * len(row))
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values())  # noqa: S608


@contextmanager
def _up_to(version: str) -> Iterator[None]:
    """No later step is known."""

    def steps(directory: ScriptDirectory) -> Callable[[Any, Any], Any]:
        return lambda begun, _: directory._upgrade_revs(version, begun)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(running, "_steps", steps)
        yield


def leave_sqlite(path: Path, version: str, rows: Inserts) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    with closing(connect(path)) as connection:
        with _up_to(version):
            running.upgrade_sqlite(connection)
        connection.execute("BEGIN")
        for statement, values in rows:
            connection.execute(statement, values)
        connection.execute("COMMIT")


async def leave_postgres(url: str, version: str, rows: Inserts) -> None:
    with _up_to(version):
        script = running.postgresql_script(None)
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await connection.execute(script)
        for statement, values in rows:
            await connection.execute(_numbered(statement), *values)
    await connection.close()
