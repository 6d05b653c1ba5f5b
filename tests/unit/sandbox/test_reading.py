"""What strangers write is read, refused or passed over; nothing of it breaks a pretend provider."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image

from imageway.sandbox import Room
from imageway.sandbox.drawing import Sketch, Unreadable, read_reference, render
from imageway.sandbox.reading import NotJson, natural, read_json, read_object
from tests.unit.sandbox.asking import ask, data_url, file_of

OPENAI = "/openai/v1/images"
ARK = "/ark/api/v3/images/generations"
DASHSCOPE = "/dashscope/api/v1/services/aigc/multimodal-generation/generation"
GEMINI = "/google/v1beta/models/gemini-2.5-flash-image:generateContent"
IMAGEN = "/vertex/v1/publishers/google/models/imagen-3.0-capability-001:predict"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        rb'"\ud800"',
        rb'{"a\udfff": 1}',
        b"[" * 100_000,
        b"9" * 5_000,
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_cannot_be_written_again_is_not_json(content: bytes) -> None:
    with pytest.raises(NotJson):
        read_json(content)
    assert read_object(content) is None


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert read_json(rb'["\ud83e\udd8a"]') == ["🦊"]


def test_only_objects_are_objects() -> None:
    assert read_object(b'{"a": 1}') == {"a": 1}
    assert read_object(b"[1]") is None


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), ("0", 0), ("²", None), ("-1", None), ("9" * 10, None), (None, None)]
)
def test_a_number_is_up_to_nine_digits(text: str | None, number: int | None) -> None:
    assert natural(text) == number


def half_a_pair(place: str) -> Any:
    """A good body with half a surrogate pair in its prompt."""
    prompt = "a \ud800"
    return {
        OPENAI + "/generations": {"prompt": prompt},
        ARK: {"model": "doubao-seedream-4-0-250828", "prompt": prompt},
        DASHSCOPE: {"model": "qwen-image", "input": {"messages": [{"role": "user", "content": [{"text": prompt}]}]}},
        GEMINI: {"contents": [{"parts": [{"text": prompt}]}]},
        IMAGEN: {"instances": [{"prompt": prompt}]},
    }[place]


@pytest.mark.parametrize("place", [OPENAI + "/generations", ARK, DASHSCOPE, GEMINI, IMAGEN])
async def test_half_a_surrogate_pair_is_refused_by_every_provider(room: Room, place: str) -> None:
    assert (await ask(room, place, json.dumps(half_a_pair(place)).encode())).status == 400


async def test_a_number_beyond_all_numbers_is_refused(room: Room) -> None:
    body = {"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"temperature": 10**400}}
    assert (await ask(room, GEMINI, body)).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "/google/v1beta/models?pageToken=abc",
        "/google/v1beta/models?pageSize=²",
        "/dashscope/api/v1/tasks?page_no=²",
        "/dashscope/api/v1/tasks?page_size=" + "9" * 5_000,
        "/dashscope/api/v1/tasks?end_time=00010101000000",
        "/dashscope/api/v1/tasks?start_time=99991231235959",
    ],
)
async def test_a_query_that_says_nothing_is_passed_over(room: Room, path: str) -> None:
    assert (await ask(room, path)).status == 200


async def test_a_signature_is_as_long_as_usual_where_its_length_is_no_number(room: Room) -> None:
    body = {"contents": [{"parts": [{"text": "a cat"}]}]}
    assert (await ask(room, GEMINI, body, headers={"x-sandbox-signature-bytes": "²"})).status == 200


async def test_a_url_that_is_none_leads_nowhere(room: Room) -> None:
    body = {"model": "doubao-seedream-4-0-250828", "prompt": "a cat", "image": "http://["}
    assert (await ask(room, ARK, body)).status == 400


async def test_an_assertion_nested_without_end_is_refused(room: Room) -> None:
    nested = base64.urlsafe_b64encode(b"[" * 20_000).decode()
    form = f"grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={nested}.e30.x"
    assert (await ask(room, "/vertex/token", form.encode())).status == 400


async def test_an_edit_of_one_pixel_has_one_pixel(room: Room) -> None:
    row = {
        "referenceType": "REFERENCE_TYPE_RAW",
        "referenceImage": {"bytesBase64Encoded": _base64(file_of("PNG", (1, 1)))},
    }
    answer = await ask(room, IMAGEN, {"instances": [{"prompt": "a", "referenceImages": [row, row]}]})
    assert answer.status == 200


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (8, 8), (9, 2)])
def test_the_smallest_pictures_can_be_drawn(size: tuple[int, int]) -> None:
    reference = read_reference(file_of("PNG", (2, 2)))
    for references in ((), (reference, reference)):
        sketch = Sketch(prompt="a cat", width=size[0], height=size[1], seed=1, references=references, watermark="AI")
        assert Image.open(io.BytesIO(render(sketch))).size == size


async def test_a_jpeg_of_several_pictures_is_a_jpeg(room: Room) -> None:
    """As telephones write them: the first counts."""
    out = io.BytesIO()
    first, second = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (32, 32))
    first.save(out, "MPO", save_all=True, append_images=[second])
    assert read_reference(out.getvalue()).format == "jpeg"
    images = [{"image_url": data_url(out.getvalue(), "image/jpeg")}]
    answer = await ask(room, OPENAI + "/edits", {"prompt": "redder", "quality": "low", "images": images})
    assert answer.status == 200


@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", b"P6 1 1 255\n123"]
)
def test_formats_that_no_provider_takes_are_not_opened(content: bytes) -> None:
    """A drawing program would be started for some of them."""
    with pytest.raises(Unreadable, match="identify"):
        read_reference(content)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
