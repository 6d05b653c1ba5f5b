"""What pretend providers stream, in their own shapes: every image in an event of its own, and a last word where the
format has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from imageway.core.blobs import Blob, Tree
from imageway.core.streams import StreamEvent
from tests.sim.pictures import inline, picture

Usage = tuple[int, int]
"""(input, output) tokens of one image."""
STREAMING: Final = frozenset({"openai", "google", "volcengine"})
DEATHS: Final = frozenset({"died", "error_event", "cut_end"})
"""Ends of a stream after its first event: the connection is reset, the provider says so, or it just ends."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One event; `image` is the index of the image in it."""

    event: StreamEvent
    image: int | None = None


def pieces(family: str, images: Sequence[bytes | str], previews: int, usage: Usage | None, words: str) -> list[Piece]:
    """`images` are bytes, or links where the family answers with links."""
    return WRITERS[family](images, previews, usage, words)


def _openai(images: Sequence[bytes | str], previews: int, usage: Usage | None, words: str) -> list[Piece]:
    found = []
    for index, image in enumerate(images):
        for number in range(previews):
            name = "image_generation.partial_image"
            rough: Tree = {"type": name, "partial_image_index": number, "b64_json": inline(picture("png", 190))}
            found.append(Piece(StreamEvent(rough, name)))
        tree: dict[str, Tree] = {"type": "image_generation.completed", "b64_json": _inline(image)}
        if usage:
            tree["usage"] = {"input_tokens": usage[0], "output_tokens": usage[1], "total_tokens": sum(usage)}
        found.append(Piece(StreamEvent(tree, "image_generation.completed"), index))
    return found


def _google(images: Sequence[bytes | str], previews: int, usage: Usage | None, words: str) -> list[Piece]:
    found = [Piece(_said({"text": words}))]
    for index, image in enumerate(images):
        found.append(Piece(_said({"inlineData": {"mimeType": "image/png", "data": _inline(image)}}), index))
    return [*found, Piece(StreamEvent({"candidates": [{"finishReason": "STOP"}]}))]


def _said(part: Tree) -> StreamEvent:
    return StreamEvent({"candidates": [{"content": {"role": "model", "parts": [part]}}]})


def _ark(images: Sequence[bytes | str], previews: int, usage: Usage | None, words: str) -> list[Piece]:
    found = []
    for index, image in enumerate(images):
        name = "image_generation.partial_succeeded"
        url = image if isinstance(image, str) else ""
        found.append(Piece(StreamEvent({"type": name, "image_index": index, "url": url}, name), index))
    last: Tree = {"type": "image_generation.completed", "usage": {"generated_images": len(images)}}
    return [*found, Piece(StreamEvent(last, "image_generation.completed"))]


def _inline(image: bytes | str) -> Blob:
    assert isinstance(image, bytes)
    return inline(image)


WRITERS: Final[dict[str, Callable[[Sequence[bytes | str], int, Usage | None, str], list[Piece]]]] = {
    "openai": _openai,
    "google": _google,
    "volcengine": _ark,
}
