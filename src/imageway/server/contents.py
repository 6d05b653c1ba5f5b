"""A stored image as an answer: ranges, ETags, and no longer in anybody's cache than in the store."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from email.utils import formatdate

from msgspec import Struct

from imageway.bodies import Payload
from imageway.core.objects import ObjectStore, StoredObject
from imageway.core.ports import Clock
from imageway.server.routes import Head

Headers = tuple[tuple[str, str], ...]
_RANGE = re.compile(r"bytes=([0-9]{0,1000})-([0-9]{0,1000})")


class Outgoing(Struct, frozen=True):
    """A rendered answer. Call `finish(True)` when the last byte has left, `finish(False)` when it could not."""

    status: int
    headers: tuple[tuple[str, str], ...]
    payload: Payload
    finish: Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies in `objects`, to be read until a time that the caller names, and never longer than it is kept."""

    objects: ObjectStore
    clock: Clock

    def answer(self, head: Head, stored: StoredObject, until_ms: int) -> Outgoing:
        headers, size = self._headers(stored, until_ms), stored.size_bytes
        if is_known(head, stored):
            return bodiless(304, headers)
        asked = _range_of(head, stored)
        start, end = asked or (0, size)
        if asked and start >= end:
            return bodiless(416, (*headers, ("content-range", f"bytes */{size}"), ("content-length", "0")))
        if asked:
            headers = (*headers, ("content-range", f"bytes {start}-{end - 1}/{size}"))
        headers = (*headers, ("content-length", str(end - start)))
        if head.method == "HEAD":
            return bodiless(200, headers)
        return _outgoing(206 if asked else 200, headers, lambda: self.objects.open(stored.name, start, end))

    def _headers(self, stored: StoredObject, until_ms: int) -> Headers:
        left_s = (min(stored.expires_ms, until_ms) - self.clock.now_ms()) // 1000
        return (
            ("content-type", stored.media_type),
            ("content-disposition", f'inline; filename="{stored.name}"'),
            ("etag", f'"{stored.etag}"'),
            ("accept-ranges", "bytes"),
            ("cache-control", f"private, max-age={left_s}, immutable"),
            ("last-modified", formatdate(stored.created_ms / 1000, usegmt=True)),
            ("x-content-type-options", "nosniff"),
        )


def is_known(head: Head, stored: StoredObject) -> bool:
    """Whether the caller has these bytes already."""
    known = head.headers.get("if-none-match", "")
    return f'"{stored.etag}"' in known or known.strip() == "*"


def bodiless(status: int, headers: Headers) -> Outgoing:
    """Type and length stand among the headers already: 204 and 304 have none, and those of HEAD are of what GET would
    bring."""
    return _outgoing(status, headers, _nothing)


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


def _outgoing(status: int, headers: Headers, chunks: Callable[[], AsyncIterator[bytes]]) -> Outgoing:
    return Outgoing(status, headers, Payload(-1, "", chunks), lambda complete: None)
