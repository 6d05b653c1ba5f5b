"""Stored images over HTTP: signed links, ranges, ETags. No key is needed, and one that is sent is ignored."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from email.utils import formatdate

from imageway.bodies import Payload
from imageway.core.errors import GatewayError
from imageway.core.objects import ObjectStore, StoredObject
from imageway.core.ports import Clock
from imageway.media.links import PREFIX, LinkSigner, Verdict
from imageway.server.gate import Head, Outgoing

_RANGE = re.compile(r"bytes=([0-9]{0,1000})-([0-9]{0,1000})")


@dataclass(frozen=True, slots=True)
class MediaLinks:
    """Serves `/media/<name>`."""

    objects: ObjectStore
    signer: LinkSigner
    clock: Clock

    async def serve(self, head: Head) -> Outgoing:
        """Raises GatewayError: 403 tampered, 410 expired, 404 gone, 405."""
        if head.method not in ("GET", "HEAD"):
            raise GatewayError("method_not_allowed", f'"{head.method}" is not for stored images; use GET or HEAD')
        name = head.path.removeprefix(PREFIX)
        verdict = self.signer.verify(name, head.query, self.clock.now_ms())
        if verdict is Verdict.TAMPERED:
            raise GatewayError("signature_invalid", "this link's signature does not fit; use the link as it was given")
        if verdict is Verdict.EXPIRED:
            raise GatewayError("link_expired", "this link has expired, and with it the image it led to")
        stored = await self.objects.find(name)
        if stored is None or stored.expires_ms <= self.clock.now_ms():
            raise GatewayError("not_found", "this image is not stored any more")
        known = head.headers.get("if-none-match", "")
        if f'"{stored.etag}"' in known or known.strip() == "*":
            return _outgoing(304, self._headers(head, stored), _nothing)
        return self._content(head, stored)

    def _content(self, head: Head, stored: StoredObject) -> Outgoing:
        headers, size = self._headers(head, stored), stored.size_bytes
        asked = _range_of(head, stored)
        start, end = asked or (0, size)
        if asked and start >= end:
            unsatisfied = (("content-range", f"bytes */{size}"), ("content-length", "0"))
            return _outgoing(416, (*headers, *unsatisfied), _nothing)
        if asked:
            headers = (*headers, ("content-range", f"bytes {start}-{end - 1}/{size}"))
        headers = (*headers, ("content-length", str(end - start)))
        if head.method == "HEAD":
            return _outgoing(200, headers, _nothing)
        return _outgoing(206 if asked else 200, headers, lambda: self.objects.open(stored.name, start, end))

    def _headers(self, head: Head, stored: StoredObject) -> tuple[tuple[str, str], ...]:
        """A cache may keep an image as long as both it and the link last."""
        expires_ms = min(stored.expires_ms, int(head.query["expires"]) * 1000)
        left_s = (expires_ms - self.clock.now_ms()) // 1000
        return (
            ("content-type", stored.media_type),
            ("content-disposition", f'inline; filename="{stored.name}"'),
            ("etag", f'"{stored.etag}"'),
            ("accept-ranges", "bytes"),
            ("cache-control", f"private, max-age={left_s}, immutable"),
            ("last-modified", formatdate(stored.created_ms / 1000, usegmt=True)),
            ("x-content-type-options", "nosniff"),
        )


def _range_of(head: Head, stored: StoredObject) -> tuple[int, int] | None:
    """RFC 9110 §14: one range of bytes, clipped to the image; None: whatever else we were asked for is answered whole.
    Empty: it cannot be satisfied."""
    asked = _RANGE.fullmatch(head.headers.get("range", "").strip())
    changed = head.headers.get("if-range", f'"{stored.etag}"') != f'"{stored.etag}"'
    if asked is None or changed or head.method != "GET":
        return None
    first, last = asked.groups()
    if not (first or last) or (first and last and int(last) < int(first)):
        return None
    if not first:
        return max(0, stored.size_bytes - int(last)), stored.size_bytes
    return int(first), min(int(last) + 1 if last else stored.size_bytes, stored.size_bytes)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _outgoing(
    status: int, headers: tuple[tuple[str, str], ...], chunks: Callable[[], AsyncIterator[bytes]]
) -> Outgoing:
    """Type and length stand among the headers already: 304 has none, and those of HEAD are of what GET would bring."""
    return Outgoing(status, headers, Payload(-1, "", chunks), lambda complete: None)
