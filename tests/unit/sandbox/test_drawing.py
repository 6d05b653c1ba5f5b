"""Pictures are drawn, not canned: exact pixels and format, the same sketch twice the same bytes, marked as ours."""

from __future__ import annotations

import io
import time

import pytest
from PIL import Image, ImageChops, ImageStat

from imageway.sandbox.drawing import Sketch, Unreadable, read_reference, render
from tests.unit.sandbox.asking import file_of, picture


def sketch(**changes: object) -> Sketch:
    return Sketch(**{"prompt": "A red fox", "width": 256, "height": 192, "seed": 1, **changes})  # type: ignore[arg-type]


def mean(image: Image.Image) -> list[float]:
    return ImageStat.Stat(image.convert("RGB")).mean


@pytest.mark.parametrize("size", [(1024, 1024), (176, 1456), (1568, 672), (3328, 4992)])
@pytest.mark.parametrize("format_name", ["png", "jpeg", "webp"])
def test_a_picture_has_exactly_the_pixels_and_format_asked_for(size: tuple[int, int], format_name: str) -> None:
    drawn = picture(render(sketch(width=size[0], height=size[1], format=format_name)))
    assert (drawn.size, drawn.format) == (size, format_name.upper())


def test_prompt_and_seed_decide_the_picture_and_nothing_else_does() -> None:
    first = render(sketch())
    assert render(sketch()) == first
    others = [render(sketch(seed=2)), render(sketch(prompt="A blue fox")), first]
    assert len(set(others)) == 3


def test_every_scene_can_be_drawn_and_is_not_flat() -> None:
    """Twelve seeds show all four compositions."""
    for seed in range(12):
        low, high = picture(render(sketch(seed=seed, width=96, height=96))).convert("L").getextrema()
        assert isinstance(low, int)
        assert isinstance(high, int)
        assert high - low > 60


def test_a_picture_says_that_it_came_from_a_sandbox() -> None:
    png = picture(render(sketch()))
    assert png.info["Software"] == "Imageway sandbox"
    jpeg = picture(render(sketch(format="jpeg")))
    assert b"Imageway sandbox" in jpeg.info["comment"]
    webp = picture(render(sketch(format="webp")))
    assert webp.getexif()[0x0131] == "Imageway sandbox"


def test_a_png_with_provenance_has_the_chunk_right_behind_its_header() -> None:
    content = render(sketch(provenance=True))
    assert content[33 + 4 : 33 + 8] == b"caBX"
    assert picture(content).size == (256, 192)


def test_a_watermark_changes_the_lower_right_corner_alone() -> None:
    plain, marked = picture(render(sketch())), picture(render(sketch(watermark="AI generated")))
    box = ImageChops.difference(plain, marked).getbbox()
    assert box is not None
    assert box[0] > 128
    assert box[1] > 150


def test_an_edit_looks_like_its_input() -> None:
    """A red input gives a reddish picture, a blue one a bluish; further inputs show as thumbnails."""
    red, blue = read_reference(file_of()), read_reference(file_of(colour=(20, 30, 220)))
    reddish, bluish = (mean(picture(render(sketch(references=(one,))))) for one in (red, blue))
    assert reddish[0] > reddish[2]
    assert bluish[2] > bluish[0]
    assert render(sketch(references=(red, blue))) != render(sketch(references=(red,)))


def test_a_mask_keeps_what_is_opaque() -> None:
    """Left half clear: new there; right half opaque: as it was."""
    overlay = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    overlay.paste((0, 0, 0, 0), (0, 0, 32, 64))
    out = io.BytesIO()
    overlay.save(out, "PNG")
    drawn = picture(render(sketch(references=(read_reference(file_of()),), mask=read_reference(out.getvalue()))))
    assert drawn.getpixel((230, 40)) == (200, 30, 30)
    assert mean(drawn.crop((0, 0, 100, 100))) != [200, 30, 30]


def test_a_transparent_picture_has_clear_corners() -> None:
    drawn = picture(render(sketch(transparent=True)))
    assert drawn.mode == "RGBA"
    assert drawn.getpixel((0, 0))[3] == 0  # type: ignore[index]
    assert drawn.getpixel((128, 96))[3] == 255  # type: ignore[index]


@pytest.mark.parametrize("content", [b"", b"<html>", file_of()[:60], file_of("JPEG")[:300]])
def test_broken_input_is_unreadable(content: bytes) -> None:
    with pytest.raises(Unreadable):
        read_reference(content)


def test_a_reference_knows_the_pixels_of_its_file_and_its_alpha() -> None:
    large = read_reference(file_of(size=(4000, 100)))
    assert (large.width, large.height, large.has_alpha) == (4000, 100, False)
    assert large.image.width <= 2048
    clear = read_reference(file_of(colour=(0, 0, 0, 0)))
    assert clear.has_alpha
    assert clear.transparent
    assert not read_reference(file_of(colour=(0, 0, 0, 255))).transparent


def test_drawing_is_fast() -> None:
    """Generous to a busy machine: CPU time, and several times what a quiet one needs (30 ms, 250 ms)."""
    render(sketch())
    started_s = time.process_time()
    render(sketch(width=1024, height=1024))
    middle_s = time.process_time()
    render(sketch(width=4096, height=4096, format="jpeg"))
    assert middle_s - started_s < 0.3
    assert time.process_time() - middle_s < 2
