"""Image formats by their first and last bytes: which one it is, and whether all of it is there. Decodes no picture."""

from __future__ import annotations

import struct
from typing import Final

from imageway.core.blobs import ImageFacts

_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
BRANDS_BYTES: Final = 256  # of the first box: whoever claims more brands is not believed
_PNG_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG_END: Final = b"\xff\xd9"


def sniff_format(head: bytes) -> str | None:
    """png, jpeg, webp, gif, bmp, tiff, heic or avif by the magic number; None for anything else. 32 bytes are enough
    for most files; an ISO file is told by the brands in its first box."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return "bmp"
    if head.startswith((b"II*\0", b"MM\0*")):
        return "tiff"
    return _sniff_brands(head) if head[4:8] == b"ftyp" else None


def _sniff_brands(head: bytes) -> str | None:
    """By the first brand that says it: the major one, else those that the file claims to be compatible with."""
    size = min(int.from_bytes(head[:4], "big"), BRANDS_BYTES)
    for at in (8, *range(16, size, 4)):
        brand = head[at : at + 4]
        if brand in _AVIF_BRANDS:
            return "avif"
        if brand in _HEIC_BRANDS:
            return "heic"
    return None


def is_complete(facts: ImageFacts | None, head: bytes, tail: bytes, decoded_bytes: int) -> bool:
    """Whether the file's own end is there: `head` and `tail` are its first and last 4 KiB. Bytes behind the end are
    allowed, as decoders allow them. TIFF and BMP say too little for more than a check of their sizes."""
    match facts.format if facts else None:
        case "png":
            return _PNG_END in tail
        case "jpeg":
            return _JPEG_END in tail
        case "webp":
            return decoded_bytes >= int.from_bytes(head[4:8], "little") + 8
        case "gif":
            return tail.rstrip(b"\0").endswith(b"\0;")  # the last block's terminator, then the trailer
        case "bmp":
            return decoded_bytes >= max(int.from_bytes(head[2:6], "little"), int.from_bytes(head[10:14], "little") + 1)
        case "tiff":
            return decoded_bytes > int.from_bytes(head[4:8], "little" if head[:1] == b"I" else "big")
        case "heic" | "avif":
            return _boxes_end_within(head, decoded_bytes)
        case _:
            return False


def _boxes_end_within(head: bytes, decoded_bytes: int) -> bool:
    """Walks the top-level boxes as far as the head shows them (ISO 14496-12, 4.2): none may reach behind the end, and
    the media data must be one of them or stand where the head does not show it."""
    at = 0
    with_media = False
    while at + 16 <= min(len(head), decoded_bytes):
        size = box_size(head[at : at + 16])
        if size is None:
            return False
        if size == 0:
            return True
        with_media = with_media or head[at + 4 : at + 8] == b"mdat"
        at += size
    return at <= decoded_bytes if with_media else at < decoded_bytes


def box_size(header: bytes) -> int | None:
    """The whole size of an ISO box from its first 16 bytes; 0: up to the end of the file; None: not a box."""
    size: int = struct.unpack_from(">I", header)[0]
    if size == 1:
        size = struct.unpack_from(">Q", header, 8)[0]
        return size if size >= 16 else None
    return size if size == 0 or size >= 8 else None
