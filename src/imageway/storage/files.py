"""The local object store: one file per object in one directory, its description in the file's last 512 bytes.

An object appears by one rename after its bytes are safe, so a reader sees all of it or nothing. The modification time
is the moment of expiry, so that a sweep lists a directory and opens only what it is about to remove. File work happens
in threads; nothing here knows what an image is."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from imageway.core.objects import StoredObject, check_media_type, check_name
from imageway.storage.threads import batches, in_thread

TRAILER_BYTES: Final = 512
_MAGIC: Final = b"\nimageway object 1\n"  # opens the trailer; a file without it is none of ours
_READ_BYTES: Final = 1 << 20
_PART: Final = ".part"
_SETTLED_MS: Final = 60_000  # a younger temporary file may still be between its creation and its lock


class FileStore:
    """An ObjectStore in `directory`, which is made when missing. Processes may share it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    async def put(self, name: str, content: AsyncIterator[bytes], *, media_type: str, expires_ms: int) -> StoredObject:
        check_name(name)
        check_media_type(media_type)
        draft = await in_thread(partial(_Draft, self._directory, name))
        try:
            async for batch in batches(content):
                await in_thread(partial(draft.write, batch))
            return await in_thread(partial(draft.publish, media_type, expires_ms))
        finally:
            draft.discard()

    async def find(self, name: str) -> StoredObject | None:
        try:
            path = self._path(name)
        except ValueError:
            return None
        return await in_thread(partial(_describe, path))

    async def open(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        path = self._path(name)
        file, size_bytes = await in_thread(partial(_open_content, path))
        try:
            position, end = max(start, 0), min(end, size_bytes)
            while position < end:
                chunk = await in_thread(partial(os.pread, file, min(_READ_BYTES, end - position), position))
                if not chunk:
                    raise EOFError(f'"{name}" ended at byte {position} of {end}')
                position += len(chunk)
                yield chunk
        finally:
            os.close(file)

    async def delete(self, name: str) -> bool:
        try:
            path = self._path(name)
        except ValueError:
            return False
        return await in_thread(partial(_remove, path))

    async def sweep(self, now_ms: int) -> int:
        return await in_thread(partial(_sweep, self._directory, now_ms))

    def _path(self, name: str) -> Path:
        return self._directory / check_name(name)


class _Draft:
    """A temporary file on its way to becoming an object. Its lock dies with its process: unlocked, it is an orphan."""

    def __init__(self, directory: Path, name: str) -> None:
        self._name = name
        self._target = directory / name
        self._path = directory / f".{name}.{secrets.token_hex(8)}{_PART}"
        self._file: BinaryIO = self._path.open("xb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._created_ms = os.fstat(self._file.fileno()).st_mtime_ns // 1_000_000
        self._digest = hashlib.sha256()
        self._size_bytes = 0

    def write(self, batch: list[bytes]) -> None:
        for chunk in batch:
            self._digest.update(chunk)
            self._size_bytes += len(chunk)
            _write_all(self._file, chunk)

    def publish(self, media_type: str, expires_ms: int) -> StoredObject:
        """Make it durable under its name, in this order: bytes, rename, directory."""
        found = StoredObject(
            name=self._name,
            size_bytes=self._size_bytes,
            media_type=media_type,
            etag=self._digest.hexdigest(),
            created_ms=self._created_ms,
            expires_ms=expires_ms,
        )
        _write_all(self._file, _trailer(found))
        os.utime(self._file.fileno(), ns=(expires_ms * 1_000_000, expires_ms * 1_000_000))
        os.fsync(self._file.fileno())
        self._path.replace(self._target)
        _sync_directory(self._target.parent)
        return found

    def discard(self) -> None:
        """Close, and remove what was not published."""
        self._path.unlink(missing_ok=True)
        self._file.close()


def _write_all(file: BinaryIO, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def _trailer(found: StoredObject) -> bytes:
    described = {key: value for key, value in asdict(found).items() if key != "name"}
    return _MAGIC + json.dumps(described).encode().ljust(TRAILER_BYTES - len(_MAGIC))


def _describe(path: Path) -> StoredObject | None:
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return _read_trailer(path.name, file)
    finally:
        os.close(file)


def _read_trailer(name: str, file: int) -> StoredObject | None:
    """None when the file is not one that `put` finished."""
    size_bytes = os.fstat(file).st_size - TRAILER_BYTES
    if size_bytes < 0:
        return None
    trailer = os.pread(file, TRAILER_BYTES, size_bytes)
    if not trailer.startswith(_MAGIC):
        return None
    try:
        found = StoredObject(name=name, **json.loads(trailer[len(_MAGIC) :]))
    except (ValueError, TypeError):
        return None
    return found if found.size_bytes == size_bytes else None


def _open_content(path: Path) -> tuple[int, int]:
    """A descriptor and the size of the content before the trailer."""
    file = os.open(path, os.O_RDONLY)
    found = _read_trailer(path.name, file)
    if found is None:
        os.close(file)
        raise FileNotFoundError(f'"{path.name}" is not a stored object')
    return file, found.size_bytes


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(directory: Path, now_ms: int) -> int:
    removed = 0
    for path, changed_ms in _files(directory):
        if path.name.endswith(_PART):
            if changed_ms <= now_ms - _SETTLED_MS:
                _remove_orphan(path)
        elif changed_ms <= now_ms:
            removed += _remove_expired(path, now_ms)
    return removed


def _files(directory: Path) -> Iterator[tuple[Path, int]]:
    """Every regular file with its modification time; one that vanishes meanwhile was somebody else's to sweep."""
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    yield Path(entry.path), entry.stat(follow_symlinks=False).st_mtime_ns // 1_000_000


def _remove_orphan(path: Path) -> None:
    """Remove a temporary file whose writer is gone: while it lived, it held the lock."""
    with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _remove_expired(path: Path, now_ms: int) -> bool:
    """The trailer decides; a copied file has lost the time that stood in for it, and gets it back."""
    found = _describe(path)
    if found is None:
        return False
    if found.expires_ms <= now_ms:
        return _remove(path)
    with contextlib.suppress(FileNotFoundError):
        os.utime(path, ns=(found.expires_ms * 1_000_000, found.expires_ms * 1_000_000))
    return False
