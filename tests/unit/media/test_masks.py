"""A mask in another form marks the same pixels: transparent ones become light, light ones become transparent, and what
lies between goes to the nearer side."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from imageway.core.requests import MaskForm
from imageway.media.conversion import MAX_PIXELS, CannotConvert
from imageway.media.masks import turn_mask

ALPHA, LIGHT = MaskForm.ALPHA, MaskForm.LIGHT
Pixels = list[tuple[int, ...]] | list[int]


def made(mode: str, pixels: Pixels, file_format: str = "PNG") -> bytes:
    """One row of these pixels."""
    image, out = Image.new(mode, (len(pixels), 1)), io.BytesIO()
    image.putdata(pixels)
    image.save(out, file_format, **({"lossless": True} if file_format == "WEBP" else {}))
    return out.getvalue()


def row(content: bytes, mode: str) -> list[object]:
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.mode) == ("PNG", mode)
        assert image.height == 1
        return [image.getpixel((x, 0)) for x in range(image.width)]


BLACK, WHITE, GREY = (0, 0, 0), (255, 255, 255), (120, 120, 120)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_transparent_pixels_become_light_whatever_their_colour(file_format: str) -> None:
    mask = made(
        "RGBA", [(*BLACK, 0), (*WHITE, 255), (*WHITE, 0), (*BLACK, 255), (*GREY, 127), (*GREY, 128)], file_format
    )
    if file_format == "WEBP":  # its lossless form keeps no colour of what is transparent
        assert row(turn_mask(mask, ALPHA, LIGHT), "L")[:2] == [255, 0]
    else:
        assert row(turn_mask(mask, ALPHA, LIGHT), "L") == [255, 0, 255, 0, 255, 0]


@pytest.mark.parametrize(
    ("mode", "pixels"),
    [
        ("L", [255, 0, 128, 127]),
        ("RGB", [WHITE, BLACK, (130, 130, 130), (120, 120, 120)]),
        ("1", [255, 0, 255, 0]),
        ("RGBA", [(*WHITE, 255), (*BLACK, 255), (*BLACK, 0), (*BLACK, 200)]),  # as they look on white
        ("LA", [(255, 255), (0, 255), (0, 0), (0, 200)]),
    ],
)
def test_light_pixels_become_transparent(mode: str, pixels: Pixels) -> None:
    turned = row(turn_mask(made(mode, pixels), LIGHT, ALPHA), "RGBA")
    assert turned == [(0, 0, 0, 0), (0, 0, 0, 255), (0, 0, 0, 0), (0, 0, 0, 255)]


def test_there_and_back_is_the_same_mask() -> None:
    mask = made("RGBA", [(*BLACK, 0), (*BLACK, 255), (*BLACK, 0)])
    back = turn_mask(turn_mask(mask, ALPHA, LIGHT), LIGHT, ALPHA)
    assert row(back, "RGBA") == row(mask, "RGBA")


def test_a_palette_may_be_transparent() -> None:
    image, out = Image.new("P", (2, 1)), io.BytesIO()
    image.putpalette([*BLACK, *BLACK])
    image.putdata([0, 1])
    image.save(out, "PNG", transparency=1)
    assert row(turn_mask(out.getvalue(), ALPHA, LIGHT), "L") == [0, 255]


@pytest.mark.parametrize(
    ("content", "marks", "said"),
    [
        (made("RGBA", [(*WHITE, 255)] * 3), ALPHA, "no pixel is transparent"),
        (made("RGB", [WHITE] * 3), ALPHA, "no pixel is transparent"),
        (made("L", [0, 90]), LIGHT, "no pixel is light"),
    ],
    ids=["opaque", "without transparency", "dark"],
)
def test_a_mask_that_marks_nothing_is_none(content: bytes, marks: MaskForm, said: str) -> None:
    other = LIGHT if marks is ALPHA else ALPHA
    with pytest.raises(CannotConvert, match=said):
        turn_mask(content, marks, other)


def test_what_does_not_decode_is_no_mask() -> None:
    for content in (b"", b"<html>", made("L", [255] * 500)[:50]):
        with pytest.raises(CannotConvert, match="does not decode"):
            turn_mask(content, LIGHT, ALPHA)


def test_a_mask_of_boundless_pixels_is_never_decoded() -> None:
    edge = 30_000
    assert edge * edge > MAX_PIXELS

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", edge, edge, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    with pytest.raises(CannotConvert):
        turn_mask(bomb, LIGHT, ALPHA)
