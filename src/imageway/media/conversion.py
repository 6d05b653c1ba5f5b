"""One image format into another with Pillow, for worker threads: CPU-bound, blocking, bounded in pixels.

A converted image loses what only its original bytes carried: provenance manifests (C2PA) and the like."""

from __future__ import annotations

import io

from PIL import Image

MAX_PIXELS = 64_000_000
JPEG_QUALITY = 92
WEBP_QUALITY = 90


class CannotConvert(Exception):
    """The image is too large to convert, or its bytes do not decode. The message says which."""


def convert(content: bytes, output_format: str, quality: int | None = None) -> bytes:
    """Re-encodes to png, jpeg or webp; transparency becomes white where the format has none. `quality` 0–100."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise CannotConvert(f"{image.width}x{image.height} pixels are more than can be converted")
            image.load()
            return _encode(image, output_format, quality)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CannotConvert(f"the image does not decode: {type(error).__name__}") from error


def _encode(image: Image.Image, output_format: str, quality: int | None) -> bytes:
    out = io.BytesIO()
    if output_format == "jpeg":
        _opaque(image).save(out, "JPEG", quality=JPEG_QUALITY if quality is None else max(quality, 1))
    elif output_format == "webp":
        ready = image if image.mode in ("RGB", "RGBA") else image.convert("RGBA")
        ready.save(out, "WEBP", quality=WEBP_QUALITY if quality is None else quality, method=2)
    else:
        # Level 1: a third larger than level 6, six times as fast.
        image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        pixels = image.convert("RGBA")
        ground = Image.new("RGB", pixels.size, "white")
        ground.paste(pixels, mask=pixels.getchannel("A"))
        return ground
    return image if image.mode == "RGB" else image.convert("RGB")
