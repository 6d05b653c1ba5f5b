"""What counts as a delivered image: a readable header, sane dimensions, and an end that belongs to it."""

from __future__ import annotations

from imageway.bodies import is_complete
from imageway.core.blobs import Blob, ImageFacts

MAX_PIXELS = 200_000_000
MEDIA_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
    "heic": "image/heic",
    "avif": "image/avif",
}
DELIVERABLE = ("png", "jpeg", "webp", "gif", "avif")


def prove(blob: Blob) -> ImageFacts | str:
    """The facts of a whole, deliverable image, or one sentence on why it is none."""
    facts = blob.facts
    if facts is None:
        return "the bytes are not an image that can be read"
    if facts.format not in DELIVERABLE:
        return f'"{facts.format}" is not a format that is delivered'
    if facts.width < 1 or facts.height < 1 or facts.width * facts.height > MAX_PIXELS:
        return f"{facts.width}x{facts.height} pixels cannot be"
    if not is_complete(facts, blob.head, blob.tail, blob.decoded_bytes):
        return f"the {facts.format} has no end: it was cut"
    return facts
