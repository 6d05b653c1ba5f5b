"""What is delivered, and charged, is a whole image of a format that is delivered; everything else is told in a
sentence."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from imageway.bodies import blob_of
from imageway.core.blobs import Encoding, ImageFacts
from imageway.media.proofs import DELIVERABLE, MEDIA_TYPES, prove

WHOLE = ("PNG", "JPEG", "WEBP", "GIF", "AVIF")


def made(file_format: str, **save: object) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((32, 16), 80).convert("RGB").save(out, file_format, **save)
    return out.getvalue()


def facts_of(file_format: str) -> ImageFacts:
    return ImageFacts(file_format.lower(), 32, 16, alpha=False if file_format == "PNG" else None)


@pytest.mark.parametrize("file_format", WHOLE)
def test_a_whole_image_is_proved(file_format: str) -> None:
    assert prove(blob_of(made(file_format))) == facts_of(file_format)


@pytest.mark.parametrize("file_format", WHOLE)
def test_a_whole_image_is_proved_in_base64(file_format: str) -> None:
    text = base64.b64encode(made(file_format))
    assert prove(blob_of(text, encoding=Encoding.BASE64)) == facts_of(file_format)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("missing", [1, 2, 9, 100])
def test_an_image_whose_end_is_missing_is_none(file_format: str, missing: int) -> None:
    whole = made(file_format)
    verdict = prove(blob_of(whole[: len(whole) - missing]))
    assert isinstance(verdict, str)
    assert "cut" in verdict


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_half_an_image_is_none(file_format: str, share: float) -> None:
    whole = made(file_format)
    assert isinstance(prove(blob_of(whole[: int(len(whole) * share)])), str)


def test_a_long_header_is_read_to_its_end() -> None:
    """Provenance manifests lie before the pixels: the dimensions of a JPEG may come after 100 KB."""
    comment = b"".join(b"\xff\xe4\xff\xff" + b"c" * 65533 for _ in range(3))
    whole = made("JPEG")
    assert prove(blob_of(whole[:2] + comment + whole[2:])) == ImageFacts("jpeg", 32, 16)


@pytest.mark.parametrize(
    "content", [b"", b"<html>no</html>", b"\x89PNG", b"\xff\xd8\xff", b"RIFF....WEBP", b"\0" * 500]
)
def test_what_is_no_image_is_said_to_be_none(content: bytes) -> None:
    verdict = prove(blob_of(content))
    assert isinstance(verdict, str)
    assert verdict


def test_formats_that_browsers_do_not_show_are_not_delivered() -> None:
    verdict = prove(blob_of(made("BMP")))
    assert verdict == '"bmp" is not a format that is delivered'


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0), (20_000, 20_000)])
def test_impossible_sizes_are_not_believed(width: int, height: int) -> None:
    whole = bytearray(made("PNG"))
    whole[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    assert isinstance(prove(blob_of(bytes(whole))), str)


def test_every_format_that_is_delivered_has_a_media_type() -> None:
    assert set(DELIVERABLE) <= set(MEDIA_TYPES)
