"""Spool files read back, in chunks or not at all: what lies in the page cache can be sent without being read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec import Struct

READ_BYTES: Final = 1 << 16  # a multiple of 4, so that base64 read from a file decodes without joining pieces
_AHEAD_BYTES: Final = 8 * READ_BYTES
_RUN_BYTES: Final = 16 * READ_BYTES


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """Stored bytes on disk. A reader opened before the scope was closed reads to the end; opening one afterwards raises
    FileNotFoundError."""

    path: Path
    size_bytes: int
    executor: Executor = field(repr=False, compare=False)


class Run(Struct, frozen=True):
    """Bytes of a file that lie in the page cache: `size_bytes` of them, from byte `at` of the open `descriptor` on. The
    kernel can send them from where they are. Good until the iterator that gave it is asked for more, or goes away."""

    descriptor: int
    at: int
    size_bytes: int

    def __len__(self) -> int:
        return self.size_bytes

    def read(self) -> bytes:
        """Raises OSError when the file has become shorter."""
        content = os.pread(self.descriptor, self.size_bytes, self.at)
        if len(content) < self.size_bytes:
            raise OSError(f"a file ends at byte {self.at + len(content)}: something cut it")
        return content


class FileReader:
    """Bytes in the page cache are read where we stand: 64 KiB take 2–3 µs, a hop to a thread and back ten times that.
    Only what the kernel would have to fetch from the disk is read in a thread. It is asked once for some chunks ahead:
    the question costs half as much as the reading."""

    __slots__ = ("_at", "_cached_to", "_file", "_source")

    def __init__(self, source: SpoolFile) -> None:
        self._source = source
        self._at = 0
        self._cached_to = 0
        self._file = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        size = min(READ_BYTES, self._source.size_bytes - self._at)
        if size <= 0:
            self._close()
            raise StopAsyncIteration
        if self._at + size <= self._cached_to or self._look_ahead(size):
            chunk = os.pread(self._file, size, self._at)
        else:
            loop = asyncio.get_running_loop()
            chunk = await loop.run_in_executor(self._source.executor, _read_and_hold, self, size, self._at)
        if not chunk:
            raise OSError(f"the spool file {self._source.path.name!r} ends at byte {self._at}: something cut it")
        self._at += len(chunk)
        return chunk

    def take_run(self) -> Run | None:
        """What comes next, unread, if it is cached. Pages come and go in order: the last speaks for those before."""
        size = min(_RUN_BYTES, self._source.size_bytes - self._at)
        if size <= 0 or not _is_cached(self._file, self._at + size - 1):
            return None
        run = Run(self._file, self._at, size)
        self._at += size
        return run

    def _look_ahead(self, size: int) -> bool:
        """Whether the next chunk is cached."""
        ahead = min(self._at + _AHEAD_BYTES, self._source.size_bytes)
        if _is_cached(self._file, ahead - 1):
            self._cached_to = ahead
            return True
        return ahead > self._at + size and _is_cached(self._file, self._at + size - 1)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._close()


async def runs_of(source: SpoolFile) -> AsyncIterator[bytes | Run]:
    """The file from its start: runs where it is cached, chunks where it has to be fetched from the disk."""
    reader = FileReader(source)
    while True:
        run = reader.take_run()
        if run is not None:
            yield run
            continue
        chunk = await anext(reader, None)
        if chunk is None:
            return
        yield chunk


def _read_and_hold(reader: FileReader, size: int, at: int) -> bytes:
    """In a thread. Holding the reader keeps its descriptor open should the waiting side vanish meanwhile."""
    return os.pread(reader._file, size, at)


def _is_cached(file: int, at: int) -> bool:
    """Whether the byte there can be read without waiting for a disk. Where the kernel cannot tell, the answer is no."""
    try:
        return os.preadv(file, [bytearray(1)], at, os.RWF_NOWAIT) == 1
    except (OSError, AttributeError):  # not cached; a file system or platform without the flag
        return False
