"""Which executor a URL names."""

from __future__ import annotations

from pathlib import Path

from imageway.core.ops import Store
from imageway.storage.errors import StorageError


async def open_store(url: str, *, create: bool = True) -> Store:
    """`memory://`, `sqlite:///path/file.db` (the path after `sqlite://`, absolute, as it is), or `postgresql://…`.
    `create` False: a database that is missing or behind is an error. Raises StorageError with a sentence."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "memory":
        from imageway.storage.memory import MemoryStore

        return MemoryStore()
    if separator and scheme == "sqlite":
        if not rest.startswith("/"):
            raise StorageError(f'"{url}" has no absolute path: write sqlite:///path/to/file.db')
        from imageway.storage.sqlite import open_sqlite

        return await open_sqlite(Path(rest), create=create)
    if separator and scheme in ("postgresql", "postgres"):
        from imageway.storage.postgres import open_postgres

        return await open_postgres(url, create=create)
    raise StorageError(f'"{scheme}://…" is no database: write memory://, sqlite:///path/file.db or postgresql://…')
