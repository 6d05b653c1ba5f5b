"""Input pictures: decoded once, kept small. What they said about themselves stays beside the pixels."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, replace

from PIL import Image, ImageOps

KEPT_EDGE = 2048  # an edit is drawn from at most this many pixels a side
MAX_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # some of the others would run programs


class Unreadable(Exception):
    """The bytes are not a whole picture that we can decode."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`width` × `height` are the file's own pixels, upright; `image` (RGBA) may be smaller. `format` is Pillow's name
    in lower case. `transparent`: at least one pixel is not fully opaque."""

    image: Image.Image
    width: int
    height: int
    format: str
    has_alpha: bool
    transparent: bool

    def without_pixels(self) -> Reference:
        """What can be told of it when nothing will be drawn from it any more."""
        return replace(self, image=Image.new("RGBA", (1, 1)))


def read_reference(content: bytes) -> Reference:
    """Decodes to the last byte; raises Unreadable. Takes tens of milliseconds: call it in a thread."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _decode(opened)
    except (OSError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError) as error:
        raise Unreadable(str(error)) from error


def _decode(opened: Image.Image) -> Reference:
    if opened.width * opened.height > MAX_PIXELS:
        raise Unreadable(f"{opened.width}x{opened.height} is more than {MAX_PIXELS} pixels")
    kind = (opened.format or "").lower().replace("mpo", "jpeg")  # a JPEG with further pictures behind the first
    has_alpha = "A" in opened.getbands() or "transparency" in opened.info
    opened.load()
    upright = ImageOps.exif_transpose(opened)
    width, height = upright.size
    upright.thumbnail((KEPT_EDGE, KEPT_EDGE), Image.Resampling.BILINEAR)
    image = upright.convert("RGBA")
    low, _ = image.getchannel("A").getextrema()
    return Reference(image, width, height, kind, has_alpha, isinstance(low, int | float) and low < 255)
