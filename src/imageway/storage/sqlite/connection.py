"""Opens the file, makes it when it is missing, and brings its tables up to date."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

from imageway.storage.errors import StorageError
from imageway.storage.migrations import assert_may_migrate, is_behind

BUSY_TIMEOUT_MS: Final = 10_000
CACHED_STATEMENTS: Final = 256
PRAGMAS: Final = (
    "synchronous = FULL",  # in WAL mode: fsync at every commit, so that an acknowledged one survives power loss
    "cache_size = -8192",
    "temp_store = MEMORY",
    f"journal_size_limit = {64 << 20}",
)
# Else every blob is looked for in vain among all that can be adapted, 1 µs each time; bytes of bytes are the same ones.
sqlite3.register_adapter(bytes, bytes)


def connect(path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS, read_only: bool = False) -> sqlite3.Connection:
    """A connection to an existing file; raises sqlite3.OperationalError when there is none. Transactions are ours."""
    connection = sqlite3.connect(
        f"file://{quote(str(path))}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
    )
    for pragma in (*PRAGMAS, f"busy_timeout = {busy_timeout_ms}", f"query_only = {read_only:d}"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def prepare(path: Path, *, create: bool) -> None:
    """Afterwards the file is there, in WAL mode, with the newest tables. Raises StorageError with a sentence."""
    if create:
        _touch(path)
    elif not path.exists():
        raise StorageError(f'there is no database at "{path}": run `imageway serve` once, which makes it')
    try:
        connection = connect(path)
        try:
            _use_write_ahead_log(connection)
            version = version_in(connection)
            if is_behind(version, str(path)):
                assert_may_migrate(version, str(path), create=create)
                _migrate(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StorageError(f'the database "{path}" cannot be opened: {error}') from error


def _touch(path: Path) -> None:
    """The file is its owner's alone: it holds prompts."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StorageError(f'the database "{path}" cannot be made: {error.strerror}') from error


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Changing the mode does not wait for locks as statements do, so it is tried again while somebody else does it."""
    until_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.01)
        else:
            return


def version_in(connection: sqlite3.Connection) -> str | None:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
    return row[0] if row else None


def _migrate(connection: sqlite3.Connection) -> None:
    from imageway.storage.migrations.running import upgrade_sqlite

    upgrade_sqlite(connection)
