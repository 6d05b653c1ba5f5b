"""A body about to be sent: text and blobs in order, its exact length known before anything is read, or a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TypeVar

from msgspec import Struct

from imageway.bodies.files import Run
from imageway.core.blobs import Blob

Piece = TypeVar("Piece", bound=bytes | Run)


class Payload(Struct, frozen=True):
    """`length` in bytes is exact; -1 for a stream, whose end nobody knows. `chunks` gives the bytes from the start, any
    number of times; those of a stream once. `content` is all of them where they lie in memory anyway, and need not be
    gathered. `runs` gives what `chunks` does to somebody who can send what lies in files without reading it."""

    length: int
    content_type: str
    chunks: Callable[[], AsyncIterator[bytes]]
    content: bytes | None = None
    runs: Callable[[], AsyncIterator[bytes | Run]] | None = None


def whole(content: bytes, content_type: str) -> Payload:
    """A body that lies in memory."""
    return Payload(len(content), content_type, partial(_once, content), content)


async def chain(
    parts: Sequence[bytes | Blob], read: Callable[[Blob], AsyncIterator[Piece]]
) -> AsyncIterator[bytes | Piece]:
    """The parts one after the other, blobs as `read` gives them."""
    for part in parts:
        if isinstance(part, bytes):
            yield part
        else:
            async for chunk in read(part):
                yield chunk


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
