"""The two kinds of blob: small ones in memory, large ones in a spool file. Both keep the bytes as they came."""

from __future__ import annotations

import asyncio
import binascii
import os
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pybase64
from msgspec import Struct

from imageway.bodies.base64_text import Base64Reader, InvalidBase64, split_data_url
from imageway.bodies.gauge import Gauge
from imageway.core.blobs import Encoding, ImageFacts

READ_BYTES: Final = 1 << 16  # a multiple of 4, so that base64 read from a file decodes without joining pieces
_AHEAD_BYTES: Final = 8 * READ_BYTES


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """Stored bytes on disk. A reader opened before the scope was closed reads to the end; opening one afterwards raises
    FileNotFoundError."""

    path: Path
    size_bytes: int
    executor: Executor = field(repr=False, compare=False)


class StoredBlob(Struct, frozen=True, kw_only=True):
    """The one implementation of core's Blob. Base64 in it is canonical: one alphabet, no line breaks, padded."""

    encoding: Encoding
    stored_bytes: int
    decoded_bytes: int
    declared_type: str | None
    head: bytes
    tail: bytes
    facts: ImageFacts | None
    source: bytes | SpoolFile

    @classmethod
    def of(
        cls, source: bytes | SpoolFile, gauge: Gauge, *, encoding: Encoding, declared_type: str | None
    ) -> StoredBlob:
        return cls(
            encoding=encoding,
            stored_bytes=len(source) if isinstance(source, bytes) else source.size_bytes,
            decoded_bytes=gauge.decoded_bytes,
            declared_type=declared_type,
            head=gauge.head,
            tail=gauge.tail,
            facts=gauge.facts,
            source=source,
        )

    def __repr__(self) -> str:
        """Without content: logs and failed tests show this."""
        told = f"{self.decoded_bytes} bytes, {self.encoding.value}, {self.declared_type}, {self.facts}"
        return f"StoredBlob({told})"

    def open(self) -> AsyncIterator[bytes]:
        return _MemoryReader(self.source) if isinstance(self.source, bytes) else _FileReader(self.source)


class _MemoryReader:
    __slots__ = ("_at", "_content")

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        at = self._at
        if at >= len(self._content):
            raise StopAsyncIteration
        self._at = at + READ_BYTES
        return self._content[at : at + READ_BYTES]


class _FileReader:
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

    def _look_ahead(self, size: int) -> bool:
        """Whether the next chunk is cached. Pages come and go in order: the last one speaks for those before it."""
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


def _read_and_hold(reader: _FileReader, size: int, at: int) -> bytes:
    """In a thread. Holding the reader keeps its descriptor open should the waiting side vanish meanwhile."""
    return os.pread(reader._file, size, at)


def _is_cached(file: int, at: int) -> bool:
    """Whether the byte there can be read without waiting for a disk. Where the kernel cannot tell, the answer is no."""
    try:
        return os.preadv(file, [bytearray(1)], at, os.RWF_NOWAIT) == 1
    except (OSError, AttributeError):  # not cached; a file system or platform without the flag
        return False


def blob_of(content: bytes, *, encoding: Encoding = Encoding.BINARY, declared_type: str | None = None) -> StoredBlob:
    """A blob in memory, whatever its size. Raises InvalidBase64 when the content is not in the encoding named."""
    gauge = Gauge()
    whole = content if encoding is Encoding.BINARY else _decoded_at_once(content)
    if whole is not None:
        gauge.look(whole)
        spelled = encoding if encoding is Encoding.BINARY else Encoding.BASE64
        return StoredBlob.of(content, gauge, encoding=spelled, declared_type=declared_type)
    reader = Base64Reader(gauge.look)
    content = reader.feed(content)
    content += reader.finish()
    return StoredBlob.of(content, gauge, encoding=reader.encoding, declared_type=declared_type)


def _decoded_at_once(text: bytes) -> bytes | None:
    """What canonical base64 stands for; None for text that has to be mended first, or is none."""
    try:
        return pybase64.b64decode(text, validate=True) if len(text) % 4 == 0 else None
    except binascii.Error:
        return None


def base64_blob(text: str) -> StoredBlob | None:
    """The text as a blob when it is base64, base64url or a data URL from its first character; else None. Meant for
    strings too short for the lifter to have made blobs of them."""
    if not text or not text.isascii():
        return None
    content = text.encode("ascii")
    declared_type, start = split_data_url(content)
    if start == len(content):
        return None
    try:
        return blob_of(content[start:], encoding=Encoding.BASE64, declared_type=declared_type)
    except InvalidBase64:
        return None
