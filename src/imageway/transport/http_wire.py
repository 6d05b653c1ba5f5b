"""HTTP/1.1 over sockets of our own: which connection carries a request, and when it may carry another. No proxies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from types import TracebackType
from typing import Final

from imageway.bodies import Payload
from imageway.core.failures import TransportFailed
from imageway.core.steps import FailureKind
from imageway.transport.answers import Answer
from imageway.transport.connections import ARRIVING_BYTES, READ_AHEAD_BYTES, Connection, reason
from imageway.transport.dialing import Dialer
from imageway.transport.names import NameCache, Resolve
from imageway.transport.origins import Origin, locate
from imageway.transport.wire import Incoming, Outgoing

_JOINED_BYTES: Final = 64 * 1024  # a smaller request leaves in one write, head and all
_OTHER_LENGTH: Final = "the body is not of the length announced"


class HttpWire:
    """A pool of connections, as many as there are requests at once; the one used last is used first. A guarded one
    connects to public addresses alone and keeps no connection: the next use is checked anew."""

    def __init__(self, *, resolve: Resolve, guarded: bool, keepalive_s: float, connect_timeout_s: float) -> None:
        known = resolve if guarded else NameCache(resolve)
        self._dialer = Dialer(known, guarded=guarded, timeout_s=connect_timeout_s)
        self._keepalive_s = 0.0 if guarded else keepalive_s
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._arriving = memoryview(bytearray(ARRIVING_BYTES))
        self._sweep: asyncio.TimerHandle | None = None

    def exchange(self, outgoing: Outgoing) -> Exchange:
        return Exchange(self, outgoing)

    async def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in tuple(self._open):
            connection.drop()
        await asyncio.sleep(0)

    # What follows is for exchanges.

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection that is alive. One that ended while it was idle is dropped before anything is sent."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.is_fresh:
                return connection
            connection.drop()
        return None

    async def dial(self, origin: Origin) -> Connection:
        connection = await self._dialer.dial(origin, partial(Connection, origin, self._forget, self._arriving))
        self._open.add(connection)
        return connection

    def keep(self, connection: Connection) -> None:
        """For the next exchange. Its last answer was read to the end."""
        if not self._keepalive_s:
            connection.drop()
            return
        loop = asyncio.get_running_loop()
        connection.expect(None)
        connection.idle_since_s = loop.time()
        self._idle.setdefault(connection.origin, []).append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._keepalive_s, self._sweep_idle)

    def _sweep_idle(self) -> None:
        """Ends what has been idle for long enough."""
        loop = asyncio.get_running_loop()
        old_s = loop.time() - self._keepalive_s
        for idle in self._idle.values():
            for connection in idle:  # they leave the list when they are lost, later
                if connection.idle_since_s <= old_s:
                    connection.drop()
        rest = [connection.idle_since_s for idle in self._idle.values() for connection in idle]
        next_s = min((since_s for since_s in rest if since_s > old_s), default=None)
        self._sweep = None if next_s is None else loop.call_at(next_s + self._keepalive_s, self._sweep_idle)

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.origin, [])
        if connection in idle:
            idle.remove(connection)
        if not idle:
            self._idle.pop(connection.origin, None)


class Exchange:
    """One request and its answer: the context that `Wire.exchange` promises, and the chunks of the answer's body."""

    __slots__ = ("_answer", "_connection", "_outgoing", "_unsent", "_upload", "_wire")

    def __init__(self, wire: HttpWire, outgoing: Outgoing) -> None:
        self._wire = wire
        self._outgoing = outgoing
        self._answer = Answer(outgoing.method)
        self._connection: Connection | None = None
        self._unsent = True
        self._upload: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Incoming:
        answer = self._answer
        try:
            await self._send()
            while not answer.status:
                await self._arrival()
        except BaseException:
            self._leave()
            raise
        return Incoming(answer.status, answer.headers, self, answer.delimited)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def __aiter__(self) -> Exchange:
        return self

    async def __anext__(self) -> bytes:
        answer = self._answer
        while not answer.chunks:
            if answer.complete:
                raise StopAsyncIteration
            await self._arrival()
        chunk = answer.take()
        if self._connection is not None and answer.waiting_bytes < READ_AHEAD_BYTES:
            self._connection.resume()
        return chunk

    async def _send(self) -> None:
        outgoing, payload = self._outgoing, self._outgoing.payload
        try:
            origin, target = locate(outgoing.url)
            head = write_head(outgoing, origin, target)
            if payload is not None and payload.length <= _JOINED_BYTES:
                head, payload = head + (payload.content or await _read(payload)), None
        except (OSError, ValueError, RuntimeError) as failure:
            raise TransportFailed(FailureKind.NEVER_SENT, f"the request cannot be written: {reason(failure)}") from None
        connection = self._wire.take(origin) or await self._wire.dial(origin)
        self._connection = connection
        connection.expect(self._answer)
        if payload is None:
            outgoing.left = True
            connection.write(head)
            self._unsent = False
        else:
            # In a task of its own: an answer may come before the request has left, and counts.
            self._upload = asyncio.create_task(self._write(connection, head, payload))

    async def _write(self, connection: Connection, head: bytes, payload: Payload) -> None:
        """The request as fast as the kernel takes it."""
        try:
            async for chunk in _exactly(payload):
                if not self._outgoing.left:
                    self._outgoing.left = True
                    connection.write(head)
                connection.write(chunk)
                await connection.writable()
                if connection.failure is not None:
                    return
            self._unsent = False
        except (OSError, ValueError, RuntimeError) as failure:
            connection.fail(f"the request could not be read: {reason(failure)}")

    async def _arrival(self) -> None:
        """Returns when more of the answer has come; raises when nothing more will."""
        connection = self._connection
        if connection is None or connection.failure is not None:
            kind = FailureKind.UNKNOWN if self._outgoing.left else FailureKind.NEVER_SENT
            why = connection and connection.failure
            raise TransportFailed(kind, why or "the exchange is over") from None
        await connection.arrival()

    def _leave(self) -> None:
        """Gives the connection back if everything has been sent, received and taken, and drops it if not."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        answer = self._answer
        if self._unsent or answer.chunks or not answer.persistent or not answer.complete or connection.failure:
            answer.chunks.clear()
            connection.drop()
        else:
            self._wire.keep(connection)
        if self._upload is not None:
            self._upload.cancel()


def write_head(outgoing: Outgoing, origin: Origin, target: str) -> bytes:
    """Request line and headers. Raises ValueError when one of them would be read as more than one line."""
    lines = [f"{outgoing.method} {target} HTTP/1.1", f"host: {origin.authority}"]
    lines += map(": ".join, outgoing.headers.items())
    written = "".join(lines)
    if "\n" in written or "\r" in written or "\0" in written:
        raise ValueError("a header holds a line break")
    return "\r\n".join([*lines, "\r\n"]).encode()


async def _exactly(payload: Payload) -> AsyncIterator[bytes]:
    """The chunks. Raises ValueError when they are not of the length announced: what is too much would be read as the
    next request."""
    left_bytes = payload.length
    async for chunk in payload.chunks():
        left_bytes -= len(chunk)
        if left_bytes < 0:
            break
        yield chunk
    if left_bytes:
        raise ValueError(_OTHER_LENGTH)


async def _read(payload: Payload) -> bytes:
    content = b"".join([chunk async for chunk in payload.chunks()])
    if len(content) != payload.length:
        raise ValueError(_OTHER_LENGTH)
    return content
