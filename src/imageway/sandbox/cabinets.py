"""Where files are kept for 24 hours: in memory, or in a directory where the next process finds them. Bounded by bytes;
what is in a file is not known here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from imageway.core.objects import check_name

LIFETIME_S: Final = 86_400
BLOCK_BYTES: Final = 4_096


class NotKept(Exception):
    """The disk took no more; nothing was kept under that name."""


class Cabinet(Protocol):
    """Whole files by name."""

    async def put(self, name: str, content: bytes) -> None:
        """Keeps a file, in place of one of that name. The oldest go when the space is used up. Raises NotKept."""

    async def get(self, name: str) -> bytes | None:
        """The content; None when there is no such file, or it is older than LIFETIME_S."""

    async def names(self) -> tuple[str, ...]:
        """Of every file there is, in no order."""


class MemoryCabinet:
    """Files that end with the process; the ones used longest ago go first."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self.used_bytes = 0

    async def put(self, name: str, content: bytes) -> None:
        self._drop(name)
        self._kept[name] = (content, time.time() + LIFETIME_S)
        self.used_bytes += len(content)
        while self.used_bytes > self._limit_bytes and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    async def get(self, name: str) -> bytes | None:
        content, until_s = self._kept.get(name, (None, 0.0))
        if until_s < time.time():
            self._drop(name)
            return None
        self._kept.move_to_end(name)
        return content

    async def names(self) -> tuple[str, ...]:
        return tuple(self._kept)

    def _drop(self, name: str) -> None:
        content, _ = self._kept.pop(name, (b"", 0.0))
        self.used_bytes -= len(content)


@dataclass(slots=True)
class FolderCabinet:
    """Files in a directory, which is made when missing: whole and durable when `put` returns. Processes may share it,
    so every question is put to the disk; each counts only what it wrote itself since it last looked around, so together
    they may pass the limit by as much as that. A file counts in whole blocks: a bound on bytes is one on files too."""

    directory: Path
    limit_bytes: int
    _used_bytes: float = field(default=float("inf"), init=False)  # not known before the first look around

    async def put(self, name: str, content: bytes) -> None:
        await asyncio.to_thread(self._put, check_name(name), content)

    async def get(self, name: str) -> bytes | None:
        try:
            path = self.directory / check_name(name)
        except ValueError:
            return None
        return await asyncio.to_thread(_read, path)

    async def names(self) -> tuple[str, ...]:
        found = await asyncio.to_thread(self._files)
        return tuple(path.name for _, _, path in found if not path.name.startswith("."))

    def _put(self, name: str, content: bytes) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._used_bytes += _blocks(len(content))
            if self._used_bytes > self.limit_bytes:
                self._make_room(len(content))
            _write(self.directory / name, content)
        except OSError as error:
            self._used_bytes = float("inf")
            raise NotKept(str(error)) from error

    def _make_room(self, size_bytes: int) -> None:
        """Removes what is too old, then the oldest, down to three quarters of the limit: not for every file anew."""
        files = sorted(self._files())
        used_bytes = _blocks(size_bytes) + sum(size for _, size, _ in files)
        goal_bytes = self.limit_bytes * 3 // 4 if used_bytes > self.limit_bytes else self.limit_bytes
        for changed_s, size, path in files:
            if changed_s + LIFETIME_S >= time.time() and used_bytes <= goal_bytes:
                break
            path.unlink(missing_ok=True)
            used_bytes -= size
        self._used_bytes = used_bytes

    def _files(self) -> list[tuple[float, int, Path]]:
        """(changed, bytes, path) of all, drafts of dead writers too: those go when they are too old."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # somebody else removed it meanwhile
                    status = entry.stat()
                    found.append((status.st_mtime, _blocks(status.st_size), Path(entry.path)))
        return found


def _blocks(size_bytes: int) -> int:
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def _write(target: Path, content: bytes) -> None:
    """All of it or nothing, in this order: bytes, rename, directory."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    handle = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            expired = os.fstat(file.fileno()).st_mtime + LIFETIME_S < time.time()
            return None if expired else file.read()
    except OSError:
        return None
