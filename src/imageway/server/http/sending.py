"""One answer on its way out: counted or as a stream, as fast as the client reads and no faster."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

from imageway.bodies import Run

Pieces = AsyncIterator[bytes | Run] | AsyncIterator[bytes]

HIGH_WATER_BYTES: Final = 64 * 1024  # 1 MB costs two and a half times as much: bytes leave the processor's cache
_JOINED_BYTES: Final = 16 * 1024
_TURN_BYTES: Final = 1024 * 1024  # to a client that reads as fast as we write; then it is somebody else's turn
_NUDGE_BYTES: Final = 2 * HIGH_WATER_BYTES  # of a run, through our own buffer: enough to be told when it is empty
_DRAIN_S: Final = 5.0
_DRAIN_STEPS: Final = 500


class WrongLength(Exception):
    """A payload that is not as long as its head says."""


class Sender:
    """The writing half of a connection. `has_begun`: content of the answer at hand was written, not its head alone."""

    __slots__ = ("_loop", "_overdue_s", "_paused", "_socket", "_stall_s", "_transport", "_waiter", "has_begun")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, stall_s: float) -> None:
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self.has_begun = False
        self._loop = loop
        self._transport = transport
        self._socket = _plain_socket(transport)
        self._stall_s = stall_s
        self._overdue_s = math.inf
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None

    async def count(self, head: bytes, length: int, chunks: Pieces, before_last: Callable[[], None]) -> bool:
        """Sends the head and `length` bytes; whether all were taken before the client left. `before_last` is called
        when all but the last chunk have been written; a small answer is one write. Raises WrongLength, and what the
        chunks raise; the head then is out."""
        sent, burst, last = 0, 0, b""
        try:
            async for chunk in chunks:
                sent += len(chunk)
                if sent >= length:
                    last += chunk if isinstance(chunk, bytes) else chunk.read()
                    continue
                if isinstance(chunk, bytes):
                    self._write(head, chunk)
                    burst += len(chunk)
                else:
                    self._write(head)
                    await self._pass_on(chunk)
                    burst = 0
                head = b""
                if self._paused or burst > _TURN_BYTES:
                    await self._take_turns()
                    burst = 0
                if self._transport.is_closing():
                    return False
            if sent != length:
                raise WrongLength(f"{sent} bytes came of a payload of {length}")
        except Exception:
            self._write(head)
            raise
        if not head:
            await asyncio.sleep(0)  # lets the loop find a connection broken to which the chunks before were written
        if self._transport.is_closing():
            return False
        before_last()
        self._write(head, last)
        return True

    def whole(self, head: bytes, content: bytes, before_last: Callable[[], None]) -> bool:
        """`count` for what lies in memory: head and content in one write, with nothing to wait for."""
        if self._transport.is_closing():
            return False
        before_last()
        self._write(head, content)
        return True

    async def stream(
        self, head: bytes, chunks: AsyncIterator[bytes], before_last: Callable[[], None], *, chunked: bool
    ) -> bool:
        """Sends chunks as they come, each at once; whether all were taken before the client left. Not `chunked`: the
        end of the connection is the end of the stream. Raises what the chunks raise."""
        self._write(head)
        try:
            async for chunk in chunks:
                if self._transport.is_closing():
                    return False
                if chunk:
                    self._write(b"", b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if self._paused:
                    await self._take_turns()
        finally:
            if (close := getattr(chunks, "aclose", None)) is not None:
                await close()
        await asyncio.sleep(0)
        if self._transport.is_closing():
            return False
        before_last()
        self._write(b"0\r\n\r\n" if chunked else b"")
        return True

    def write(self, content: bytes) -> None:
        """A whole answer, or what is said before one."""
        self._transport.write(content)

    def close(self) -> None:
        """Lets out what was written, within limits, and ends the connection."""
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._overdue_s = self._loop.time() + self._stall_s

    def check(self, now_s: float) -> None:
        """Leaves a client that reads nothing."""
        if now_s >= self._overdue_s:
            self._transport.abort()

    def pause(self) -> None:
        self._paused = True
        self._overdue_s = self._loop.time() + self._stall_s

    def resume(self) -> None:
        self._paused = False
        self._overdue_s = math.inf
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def reset(self) -> None:
        """Ends the connection as a broken server does, once what was written is out: with a reset."""
        for _ in range(_DRAIN_STEPS):
            if self._transport.is_closing() or not self._transport.get_write_buffer_size():
                break
            await asyncio.sleep(_DRAIN_S / _DRAIN_STEPS)
        handle = self._transport.get_extra_info("socket")
        if handle is not None:  # the loop's own object may not let options be set; a duplicate of the descriptor does
            with suppress(OSError), socket.socket(fileno=os.dup(handle.fileno())) as own:
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _write(self, head: bytes, content: bytes = b"") -> None:
        if content:
            self.has_begun = True
        if not head:
            self._transport.write(content)
        elif len(content) <= _JOINED_BYTES:
            self._transport.write(head + content)
        else:
            self._transport.write(head)
            self._transport.write(content)

    async def _pass_on(self, run: Run) -> None:
        """The kernel takes from its page cache what the socket has room for, uncopied. When there is no more room, a
        piece goes through the transport, which says when that has left."""
        self.has_begun = True
        at, end = run.at, run.at + run.size_bytes
        while at < end and not self._transport.is_closing():
            if not self._transport.get_write_buffer_size():
                at += self._sent_from(run.descriptor, at, end - at)
            if at < end:
                piece = Run(run.descriptor, at, min(_NUDGE_BYTES, end - at)).read()
                self._transport.write(piece)
                at += len(piece)
            await self._take_turns()

    def _sent_from(self, descriptor: int, at: int, size_bytes: int) -> int:
        """How many bytes the socket took at once. A broken connection takes none, and neither does one with a layer of
        its own above the socket: writing to the transport finds out the one and passes the other."""
        if self._socket < 0:
            return 0
        try:
            return os.sendfile(self._socket, descriptor, at, size_bytes)
        except OSError:
            return 0

    async def _take_turns(self) -> None:
        if not self._paused:
            await asyncio.sleep(0)
            return
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


def _plain_socket(transport: asyncio.Transport) -> int:
    """The descriptor of the socket whose bytes are the transport's own; -1 where something stands between the two."""
    handle = transport.get_extra_info("socket")
    return -1 if handle is None or transport.get_extra_info("sslcontext") is not None else int(handle.fileno())
