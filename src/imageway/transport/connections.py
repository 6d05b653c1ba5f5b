"""One socket and what goes over it: an answer fed as it arrives, back-pressure both ways, and whether it may be used
again. It never sends by itself."""

from __future__ import annotations

import asyncio
import os
import select
import ssl
from collections.abc import Callable
from typing import Final, cast

from imageway.transport.answers import Answer, BadAnswer
from imageway.transport.origins import Origin

READ_AHEAD_BYTES: Final = 64 * 1024
"""Of a body that nobody has taken yet; beyond it the socket is not read."""
WRITE_AHEAD_BYTES: Final = 64 * 1024
"""Of a request that the kernel has not taken yet; beyond it no more is read from the payload."""

ARRIVING_BYTES: Final = 1 << 20
"""What one read brings. Each costs 20 µs of turns and calls: a quarter of it makes large answers a tenth dearer."""
_UNASKED_BYTES: Final = 256 << 10
"""The same where nobody waits for it: it will lie in memory."""


class Connection(asyncio.BufferedProtocol):
    """Serves one answer at a time: `expect` it, then `write`. `failure` says why no more of the answer will come; what
    came before that may still be taken. `lost` is called once, when the connection has ended. What is read lies in
    `arriving`, ARRIVING_BYTES long, until it is copied, before the loop reads again: connections of one loop share it.
    """

    __slots__ = (
        "_answer",
        "_arriving",
        "_dropped",
        "_lost",
        "_paused",
        "_poll",
        "_reader",
        "_transport",
        "_unasked",
        "_writer",
        "closed",
        "failure",
        "idle_since_s",
        "origin",
    )

    def __init__(self, origin: Origin, lost: Callable[[Connection], None], arriving: memoryview) -> None:
        self.origin = origin
        self.closed = False
        self.failure: str | None = None
        self.idle_since_s = 0.0
        self._lost = lost
        self._arriving, self._unasked = arriving, arriving[:_UNASKED_BYTES]
        self._answer: Answer | None = None
        self._dropped = False
        self._paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._poll = select.poll()

    @property
    def is_fresh(self) -> bool:
        """False when an idle connection has something to read. Nothing was asked, so that can only be its end: the
        other side may have closed it while our event loop was busy elsewhere."""
        return not (self.closed or self._transport.is_closing() or self._poll.poll(0))

    def expect(self, answer: Answer | None) -> None:
        self._answer = answer

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def writable(self) -> None:
        """Returns when the kernel has taken enough, or the connection has ended."""
        if self._writer is not None:
            await self._writer

    def arrival(self) -> asyncio.Future[None]:
        """Done when more of the answer has come, or nothing more will."""
        self._reader = asyncio.get_running_loop().create_future()
        return self._reader

    def resume(self) -> None:
        """Reads on, when it had stopped: somebody has taken of what waited."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def fail(self, why: str) -> None:
        """Nothing more can come of this exchange."""
        if self.failure is None:
            self.failure = why
        self.drop()

    def drop(self) -> None:
        self._dropped = True
        self._transport.abort()
        _wake(self._reader)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_AHEAD_BYTES)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._unasked if self._reader is None or self._reader.done() else self._arriving

    def buffer_updated(self, nbytes: int) -> None:
        answer = self._answer
        if answer is None or self._dropped:
            self.drop()
            return
        try:
            answer.feed(bytes(self._arriving[:nbytes]))
        except BadAnswer as bad:
            self.fail(str(bad))
            return
        if answer.waiting_bytes >= READ_AHEAD_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self.failure is None:
            self.failure = self._end(error)
        _wake(self._reader)
        self.resume_writing()
        self._lost(self)

    def pause_writing(self) -> None:
        self._writer = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        _wake(self._writer)
        self._writer = None

    def _end(self, error: Exception | None) -> str:
        if error is not None:
            return f"the reply was cut: {reason(error)}"
        if self._answer is not None and not self._dropped:
            try:
                self._answer.end()
            except BadAnswer as bad:
                return str(bad)
        return "the connection was closed"


def reason(failure: Exception) -> str:
    """What happened to a connection, in words that hold no URL."""
    if isinstance(failure, ssl.SSLError):  # its number is not one of the system's
        told = getattr(failure, "reason", None)
    elif isinstance(failure, OSError):
        told = os.strerror(failure.errno) if failure.errno else None
    else:
        told = str(failure)
    return f"{type(failure).__name__}: {told}" if told else type(failure).__name__


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
