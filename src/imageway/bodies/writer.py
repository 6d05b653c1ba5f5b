"""A blob while it arrives: looked at as it goes by, kept in memory while it is small, written to a file by threads
when it is not. Whoever writes awaits `drain` after each chunk, and memory stays bounded."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

from imageway.bodies.base64_text import Base64Reader
from imageway.bodies.blobs import StoredBlob
from imageway.bodies.budget import SpoolFull
from imageway.bodies.files import SpoolFile
from imageway.bodies.gauge import Gauge
from imageway.core.blobs import Encoding

MEMORY_BYTES: Final = 256 << 10
_BATCH_BYTES: Final = 384 << 10  # a batch costs 30–40 µs of hopping; smaller ones cost more, larger ones memory
_UNWRITTEN_BYTES: Final = 640 << 10
_CRUMB_BYTES: Final = 4 << 10  # smaller pieces are joined: writev takes 1,024 at once
_CRUMBS_BYTES: Final = 64 << 10
_PIECES_AT_ONCE: Final = 512


class Owner(Protocol):
    """What a writer asks of the scope that owns its blob."""

    @property
    def executor(self) -> ThreadPoolExecutor: ...

    def new_path(self) -> Path: ...

    def take(self, size_bytes: int) -> None: ...

    def keep_in_memory(self, size_bytes: int) -> bool: ...

    def forget(self, writer: BlobWriter) -> None: ...


class BlobWriter:
    """`write` chunks, `await drain()` after each, `await finish()`. Text of base64 is checked and mended as it comes:
    `write` and `seal` raise InvalidBase64. SpoolFull means that there is no room; OSError that the disk failed."""

    __slots__ = (
        "_crumbs",
        "_declared_type",
        "_encoding",
        "_file",
        "_flight",
        "_flight_bytes",
        "_gauge",
        "_owner",
        "_pending_bytes",
        "_pieces",
        "_reader",
        "_sealed",
        "_stored_bytes",
    )

    def __init__(self, owner: Owner, *, encoding: Encoding, declared_type: str | None = None) -> None:
        self._owner = owner
        self._encoding = encoding
        self._declared_type = declared_type
        self._gauge = Gauge()
        self._reader = None if encoding is Encoding.BINARY else Base64Reader(self._gauge.look)
        self._pieces: list[bytes] = []
        self._crumbs = bytearray()
        self._pending_bytes = 0
        self._stored_bytes = 0
        self._file: _File | None = None
        self._flight: Future[None] | None = None
        self._flight_bytes = 0
        self._sealed = False

    @property
    def unwrapped(self) -> bool:
        """Whether line breaks were taken out of base64."""
        return self._reader is not None and self._reader.unwrapped

    def write(self, chunk: bytes) -> None:
        if self._sealed:
            raise RuntimeError("the blob is sealed: nothing more can be written to it")
        if self._reader is None:
            self._gauge.look(chunk)
            self._keep(chunk)
        else:
            self._keep(self._reader.feed(chunk))

    def write_plain(self, chunk: bytes) -> bool:
        """`write` for base64 that needs no mending; False, and nothing has changed, for everything else."""
        if self._sealed or self._reader is None or not self._reader.feed_plain(chunk):
            return False
        self._keep(chunk)
        return True

    def seal(self) -> None:
        """Nothing more comes. Raises InvalidBase64 when what came is not whole; `finish` then only stores."""
        if self._sealed:
            return
        if self._reader is not None:
            self._keep(self._reader.finish())
            self._encoding = self._reader.encoding
        self._sealed = True

    async def drain(self) -> None:
        """Waits until little enough is unwritten."""
        while self._flight is not None and self._pending_bytes + self._flight_bytes > _UNWRITTEN_BYTES:
            await self._land()
            if self._pending_bytes >= _BATCH_BYTES:
                self._launch()

    async def finish(self) -> StoredBlob:
        self.seal()
        source: bytes | SpoolFile
        if self._file is None and self._stored_bytes <= MEMORY_BYTES and self._owner.keep_in_memory(self._stored_bytes):
            source = b"".join(self._gather())
        else:
            if self._flight is not None:
                await self._land()
            self._launch(last=True)
            await self._land()
            source = SpoolFile(self._spill().path, self._stored_bytes, self._owner.executor)
        self._owner.forget(self)
        return StoredBlob.of(source, self._gauge, encoding=self._encoding, declared_type=self._declared_type)

    def abandon(self) -> None:
        """The blob is not wanted any more; its file goes as soon as no thread writes to it."""
        self._sealed = True
        self._owner.forget(self)
        self._pieces.clear()
        if self._file is None:
            return
        if self._flight is None:
            self._file.close()  # the scope deletes it with the others
        else:
            self._flight.add_done_callback(self._file.drop)

    def _keep(self, piece: bytes) -> None:
        self._stored_bytes += len(piece)
        self._pending_bytes += len(piece)
        if len(piece) < _CRUMB_BYTES:
            self._crumbs += piece
            if len(self._crumbs) >= _CRUMBS_BYTES:
                self._sweep()
        else:
            self._sweep()
            self._pieces.append(piece)
        if self._stored_bytes > MEMORY_BYTES and self._pending_bytes >= _BATCH_BYTES:
            self._push()

    def _push(self) -> None:
        if self._flight is not None and self._flight.done():
            self._settle()
        if self._flight is None:
            self._launch()

    def _sweep(self) -> None:
        if self._crumbs:
            self._pieces.append(bytes(self._crumbs))
            self._crumbs.clear()

    def _gather(self) -> list[bytes]:
        self._sweep()
        pieces, self._pieces, self._pending_bytes = self._pieces, [], 0
        return pieces

    def _spill(self) -> _File:
        if self._file is None:
            self._file = _File(self._owner.new_path())
        return self._file

    def _launch(self, *, last: bool = False) -> None:
        """Sends what is pending to a thread; only one batch flies at a time, so that batches land in order."""
        self._owner.take(self._pending_bytes)
        file = self._spill()
        self._flight_bytes = self._pending_bytes
        self._flight = self._owner.executor.submit(file.append, self._gather(), last=last)

    async def _land(self) -> None:
        """Waits for the batch in flight. Shielded: a cancelled waiter must not take the batch out of the queue."""
        if self._flight is not None:
            if not self._flight.done():
                with contextlib.suppress(OSError):  # raised by _settle, in our own words
                    await asyncio.shield(asyncio.wrap_future(self._flight))
            self._settle()

    def _settle(self) -> None:
        flight, self._flight, self._flight_bytes = self._flight, None, 0
        try:
            if flight is not None:
                flight.result()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SpoolFull(f"the disk has no room: {error.strerror}") from error
            raise


class _File:
    """A file that threads append to, one after the other."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def append(self, pieces: list[bytes], *, last: bool) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        while pieces:
            batch, pieces = pieces[:_PIECES_AT_ONCE], pieces[_PIECES_AT_ONCE:]
            written = os.writev(self._descriptor, batch)
            if written < sum(map(len, batch)):  # a full disk cuts a write short before it fails one
                pieces.insert(0, b"".join(batch)[written:])
        if last:
            self.close()

    def drop(self, _: object) -> None:
        """Called when the last batch has landed: perhaps after the scope deleted what was there."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
