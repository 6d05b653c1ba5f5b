"""What an edit at the pretend OpenAI does to its inputs: the mask, several files, fidelity, transparency, names."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageChops, ImageStat

from imageway.sandbox import Room
from tests.unit.sandbox.asking import Answered, ask, data_url, file_of, picture
from tests.unit.sandbox.test_openai import EDITS, edit, form

RED = (200, 30, 30)
SQUARE = ("size", "1024x1024", "")


def halved(size: tuple[int, int] = (1024, 1024)) -> bytes:
    """A mask whose left half is to be repainted; a stripe in it is half clear, which is not clear."""
    overlay = Image.new("RGBA", size, (0, 0, 0, 255))
    overlay.paste((0, 0, 0, 0), (0, 0, size[0] // 2, size[1]))
    overlay.paste((0, 0, 0, 128), (0, 0, size[0] // 8, size[1]))
    out = io.BytesIO()
    overlay.save(out, "PNG")
    return out.getvalue()


def drawn(answer: Answered) -> Image.Image:
    return picture(answer.json["data"][0]["b64_json"]).convert("RGB")


def unchanged(image: Image.Image, box: tuple[int, int, int, int]) -> bool:
    return image.crop(box).getextrema() == tuple((level, level) for level in RED)


@pytest.mark.parametrize("as_json", [False, True])
async def test_only_the_clear_pixels_of_the_mask_are_repainted(room: Room, as_json: bool) -> None:
    """Of every pixel outside: not one differs."""
    image, mask = file_of(size=(1024, 1024)), halved()
    if as_json:
        body = {"model": "gpt-image-1", "prompt": "a hat", "size": "1024x1024"}
        links = {"images": [{"image_url": data_url(image)}], "mask": {"image_url": data_url(mask)}}
        answer = await ask(room, EDITS, body | links)
    else:
        answer = await edit(room, ("image", image, "image/png"), ("mask", mask, "image/png"), ("size", "1024x1024", ""))
    result = drawn(answer)
    assert unchanged(result, (512, 0, 1024, 1024))
    assert unchanged(result, (0, 0, 128, 1024))
    assert max(ImageStat.Stat(result.crop((140, 10, 500, 1014))).stddev) > 10


async def test_a_mask_is_cut_to_size_as_its_picture_is(room: Room) -> None:
    """A wide picture made square loses its left and right ends, and so does its mask: an edge at 450 of 1200 is then at
    256 of 1024."""
    overlay = Image.new("RGBA", (1200, 600), (0, 0, 0, 255))
    overlay.paste((0, 0, 0, 0), (0, 0, 450, 600))
    out = io.BytesIO()
    overlay.save(out, "PNG")
    image = file_of(size=(1200, 600))
    result = drawn(await edit(room, ("image", image, "image/png"), ("mask", out.getvalue(), "image/png"), SQUARE))
    assert unchanged(result, (260, 0, 1024, 1024))
    assert not unchanged(result, (0, 0, 252, 1024))


async def test_further_files_show_in_the_picture(room: Room) -> None:
    files = [("image[]", file_of(), "image/png"), ("image[]", file_of(colour=(0, 200, 0)), "image/png")]
    one, two = drawn(await edit(room, files[0])), drawn(await edit(room, *files))
    assert (0, 200, 0) in {colour for _, colour in two.getcolors(2**24) or []}
    assert (0, 200, 0) not in {colour for _, colour in one.getcolors(2**24) or []}


async def test_a_higher_fidelity_changes_less(room: Room) -> None:
    distances = []
    for fidelity in ("high", "low"):
        answer = await edit(
            room, ("image", file_of(size=(1024, 1024)), "image/png"), ("input_fidelity", fidelity, ""), SQUARE
        )
        plain = Image.new("RGB", (1024, 1024), RED)
        distances.append(sum(ImageStat.Stat(ImageChops.difference(drawn(answer), plain)).mean))
    assert distances[0] < distances[1]


async def test_a_transparent_edit_has_clear_pixels_and_jpeg_cannot(room: Room) -> None:
    clear = ("background", "transparent", "")
    for format_name in ("png", "webp"):
        answer = await edit(room, ("image", file_of(), "image/png"), clear, ("output_format", format_name, ""))
        image = picture(answer.json["data"][0]["b64_json"])
        assert (image.format, image.getchannel("A").getextrema()) == (format_name.upper(), (0, 255))
    refused = await edit(room, ("image", file_of(), "image/png"), clear, ("output_format", "jpeg", ""))
    assert (refused.status, refused.json["error"]["param"]) == (400, "background")


async def test_a_stronger_compression_is_a_smaller_file(room: Room) -> None:
    sizes = []
    for compression in ("100", "10"):
        more = (("output_format", "webp", ""), ("output_compression", compression, ""), SQUARE)
        answer = await edit(room, ("image", file_of(), "image/png"), *more)
        sizes.append(len(answer.json["data"][0]["b64_json"]))
    assert sizes[1] < sizes[0] / 2


async def test_the_two_ways_of_sending_name_their_pictures_differently(room: Room) -> None:
    """`images` is JSON's word and `image` the form's; a repeated part without brackets counts as well."""
    body = {"model": "gpt-image-1", "prompt": "x", "images": [{"image_url": data_url(file_of())}]}
    answer = await ask(room, EDITS, {**body, "image": "x"})
    assert (answer.status, answer.json["error"]["message"]) == (400, "Unknown parameter: 'image'.")
    answer = await edit(room, ("image", file_of(), "image/png"), ("images", "x", ""))
    assert (answer.status, answer.json["error"]["message"]) == (400, "Unknown parameter: 'images'.")
    twice = await edit(room, ("image", file_of(), "image/png"), ("image", file_of("WEBP"), "image/webp"))
    assert twice.json["usage"]["input_tokens_details"]["image_tokens"] == 2 * 194


async def test_a_form_may_bring_its_files_last_and_its_numbers_as_text(room: Room) -> None:
    sent = form(("image", file_of(), "image/png"), ("n", "2", ""), ("prompt", "x", ""), ("quality", "low", ""), SQUARE)
    answer = await ask(room, EDITS, sent["body"], headers=sent["headers"])
    assert answer.status == 200
    assert len(answer.json["data"]) == 2
