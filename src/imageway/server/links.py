"""Stored images by signed links. No key is needed, and one that is sent is ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from imageway.core.errors import GatewayError
from imageway.core.objects import ObjectStore, Presigner, StoredObject
from imageway.core.ports import Clock
from imageway.core.wording import moment
from imageway.media.links import PREFIX, LinkSigner, Verdict
from imageway.server.contents import Contents, Outgoing, bodiless, is_known
from imageway.server.routes import Head, MethodNotAllowed

PRESIGNED_S: Final = 600


@dataclass(frozen=True, slots=True)
class MediaLinks:
    """Serves `/media/<name>`. With `presigner`, whoever wants the bytes is sent to the store for them, by a URL that
    lives for PRESIGNED_S seconds and never longer than the image."""

    objects: ObjectStore
    signer: LinkSigner
    clock: Clock
    presigner: Presigner | None = None

    async def serve(self, head: Head) -> Outgoing:
        """Raises GatewayError: 403 tampered, 410 expired, 404 gone, 405."""
        if head.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(head.method, "stored images", ("GET", "HEAD"))
        name = head.path.removeprefix(PREFIX)
        verdict = self.signer.verify(name, head.query, self.clock.now_ms())
        if verdict is Verdict.TAMPERED:
            raise GatewayError("signature_invalid", "this link's signature does not fit; use the link as it was given")
        until_ms = int(head.query["expires"]) * 1000
        if verdict is Verdict.EXPIRED:
            message = f"this link expired at {moment(until_ms)}, and with it the image it led to"
            raise GatewayError("link_expired", message)
        stored = await self.objects.find(name)
        if stored is None or stored.expires_ms <= self.clock.now_ms():
            raise GatewayError("not_found", "this image is not stored any more")
        if self.presigner is None or head.method == "HEAD" or is_known(head, stored):
            return Contents(self.objects, self.clock).answer(head, stored, until_ms)
        return await self._elsewhere(self.presigner, stored, until_ms)

    async def _elsewhere(self, presigner: Presigner, stored: StoredObject, until_ms: int) -> Outgoing:
        """A URL that lives for less than a second serves nobody; one that is kept by a cache outlives itself."""
        left_s = (min(stored.expires_ms, until_ms) - self.clock.now_ms()) // 1000
        location = await presigner.presigned(stored.name, lives_s=max(1, min(PRESIGNED_S, left_s)))
        return bodiless(302, (("location", location), ("cache-control", "no-store"), ("content-length", "0")))
