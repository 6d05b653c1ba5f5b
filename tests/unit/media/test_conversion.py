"""One format becomes another: the same picture, upright, in the same colours, white where the new format has no
transparency; and whatever a decoder does with broken or boundless bytes, it comes back as CannotConvert."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pytest
from PIL import Image, ImageCms

from imageway.media.conversion import MAX_PIXELS, THUMBNAIL_EDGE, CannotConvert, convert, thumbnail

Colour = tuple[int, ...]


def made(
    mode: str, file_format: str, *, size: tuple[int, int] = (40, 20), colour: Colour | int | None = None, **save: object
) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, colour if colour is not None else 0).save(out, file_format, **save)
    return out.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


@pytest.mark.parametrize("wanted", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP"])
def test_every_format_becomes_every_other(source: str, wanted: str) -> None:
    result = opened(convert(made("RGB", source, colour=(200, 30, 60)), wanted))
    assert (result.format, result.size) == (wanted.upper(), (40, 20))
    red, green, blue = result.convert("RGB").getpixel((20, 10))  # type: ignore[misc]
    assert abs(red - 200) < 12
    assert abs(green - 30) < 12
    assert abs(blue - 60) < 12


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0)), ("RGBA", (255, 255, 255, 128))])
def test_transparency_becomes_white_in_jpeg(mode: str, colour: Colour) -> None:
    assert opened(convert(made(mode, "PNG", colour=colour), "jpeg")).getpixel((5, 5)) == (255, 255, 255)


def test_a_palette_with_a_transparent_colour_becomes_white_in_jpeg() -> None:
    assert opened(convert(made("P", "PNG", transparency=0), "jpeg")).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("wanted", ["png", "webp"])
def test_transparency_is_kept_where_it_can_be(wanted: str) -> None:
    result = opened(convert(made("RGBA", "PNG", colour=(10, 20, 30, 0)), wanted))
    assert result.getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize("wanted", ["png", "jpeg", "webp"])
@pytest.mark.parametrize(
    ("mode", "source"), [("CMYK", "JPEG"), ("L", "JPEG"), ("1", "PNG"), ("I;16", "PNG"), ("F", "TIFF")]
)
def test_unusual_colour_models_become_usual_ones(mode: str, source: str, wanted: str) -> None:
    assert opened(convert(made(mode, source), wanted)).format == wanted.upper()


@pytest.mark.parametrize("wanted", ["png", "jpeg", "webp"])
def test_a_picture_stays_upright(wanted: str) -> None:
    """What the source said with an orientation tag, the result says with its pixels: tags get lost on the way."""
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    result = opened(convert(made("RGB", "JPEG", exif=exif), wanted))
    assert result.size == (20, 40)
    assert result.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("wanted", ["png", "jpeg", "webp"])
def test_the_colour_profile_is_kept(wanted: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    result = opened(convert(made("RGB", "PNG", icc_profile=profile), wanted))
    assert result.info["icc_profile"] == profile


@pytest.mark.parametrize("wanted", ["jpeg", "webp"])
def test_quality_is_obeyed(wanted: str) -> None:
    chance = random.Random(1)
    noise = Image.frombytes("RGB", (64, 64), chance.randbytes(64 * 64 * 3))
    out = io.BytesIO()
    noise.save(out, "PNG")
    sizes = [len(convert(out.getvalue(), wanted, quality)) for quality in (0, 30, 70, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] * 3 < sizes[-1]


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few dozen bytes that unpacks to gigabytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(8_001, 8_000), (11_000, 11_000), (100_000, 100_000)])
def test_bombs_are_refused_before_they_are_unpacked(width: int, height: int) -> None:
    assert width * height > MAX_PIXELS
    with pytest.raises(CannotConvert):
        convert(bomb(width, height), "png")
    with pytest.raises(CannotConvert):
        thumbnail(bomb(width, height))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_whatever_a_decoder_does_it_cannot_convert() -> None:
    """Broken bytes of every format, a thousand times: nothing but CannotConvert ever comes back."""
    chance = random.Random(7)
    whole = [made("RGB", source) for source in ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "TIFF", "BMP")]
    refused = 0
    for _ in range(1000):
        content = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 5)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        del content[chance.randrange(20, len(content) * 2) :]
        try:
            convert(bytes(content), chance.choice(("png", "jpeg", "webp")))
            thumbnail(bytes(content))
        except CannotConvert:
            refused += 1
    assert refused > 300


# Thumbnails


@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP", "TIFF"])
@pytest.mark.parametrize(
    ("size", "expected"),
    [((1024, 1024), (512, 512)), ((2048, 1024), (512, 256)), ((100, 1000), (51, 512)), ((40, 20), (40, 20))],
)
def test_a_thumbnail_fits_and_keeps_its_proportions(
    source: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    small = opened(thumbnail(made("RGB", source, size=size, colour=(200, 30, 60))))
    assert (small.format, small.size) == ("WEBP", expected)
    red, green, blue = small.convert("RGB").getpixel((5, 5))  # type: ignore[misc]
    assert abs(red - 200) < 12
    assert abs(green - 30) < 12
    assert abs(blue - 60) < 12


def test_nothing_is_so_thin_that_its_thumbnail_vanishes() -> None:
    assert opened(thumbnail(made("RGB", "PNG", size=(10_000, 1)))).size == (THUMBNAIL_EDGE, 1)


def test_a_thumbnail_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    small = opened(thumbnail(made("RGB", "JPEG", size=(1000, 500), exif=exif)))
    assert small.size == (256, 512)
    assert small.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (10, 20, 30, 0)), ("LA", (10, 0))])
def test_a_thumbnail_is_transparent_where_its_image_is(mode: str, colour: Colour) -> None:
    small = opened(thumbnail(made(mode, "PNG", size=(600, 600), colour=colour)))
    assert small.getchannel("A").getextrema() == (0, 0)
    palette = opened(thumbnail(made("P", "PNG", size=(600, 600), transparency=0)))
    assert palette.getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize(
    ("mode", "source"), [("CMYK", "JPEG"), ("L", "JPEG"), ("1", "PNG"), ("I;16", "PNG"), ("F", "TIFF")]
)
def test_a_thumbnail_has_usual_colours(mode: str, source: str) -> None:
    assert opened(thumbnail(made(mode, source, size=(600, 600)))).mode == "RGB"


def test_a_thumbnail_is_small_in_bytes_too() -> None:
    chance = random.Random(1)
    noise = Image.frombytes("RGB", (1024, 1024), chance.randbytes(1024 * 1024 * 3))
    out = io.BytesIO()
    noise.save(out, "PNG")
    assert len(thumbnail(out.getvalue())) < 300_000
