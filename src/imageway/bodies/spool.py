"""Where large blobs lie while they are needed: files in one folder per process, owned by scopes, counted by a budget.

Threads write and delete them, because a disk may stall for 100 ms; memory holds less than a megabyte a blob."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from imageway.bodies.base64_text import InvalidBase64, split_data_url
from imageway.bodies.blobs import StoredBlob
from imageway.bodies.budget import Budget, SpoolFull
from imageway.bodies.writer import BlobWriter
from imageway.core.blobs import Encoding

_THREADS: Final = 4
_SCOPE_MEMORY_BYTES: Final = 1 << 20  # of one scope's small blobs; those beyond it go to files as well


class Spool:
    """A folder of this process's own below `directory`, named after its process id. Raises OSError when it cannot be
    made. `close` deletes it with all that is in it."""

    def __init__(self, directory: Path, budget: Budget) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=directory))
        self.budget = budget
        self.executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="spool")
        self._files = 0
        self._closed = False

    def scope(self) -> Scope:
        return Scope(self)

    def new_path(self) -> Path:
        self._files += 1
        return self.folder / f"{self._files:x}"

    def delete(self, paths: Sequence[Path]) -> None:
        if paths and not self._closed:
            self.executor.submit(_delete, paths)

    def close(self) -> None:
        self._closed = True
        self.executor.shutdown(wait=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class Scope:
    """Owner of blobs: one request's, or one task's. Starts with one user; when the last has released it, its files are
    deleted and its room goes back to the budget. Not for several threads."""

    __slots__ = ("_kept_bytes", "_paths", "_reserved_bytes", "_spool", "_taken_bytes", "_users", "_writers")

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._users = 1
        self._paths: list[Path] = []
        self._writers: dict[BlobWriter, None] = {}  # a set is three times as large
        self._reserved_bytes = 0
        self._taken_bytes = 0
        self._kept_bytes = 0

    @property
    def closed(self) -> bool:
        return self._users == 0

    def hold(self) -> None:
        self._check_open()
        self._users += 1

    def release(self) -> None:
        self._check_open()
        self._users -= 1
        if self._users == 0:
            self._close()

    def reserve(self, size_bytes: int) -> bool:
        """Room ahead of time: what this scope's blobs then write is taken from it first. False: there is none."""
        self._check_open()
        if not self._spool.budget.reserve(size_bytes):
            return False
        self._reserved_bytes += size_bytes
        return True

    def give_back(self) -> None:
        """Reserved room that nothing was written to is free for others again."""
        left_bytes = self._reserved_bytes - self._taken_bytes
        if left_bytes > 0:
            self._spool.budget.release(left_bytes)
            self._reserved_bytes -= left_bytes

    def writer(self, *, encoding: Encoding, declared_type: str | None = None) -> BlobWriter:
        self._check_open()
        writer = BlobWriter(self, encoding=encoding, declared_type=declared_type)
        self._writers[writer] = None
        return writer

    def begin_base64(self, text: bytes, *, whole: bool) -> BlobWriter | None:
        """A writer of what the text is, or begins: base64, or a data URL of it. None: it is neither."""
        declared_type, start = split_data_url(text)
        writer = self.writer(encoding=Encoding.BASE64, declared_type=declared_type)
        try:
            writer.write(text[start:])
            if whole:
                writer.seal()
        except InvalidBase64:
            writer.abandon()
            return None
        return writer

    async def keep(self, chunks: AsyncIterator[bytes], *, declared_type: str | None = None) -> StoredBlob:
        """All that comes as one binary blob. Raises SpoolFull, OSError, and whatever `chunks` does."""
        writer = self.writer(encoding=Encoding.BINARY, declared_type=declared_type)
        try:
            async for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
            return await writer.finish()
        except BaseException:
            writer.abandon()
            raise

    # What follows is for the writer.

    @property
    def executor(self) -> ThreadPoolExecutor:
        return self._spool.executor

    def new_path(self) -> Path:
        self._check_open()
        path = self._spool.new_path()
        self._paths.append(path)
        return path

    def take(self, size_bytes: int) -> None:
        """Room for bytes about to be written; SpoolFull when there is none."""
        self._check_open()
        missing = self._taken_bytes + size_bytes - self._reserved_bytes
        if missing > 0 and not self.reserve(missing):
            raise SpoolFull(f"no room for {missing} bytes more: {self._spool.budget.used_bytes} are in use")
        self._taken_bytes += size_bytes

    def keep_in_memory(self, size_bytes: int) -> bool:
        """Whether a small blob may stay in memory."""
        if self._kept_bytes + size_bytes > _SCOPE_MEMORY_BYTES:
            return False
        self._kept_bytes += size_bytes
        return True

    def forget(self, writer: BlobWriter) -> None:
        self._writers.pop(writer, None)

    def _check_open(self) -> None:
        if self._users == 0:
            raise RuntimeError("the scope is closed: its blobs are gone")

    def _close(self) -> None:
        for writer in tuple(self._writers):
            writer.abandon()
        self._spool.delete(self._paths)
        self._spool.budget.release(self._reserved_bytes)


def _delete(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
