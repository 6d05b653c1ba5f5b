"""What a blob remembers of the content that went by: size, both ends, and what the image header said."""

from __future__ import annotations

from typing import Final

from imageway.bodies.headers import HeaderReader
from imageway.core.blobs import ImageFacts

EDGE_BYTES: Final = 4096


class Gauge:
    """Looks at decoded pieces in order. `head` and `tail` are the first and last 4 KiB."""

    __slots__ = ("_header", "decoded_bytes", "head", "tail")

    def __init__(self) -> None:
        self.decoded_bytes = 0
        self.head = b""
        self.tail = b""
        self._header = HeaderReader()

    @property
    def facts(self) -> ImageFacts | None:
        return self._header.facts

    def look(self, piece: bytes) -> None:
        self.decoded_bytes += len(piece)
        if len(self.head) < EDGE_BYTES:
            self.head += piece[: EDGE_BYTES - len(self.head)]
        self.tail = piece[-EDGE_BYTES:] if len(piece) >= EDGE_BYTES else (self.tail + piece)[-EDGE_BYTES:]
        if not self._header.done:
            self._header.feed(piece)
