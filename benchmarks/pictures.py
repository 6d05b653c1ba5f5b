"""What the upstream of the benchmarks answers: real PNG files, one that is nearly nothing and one that does not
compress, inside the JSON of an image API."""

from __future__ import annotations

import base64
import json
import random
import struct
import zlib
from typing import Final

EDGE: Final = 1024
USAGE: Final = {
    "input_tokens": 12,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 12},
    "output_tokens": 272,
    "total_tokens": 284,
}
_SMALL_ANSWER_BYTES: Final = 1024


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(*, bit_depth: int, color_type: int, rows: bytes, level: int) -> bytes:
    header = struct.pack(">IIBBBBB", EDGE, EDGE, bit_depth, color_type, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, level)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def small_picture() -> bytes:
    """1024x1024 pixels of one shade of grey in some 200 bytes."""
    return _png(bit_depth=1, color_type=0, rows=bytes(EDGE * (1 + EDGE // 8)), level=9)


def large_picture() -> bytes:
    """1024x1024 pixels of noise, 16 bits a channel: 6.3 MB, 8.4 MB as base64."""
    noise = random.Random(7).randbytes(EDGE * EDGE * 6)
    width = EDGE * 6
    rows = b"".join(b"\0" + noise[at : at + width] for at in range(0, len(noise), width))
    return _png(bit_depth=16, color_type=2, rows=rows, level=0)


def answer(picture: bytes) -> bytes:
    """The whole JSON; a small one is filled up to 1 KB with white space."""
    body = {"created": 1_790_000_000, "data": [{"b64_json": base64.b64encode(picture).decode()}], "usage": USAGE}
    return json.dumps(body).encode().ljust(_SMALL_ANSWER_BYTES)
