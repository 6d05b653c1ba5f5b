"""The pretend Gemini API: proto-JSON in both spellings, unknown names refused, refusals as 200, pixels as probed."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from imageway.sandbox import Room
from tests.unit.sandbox.asking import Answered, ask, file_of, picture

FLASH, PRO, OLD = "gemini-3.1-flash-image", "gemini-3-pro-image", "gemini-2.5-flash-image"


def inline(content: bytes, *, urlsafe: bool = False) -> dict[str, Any]:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return {"inlineData": {"mimeType": "image/png", "data": encode(content).decode().rstrip("=")}}


async def generate(
    room: Room, model: str = FLASH, *parts: dict[str, Any], version: str = "v1beta", **config: object
) -> Answered:
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": [*parts, {"text": "A red fox"}]}]}
    if config:
        body["generationConfig"] = config
    return await ask(room, f"/google/{version}/models/{model}:generateContent", body)


def images(answer: Answered) -> list[Any]:
    parts = answer.json["candidates"][0]["content"]["parts"]
    return [picture(part["inlineData"]["data"]) for part in parts if "inlineData" in part and not part.get("thought")]


async def test_an_answer_is_pretty_signed_and_counts_as_recorded(room: Room) -> None:
    answer = await generate(room, "gemini-3.1-flash-lite-image", version="v1")
    assert list(answer.json) == ["candidates", "usageMetadata", "modelVersion", "responseId"]
    candidate = answer.json["candidates"][0]
    assert list(candidate["content"]) == ["parts", "role"]
    assert (candidate["finishReason"], candidate["index"]) == ("STOP", 0)
    assert len(base64.b64decode(candidate["content"]["parts"][-1]["thoughtSignature"])) == 1024
    usage = answer.json["usageMetadata"]
    assert usage["candidatesTokensDetails"] == [{"modality": "IMAGE", "tokenCount": 1120}]
    assert usage["candidatesTokenCount"] == 1518
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + 1518
    assert answer.content.startswith(b'{\n  "candidates": [')
    assert answer.content.endswith(b"}\n")
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"


async def test_the_older_model_gives_text_and_png_without_signatures(room: Room) -> None:
    answer = await generate(room, OLD)
    parts = answer.json["candidates"][0]["content"]["parts"]
    assert [sorted(part) for part in parts] == [["text"], ["inlineData"]]
    assert images(answer)[0].format == "PNG"
    assert answer.json["usageMetadata"]["candidatesTokenCount"] == 1304
    only_image = await generate(room, OLD, responseModalities=["Image"])
    assert len(only_image.json["candidates"][0]["content"]["parts"]) == 1


@pytest.mark.parametrize(
    ("model", "settings", "size"),
    [
        (FLASH, {}, (1024, 1024)),
        (FLASH, {"aspectRatio": "21:9", "imageSize": "512"}, (784, 336)),
        (FLASH, {"aspect_ratio": "1:8", "image_size": "1K"}, (352, 2928)),
        (PRO, {"aspectRatio": "16:9", "imageSize": "2K"}, (2752, 1536)),
        (OLD, {"aspectRatio": "3:4", "imageSize": "4K"}, (864, 1184)),
        ("gemini-nano-banana-2.1", {"aspectRatio": "4:1", "imageSize": "2K"}, (4128, 1024)),
    ],
)
async def test_pixels_are_those_probed_live(
    room: Room, model: str, settings: dict[str, str], size: tuple[int, int]
) -> None:
    assert images(await generate(room, model, imageConfig=settings))[-1].size == size


async def test_the_newer_spelling_takes_enum_names_alone(room: Room) -> None:
    settings = {"aspectRatio": "ASPECT_RATIO_SIXTEEN_BY_NINE", "imageSize": "IMAGE_SIZE_ONE_K"}
    assert images(await generate(room, responseFormat={"image": settings}))[0].size == (1376, 768)
    refused = await generate(room, responseFormat={"image": {"aspectRatio": "16:9"}})
    assert refused.json["error"]["message"] == (
        "Invalid value at 'generation_config.response_format.image.aspect_ratio' (type.googleapis.com/google.ai."
        'generativelanguage.v1beta.ImageResponseFormat.AspectRatio), "16:9"'
    )


async def test_both_spellings_and_both_alphabets_are_read(room: Room) -> None:
    """What the SDK sends: snake_case within camelCase, base64url, padding optional, one part where many may be."""
    content = file_of(size=(400, 100))
    blob = {"mime_type": "image/png", "data": base64.urlsafe_b64encode(content).decode()}
    body = {
        "contents": {"parts": [{"inline_data": blob}, {"text": "Add a hat"}]},
        "system_instruction": {"parts": {"text": "be nice"}},
        "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}],
        "generation_config": {"top_k": 40.0, "seed": "42", "thinking_config": {"thinking_level": "high"}, "topP": None},
    }
    answer = await ask(room, f"/google/v1/models/models/{FLASH}:generateContent", body)
    assert answer.status == 200
    assert images(answer)[0].size == (2064, 512)
    assert answer.json["usageMetadata"]["promptTokensDetails"][0] == {"modality": "IMAGE", "tokenCount": 1120}


async def test_a_seed_may_be_any_int32(room: Room) -> None:
    for seed in (-(2**31), 2**31 - 1):
        assert (await generate(room, OLD, seed=seed)).status == 200


async def test_unknown_names_are_told_all_at_once_by_path(room: Room) -> None:
    body = {
        "contents": [{"parts": [{"text": "x", "colour": 1}]}],
        "generationConfig": {"imageConfig": {"personGeneration": "ALLOW_ALL"}},
        "labels": {},
    }
    answer = await ask(room, f"/google/v1beta/models/{FLASH}:generateContent", body)
    error = answer.json["error"]
    assert (answer.status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert error["message"].split("\n") == [
        "Invalid JSON payload received. Unknown name \"colour\" at 'contents[0].parts[0]': Cannot find field.",
        "Invalid JSON payload received. Unknown name \"personGeneration\" at 'generation_config.image_config': Cannot "
        "find field.",
        'Invalid JSON payload received. Unknown name "labels": Cannot find field.',
    ]
    assert [row["field"] for row in error["details"][0]["fieldViolations"]] == [
        "contents[0].parts[0]",
        "generation_config.image_config",
        "",
    ]


@pytest.mark.parametrize(
    ("model", "config", "words"),
    [
        (FLASH, {"imageConfig": {"aspectRatio": "9:21"}}, "must be one of '1:1', '1:4', '1:8', '2:3', '3:2', '3:4',"),
        (OLD, {"imageConfig": {"aspectRatio": "1:8"}}, "aspect_ratio must be one of"),
        (PRO, {"imageConfig": {"imageSize": "512"}}, "image_size must be one of '1K', '2K', or '4K'"),
        (FLASH, {"imageConfig": {"imageSize": "1k"}}, "image_size must be one of"),
        ("gemini-3.1-flash-lite-image", {"imageConfig": {"imageSize": "512"}}, "image_size must be one of '1K'"),
        (FLASH, {"candidateCount": 2}, "Multiple candidates"),
        (FLASH, {"temperature": 2.5}, "[0.0, 2.0]"),
        (FLASH, {"topP": 1.5}, "[0.0, 1.0]"),
        (FLASH, {"seed": 2**31}, "'generation_config.seed' (TYPE_INT32), 2147483648"),
        (FLASH, {"temperature": "hot"}, '(TYPE_FLOAT), "hot"'),
        (FLASH, {"responseModalities": ["TEXT"]}, "accepts the following combination"),
        (FLASH, {"responseModalities": ["SMELL"]}, "GenerationConfig.Modality"),
        (FLASH, {"thinkingConfig": {"thinkingLevel": "MEDIUM"}}, "Thinking level MEDIUM is not supported"),
        (OLD, {"thinkingConfig": {"thinkingLevel": "HIGH"}}, "Thinking is not enabled"),
        (PRO, {"thinkingConfig": {"thinkingLevel": "HIGH"}}, "Thinking level is not supported"),
        (FLASH, {"maxOutputTokens": 99_999}, "maxOutputTokens"),
        ("gemini-2.0-flash-preview-image-generation", {"responseModalities": ["IMAGE"]}, "* TEXT, IMAGE"),
    ],
)
async def test_a_wrong_setting_is_an_invalid_argument(
    room: Room, model: str, config: dict[str, object], words: str
) -> None:
    answer = await generate(room, model, **config)
    assert (answer.status, answer.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert words in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("part", "status", "words"),
    [
        ({"inlineData": {"mimeType": "image/gif", "data": "aaaa"}}, 400, "Unsupported MIME type: image/gif"),
        ({"inlineData": {"mimeType": "image/png", "data": "aaaa"}}, 400, "Unable to process input image"),
        ({"inlineData": {"mimeType": "image/png", "data": "@"}}, 400, "Base64 decoding failed"),
        ({"inlineData": {"mimeType": "image/png", "data": "é"}}, 400, "Base64 decoding failed"),
        ({"inlineData": "x"}, 400, "Blob"),
        ({"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}}, 403, "File abc"),
        ({"fileData": {"fileUri": "https://a.test/not-found"}}, 400, "Cannot fetch content"),
    ],
)
async def test_a_wrong_input_is_refused(room: Room, part: dict[str, Any], status: int, words: str) -> None:
    answer = await generate(room, FLASH, part)
    assert answer.status == status
    assert words in answer.json["error"]["message"]


async def test_too_many_inputs_and_too_large_a_body_are_refused(room: Room) -> None:
    answer = await generate(room, OLD, *[inline(file_of())] * 4)
    assert "at most 3 input images" in answer.json["error"]["message"]
    answer = await ask(room, f"/google/v1/models/{OLD}:generateContent", b'{"x":"' + b"a" * 20_971_520 + b'"}')
    assert "payload size exceeds" in answer.json["error"]["message"]


async def test_keys_come_by_header_query_or_bearer_and_a_bad_one_is_a_400(room: Room) -> None:
    path, body = f"/google/v1/models/{FLASH}:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}
    nothing = {"x-goog-api-key": "", "authorization": ""}
    assert (await ask(room, path, body, headers=nothing)).status == 403
    assert (await ask(room, f"{path}?key=AIza", body, headers=nothing)).status == 200
    assert (await ask(room, path, body, headers={"x-goog-api-key": ""})).status == 200
    bad = await ask(room, path, body, headers={"x-goog-api-key": "bad"})
    assert (bad.status, bad.json["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")


async def test_an_unknown_model_is_named_with_the_version(room: Room) -> None:
    answer = await generate(room, "gemini-3.6-flahs", version="v1")
    assert answer.status == 404
    assert room.journal.entries[-1].prompt == "A red fox"
    assert "models/gemini-3.6-flahs is not found for API version v1, or" in answer.json["error"]["message"]
    for path in (f"{FLASH}:predict", "imagen-4.0-generate-001:generateContent", "imagen-9:predict"):
        assert (await ask(room, f"/google/v1beta/models/{path}", {})).status in (400, 404)


async def test_moderation_is_a_200_without_a_picture(room: Room) -> None:
    path = f"/google/v1/models/{PRO}:generateContent"
    blocked = (await ask(room, path, {"contents": [{"parts": [{"text": "forbidden"}]}]})).json
    assert blocked["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert "candidates" not in blocked
    late = (await ask(room, path, {"contents": [{"parts": [{"text": "forbidden-output"}]}]})).json
    assert late["candidates"][0]["finishReason"] == "IMAGE_SAFETY"
    assert late["candidates"][0]["content"] == {}
    usage = late["usageMetadata"]
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["thoughtsTokenCount"]


async def test_thoughts_come_first_and_are_marked(room: Room) -> None:
    config = {"includeThoughts": True, "thinkingLevel": "HIGH"}
    answer = await generate(room, FLASH, thinkingConfig=config, imageConfig={"imageSize": "512"})
    parts = answer.json["candidates"][0]["content"]["parts"]
    assert [bool(part.get("thought")) for part in parts] == [True, True, False]
    assert images(answer)[0].size == (512, 512)
    assert answer.json["usageMetadata"]["thoughtsTokenCount"] == 420


async def test_a_signature_is_as_large_as_asked(room: Room) -> None:
    body = {"contents": [{"parts": [{"text": "x sandbox-signature:2000000"}]}]}
    answer = await ask(room, f"/google/v1/models/{FLASH}:generateContent", body)
    signature = answer.json["candidates"][0]["content"]["parts"][-1]["thoughtSignature"]
    assert len(base64.b64decode(signature)) == 2_000_000


async def test_the_rate_limit_hint_is_a_detail_and_not_a_header(room: Room) -> None:
    path, body = f"/google/v1/models/{FLASH}:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}
    hinted = await ask(room, path, body, headers={"x-sandbox-fault": "rate_limit"})
    assert hinted.json["error"]["details"][-1] == {
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": "1s",
    }
    assert "retry-after" not in hinted.headers
    bare = await ask(room, path, body, headers={"x-sandbox-fault": "rate_limit_bare"})
    assert len(bare.json["error"]["details"]) == 2
    empty = await ask(room, path, body, headers={"x-sandbox-fault": "empty"})
    assert empty.json["candidates"] == [{"index": 0, "finishReason": "NO_IMAGE"}]


async def test_models_are_paged(room: Room) -> None:
    page = (await ask(room, "/google/v1beta/models?pageSize=5")).json
    assert len(page["models"]) == 5
    rest = (await ask(room, f"/google/v1beta/models?pageToken={page['nextPageToken']}")).json
    assert not {row["name"] for row in page["models"]} & {row["name"] for row in rest["models"]}
    assert (await ask(room, f"/google/v1/models/{FLASH}")).json["inputTokenLimit"] == 131_072
    assert (await ask(room, "/google/v1/models/nothing")).status == 404


Turn = dict[str, Any]


async def converse(room: Room, *turns: Turn, model: str = FLASH) -> Answered:
    return await ask(room, f"/google/v1/models/{model}:generateContent", {"contents": list(turns)})


def said(role: str, *parts: dict[str, Any]) -> Turn:
    return {"role": role, "parts": list(parts)}


async def test_a_conversation_keeps_the_models_picture_in_either_alphabet_of_base64(room: Room) -> None:
    asked, redo = said("user", {"text": "A fox"}), said("user", {"text": "At night"})
    first = await generate(room, FLASH, imageConfig={"aspectRatio": "16:9"})
    answered = first.json["candidates"][0]["content"]
    answer = await converse(room, asked, answered, redo)
    assert images(answer)[0].size == (1376, 768)
    assert room.journal.entries[-1].prompt == "At night"
    part = answered["parts"][0]
    part["inlineData"] = inline(base64.b64decode(part["inlineData"]["data"]), urlsafe=True)["inlineData"]
    part["thoughtSignature"] = part["thoughtSignature"].replace("+", "-").replace("/", "_").rstrip("=")
    assert (await converse(room, asked, answered, redo)).status == 200


@pytest.mark.parametrize("model", [FLASH, PRO, "gemini-nano-banana-2.1"])
async def test_what_the_model_said_comes_back_signed_or_not_at_all(room: Room, model: str) -> None:
    """The first part that is no thought, and every picture; positions count from one."""
    picture_part, words = inline(file_of()), {"text": "Here"}
    mine, redo = said("user", {"text": "A fox"}), said("user", {"text": "redo"})
    for parts, kind, position in (
        ([picture_part], "Image", 1),
        ([words, picture_part], "Text", 1),
        ([{**words, "thought": True}, picture_part], "Image", 2),
        ([{**words, "thoughtSignature": DUMMY}, picture_part], "Image", 2),
    ):
        answer = await converse(room, mine, said("model", *parts), redo, model=model)
        assert answer.status == 400
        assert answer.json["error"]["message"].startswith(
            f"{kind} part is missing a thought_signature in content position 2, part position {position}. Please refer"
        )


async def test_an_altered_signature_is_noticed(room: Room) -> None:
    mine, redo = said("user", {"text": "A fox"}), said("user", {"text": "redo"})
    answered = (await generate(room, FLASH)).json["candidates"][0]["content"]
    signature = answered["parts"][0]["thoughtSignature"]
    for altered in (signature[:-8] + "AAAAAAA=", "AAAA", signature[4:]):
        answered["parts"][0]["thoughtSignature"] = altered
        answer = await converse(room, mine, answered, redo)
        assert (answer.status, answer.json["error"]["message"]) == (400, "Corrupted thought signature.")


DUMMY = "skip_thought_signature_validator"


async def test_a_turn_of_another_model_passes_with_a_documented_dummy(room: Room) -> None:
    mine, redo = said("user", {"text": "A fox"}), said("user", {"text": "redo"})
    for dummy in (DUMMY, "context_engineering_is_the_way_to_go"):
        answered = said("model", {**inline(file_of()), "thoughtSignature": dummy})
        assert (await converse(room, mine, answered, redo)).status == 200


async def test_the_older_model_knows_no_signatures(room: Room) -> None:
    answered = said("model", {"text": "Here"}, inline(file_of()))
    assert (
        await converse(room, said("user", {"text": "A"}), answered, said("user", {"text": "B"}), model=OLD)
    ).status == 200


async def test_a_failed_picture_is_told_as_the_service_does(room: Room) -> None:
    body = {"contents": [{"parts": [{"text": "x"}]}]}
    answer = await ask(
        room, f"/google/v1/models/{FLASH}:generateContent", body, headers={"x-sandbox-fault": "item_failed"}
    )
    (candidate,) = answer.json["candidates"]
    assert (candidate["content"], candidate["finishReason"]) == ({}, "IMAGE_OTHER")
    assert candidate["finishMessage"].startswith("Unable to show the generated image. The model could not")
