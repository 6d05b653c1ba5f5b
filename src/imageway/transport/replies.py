"""Answers read to their end: JSON lifted, images spooled, everything else a page of which the first 4 KiB are kept."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from imageway.bodies import LiftError, LiftLimits, Scope, lift_json, lift_small, read_events, sniff_format
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import BlobReply, FailureKind, JsonReply, Page, Reply
from imageway.core.streams import StreamEnd
from imageway.transport.wire import Incoming

_SNIFFED_BYTES: Final = 256
_PAGE_BYTES: Final = 4096
_INFLATED_BYTES: Final = 256 * 1024
_COMPRESSED: Final = frozenset({"gzip", "x-gzip", "deflate"})
_SMALL_BYTES: Final = LiftLimits().blob_bytes
_JSON_STARTS: Final = (b"{", b"[")
_COMES_BACK: Final = frozenset({408, 425, 429})


async def read_reply(incoming: Incoming, scope: Scope, *, max_bytes: int) -> Reply:
    """Raises TransportFailed(UNKNOWN) when the body was cut, TransportFailed(SPOILED) when it is over `max_bytes`."""
    body = _Body(incoming, max_bytes)
    head = await body.peek()
    content: JsonReply | BlobReply | Page
    is_json = head.lstrip()[:1] in _JSON_STARTS  # as no image does
    image_format = None if is_json else sniff_format(head)
    if image_format is not None:
        content = await _read_blob(body, scope, image_format)
    elif is_json or "json" in incoming.headers.get("content-type", "").lower():
        content = await _read_json(body, scope, head, delimited=incoming.delimited)
    else:
        await _read_away(body)
        content = Page(head[:_PAGE_BYTES])
    return Reply(incoming.status, incoming.headers, content)


async def read_stream(incoming: Incoming, scope: Scope, *, max_bytes: int) -> AsyncGenerator[Reply, None]:
    """One Reply for each event of a stream, then one for its end; what is no stream comes whole, as one. `max_bytes`
    are those of all events. Raises as `read_reply` does: UNKNOWN when the stream was cut, SPOILED when an event cannot
    be read."""
    media_type = incoming.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "text/event-stream":
        yield await read_reply(incoming, scope, max_bytes=max_bytes)
        return
    try:
        async for event in read_events(_Body(incoming, max_bytes), scope):
            yield Reply(incoming.status, incoming.headers, event)
    except LiftError as error:
        kind = FailureKind.UNKNOWN if error.code == "stream_cut" else FailureKind.SPOILED
        raise TransportFailed(kind, error.message) from None
    yield Reply(incoming.status, incoming.headers, StreamEnd())


async def read_image(incoming: Incoming, scope: Scope, *, max_bytes: int) -> BlobReply:
    """The image that the answer must be. Raises FetchRefused when it is final that it is none, TransportFailed when
    asking again may help (UNKNOWN) or the image is over `max_bytes` (SPOILED)."""
    if incoming.status in _COMES_BACK or incoming.status >= 500:
        raise TransportFailed(FailureKind.UNKNOWN, f"the host answered {incoming.status}")
    if incoming.status != 200:
        raise FetchRefused("image_url_status", f"its host answered {incoming.status}")
    body = _Body(incoming, max_bytes)
    image_format = sniff_format(await body.peek())
    if image_format is None:
        raise FetchRefused("not_an_image", "what its host answered is not an image")
    return await _read_blob(body, scope, image_format)


class _Body:
    """An answer's body as an iterator that counts, and whose beginning can be looked at first."""

    def __init__(self, incoming: Incoming, max_bytes: int) -> None:
        compressed = incoming.headers.get("content-encoding", "").lower() in _COMPRESSED
        announced_bytes = incoming.declared_bytes
        self._announced_bytes = None if compressed else announced_bytes
        self._chunks = _inflated(incoming.chunks) if compressed else incoming.chunks
        self._left_bytes = self._max_bytes = max_bytes
        self._pending = b""
        if (announced_bytes or 0) > max_bytes:
            raise self._too_large()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._pending:
            pending, self._pending = self._pending, b""
            return pending
        chunk = await anext(self._chunks)
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            raise self._too_large()
        return chunk

    async def peek(self) -> bytes:
        """The first chunks, enough of them to tell what the body is; they come again."""
        head = b""
        async for chunk in self:
            head = head + chunk if head else chunk
            if len(head) >= _SNIFFED_BYTES:
                break
        self._pending = head
        return head

    def ends_with(self, head: bytes) -> bool:
        """Whether what was peeked at is all that was announced, and too short to hold a blob."""
        return len(head) == self._announced_bytes and len(head) <= _SMALL_BYTES

    def _too_large(self) -> TransportFailed:
        return TransportFailed(FailureKind.SPOILED, f"the answer is larger than the {self._max_bytes:,} bytes allowed")


async def _read_json(body: _Body, scope: Scope, head: bytes, *, delimited: bool) -> JsonReply | Page:
    try:
        return JsonReply(lift_small(head) if body.ends_with(head) else await lift_json(body, scope))
    except LiftError as error:
        if not delimited and error.code in ("malformed_json", "body_empty"):
            # Only the end of the connection ended it, and a cut looks the same.
            raise TransportFailed(FailureKind.UNKNOWN, f"the reply seems cut: {error.message}") from None
        await _read_away(body)
        return Page(head[:_PAGE_BYTES], error.message)


async def _read_blob(body: _Body, scope: Scope, image_format: str) -> BlobReply:
    media_type = f"image/{image_format}"
    return BlobReply(await scope.keep(body, declared_type=media_type), media_type)


async def _read_away(body: _Body) -> None:
    """To the end, because a cut answer is no answer; and a connection read to its end can be used again."""
    async for _ in body:
        pass


async def _inflated(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What a server compressed although we asked it not to, in pieces of bounded size."""
    engine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, as its own header says
    try:
        async for chunk in chunks:
            while chunk and not engine.eof:
                piece = engine.decompress(chunk, _INFLATED_BYTES)
                chunk = engine.unconsumed_tail
                if piece:
                    yield piece
    except zlib.error:
        raise TransportFailed(FailureKind.SPOILED, "the answer is not compressed as its header says") from None
    if not engine.eof:
        raise TransportFailed(FailureKind.UNKNOWN, "the reply was cut: its compression does not end")
