"""Small real pictures, whole and broken, made once: what pretend upstreams answer and callers send."""

from __future__ import annotations

import base64
import io
from functools import lru_cache

from PIL import Image

from imageway.bodies import StoredBlob, blob_of
from imageway.core.blobs import Encoding

SIDE = 24
MARK = b"trail" * 20


@lru_cache(maxsize=64)
def picture(kind: str, shade: int = 0, *, alpha: bool = False) -> bytes:
    """`kind` is png, jpeg or webp."""
    mode, colour = ("RGBA", (shade, 90, 160, 120)) if alpha else ("RGB", (shade, 90, 160))
    out = io.BytesIO()
    Image.new(mode, (SIDE, SIDE), colour).save(out, kind.upper())
    return out.getvalue()


@lru_cache(maxsize=64)
def broken(kind: str) -> bytes:
    """A header that can be read, and no end."""
    whole = picture(kind)
    return whole[: len(whole) - 9]


@lru_cache(maxsize=64)
def inline(content: bytes) -> StoredBlob:
    """As it lies in a JSON answer."""
    return blob_of(base64.b64encode(content), encoding=Encoding.BASE64)


@lru_cache(maxsize=64)
def fetched(content: bytes) -> StoredBlob:
    """As it comes from a link."""
    return blob_of(content)
