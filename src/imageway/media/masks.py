"""Masks turned from one form into another, for worker threads: CPU-bound, blocking, bounded in pixels.

A mask says yes or no of each pixel: what is half transparent, or grey, goes to the nearer side."""

from __future__ import annotations

import io

from PIL import Image

from imageway.core.requests import MaskForm
from imageway.media.conversion import MAX_PIXELS, CannotConvert

_HALF = 128


def turn_mask(content: bytes, marks: MaskForm, wanted: MaskForm) -> bytes:
    """A mask that marks the same pixels in another form, as PNG of the same size. Raises CannotConvert: too large, not
    an image, or nothing is marked."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise CannotConvert(f"{image.width}x{image.height} pixels are more than can be converted")
            marked = _marked(image.convert("RGBA"), marks)
    except CannotConvert:
        raise
    except Exception as error:  # decoders have no common error for broken bytes
        raise CannotConvert(f"the image does not decode: {type(error).__name__}") from error
    if marked.getbbox() is None:
        pixels = "transparent" if marks is MaskForm.ALPHA else "light"
        raise CannotConvert(f"it marks nothing: no pixel is {pixels}")
    return _drawn(marked, wanted)


def _marked(image: Image.Image, marks: MaskForm) -> Image.Image:
    """White where the mask says to paint, else black. What is transparent is light: it is looked at on white."""
    alpha = image.getchannel("A")
    if marks is MaskForm.ALPHA:
        return alpha.point([255 if value < _HALF else 0 for value in range(256)])
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=alpha)
    return ground.convert("L").point([255 if value >= _HALF else 0 for value in range(256)])


def _drawn(marked: Image.Image, wanted: MaskForm) -> bytes:
    out, drawn = io.BytesIO(), marked
    if wanted is MaskForm.ALPHA:
        drawn = Image.new("RGBA", marked.size, (0, 0, 0, 255))
        drawn.putalpha(marked.point([255 - value for value in range(256)]))
    drawn.save(out, "PNG", compress_level=1)
    return out.getvalue()
