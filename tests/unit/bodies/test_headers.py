"""An image's format and pixels are read from its header as it goes by; no hostile header costs more than a moment."""

from __future__ import annotations

import io
import random
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imageway.bodies import HeaderReader, is_complete, sniff_format
from imageway.bodies.headers import GIVE_UP_BYTES
from imageway.core.blobs import ImageFacts
from tests.unit.bodies.conftest import picture


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8) + kind + body


def extent(width: int, height: int) -> bytes:
    return box(b"ispe", struct.pack(">III", 0, width, height))


def iso(brand: bytes, *brands: bytes) -> bytes:
    """An ISO image file with a thumbnail's extent first, as phones write them."""
    properties = box(b"iprp", box(b"ipco", extent(16, 12), box(b"pixi", b"x"), extent(67, 45)))
    meta = box(b"meta", bytes(4), box(b"hdlr", bytes(25)), properties)
    return box(b"ftyp", brand, bytes(4), *brands) + box(b"free", bytes(100)) + meta + box(b"mdat", bytes(5000))


def jpeg_behind(metadata: int) -> bytes:
    """A JPEG whose frame header stands behind so many bytes of APP11 segments."""
    plain = picture("JPEG")
    segments = b"".join(b"\xff\xeb" + struct.pack(">H", 60_002) + bytes(60_000) for _ in range(metadata // 60_004 + 1))
    return plain[:2] + segments + plain[2:]


ALPHA = {"png": False, "png-palette": False, "png-alpha": True, "png-transparent-palette": True, "png-grey-alpha": True}
FILES = {
    "png": ("png", picture("PNG")),
    "png-alpha": ("png", picture("PNG", mode="RGBA")),
    "png-grey-alpha": ("png", picture("PNG", mode="LA")),
    "png-transparent-palette": ("png", picture("PNG", mode="P", transparency=0)),
    "png-palette": ("png", picture("PNG", mode="P")),
    "jpeg": ("jpeg", picture("JPEG")),
    "jpeg-progressive": ("jpeg", picture("JPEG", progressive=True)),
    "jpeg-c2pa": ("jpeg", jpeg_behind(300_000)),
    "webp-lossy": ("webp", picture("WEBP")),
    "webp-lossless": ("webp", picture("WEBP", lossless=True)),
    "webp-extended": ("webp", picture("WEBP", mode="RGBA", exif=b"Exif\0\0x")),
    "gif": ("gif", picture("GIF")),
    "bmp": ("bmp", picture("BMP")),
    "tiff": ("tiff", picture("TIFF", compression="raw")),
    "tiff-lzw": ("tiff", picture("TIFF", compression="tiff_lzw")),
    "avif": ("avif", picture("AVIF")),
    "heic": ("heic", iso(b"heic", b"mif1")),
    "heic-by-brand": ("heic", iso(b"mif1", b"miaf", b"heix")),
}


def read(content: bytes, size: int) -> HeaderReader:
    reader = HeaderReader()
    for at in range(0, len(content), size):
        reader.feed(content[at : at + size])
    return reader


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_format_and_pixels_are_read_in_chunks_of_any_size(name: str, size: int) -> None:
    form, content = FILES[name]
    if size == 1 and len(content) > 50_000:
        size = 3001
    assert sniff_format(content[:64]) == form
    assert read(content, size).facts == ImageFacts(form, 67, 45, ALPHA.get(name))


@pytest.mark.parametrize("size", [1, 4096])
def test_a_png_that_is_cut_before_its_pixels_has_facts_without_transparency(size: int) -> None:
    """A palette may still be followed by a tRNS chunk; a colour type with alpha needs none."""
    opaque, palette, clear = (FILES[name][1] for name in ("png", "png-palette", "png-alpha"))
    assert read(opaque[:24], size).facts == ImageFacts("png", 67, 45)
    assert read(palette[: palette.index(b"IDAT")], size).facts == ImageFacts("png", 67, 45)
    assert read(clear[:33], size).facts == ImageFacts("png", 67, 45, alpha=True)


@settings(max_examples=500, deadline=None)
@given(
    header=st.tuples(st.sampled_from([b"IHDR", b"CgBI"]), *[st.integers(0, 2)] * 2, st.integers(0, 7)),
    follows=st.sampled_from([b"IDAT", b"tRNS", b"IEND", b"gAMA"]),
    end=st.integers(0, 60),
)
def test_a_png_says_the_same_at_once_and_byte_by_byte(
    header: tuple[bytes, int, int, int], follows: bytes, end: int
) -> None:
    kind, width, height, colour = header
    fields = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunk = struct.pack(">I", 2) + follows + bytes(6)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + kind + fields + bytes(4) + chunk + chunk
    at_once, byte_by_byte = read(content[:end], 1000), read(content[:end], 1)
    assert (at_once.facts, at_once.done) == (byte_by_byte.facts, byte_by_byte.done)


def test_the_search_for_transparency_ends() -> None:
    """Metadata without end before the pixels: what is known stands."""
    opening = FILES["png"][1][:33]
    for chunk in (struct.pack(">I", 0) + b"tEXt" + bytes(4), struct.pack(">I", 2**32 - 1) + b"tEXt"):
        reader = read(opening + chunk * (2 * GIVE_UP_BYTES // len(chunk)), 65536)
        assert reader.done
        assert reader.facts == ImageFacts("png", 67, 45)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_either_byte_order_with_its_directory_at_once(order: str) -> None:
    entries = struct.pack(order + "HHII", 256, 4, 1, 67) + struct.pack(order + "HHIHH", 257, 3, 1, 45, 0)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    assert read(head + struct.pack(order + "H", 2) + entries, 5).facts == ImageFacts("tiff", 67, 45)


def test_old_and_upside_down_bitmaps() -> None:
    core = b"BM" + bytes(12) + struct.pack("<IHH", 12, 67, 45) + bytes(20)
    flipped = b"BM" + bytes(12) + struct.pack("<Iii", 40, 67, -45) + bytes(40)
    assert read(core, 99).facts == read(flipped, 99).facts == ImageFacts("bmp", 67, 45)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html><body>no image here</body></html>",
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        struct.pack(">8sI4sII", b"\x89PNG\r\n\x1a\n", 13, b"IHDR", 0, 5) + bytes(30),
        b"\xff\xd8\xff\xd9" + bytes(30),
        b"\xff\xd8" + b"\xff\xe0\0\0" * 30,
        b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(30),
        b"II*\0\xff\xff\xff\xff" + bytes(30),
        b"II*\0\x09\0\0\0" + bytes(30),
        box(b"ftyp", b"heic", bytes(4)) + box(b"meta", bytes(40)),
        box(b"ftyp", b"isom", bytes(4)) + bytes(100),
        b"\0\0\0\0ftypheic" + bytes(100),
    ],
)
def test_what_is_no_image_has_no_facts(content: bytes) -> None:
    for size in (1, 4096):
        assert read(content, size).facts is None


@pytest.mark.parametrize(
    "unit",
    [
        b"\xff\xe0\0\2",
        b"\xff",
        b"\xff\xd0",
        b"\xff\xe0\xff\xff",
        b"\0",
    ],
)
def test_hostile_headers_are_given_up_after_a_moment(unit: bytes) -> None:
    for opening in (
        b"\xff\xd8",
        b"II*\0\x10\0\0\0" + bytes(8) + b"\xff\xff",
        iso(b"heic")[:40] + b"\0\0\0\x08free" * 1000,
    ):
        start = time.process_time()
        reader = read(opening + unit * (2 * GIVE_UP_BYTES // len(unit)), 65536)
        assert reader.done
        assert reader.facts is None
        assert not reader._buffer
        assert time.process_time() - start < 0.5


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(sorted(FILES)), st.integers(0, 2**32), st.integers(1, 400))
def test_damaged_headers_never_raise(name: str, seed: int, size: int) -> None:
    chance = random.Random(seed)
    content = bytearray(FILES[name][1][:3000])
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(content))
        content[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(6))
    facts = read(bytes(content), size).facts
    assert facts is None or (facts.width > 0 and facts.height > 0)
    for cut in (bytes(content), bytes(content[:40])):
        sniff_format(cut)
        is_complete(ImageFacts(FILES[name][0], 1, 1), cut[:4096], cut[-4096:], len(cut))


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("tiff")])
def test_a_file_is_complete_to_its_last_byte_and_no_sooner(name: str) -> None:
    form, content = FILES[name]
    facts = ImageFacts(form, 67, 45)

    def complete(part: bytes) -> bool:
        return is_complete(facts, part[:4096], part[-4096:], len(part))

    assert complete(content)
    assert complete(content + b"\0\0")
    for missing in (1, 2, 10, 1000, len(content) - 20):
        assert not complete(content[:-missing]), missing


def test_a_tiff_is_complete_when_its_directory_is_there() -> None:
    content = FILES["tiff"][1]
    assert is_complete(ImageFacts("tiff", 67, 45), content[:4096], content[-4096:], len(content))
    assert not is_complete(ImageFacts("tiff", 67, 45), content[:4096], b"", 8)


def test_what_has_no_facts_is_never_complete() -> None:
    assert not is_complete(None, b"x", b"x", 1)
    assert not is_complete(ImageFacts("svg", 1, 1), b"<svg/>", b"<svg/>", 6)


def test_animations_are_complete_too() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
    for form in ("GIF", "WEBP", "PNG"):
        target = io.BytesIO()
        frames[0].save(target, form, save_all=True, append_images=frames[1:])
        content = target.getvalue()
        facts = read(content, 64).facts
        assert facts == ImageFacts(form.lower(), 20, 20, False if form == "PNG" else None)
        assert is_complete(facts, content[:4096], content[-4096:], len(content))


@pytest.mark.parametrize(
    ("major", "others", "form"),
    [
        (b"heic", (b"avif",), "heic"),
        (b"avif", (b"heic",), "avif"),
        (b"mif1", (b"miaf", b"heix", b"avif"), "heic"),
        (b"mif1", (b"miaf", b"avis", b"heic"), "avif"),
    ],
)
def test_a_file_of_two_brands_is_of_the_first(major: bytes, others: tuple[bytes, ...], form: str) -> None:
    """Whoever looks: the reader that sees the file go by, and whoever has its beginning."""
    content = iso(major, *others)
    facts = HeaderReader().feed(content)
    assert facts is not None
    assert facts.format == sniff_format(content) == sniff_format(content[:64]) == form
