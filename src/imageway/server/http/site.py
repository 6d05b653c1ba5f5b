"""What stands behind the connections: the one shape of everything that is served."""

from __future__ import annotations

from typing import Protocol

from imageway.server.gate import Chunks, Head, Outgoing


class Site(Protocol):
    async def handle(self, head: Head, chunks: Chunks) -> Outgoing:
        """Cancelled when the client hangs up. `chunks` raises GatewayError for a body that does not arrive in time;
        what is not read of it before the return is thrown away. ConnectionResetError, raised here or by the payload,
        ends the connection as a broken server would: pretend upstreams do that on demand.

        A payload of unknown length (-1) is a stream, sent as it comes, unless the headers tell a content-length."""

    def before_last_byte(self, head: Head, outgoing: Outgoing) -> None:
        """The client is there, and everything but the end of the answer has been sent."""

    def cut(self, head: Head, error: Exception) -> None:
        """An answer could not be sent, or read, to its end: its connection ends early, so that the client can tell."""
