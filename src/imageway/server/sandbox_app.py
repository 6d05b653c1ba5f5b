"""The sandbox over HTTP: passes requests on to it and its answers back, faults included. It knows no provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from imageway.bodies import Payload
from imageway.sandbox import Sandbox, SandboxRequest
from imageway.server.gate import Chunks, Head, Outgoing
from imageway.telemetry import events, logger

_NOWHERE: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class SandboxApp:
    """The site of `imageway sandbox`. A ConnectionResetError of the sandbox becomes a TCP reset, or the end of the
    connection in the middle of a body."""

    sandbox: Sandbox

    async def handle(self, head: Head, chunks: Chunks) -> Outgoing:
        request = SandboxRequest(
            method=head.method,
            path=head.path,
            origin=f"http://{head.headers.get('host') or _NOWHERE}",
            query=head.query,
            headers=head.headers,
            body=chunks,
        )
        answer = await self.sandbox.handle(request)
        return Outgoing(answer.status, answer.headers, Payload(-1, "", lambda: answer.chunks), lambda complete: None)

    def before_last_byte(self, head: Head, outgoing: Outgoing) -> None:
        pass

    def cut(self, head: Head, error: Exception) -> None:
        if not isinstance(error, ConnectionResetError):  # asked for
            logger().exception(events.REQUEST_CRASHED, path=head.path, exc_info=error)


def sandbox_app(sandbox: Sandbox) -> SandboxApp:
    return SandboxApp(sandbox)
