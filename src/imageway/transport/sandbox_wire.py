"""Exchanges with a sandbox in this very process: no sockets, and the same ways to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from imageway.core.failures import TransportFailed
from imageway.core.steps import FailureKind
from imageway.sandbox.wire import Sandbox, SandboxRequest
from imageway.transport.wire import Incoming, Outgoing

SANDBOX_ORIGIN: Final = "http://sandbox.imageway.invalid"


class SandboxWire:
    """A Wire to a Sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @asynccontextmanager
    async def exchange(self, outgoing: Outgoing) -> AsyncIterator[Incoming]:
        place = urlsplit(outgoing.url)
        request = SandboxRequest(
            method=outgoing.method,
            path=unquote(place.path),
            origin=SANDBOX_ORIGIN,
            query=dict(parse_qsl(place.query, keep_blank_values=True)),
            headers=outgoing.headers,
            body=_nothing() if outgoing.payload is None else outgoing.payload.chunks(),
        )
        outgoing.left = True
        try:
            answer = await self._sandbox.handle(request)
        except ConnectionResetError:
            raise TransportFailed(FailureKind.UNKNOWN, "the sandbox cut the connection before any header") from None
        headers = {name.lower(): value for name, value in answer.headers}
        incoming = Incoming(answer.status, headers, answer.chunks, delimited="content-length" in headers)
        yield Incoming(incoming.status, headers, _whole(incoming), delimited=incoming.delimited)

    async def close(self) -> None:
        """The sandbox belongs to whoever opened it."""


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def _whole(incoming: Incoming) -> AsyncIterator[bytes]:
    """The body, as long as its header said; a body that is shorter was cut."""
    received_bytes = 0
    try:
        async for chunk in incoming.chunks:
            received_bytes += len(chunk)
            yield chunk
    except ConnectionResetError:
        raise TransportFailed(FailureKind.UNKNOWN, "the sandbox cut the reply") from None
    declared_bytes = incoming.declared_bytes
    if declared_bytes is not None and received_bytes < declared_bytes:
        raise TransportFailed(FailureKind.UNKNOWN, f"the reply was cut at byte {received_bytes} of {declared_bytes}")
