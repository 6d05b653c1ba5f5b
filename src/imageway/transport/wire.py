"""One HTTP exchange as the rest of this room sees it, whoever carries it: a client on sockets or the sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from msgspec import Struct

from imageway.bodies import Payload

UNREACHABLE: Final = ("image_url_unreachable", "its host cannot be reached at a public address")
"""Code and message of the refusal for a host that does not exist, does not listen or is not public: which of these it
is tells a stranger about the network we stand in."""


class Outgoing(Struct):
    """A request, whole. `url` is absolute, with a path and without a fragment, escaped as it is to be sent. Header
    names are lower case, content-length among them. `left` turns true before the first byte is handed to a connection:
    a failure while it is false cannot have reached anybody."""

    method: str
    url: str
    headers: dict[str, str]
    payload: Payload | None = None
    left: bool = False


class Incoming(Struct, frozen=True):
    """An answer whose head has arrived. `chunks` raises TransportFailed(UNKNOWN) when the body is cut. `delimited` is
    false when only the end of the connection ends the body, so that a cut cannot be told from the end."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]
    delimited: bool = True

    @property
    def declared_bytes(self) -> int | None:
        length = self.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdecimal() else None


class Wire(Protocol):
    """Raises TransportFailed: NEVER_SENT when that is certain, else UNKNOWN; FetchRefused for an address that must not
    be connected. Leaving the context early drops the connection. No redirects, no repeats, no cookies."""

    def exchange(self, outgoing: Outgoing) -> AbstractAsyncContextManager[Incoming]: ...

    async def close(self) -> None: ...
