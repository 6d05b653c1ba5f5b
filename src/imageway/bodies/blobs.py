"""The two kinds of blob: small ones in memory, large ones in a spool file. Both keep the bytes as they came."""

from __future__ import annotations

import binascii
from collections.abc import AsyncIterator
from typing import Final

import pybase64
from msgspec import Struct

from imageway.bodies.base64_text import Base64Reader, InvalidBase64, split_data_url
from imageway.bodies.files import READ_BYTES, FileReader, Run, SpoolFile, runs_of
from imageway.bodies.gauge import EDGE_BYTES, Gauge
from imageway.bodies.headers import facts_of
from imageway.core.blobs import Encoding, ImageFacts

_BINARY: Final = Encoding.BINARY
_BASE64: Final = Encoding.BASE64


class StoredBlob(Struct, frozen=True, kw_only=True):
    """The one implementation of core's Blob. Base64 in it is canonical: one alphabet, no line breaks, padded."""

    encoding: Encoding
    stored_bytes: int
    decoded_bytes: int
    declared_type: str | None
    head: bytes
    tail: bytes
    facts: ImageFacts | None
    source: bytes | SpoolFile

    @classmethod
    def of(
        cls, source: bytes | SpoolFile, gauge: Gauge, *, encoding: Encoding, declared_type: str | None
    ) -> StoredBlob:
        return cls(
            encoding=encoding,
            stored_bytes=len(source) if isinstance(source, bytes) else source.size_bytes,
            decoded_bytes=gauge.decoded_bytes,
            declared_type=declared_type,
            head=gauge.head,
            tail=gauge.tail,
            facts=gauge.facts,
            source=source,
        )

    def __repr__(self) -> str:
        """Without content: logs and failed tests show this."""
        told = f"{self.decoded_bytes} bytes, {self.encoding.value}, {self.declared_type}, {self.facts}"
        return f"StoredBlob({told})"

    def open(self) -> AsyncIterator[bytes]:
        return _MemoryReader(self.source) if isinstance(self.source, bytes) else FileReader(self.source)

    def runs(self) -> AsyncIterator[bytes | Run]:
        """What `open` gives, unread where it lies in the page cache."""
        return _MemoryReader(self.source) if isinstance(self.source, bytes) else runs_of(self.source)


class _MemoryReader:
    __slots__ = ("_at", "_content")

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        at = self._at
        if at >= len(self._content):
            raise StopAsyncIteration
        self._at = at + READ_BYTES
        return self._content[at : at + READ_BYTES]


def blob_of(content: bytes, *, encoding: Encoding = _BINARY, declared_type: str | None = None) -> StoredBlob:
    """A blob in memory, whatever its size. Raises InvalidBase64 when the content is not in the encoding named."""
    whole = content if encoding is _BINARY else _decoded_at_once(content)
    if whole is not None:
        return StoredBlob(
            encoding=_BINARY if encoding is _BINARY else _BASE64,
            stored_bytes=len(content),
            decoded_bytes=len(whole),
            declared_type=declared_type,
            head=whole[:EDGE_BYTES],
            tail=whole[-EDGE_BYTES:],
            facts=facts_of(whole),
            source=content,
        )
    gauge = Gauge()
    reader = Base64Reader(gauge.look)
    content = reader.feed(content)
    content += reader.finish()
    return StoredBlob.of(content, gauge, encoding=reader.encoding, declared_type=declared_type)


def _decoded_at_once(text: bytes) -> bytes | None:
    """What canonical base64 stands for; None for text that has to be mended first, or is none."""
    try:
        return pybase64.b64decode(text, validate=True) if len(text) % 4 == 0 else None
    except binascii.Error:
        return None


def base64_blob(text: str) -> StoredBlob | None:
    """The text as a blob when it is base64, base64url or a data URL from its first character; else None. Meant for
    strings too short for the lifter to have made blobs of them."""
    if not text or not text.isascii():
        return None
    content = text.encode("ascii")
    declared_type, start = split_data_url(content)
    if start == len(content):
        return None
    try:
        return blob_of(content[start:], encoding=_BASE64, declared_type=declared_type)
    except InvalidBase64:
        return None
