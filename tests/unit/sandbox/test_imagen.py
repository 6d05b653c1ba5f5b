"""The pretend Imagen: generating, editing under a mask, exact upscales, and pictures that are filtered out."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from imageway.sandbox import Room
from tests.unit.sandbox.asking import Answered, ask, file_of, picture

PLACE = "/vertex/v1/projects/p/locations/us-central1/publishers/google/models"
GENERATE, EDIT, UPSCALE = "imagen-4.0-generate-001", "imagen-3.0-capability-001", "imagen-4.0-upscale-preview"
RED, BLUE = (200, 30, 30), (20, 30, 220)


async def predict(
    room: Room, model: str = GENERATE, *, instance: dict[str, Any] | None = None, fault: str = "", **parameters: Any
) -> Answered:
    body = {"instances": [{"prompt": "A red fox"} if instance is None else instance], "parameters": parameters}
    headers = {"x-sandbox-fault": fault} if fault else {}
    return await ask(room, f"{PLACE}/{model}:predict", body, headers=headers)


def rows(answer: Answered) -> list[Any]:
    assert answer.status == 200, answer.content
    return list(answer.json["predictions"])


def image(content: bytes) -> dict[str, str]:
    return {"bytesBase64Encoded": base64.b64encode(content).decode(), "mimeType": "image/png"}


def reference(kind: str, content: bytes | None, **more: Any) -> dict[str, Any]:
    written = {"referenceImage": image(content)} if content else {}
    return {"referenceId": 1, "referenceType": f"REFERENCE_TYPE_{kind}", **written, **more}


def drawn(answer: Answered, number: int = 0) -> Image.Image:
    return picture(rows(answer)[number]["bytesBase64Encoded"])


def as_png(source: Image.Image) -> bytes:
    out = io.BytesIO()
    source.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("door", [PLACE, "/vertex/v1beta1/publishers/google/models", "/google/v1beta/models"])
async def test_every_door_leads_to_it(room: Room, door: str) -> None:
    body = {"instances": [{"prompt": "x"}], "parameters": {"sampleCount": 1}, "labels": {"k": "v"}}
    answer = await ask(room, f"{door}/{GENERATE}:predict", body)
    assert picture(answer.json["predictions"][0]["bytesBase64Encoded"]).size == (1024, 1024)
    assert room.journal.entries[-1].model == GENERATE


@pytest.mark.parametrize(
    ("ratio", "size", "pixels"),
    [
        ("1:1", None, (1024, 1024)),
        ("16:9", "1K", (1408, 768)),
        ("3:4", "2K", (1792, 2560)),
        ("9:16", "2K", (1536, 2816)),
    ],
)
async def test_a_ratio_and_a_tier_are_pixels(room: Room, ratio: str, size: str | None, pixels: tuple[int, int]) -> None:
    more = {"sampleImageSize": size} if size else {}
    answer = await predict(room, sampleCount=1, aspectRatio=ratio, **more)
    assert drawn(answer).size == pixels
    assert drawn(answer).format == "PNG"


async def test_four_come_unless_told_otherwise_and_one_of_the_dearest(room: Room) -> None:
    assert len(rows(await predict(room))) == 4
    assert len(rows(await predict(room, "imagen-4.0-ultra-generate-001"))) == 1
    assert len(rows(await predict(room, "imagen-4.0-fast-generate-001", sampleCount=2))) == 2


async def test_the_enhanced_prompt_comes_back_unless_refused(room: Room) -> None:
    assert rows(await predict(room, sampleCount=1))[0]["prompt"].startswith("A red fox, ")
    assert "prompt" not in rows(await predict(room, sampleCount=1, enhancePrompt=False))[0]


async def test_format_and_quality_are_the_callers(room: Room) -> None:
    sizes = []
    for quality in (95, 5):
        options = {"mimeType": "image/jpeg", "compressionQuality": quality}
        answer = await predict(room, sampleCount=1, outputOptions=options, addWatermark=False, seed=3)
        assert rows(answer)[0]["mimeType"] == "image/jpeg"
        assert drawn(answer).format == "JPEG"
        sizes.append(len(rows(answer)[0]["bytesBase64Encoded"]))
    assert sizes[1] < sizes[0] / 2


async def test_a_seed_counts_without_a_watermark_and_is_refused_with_one(room: Room) -> None:
    first, second = [rows(await predict(room, sampleCount=2, seed=5, addWatermark=False)) for _ in range(2)]
    assert first == second
    assert first[0] != first[1]
    refused = await predict(room, seed=5)
    assert refused.json["error"]["message"] == "Seed is not supported when watermark is enabled."


@pytest.mark.parametrize(
    ("model", "body", "words"),
    [
        (GENERATE, {"aspectRatio": "2:3"}, "aspectRatio: 2:3 is not supported"),
        (GENERATE, {"sampleCount": 5}, "sampleCount: a whole number from 1 to 4"),
        (GENERATE, {"sampleCount": "2"}, "sampleCount"),
        ("imagen-4.0-ultra-generate-001", {"sampleCount": 2}, "from 1 to 1"),
        ("imagen-4.0-fast-generate-001", {"sampleImageSize": "2K"}, "sampleImageSize: 2K is not supported"),
        (GENERATE, {"outputOptions": {"mimeType": "image/webp"}}, "image/webp is not supported"),
        (GENERATE, {"outputOptions": {"mimeType": "image/jpeg", "compressionQuality": 101}}, "0 to 100"),
        (GENERATE, {"instance": {}}, "prompt"),
        (GENERATE, {"instance": {"prompt": "x", "image": {}}}, "takes no images"),
        (GENERATE, {"mode": "upscale"}, "is for generate"),
        (EDIT, {"instance": {"prompt": "x"}}, "referenceImages"),
        (EDIT, {"instance": {"prompt": "x", "referenceImages": [{"referenceType": "X"}]}}, "referenceType"),
        (EDIT, {"instance": {"prompt": "x", "referenceImages": [reference("RAW", b"no")]}}, "not valid"),
        (EDIT, {"instance": {"prompt": "x", "referenceImages": [reference("MASK", file_of())]}}, "a mask needs"),
        (
            EDIT,
            {
                "instance": {
                    "prompt": "x",
                    "referenceImages": [reference("RAW", file_of()), reference("MASK", file_of(size=(9, 9)))],
                }
            },
            "dimensions of the image",
        ),
        (UPSCALE, {"instance": {"prompt": ""}, "mode": "upscale"}, "upscale"),
        (UPSCALE, {"instance": {"image": image(file_of())}}, "is for upscale"),
        (UPSCALE, {"instance": {"image": image(file_of())}, "mode": "upscale"}, "x2, x3, x4"),
    ],
)
async def test_a_wrong_request_is_an_invalid_argument(room: Room, model: str, body: dict[str, Any], words: str) -> None:
    answer = await predict(room, model, **body)
    assert (answer.status, answer.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert words in answer.json["error"]["message"]


@pytest.mark.parametrize(("factor", "pixels"), [("x2", (202, 134)), ("x3", (303, 201)), ("x4", (404, 268))])
async def test_an_upscale_multiplies_the_pixels_and_keeps_the_picture(
    room: Room, factor: str, pixels: tuple[int, int]
) -> None:
    source = Image.new("RGB", (101, 67), RED)
    source.paste(BLUE, (50, 0, 101, 67))
    answer = await predict(
        room,
        UPSCALE,
        instance={"image": image(as_png(source))},
        mode="upscale",
        sampleCount=1,
        upscaleConfig={"upscaleFactor": factor, "enhanceInputImage": True},
        outputOptions={"mimeType": "image/png"},
    )
    enlarged = drawn(answer).convert("RGB")
    assert enlarged.size == pixels
    assert enlarged.getpixel((5, 5)) == enlarged.getpixel((5, pixels[1] - 5)) == RED
    assert enlarged.getpixel((pixels[0] - 5, 5)) == enlarged.getpixel((pixels[0] - 5, pixels[1] - 5)) == BLUE
    assert "prompt" not in rows(answer)[0]


async def test_an_upscale_has_at_most_17_megapixels(room: Room) -> None:
    more = {"mode": "upscale", "upscaleConfig": {"upscaleFactor": "x4"}}
    answer = await predict(room, UPSCALE, instance={"image": image(file_of(size=(1100, 1000)))}, **more)
    assert (answer.status, "4400x4000" in answer.json["error"]["message"]) == (400, True)


async def test_an_edit_repaints_where_the_mask_is_light(room: Room) -> None:
    mask = Image.new("L", (512, 256), 0)
    mask.paste(255, (0, 0, 256, 256))
    content = file_of(size=(512, 256))
    given = {"maskMode": "MASK_MODE_USER_PROVIDED", "dilation": 0.03}
    references = [reference("RAW", content), reference("MASK", as_png(mask), maskImageConfig=given)]
    answer = await predict(
        room, EDIT, instance={"prompt": "a hat", "referenceImages": references}, sampleCount=1, editMode="X"
    )
    edited = drawn(answer).convert("RGB")
    assert edited.size == (512, 256)
    assert edited.crop((256, 0, 512, 256)).getextrema() == tuple((level, level) for level in RED)
    assert edited.crop((0, 0, 256, 256)).getextrema() != tuple((level, level) for level in RED)


@pytest.mark.parametrize(("mode", "kept"), [("FOREGROUND", (0, 0)), ("BACKGROUND", (128, 128))])
async def test_the_service_finds_a_mask_by_itself(room: Room, mode: str, kept: tuple[int, int]) -> None:
    references = [
        reference("RAW", file_of(size=(256, 256))),
        reference("MASK", None, maskImageConfig={"maskMode": f"MASK_MODE_{mode}"}),
    ]
    answer = await predict(room, EDIT, instance={"prompt": "x", "referenceImages": references}, sampleCount=1)
    edited = drawn(answer).convert("RGB")
    assert edited.getpixel(kept) == RED
    assert edited.getpixel((128, 128) if kept == (0, 0) else (0, 0)) != RED


async def test_a_style_and_a_ratio_make_a_new_picture_of_that_ratio(room: Room) -> None:
    references = [{"referenceType": "REFERENCE_TYPE_STYLE", "referenceImage": {"gcsUri": "gs://b/s.png"}}]
    answer = await predict(
        room, EDIT, instance={"prompt": "x [1]", "referenceImages": references}, sampleCount=1, aspectRatio="4:3"
    )
    assert drawn(answer).size == (1280, 896)


async def test_a_refused_prompt_is_a_400_with_a_support_code(room: Room) -> None:
    answer = await predict(room, instance={"prompt": "forbidden"})
    assert answer.status == 400
    assert "Error Code: 61493863" in answer.json["error"]["message"]


async def test_a_filtered_picture_is_missing_or_tells_its_reason(room: Room) -> None:
    wanted = {"prompt": "x forbidden-output:2"}
    assert len(rows(await predict(room, instance=wanted, sampleCount=3))) == 2
    told = rows(await predict(room, instance=wanted, sampleCount=3, includeRaiReason=True))
    assert ["raiFilteredReason" in row for row in told] == [False, True, False]
    assert "Support codes: 56562880" in told[1]["raiFilteredReason"]
    nothing = await predict(room, instance={"prompt": "forbidden-output"}, sampleCount=1)
    assert (nothing.status, nothing.json) == (200, {})


async def test_faults_reach_it(room: Room) -> None:
    assert (await predict(room, fault="empty")).json == {}
    assert len(rows(await predict(room, fault="item_failed", sampleCount=3))) == 2


async def test_safety_attributes_come_when_asked_for(room: Room) -> None:
    found = rows(await predict(room, sampleCount=1, includeSafetyAttributes=True))
    assert [row.get("contentType") for row in found] == [None, "Positive Prompt"]
    assert all(row["safetyAttributes"]["categories"] for row in found)


async def test_a_storage_address_takes_the_place_of_bytes(room: Room) -> None:
    found = rows(await predict(room, sampleCount=2, storageUri="gs://bucket/path/"))
    assert [row["gcsUri"] for row in found] == ["gs://bucket/path/sample_0.png", "gs://bucket/path/sample_1.png"]
    assert "bytesBase64Encoded" not in found[0]
