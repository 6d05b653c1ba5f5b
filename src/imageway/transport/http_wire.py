"""HTTP/1.1 over sockets: the one module that knows the client library, and which of its habits had to be broken."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Never
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from aiohttp.http import StreamWriter

from imageway.bodies import Payload
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import FailureKind
from imageway.transport.addresses import is_public
from imageway.transport.names import Resolve
from imageway.transport.wire import UNREACHABLE, Incoming, Outgoing

# The library stops reading at twice as much. One answer may not fill a turn of the loop, and what waits here is memory.
_READ_BYTES: Final = 64 * 1024
_HEAD_LINE_BYTES: Final = 64 * 1024  # policies and cookies exceed the library's 8 KiB
_JOINED_BYTES: Final = 64 * 1024  # a smaller request leaves in one write, head and all


class AddressRefused(OSError):
    """An address that is not public was to be connected, or a name led to one."""


class HttpWire:
    """A pool of connections. A guarded one connects to public addresses alone, checked on the very address a socket is
    about to use, and keeps no connection: the next use is checked anew."""

    def __init__(self, *, resolve: Resolve, guarded: bool, keepalive_s: float, connect_timeout_s: float) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                resolver=_Resolver(resolve, guarded=guarded),
                use_dns_cache=not guarded,
                force_close=guarded,
                keepalive_timeout=None if guarded else keepalive_s,
                socket_factory=_public_socket if guarded else None,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout_s),
            read_bufsize=_READ_BYTES,
            max_field_size=_HEAD_LINE_BYTES,
            max_line_size=_HEAD_LINE_BYTES,
        )
        # The library sends GET, PUT and DELETE again when a connection dies under them. What to repeat is not its call.
        self._session._retry_connection = False
        self._used: WeakSet[object] = WeakSet()

    @asynccontextmanager
    async def exchange(self, outgoing: Outgoing) -> AsyncIterator[Incoming]:
        response = await self._answered(outgoing)
        headers = {name.lower(): value for name, value in response.headers.items()}
        measured = "content-length" in headers
        try:
            yield Incoming(
                response.status,
                headers,
                _Chunks(response.content, joined=not measured),
                delimited=measured or "transfer-encoding" in headers,
            )
        finally:
            response.close()

    async def close(self) -> None:
        await self._session.close()

    async def _answered(self, outgoing: Outgoing) -> aiohttp.ClientResponse:
        """The answer's head. A connection that went stale in the pool is noticed before use and replaced."""
        while True:
            body = None if outgoing.payload is None else _Body(outgoing, outgoing.payload, self._used)
            outgoing.left = body is None  # without a body there is no moment at which we could tell
            try:
                return await self._session.request(
                    outgoing.method, outgoing.url, headers=outgoing.headers, data=body, allow_redirects=False
                )
            except (
                aiohttp.ClientError,
                OSError,
                ValueError,
                RuntimeError,
            ) as failure:  # the last from uvloop's sockets
                if body is None or not body.stale:
                    _raise_failed(outgoing, failure)


class _Body(aiohttp.Payload):
    """The request's body; being asked for it is the moment at which the request begins to leave."""

    def __init__(self, outgoing: Outgoing, payload: Payload, used: WeakSet[object]) -> None:
        super().__init__(payload, content_type=payload.content_type)
        self._size = payload.length
        self._outgoing = outgoing
        self._payload = payload
        self._used = used
        self.stale = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a request body is bytes")

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if isinstance(writer, StreamWriter):
            self._look_at(writer)
        if self._payload.length <= _JOINED_BYTES:
            whole = b"".join([chunk async for chunk in self._payload.chunks()])
            self._outgoing.left = True
            await writer.write(whole)
        else:
            async for chunk in self._payload.chunks():
                self._outgoing.left = True
                await writer.write(chunk)

    def _look_at(self, writer: StreamWriter) -> None:
        """Raises ConnectionError when the connection was used before and has ended since."""
        if writer.protocol in self._used and _is_readable(writer.transport):
            self.stale = True
            raise ConnectionResetError("closed while it was idle")
        self._used.add(writer.protocol)


class _Resolver(AbstractResolver):
    """Our resolver in the library's clothes. A guarded name is refused when any of its addresses is not public: the
    library would try the others."""

    def __init__(self, resolve: Resolve, *, guarded: bool) -> None:
        self._resolve = resolve
        self._guarded = guarded

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = await self._resolve(host, port)
        if self._guarded and not all(is_public(address) for address in addresses):
            raise AddressRefused(f'"{host}" leads to an address that is not public')
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is kept."""


def _public_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """The last look at an address, and the only one at addresses written into the URL: no resolver sees those."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise AddressRefused(f'"{address[0]}" is not a public address')
    return socket.socket(family=family, type=kind, proto=protocol)


def _is_readable(transport: object) -> bool:
    """Whether an idle connection has something to read. Nothing was asked, so that can only be its end."""
    get = getattr(transport, "get_extra_info", None)
    pooled = get("socket") if get is not None else None
    if pooled is None or pooled.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(pooled.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class _Chunks:
    """The body as it comes off the socket. With a length known ahead, what has gathered meanwhile is not joined; the
    pieces of a chunked one may be small, and are."""

    def __init__(self, content: aiohttp.StreamReader, *, joined: bool) -> None:
        self._content = content
        self._read = content.readany if joined else self._read_piece

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._read()
        except (aiohttp.ClientError, OSError) as failure:
            raise TransportFailed(FailureKind.UNKNOWN, f"the reply was cut: {_words(failure)}") from None
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def _read_piece(self) -> bytes:
        piece, _ = await self._content.readchunk()
        return piece


def _raise_failed(outgoing: Outgoing, failure: Exception) -> Never:
    """Never sent only with proof: no connection came about, or the body was never asked for."""
    if isinstance(_cause(failure), AddressRefused):
        raise FetchRefused(*UNREACHABLE) from None
    connected = not isinstance(failure, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    kind = FailureKind.UNKNOWN if connected and outgoing.left else FailureKind.NEVER_SENT
    raise TransportFailed(kind, _words(failure)) from None


def _cause(failure: Exception) -> Exception:
    return getattr(failure, "os_error", failure)


def _words(failure: Exception) -> str:
    """What happened, without the library's own words: those repeat URLs, and a URL may hold a key."""
    cause = _cause(failure)
    if cause is not failure:
        return f"{type(cause).__name__}: {cause}"
    if isinstance(failure, OSError) and failure.errno:
        return f"{type(failure).__name__}: {os.strerror(failure.errno)}"
    return type(failure).__name__
