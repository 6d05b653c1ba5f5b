"""Everything that is served, by path: health, stored images, the admin API, and the gate for the rest."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from imageway.bodies import json_payload
from imageway.core.errors import GatewayError
from imageway.core.ids import new_id
from imageway.core.ports import FaultPoints
from imageway.media.links import PREFIX
from imageway.server.admin.endpoints import PREFIX as ADMIN
from imageway.server.admin.site import AdminSite
from imageway.server.gate import Chunks, Gate, Head, Outgoing
from imageway.server.links import MediaLinks
from imageway.server.routes import MethodNotAllowed
from imageway.telemetry import events, logger

_HEALTH = ("/healthz", "/readyz")


@dataclass(slots=True)
class App:
    """The site of a gateway. `ready` False: /readyz says so, and load balancers look elsewhere."""

    gate: Gate
    media: MediaLinks
    admin: AdminSite
    faults: FaultPoints
    ready: bool = True

    async def handle(self, head: Head, chunks: Chunks) -> Outgoing:
        """Never raises but CancelledError (the client hung up)."""
        if head.path in _HEALTH:
            return self._health(head)
        if head.path.startswith(PREFIX):
            return await self._media(head)
        if head.path.startswith(ADMIN):
            return await self.admin.handle(head, chunks)
        return await self.gate.handle(head, chunks)

    def before_last_byte(self, head: Head, outgoing: Outgoing) -> None:
        if outgoing.status == 200 and head.path not in _HEALTH:
            self.faults.reach("before_last_byte")

    def cut(self, head: Head, error: Exception) -> None:
        """A file of ours that cannot be read is the disk's fault; what was not delivered is kept, or refunded. Anything
        else is a hole of ours, logged whole."""
        if not isinstance(error, OSError | EOFError):
            logger().exception(events.REQUEST_CRASHED, path=head.path, exc_info=error)
            return
        event = events.MEDIA_FAILED if head.path.startswith(PREFIX) else events.REQUEST_FAILED
        logger().error(event, path=head.path, detail=str(error))

    async def _media(self, head: Head) -> Outgoing:
        try:
            outgoing = await self.media.serve(head)
        except GatewayError as error:
            return self.gate.refuse(error)
        except OSError as error:
            logger().error(events.REQUEST_FAILED, path=head.path, detail=str(error))
            return self.gate.refuse(GatewayError("overloaded", "the image could not be read just now", retry_after_s=1))
        return replace(outgoing, headers=(*outgoing.headers, self._request_id()))

    def _health(self, head: Head) -> Outgoing:
        if head.method not in ("GET", "HEAD"):
            return self.gate.refuse(MethodNotAllowed(head.method, head.path, ("GET", "HEAD")))
        ok = head.path == "/healthz" or self.ready
        headers = (self._request_id(),) if ok else (self._request_id(), ("retry-after", "1"))
        body = json_payload({"status": "ok" if ok else "draining"})
        return Outgoing(200 if ok else 503, headers, body, lambda complete: None)

    def _request_id(self) -> tuple[str, str]:
        return "x-request-id", new_id("req", self.gate.random)
