"""The pretend Ark: tolerant of the unknown, strict about the known; groups, answers by URL, its own sentences."""

from __future__ import annotations

import pytest

from imageway.sandbox import Room
from tests.unit.sandbox.asking import Answered, ask, data_url, file_of, picture

PATH = "/ark/api/v3/images/generations"
V4, V45, LITE = "doubao-seedream-4-0-250828", "doubao-seedream-4-5-251128", "doubao-seedream-5-0-260128"
PRO, EDIT, V3 = "doubao-seedream-5-0-pro-260628", "doubao-seededit-3-0-i2i-250628", "doubao-seedream-3-0-t2i-250415"


async def generate(room: Room, model: str = V4, **body: object) -> Answered:
    return await ask(room, PATH, {"model": model, "prompt": "a red panda", "response_format": "b64_json", **body})


async def test_explicit_nulls_and_unknown_fields_are_passed_over(room: Room) -> None:
    """The SDK sends every unset field as null; measured: unknown ones are ignored and billed once."""
    nulls = dict.fromkeys(
        ("image", "size", "seed", "guidance_scale", "tools", "output_format", "layer_decomposition", "stream")
    )
    answer = await generate(room, **nulls, n=2, bogus=1, quality="high", sequential_image_generation="disabled")
    assert answer.status == 200
    assert len(answer.json["data"]) == 1
    assert answer.json["data"][0]["size"] == "2048x2048"
    assert answer.json["usage"] == {"generated_images": 1, "output_tokens": 16384, "total_tokens": 16384}
    drawn = picture(answer.json["data"][0]["b64_json"])
    assert (drawn.format, drawn.size) == ("JPEG", (2048, 2048))


async def test_the_dearer_models_name_format_and_inputs(room: Room) -> None:
    answer = await generate(room, PRO, size="1K", output_format="png", image=[data_url(file_of())] * 2)
    assert answer.json["data"][0]["output_format"] == "png"
    assert answer.json["usage"]["input_images"] == 2
    assert picture(answer.json["data"][0]["b64_json"]).format == "PNG"


@pytest.mark.parametrize(
    ("model", "size", "prompt", "pixels"),
    [
        (V4, "1K", "a wide landscape", "1280x720"),
        (PRO, "1K", "a wide landscape", "1424x800"),
        (V45, "4K", "a poster, tall", "3040x5504"),
        (LITE, "3K", "x", "3072x3072"),
        (PRO, "2K", "竖版海报", "1584x2816"),
        (V3, None, "x", "1024x1024"),
        (V4, "3024x1296", "x", "3024x1296"),
    ],
)
async def test_sizes_become_pixels(room: Room, model: str, size: str | None, prompt: str, pixels: str) -> None:
    answer = await generate(room, model, size=size, prompt=prompt)
    assert answer.json["data"][0]["size"] == pixels


async def test_a_keyword_follows_the_first_reference(room: Room) -> None:
    wide = data_url(file_of(size=(210, 90)))
    assert (await generate(room, size="1K", image=wide)).json["data"][0]["size"] == "1512x648"
    assert (await generate(room, EDIT, image=wide)).json["data"][0]["size"] == "1512x648"


@pytest.mark.parametrize(
    ("model", "body", "param", "words"),
    [
        (V45, {"size": "1K"}, "size", "the specified size is not supported for model doubao-seedream-4-5"),
        (V45, {"size": "1024x1024"}, "size", "image size must be at least 3686400 pixels"),
        (V4, {"size": "8000x8000"}, "size", "at most 16777216 pixels"),
        (V4, {"size": "16000x100"}, "size", "aspect ratio"),
        (EDIT, {"size": "1024x1024", "image": "https://a.test/b.png"}, "size", "not supported"),
        (LITE, {"output_format": "webp"}, "output_format", "must be one of: jpeg, png"),
        (V4, {"output_format": "png"}, "output_format", "not supported by the current model"),
        (PRO, {"sequential_image_generation": "auto"}, "sequential_image_generation", "not supported by the current"),
        (PRO, {"stream": True}, "stream", "not supported by the current model"),
        (V4, {"stream": "yes"}, "stream", "boolean"),
        (PRO, {"tools": [{"type": "web_search"}]}, "tools", "not supported by the current model"),
        (LITE, {"optimize_prompt_options": {"mode": "fast"}}, "optimize_prompt_options.mode", "must be 'standard'"),
        (V4, {"image": ["https://a.test/b.png"] * 15}, "image", "number of reference images cannot exceed 14"),
        (PRO, {"image": ["https://a.test/b.png"] * 11}, "image", "number of reference images cannot exceed 10"),
        (V4, {"image": "data:image/PNG;base64,aaaa"}, "image", "lowercase"),
        (V4, {"image": "https://a.test/not-found.png"}, "image", "downloading"),
        (V4, {"image": ""}, "image", "empty"),
        (V4, {"image": data_url(b"<svg/>")}, "image", "cannot be decoded"),
        (V4, {"image": data_url(file_of(size=(14, 20)))}, "image", "greater than 14"),
        (V4, {"image": data_url(file_of(size=(1000, 20)))}, "image", "aspect ratio"),
        (V3, {"image": "https://a.test/b.png"}, "image", "not supported by the current model"),
        (V3, {"seed": -2}, "seed", "between -1 and 2147483647"),
        (V3, {"guidance_scale": 11}, "guidance_scale", "between 1 and 10"),
        (EDIT, {}, "image", "missing"),
        (V4, {"watermark": "yes"}, "watermark", "boolean"),
        (V4, {"prompt": None}, "prompt", "missing"),
        (PRO, {"background": "transparent"}, "output_format", "must be png when background is transparent"),
        (PRO, {"background": "transparent", "output_format": "png"}, "background", "requires exactly one input image"),
        (
            PRO,
            {"background": "transparent", "output_format": "png", "image": data_url(file_of())},
            "image",
            "at least one transparent pixel",
        ),
    ],
)
async def test_a_wrong_parameter_is_refused_by_name(
    room: Room, model: str, body: dict[str, object], param: str, words: str
) -> None:
    answer = await generate(room, model, **body)
    error = answer.json["error"]
    assert (answer.status, error["param"]) == (400, param)
    assert words in error["message"]
    assert f"Request id: {answer.headers['x-request-id']}" in error["message"]


async def test_transparent_output_takes_one_transparent_png(room: Room) -> None:
    body = {"background": "transparent", "output_format": "png", "size": "1K"}
    answer = await generate(room, PRO, image=data_url(file_of(colour=(9, 9, 9, 0))), **body)
    assert picture(answer.json["data"][0]["b64_json"]).mode == "RGBA"


async def test_keys_and_models_are_checked_first(room: Room) -> None:
    answer = await ask(room, PATH, {}, headers={"authorization": "Bearer bad"})
    assert (answer.status, answer.json["error"]["code"]) == (401, "AuthenticationError")
    assert answer.headers["x-error-code"] == "AuthN_MissOrInvalidAuthorizationHeader"
    answer = await generate(room, "doubao-seedream-5-0-lite")
    assert (answer.status, answer.json["error"]["code"]) == (404, "InvalidEndpointOrModel.NotFound")


async def test_a_group_has_as_many_as_prompt_or_options_say(room: Room) -> None:
    group = {"sequential_image_generation": "auto", "size": "1K"}
    options = {"sequential_image_generation_options": {"max_images": 3}}
    assert len((await generate(room, **group, **options)).json["data"]) == 3
    assert len((await generate(room, **group, **options, prompt="2 images of a cat")).json["data"]) == 2
    assert len((await generate(room, **group, prompt="画三只猫，共5张")).json["data"]) == 4
    too_many = {"sequential_image_generation_options": {"max_images": 15}}
    refused = await generate(room, **group, **too_many, image=data_url(file_of()))
    assert refused.json["error"]["param"] == "sequential_image_generation_options.max_images"


async def test_moderation_takes_single_items_out_of_a_group_and_refuses_when_nothing_is_left(room: Room) -> None:
    group = {
        "sequential_image_generation": "auto",
        "sequential_image_generation_options": {"max_images": 3},
        "size": "1K",
    }
    answer = await generate(room, **group, prompt="x forbidden-output:1 forbidden-output:3")
    assert ["error" in item for item in answer.json["data"]] == [True, False, True]
    assert answer.json["usage"]["generated_images"] == 1
    answer = await generate(room, prompt="forbidden-output")
    assert (answer.status, answer.json["error"]["code"]) == (400, "OutputImageSensitiveContentDetected")
    answer = await generate(room, prompt="违禁")
    assert (answer.status, answer.json["error"]["code"]) == (400, "InputTextSensitiveContentDetected")


async def test_a_seed_counts_where_it_is_sold(room: Room) -> None:
    first, second = [(await generate(room, V3, seed=5, watermark=False)).json["data"] for _ in range(2)]
    assert first == second
    first, second = [(await generate(room, V4, seed=5, size="1K")).json["data"] for _ in range(2)]
    assert first != second


async def test_a_watermark_is_drawn_unless_refused(room: Room) -> None:
    marked = (await generate(room, V3, seed=5)).json["data"]
    assert marked != (await generate(room, V3, seed=5, watermark=False)).json["data"]


async def test_a_url_looks_presigned_and_an_own_file_can_be_edited(room: Room) -> None:
    url = (await generate(room, size="1K", response_format="url")).json["data"][0]["url"]
    assert url.startswith("http://sandbox.test/sandbox-files/")
    assert "X-Tos-Expires=86400" in url
    edited = await generate(room, size="1K", image=[url, "https://example.test/other.png"])
    assert edited.status == 200


async def test_models_are_listed_with_their_state(room: Room) -> None:
    rows = {row["id"]: row for row in (await ask(room, "/ark/api/v3/models")).json["data"]}
    assert rows[V3]["status"] == "Shutdown"
    assert rows[V4] == {"id": V4, "object": "model", "domain": "ImageGeneration", "status": ""}
    assert (await ask(room, "/ark/api/v3/balance")).status == 404
