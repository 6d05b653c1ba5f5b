"""Which store a URL names: of tables, or of images."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imageway.core.objects import ObjectStore
from imageway.core.ops import Store
from imageway.storage.errors import StorageError
from imageway.storage.files import FileStore

if TYPE_CHECKING:
    from imageway.storage.postgres.bulletin import PostgresBulletin

BUCKETS = ("s3", "gs", "az")


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


def open_bulletin(url: str) -> PostgresBulletin | None:
    """None: processes on such a database cannot reach each other."""
    if url.partition("://")[0] not in ("postgresql", "postgres"):
        return None
    from imageway.storage.postgres.bulletin import PostgresBulletin

    return PostgresBulletin(url)


async def open_objects(url: str, *, options: Mapping[str, str], scratch: Path) -> ObjectStore:
    """`file:///path/to/directory`, or a bucket: `s3://bucket/prefix`, `gs://…`, `az://…`, with `options` as obstore
    calls them. Content on its way may lie in `scratch`. It was found to keep what it is given: one that can be read but
    not written would show itself only when an image has been bought. Raises StorageError with a sentence."""
    objects = _named(url, options, scratch)
    name, now_ms = f"check-{secrets.token_hex(8)}", time.time_ns() // 1_000_000
    try:
        await objects.put(name, _one_byte(), media_type="text/plain", expires_ms=now_ms)
        await objects.delete(name)
    except OSError as error:
        raise StorageError(f'the media store "{url}" cannot be used: {error}') from None
    return objects


def _named(url: str, options: Mapping[str, str], scratch: Path) -> ObjectStore:
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise StorageError("the URL of the media store is a place alone: write a credential into media_options")
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/"):
            raise StorageError(f'"{url}" has no absolute path: write file:///path/to/directory')
        try:
            return FileStore(Path(parts.path))
        except OSError as error:
            raise StorageError(f'the media store "{url}" cannot be made: {error}') from None
    if parts.scheme in BUCKETS and parts.netloc:
        from imageway.storage.buckets import open_bucket

        return open_bucket(url, options, scratch)
    raise StorageError(f'"{url}" is no media store: write file:///path/to/directory or s3://bucket/prefix')


async def _one_byte() -> AsyncIterator[bytes]:
    yield b"x"
