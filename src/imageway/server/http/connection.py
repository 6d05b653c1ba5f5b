"""One client connection: which bytes are a head, which a body, which wait their turn; and when it has to end. A request
is one task, cancelled when its client leaves; nothing else runs for it, and no timer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextvars import Context
from dataclasses import dataclass, field
from typing import Final, cast

from imageway.server.gate import Outgoing
from imageway.server.http.answers import CONTINUE, STREAM, has_body, head_of, length_of, refusal
from imageway.server.http.heads import Malformed, RequestHead, could_begin, read_head, why_not
from imageway.server.http.request_body import RequestBody
from imageway.server.http.sending import Sender
from imageway.server.http.site import Site
from imageway.server.limits import ConnectionLimits

LINGER_S: Final = 1.0
LINGER_BYTES: Final = 4 * 1024 * 1024
_PROBED_BYTES: Final = 8 * 1024  # of a head that comes in pieces: looked at with every piece, to tell garbage at once


@dataclass(slots=True)
class Shared:
    """What all connections of a process have in common. `date`: the header field of this second."""

    site: Site
    limits: ConnectionLimits
    loop: asyncio.AbstractEventLoop
    connections: set[Connection] = field(default_factory=set)
    none_left: asyncio.Event = field(default_factory=asyncio.Event)
    closing: bool = False
    date: str = ""

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self.none_left.set()


class Connection(asyncio.Protocol):
    """Reads a head, runs the request, then reads the next one: what a client sends ahead waits, within limits."""

    _transport: asyncio.Transport
    _sender: Sender
    _peer: str

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._loop = shared.loop
        self._unread = b""  # of a head that is not whole, or of what stands behind the request at hand
        self._body: RequestBody | None = None  # still arriving
        self._task: asyncio.Task[None] | None = None
        self._due_s = math.inf  # when a head, the next request or the end of a connection must have come
        self._in_head = True
        self._reading = True
        self._entered = False  # the task has taken its first step
        self._left = False  # nobody waits for an answer: the client is gone, or was refused
        self._lost = False
        self._lingering_bytes = 0

    # What the loop tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._sender = Sender(self._loop, self._transport, self._limits.stall_s)
        self._peer = _host(self._transport.get_extra_info("peername"))
        self._due_s = self._loop.time() + self._limits.head_s
        self._shared.connections.add(self)
        if len(self._shared.connections) > self._limits.at_once:
            self._turn_away()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._leave()
        if self._task is None:
            self._shared.forget(self)

    def eof_received(self) -> None:
        self._leave()

    def pause_writing(self) -> None:
        self._sender.pause()

    def resume_writing(self) -> None:
        self._sender.resume()

    def data_received(self, data: bytes) -> None:
        if self._lingering_bytes:
            self._pass_over(len(data))
            return
        if self._body is not None:
            try:
                rest = self._body.arrive(data)
            except Malformed as error:
                self._refuse(400, "malformed_http", str(error))
                return
            if rest is None:
                return
            self._body = None
            data = rest
        self._unread = self._unread + data if self._unread else data
        if self._task is None:
            self._begin()
        elif len(self._unread) > self._limits.head_bytes:
            self.pause_reading()

    # What time and the process tell us.

    def check(self, now_s: float) -> None:
        self._sender.check(now_s)
        if self._body is not None:
            self._body.check(now_s)
        if now_s >= self._due_s:
            self._due_s = math.inf
            self._sender.close()

    def retire(self) -> None:
        """The process is ending: no further request, and none is waited for."""
        if self._task is None and not self._lingering_bytes:
            self._sender.close()

    def abort(self) -> None:
        self._transport.abort()

    # What the reader of a body tells us.

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def invite_body(self) -> None:
        self._sender.write(CONTINUE)

    # One request after the other.

    def _begin(self) -> None:
        """Starts the next request if its head is whole."""
        unread = self._unread
        if unread.startswith(b"\r\n"):  # RFC 9112 §2.2: some clients end a body with an empty line
            unread = self._unread = unread.lstrip(b"\r\n")
        end = unread.find(b"\r\n\r\n") + 4
        if (end if end >= 4 else len(unread)) > self._limits.head_bytes:
            limit = f"the head is larger than the {self._limits.head_bytes:,} bytes taken"
            self._refuse(431, "head_too_large", limit)
        elif end >= 4:
            self._start(unread[:end], unread[end:])
        elif unread:
            self._await_head(unread)

    def _await_head(self, unread: bytes) -> None:
        if len(unread) <= _PROBED_BYTES and not could_begin(unread):
            self._refuse(400, "malformed_http", why_not(unread))
        elif not self._in_head:
            self._in_head = True
            self._due_s = self._loop.time() + self._limits.head_s

    def _start(self, content: bytes, rest: bytes) -> None:
        try:
            request = read_head(content, self._peer)
            body = RequestBody(self, request, self._limits)
            behind = body.arrive(rest)
        except Malformed as error:
            self._refuse(400, "malformed_http", str(error))
            return
        self._body = body if behind is None else None
        self._unread = behind or b""
        self._due_s = math.inf
        self._sender.has_begun = False
        self._entered = False
        self._task = self._loop.create_task(self._serve(request, body), context=Context())

    async def _serve(self, request: RequestHead, body: RequestBody) -> None:
        self._entered = True
        site, outgoing, goes_on, complete = self._shared.site, None, False, False
        try:
            outgoing = await site.handle(request.head, body)
            goes_on = body.discard() and request.keeps and not self._shared.closing
            if not goes_on:
                self._body = None
            complete = await self._answer(request, outgoing, goes_on=goes_on)
        except asyncio.CancelledError:
            if not self._left:
                raise
        except Exception as error:  # noqa: BLE001  # whatever it was: half an answer must not pass for a whole one
            site.cut(request.head, error)
            on_demand = isinstance(error, ConnectionResetError) and not self._sender.has_begun
            if on_demand or request.version == "0":  # to which the end of the connection may be that of the answer
                await self._sender.reset()
        finally:
            try:
                if outgoing is not None:
                    outgoing.finish(complete)
            finally:
                self._end(body, goes_on=goes_on and complete)

    async def _answer(self, request: RequestHead, outgoing: Outgoing, *, goes_on: bool) -> bool:
        """Whether the client was there to the last byte."""
        sender, shared = self._sender, self._shared
        length = length_of(outgoing)
        bodiless = not has_body(request.head.method, outgoing.status)
        chunked = length == STREAM and request.version == "1" and not bodiless
        head = head_of(outgoing, date=shared.date, closes=not goes_on, chunked=chunked)

        def before_last() -> None:
            shared.site.before_last_byte(request.head, outgoing)

        if bodiless:
            return await sender.count(head, 0, nothing(), before_last)
        if length == STREAM:
            return await sender.stream(head, outgoing.payload.chunks(), before_last, chunked=chunked)
        payload = outgoing.payload
        if payload.content is not None and len(payload.content) == length:
            return sender.whole(head, payload.content, before_last)
        return await sender.count(head, length, (payload.runs or payload.chunks)(), before_last)

    def _end(self, body: RequestBody, *, goes_on: bool) -> None:
        """After a request: the next one, or the end of the connection."""
        self._task = None
        if self._lost:
            self._shared.forget(self)
        if self._left or self._transport.is_closing():
            return
        self.resume_reading()
        if goes_on and not self._shared.closing:
            self._in_head = False
            wait_s = self._limits.keep_alive_s if self._body is None else self._limits.body_idle_s
            self._due_s = self._loop.time() + wait_s
            if self._unread and self._body is None:
                self._begin()
        elif body.complete:
            self._sender.close()
        else:
            self._linger()

    # The end.

    def _leave(self) -> None:
        """Nobody waits for an answer any more."""
        self._left = True
        if self._task is not None:
            self._task.cancel()
            if not self._entered:  # it never will be
                self._task = None

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Never in the middle of an answer: by then nothing of its request is read."""
        self._sender.write(refusal(status, code, message))
        self._leave()
        self._linger()

    def _turn_away(self) -> None:
        """At once, whatever else is said: a place that is given up slowly is no place for the next."""
        message = f"there are {self._limits.at_once:,} connections already, and no more are kept open"
        self._sender.write(refusal(503, "overloaded", message))
        self._sender.close()

    def _linger(self) -> None:
        """RFC 9112 §9.6: a client still sending gets to read the answer before the connection is closed on it."""
        self._lingering_bytes = LINGER_BYTES
        self._due_s = self._loop.time() + LINGER_S
        self.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _pass_over(self, size_bytes: int) -> None:
        self._lingering_bytes -= size_bytes
        if self._lingering_bytes <= 0:
            self._lingering_bytes = 0
            self._sender.close()


def _host(peer: object) -> str:
    """The address in what a socket calls its other end; of a local socket there is none."""
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""
