"""A blob's content in the encoding that somebody needs, streamed: nothing is held beyond a chunk."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Final

import pybase64

from imageway.bodies.base64_text import Base64Reader, encoded_length, to_standard
from imageway.bodies.blobs import StoredBlob
from imageway.bodies.files import Run
from imageway.core.blobs import Blob, Encoding

_HASH_BYTES: Final = 256 << 10
_BASE64: Final = Encoding.BASE64  # looking it up costs as much as the rest of the question where it is asked


class BlobTooLarge(ValueError):
    """The content is longer than the reader allowed."""


def decoded(blob: Blob) -> AsyncIterator[bytes]:
    """The content itself. Raises InvalidBase64 for a blob that lied about its encoding."""
    return blob.open() if blob.encoding is Encoding.BINARY else _decode(blob)


def lies_encoded(blob: Blob) -> bool:
    """Whether it is stored as padded standard base64, and can go into JSON as it lies there."""
    return blob.encoding is _BASE64 and blob.stored_bytes == encoded_length(blob.decoded_bytes)


def encoded(blob: Blob) -> AsyncIterator[bytes]:
    """The content as padded standard base64: as it is stored, where it is stored so."""
    if blob.encoding is Encoding.BINARY:
        return _encode(blob)
    return blob.open() if lies_encoded(blob) else _standardise(blob)


def encoded_runs(blob: Blob) -> AsyncIterator[bytes | Run]:
    """What `encoded` gives, unread where it lies in a file as it will be sent."""
    return blob.runs() if isinstance(blob, StoredBlob) and lies_encoded(blob) else encoded(blob)


async def read_decoded(blob: Blob, *, limit_bytes: int) -> bytes:
    """The whole content in memory; BlobTooLarge, before anything is read, when it is longer than the limit."""
    if blob.decoded_bytes > limit_bytes:
        raise BlobTooLarge(f"{blob.decoded_bytes} bytes are more than the {limit_bytes} allowed")
    return b"".join([chunk async for chunk in decoded(blob)])


async def digest(blob: Blob) -> bytes:
    """SHA-256 of the content; computed in a thread, where it runs beside the event loop."""
    state = hashlib.sha256()
    pieces: list[bytes] = []
    held = 0
    async for chunk in decoded(blob):
        pieces.append(chunk)
        held += len(chunk)
        if held >= _HASH_BYTES:
            await asyncio.to_thread(state.update, b"".join(pieces))
            pieces, held = [], 0
    state.update(b"".join(pieces))
    return state.digest()


async def _decode(blob: Blob) -> AsyncIterator[bytes]:
    pieces: list[bytes] = []
    reader = Base64Reader(pieces.append)
    async for chunk in blob.open():
        reader.feed(chunk)
        for piece in pieces:
            yield piece
        pieces.clear()
    reader.finish()
    for piece in pieces:
        yield piece


async def _standardise(blob: Blob) -> AsyncIterator[bytes]:
    reader = Base64Reader(_ignore)
    async for chunk in blob.open():
        yield to_standard(reader.feed(chunk))
    yield reader.finish()


def _ignore(_: bytes) -> None:
    pass


async def _encode(blob: Blob) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in blob.open():
        if rest:
            chunk = rest + chunk  # one to two bytes, and only for chunks not a multiple of three
        whole = len(chunk) // 3 * 3
        rest = chunk[whole:]
        yield pybase64.b64encode(memoryview(chunk)[:whole])
    if rest:
        yield pybase64.b64encode(rest)
