"""The pretend OpenAI: order of checks, real sentences, sizes and tokens, edits by form and by JSON."""

from __future__ import annotations

from typing import Any

import pytest

from imageway.sandbox import Room
from tests.unit.sandbox.asking import Answered, ask, data_url, file_of, picture

GENERATIONS, EDITS = "/openai/v1/images/generations", "/openai/v1/images/edits"


async def generate(room: Room, **body: object) -> Answered:
    return await ask(room, GENERATIONS, {"prompt": "a siamese cat", **body})


def form(*parts: tuple[str, str | bytes, str], boundary: str = "x") -> dict[str, Any]:
    """(name, content, "" or the file's type)."""
    out = b""
    for name, content, media_type in parts:
        file = f'; filename="f"\r\nContent-Type: {media_type}' if media_type else ""
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        out += (content.encode() if isinstance(content, str) else content) + b"\r\n"
    out += f"--{boundary}--\r\n".encode()
    return {"body": out, "headers": {"content-type": f"multipart/form-data; boundary={boundary}"}}


async def edit(room: Room, *parts: tuple[str, str | bytes, str]) -> Answered:
    sent = form(("prompt", "Add a hat", ""), ("model", "gpt-image-1.5", ""), *parts)
    return await ask(room, EDITS, sent["body"], headers=sent["headers"])


async def test_a_success_is_pretty_and_in_the_recorded_order(room: Room) -> None:
    answer = await generate(room, model="gpt-image-1", size="1024x1024")
    assert list(answer.json) == ["created", "background", "data", "output_format", "quality", "size", "usage"]
    assert answer.content.startswith(b'{\n  "created": ')
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["openai-version"] == "2020-10-01"
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    assert answer.json["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 10},
        "output_tokens": 4160,
        "output_tokens_details": {"image_tokens": 4160, "text_tokens": 0},
        "total_tokens": 4170,
    }


async def test_tokens_are_summed_over_n_and_the_middle_generation_writes_hidden_text(room: Room) -> None:
    usage = (await generate(room, model="gpt-image-1.5", n=2, size="1024x1536", quality="medium")).json["usage"]
    assert usage["output_tokens_details"]["image_tokens"] == 2 * 1584
    assert 286 <= usage["output_tokens_details"]["text_tokens"] <= 670
    assert usage["input_tokens"] == 20


async def test_the_fitted_tokens_meet_the_reported_ones(room: Room) -> None:
    for size, reported in (("1024x1024", 196), ("1536x1024", 158), ("1536x864", 120), ("1536x768", 102)):
        usage = (await generate(room, model="gpt-image-2", quality="low", size=size)).json["usage"]
        assert usage["output_tokens"] == pytest.approx(reported, rel=0.1)


@pytest.mark.parametrize(
    ("body", "code", "param", "message"),
    [
        ({"model": "gpt-image-2", "response_format": "b64_json"}, "unknown_parameter", "response_format", "Unknown p"),
        ({"model": "gpt-image-2", "style": "vivid"}, "unknown_parameter", "style", "Unknown parameter: 'style'."),
        ({"model": "gpt-image-2", "size": "256x256"}, "invalid_value", "size", "below the current minimum pixel bud"),
        ({"model": "gpt-image-2", "size": "1000x1024"}, "invalid_value", "size", "must both be divisible by 16."),
        ({"model": "gpt-image-2", "size": "3840x3840"}, "invalid_value", "size", "maximum pixel budget"),
        ({"model": "gpt-image-2", "size": "3840x1024"}, "invalid_value", "size", "3:1"),
        ({"model": "gpt-image-2", "size": "4096x2048"}, "invalid_value", "size", "3840"),
        ({"model": "gpt-image-1", "size": "2048x2048"}, "invalid_value", "size", "'1024x1536', '1536x1024', and 'a"),
        ({"model": "gpt-image-1", "quality": "max"}, "invalid_value", "quality", "Invalid value: 'max'. Supported"),
        ({"model": "gpt-image-1", "n": 11}, "integer_above_max_value", "n", "Expected a value <= 10, but got 11"),
        ({"model": "gpt-image-1", "n": 0}, "integer_below_min_value", "n", "Expected a value >= 1, but got 0"),
        ({"model": "gpt-image-1", "n": "2"}, "invalid_type", "n", "expected an integer, but got a string"),
        ({"model": "gpt-image-1", "n": True}, "invalid_type", "n", "expected an integer, but got a boolean"),
        ({"model": "gpt-image-1", "stream": "yes"}, "invalid_type", "stream", "expected a boolean"),
        (
            {"model": "gpt-image-1", "stream": True, "partial_images": 4},
            "integer_above_max_value",
            "partial_images",
            "4",
        ),
        ({"model": "gpt-image-1", "stream": True, "size": "1x1"}, "invalid_value", "size", "1x1"),
        ({"model": "gpt-image-2", "background": "transparent"}, "invalid_value", "background", "not supported for t"),
        (
            {"model": "gpt-image-1", "background": "transparent", "output_format": "jpeg"},
            "invalid_value",
            "background",
            "JPEG",
        ),
        ({"model": "gpt-image-1", "output_compression": 50}, "invalid_value", "output_compression", "PNG"),
        ({"model": "gpt-image-2", "complexity": "low"}, "unknown_parameter", "complexity", "complexity"),
        ({"model": "gpt-image-1", "prompt": "x" * 32_001}, "string_above_max_length", "prompt", "length 32001"),
        ({"model": "gpt-image-1", "prompt": None}, "missing_required_parameter", "prompt", "'prompt'"),
        ({"model": "gpt-image-1", "output_format": "svg"}, "unsupported_value", "output_format", "preview"),
        ({"model": "gpt-image-1", "input_fidelity": "high"}, "unknown_parameter", "input_fidelity", "fidelity"),
    ],
)
async def test_a_wrong_parameter_is_refused_in_the_providers_words(
    room: Room, body: dict[str, object], code: str, param: str, message: str
) -> None:
    answer = await generate(room, **body)
    error = answer.json["error"]
    assert (answer.status, error["code"], error["param"]) == (400, code, param)
    assert message in error["message"]
    assert set(error) == {"message", "type", "param", "code"}


async def test_nulls_count_as_not_given_and_no_model_means_the_newest(room: Room) -> None:
    answer = await generate(room, model=None, n=None, size=None, quality="low", complexity="low")
    assert answer.status == 200
    assert room.journal.entries[-1].model == "gpt-image-2.6-sunburst"


async def test_keys_come_first_then_models_then_parameters(room: Room) -> None:
    wrong = {"model": "dall-e-3", "prompt": "x", "n": 99}
    answer = await ask(room, GENERATIONS, wrong, headers={"authorization": "Bearer bad-key"})
    assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_api_key")
    assert answer.json["error"]["message"].startswith("Incorrect API key provided: bad-key.")
    assert "openai-organization" not in answer.headers
    answer = await ask(room, GENERATIONS, wrong, headers={"authorization": ""})
    assert answer.status == 401
    answer = await ask(room, GENERATIONS, wrong)
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")


async def test_a_long_key_is_not_repeated_in_full(room: Room) -> None:
    key = "bad-0123456789abcdef"
    answer = await ask(room, GENERATIONS, {"prompt": "x"}, headers={"authorization": f"Bearer {key}"})
    assert key not in answer.json["error"]["message"]


async def test_moderation_can_be_less_strict(room: Room) -> None:
    """ "borderline" is refused by `auto`, which is the default, and passes with `low`."""
    for moderation, status in (("low", 200), ("auto", 400), (None, 400)):
        answer = await generate(
            room, model="gpt-image-1", prompt="a borderline cat", moderation=moderation, size="1024x1024"
        )
        assert answer.status == status


async def test_moderation_speaks_last_and_names_its_stage(room: Room) -> None:
    answer = await generate(room, model="gpt-image-2", prompt="forbidden fruit")
    error = answer.json["error"]
    assert (answer.status, error["code"]) == (400, "moderation_blocked")
    assert error["moderation_details"]["moderation_stage"] == "input"
    answer = await generate(room, model="gpt-image-2", prompt="forbidden-output")
    assert answer.json["error"]["moderation_details"]["moderation_stage"] == "output"


async def test_transparent_png_jpeg_and_webp_are_what_they_say(room: Room) -> None:
    for format_name, background in (("png", "transparent"), ("webp", "transparent"), ("jpeg", "opaque")):
        answer = await generate(room, model="gpt-image-1", output_format=format_name, background=background)
        drawn = picture(answer.json["data"][0]["b64_json"])
        assert drawn.format == format_name.upper()
        assert ("A" in drawn.getbands()) == (background == "transparent")
        assert answer.json["background"] == background


async def test_files_may_be_named_image_or_image_brackets(room: Room) -> None:
    one = await edit(room, ("image", file_of(size=(600, 200)), "image/png"))
    assert one.json["size"] == "1536x1024"
    two = await edit(room, ("image[]", file_of(), "image/png"), ("image[]", file_of("JPEG"), "image/jpeg"))
    assert two.json["usage"]["input_tokens_details"]["image_tokens"] == 2 * 194
    assert two.json["usage"]["input_tokens_details"]["text_tokens"] == 9 + 32


@pytest.mark.parametrize(
    ("parts", "code", "param"),
    [
        ([], "missing_required_parameter", "image"),
        ([("image", file_of(), "application/octet-stream")], "unsupported_file_mimetype", "image"),
        ([("image[]", file_of(), "image/png")] * 17, "array_above_max_length", "image"),
        ([("image", b"<svg/>", "image/png")], "invalid_image_file", "image"),
        ([("image", file_of("GIF"), "image/png")], "unsupported_file_mimetype", "image"),
        (
            [("image", file_of(), "image/png"), ("mask", file_of(size=(9, 9), colour=(0, 0, 0, 0)), "image/png")],
            "invalid_mask_image_format",
            "mask",
        ),
        ([("image", file_of(), "image/png"), ("mask", file_of(), "image/png")], "invalid_mask_image_format", "mask"),
        ([("image", file_of(), "image/png"), ("n", "no", "")], "invalid_type", "n"),
    ],
)
async def test_a_wrong_file_is_refused(
    room: Room, parts: list[tuple[str, str | bytes, str]], code: str, param: str
) -> None:
    answer = await edit(room, *parts)
    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["param"]) == (400, code, param)


@pytest.mark.parametrize(
    ("image", "code", "message"),
    [
        ({"image_url": "https://a.test/not-an-image.png"}, "invalid_image_file", "Invalid image data."),
        ({"image_url": "https://a.test/not-found.png"}, "invalid_value", "Upstream status code: 404."),
        ({"image_url": "https://nobody.invalid/a.png"}, "invalid_value", "Upstream status code: 404."),
        ({"file_id": "file-abc"}, "invalid_value", "file-abc"),
        ({"image_url": data_url(file_of()), "file_id": "f"}, "invalid_value", "Exactly one"),
        ({"image_url": "data:image/png;base64,@@@"}, "invalid_image_file", "Invalid image data."),
    ],
)
async def test_a_wrong_reference_in_json_is_refused(room: Room, image: dict[str, str], code: str, message: str) -> None:
    answer = await ask(room, EDITS, {"model": "gpt-image-2", "prompt": "x", "images": [image]})
    assert (answer.status, answer.json["error"]["code"]) == (400, code)
    assert message in answer.json["error"]["message"]


async def test_an_edit_as_json_takes_urls(room: Room) -> None:
    images = [{"image_url": data_url(file_of())}, {"image_url": "https://a.test/some.png"}]
    answer = await ask(room, EDITS, {"model": "gpt-image-2", "prompt": "x", "images": images, "size": "1536x864"})
    assert picture(answer.json["data"][0]["b64_json"]).size == (1536, 864)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"{}", "text/plain"),
        (b"x", "multipart/form-data; boundary=y"),
    ],
)
async def test_an_unreadable_body_is_a_400(room: Room, body: bytes, content_type: str) -> None:
    answer = await ask(room, EDITS, body, headers={"content-type": content_type})
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"


async def test_models_are_listed_and_shown(room: Room) -> None:
    listed = (await ask(room, "/openai/v1/models")).json["data"]
    assert {"id", "object", "created", "owned_by", "shutdown_date"} == set(listed[0])
    assert (await ask(room, "/openai/v1/models/gpt-image-1")).json["shutdown_date"] == "2026-10-23"
    assert (await ask(room, "/openai/v1/models/nothing")).json["error"]["code"] == "model_not_found"
    assert (await ask(room, "/openai/v1/chat/completions", {})).status == 404
    assert (await ask(room, GENERATIONS)).status == 405
