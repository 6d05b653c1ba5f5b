"""HTTP connections with limits that the server library leaves open: how long a head may take and how large it may be,
how long a client may stop reading, and what is said to bytes that are no HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from imageway.core.ids import new_id
from imageway.server.limits import ConnectionLimits
from imageway.server.machine import SystemRandom

_FRAMING: Final = (b"content-length", b"transfer-encoding")
_RANDOM: Final = SystemRandom()
_REASONS: Final = {400: "Bad Request", 431: "Request Header Fields Too Large"}


class _Malformed(Exception):
    """What the parser lets pass and RFC 9112 does not."""


class Connection(HttpToolsProtocol):
    """One client connection. Ends by itself what would hold it, and its memory, for ever."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._declining = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self.limits.head_s, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(self._head_timer)
        self._stop(self._stall_timer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            why = "the request is not HTTP/1.1 as RFC 9112 has it, or can be read in two ways"
            own = error.__context__ if isinstance(error.__context__, _Malformed) else None
            self._refuse(400, "malformed_http", str(own or why))
            return
        if self._in_head:
            self._watch_head(len(data))
        elif self._head_timer is not None:
            self._stop(self._head_timer)
            self._head_timer = None

    def on_message_begin(self) -> None:
        if not self._declining:
            self._in_head, self._head_bytes = True, 0
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._declining:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._declining:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._declining:
            self._check_host()
            self._in_head = False
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():  # else its body is still to come
            super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(self.limits.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop(self._stall_timer)

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline()
            self._feed(data[offer.args[0] :])

    def _decline(self) -> None:
        """An offer of another protocol (Java's client makes one with its first request) is passed over, as RFC 9110
        §7.8 allows. The parser stops at such a head and loses the body; a new one, told the length alone, reads it."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(
            lenient_data_after_close=True
        )  # as the library sets it: pipelined requests
        framing = [b"%s: %s\r\n" % field for field in self.headers if field[0] in _FRAMING]
        self._declining = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(framing))
        self._declining = False

    def _check_host(self) -> None:
        """RFC 9112 §3.2: a request of HTTP/1.1 without exactly one Host is answered 400. The parser carries what is
        raised here to `data_received`."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        if self.parser.get_http_version() == "1.1" and hosts != 1:
            raise _Malformed(f"a request of HTTP/1.1 has one Host header, this one {hosts}")

    def _watch_head(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_bytes > self.limits.head_bytes:
            self._refuse(431, "head_too_large", f"the head is larger than the {self.limits.head_bytes:,} bytes taken")
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.limits.head_s, self.transport.close)

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Says so, unless an answer is on its way already: nothing may stand in the middle of it."""
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(_refusal(status, code, message))
        self.transport.close()

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


def connection_type(limits: ConnectionLimits) -> type[Connection]:
    """What the server makes of every connection."""
    return type("LimitedConnection", (Connection,), {"limits": limits})


def _refusal(status: int, code: str, message: str) -> bytes:
    """A whole answer. No dialect can be asked: there may not even be a path."""
    request_id = new_id("req", _RANDOM)
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code, "request_id": request_id}
    content = json.dumps({"error": error}).encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
        f"x-request-id: {request_id}\r\nx-should-retry: false\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + content
