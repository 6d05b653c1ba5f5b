"""One image format into another, or into a small picture, with Pillow, for worker threads: CPU-bound, blocking,
bounded in pixels.

A converted image loses what only its original bytes carried: provenance manifests (C2PA) and the like."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageOps

MAX_PIXELS = 64_000_000
JPEG_QUALITY = 92
WEBP_QUALITY = 90
THUMBNAIL_EDGE = 512
THUMBNAIL_QUALITY = 80
_PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})


class CannotConvert(Exception):
    """The image is too large to convert, or its bytes do not decode. The message says which."""


def convert(content: bytes, output_format: str, quality: int | None = None) -> bytes:
    """Re-encodes to png, jpeg or webp, upright and in the same colours; transparency becomes white where the format has
    none. `quality` 0–100."""
    with _opened(content) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return _encode(image, output_format, quality)


def thumbnail(content: bytes) -> bytes:
    """A WebP of at most THUMBNAIL_EDGE pixels on either side, upright, of the same proportions; never enlarged."""
    with _opened(content) as image:
        image.draft("RGB", (THUMBNAIL_EDGE, THUMBNAIL_EDGE))  # a JPEG is decoded no larger than is needed
        ImageOps.exif_transpose(image, in_place=True)
        small = image if image.mode in ("RGB", "RGBA") else image.convert(_colours(image))
        small.thumbnail((THUMBNAIL_EDGE, THUMBNAIL_EDGE))
        return _encode(small, "webp", THUMBNAIL_QUALITY)


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    """Raises CannotConvert, for what is done with the image too: it is decoded late."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise CannotConvert(f"{image.width}x{image.height} pixels are more than can be converted")
            yield image
    except CannotConvert:
        raise
    except Exception as error:  # decoders have no common error for broken bytes
        raise CannotConvert(f"the image does not decode: {type(error).__name__}") from error


def _colours(image: Image.Image) -> str:
    return "RGBA" if image.mode in ("LA", "PA") or "transparency" in image.info else "RGB"


def _encode(image: Image.Image, output_format: str, quality: int | None) -> bytes:
    out = io.BytesIO()
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
    if output_format == "jpeg":
        chosen = JPEG_QUALITY if quality is None else max(quality, 1)
        _opaque(image).save(out, "JPEG", quality=chosen, icc_profile=profile)
    elif output_format == "webp":
        ready = image if image.mode in ("RGB", "RGBA") else image.convert("RGBA")
        chosen = WEBP_QUALITY if quality is None else quality
        ready.save(out, "WEBP", quality=chosen, method=2, icc_profile=profile or b"")
    else:
        ready = image if image.mode in _PNG_MODES else image.convert("RGB")
        # Level 1: a third larger than level 6, six times as fast.
        ready.save(out, "PNG", compress_level=1, icc_profile=profile)
    return out.getvalue()


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        pixels = image.convert("RGBA")
        ground = Image.new("RGB", pixels.size, "white")
        ground.paste(pixels, mask=pixels.getchannel("A"))
        return ground
    return image if image.mode == "RGB" else image.convert("RGB")
