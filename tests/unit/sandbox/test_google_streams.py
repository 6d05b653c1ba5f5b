"""The pretend Gemini API chunk by chunk: as server-sent events and as one array, and what goes wrong in the middle."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from imageway.sandbox import Room
from tests.unit.sandbox.asking import Answered, ask, picture

FLASH, PRO, OLD = "gemini-3.1-flash-image", "gemini-3-pro-image", "gemini-2.5-flash-image"


async def stream(room: Room, model: str = FLASH, *, alt: str = "sse", fault: str = "", **body: Any) -> Answered:
    query = f"?alt={alt}" if alt else ""
    asked = {"contents": [{"parts": [{"text": "A red fox"}]}], **body}
    headers = {"x-sandbox-fault": fault} if fault else {}
    return await ask(room, f"/google/v1beta/models/{model}:streamGenerateContent{query}", asked, headers=headers)


def chunks(answer: Answered) -> list[Any]:
    return [data for _, data in answer.events]


def parts(answer: Answered) -> list[dict[str, Any]]:
    return [part for chunk in chunks(answer) for part in chunk["candidates"][0]["content"]["parts"]]


async def test_words_come_first_then_the_picture_whole_then_how_it_ended(room: Room) -> None:
    answer = await stream(room, OLD)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.content.startswith(b"data: {")
    assert answer.content.endswith(b"}\r\n\r\n")
    assert [sorted(part) for part in parts(answer)] == [["text"], ["text"], ["inlineData"], ["text"]]
    assert "".join(part.get("text", "") for part in parts(answer)) == "Here is your image:"
    assert picture(parts(answer)[2]["inlineData"]["data"]).size == (1024, 1024)
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks(answer)] == [None, None, None, "STOP"]
    assert len({chunk["responseId"] for chunk in chunks(answer)}) == 1
    assert all(chunk["modelVersion"] == OLD for chunk in chunks(answer))


async def test_the_last_chunk_counts_what_a_whole_answer_counts(room: Room) -> None:
    body = {"contents": [{"parts": [{"text": "A red fox"}]}]}
    whole = (await ask(room, f"/google/v1/models/{PRO}:generateContent", body)).json["usageMetadata"]
    *before, last = chunks(await stream(room, PRO))
    assert last["usageMetadata"] == whole
    assert {"promptTokenCount", "totalTokenCount"} <= set(before[0]["usageMetadata"])
    assert "candidatesTokenCount" not in before[0]["usageMetadata"]


async def test_what_a_stream_said_may_be_sent_back_chunk_by_chunk(room: Room) -> None:
    """As the SDK does: every chunk is a turn of the model; the signature stands in the first words and the picture."""
    answer = await stream(room, PRO)
    assert [("thoughtSignature" in part) for part in parts(answer)] == [True, False, True, False]
    said = [chunk["candidates"][0]["content"] for chunk in chunks(answer)]
    mine, redo = ({"role": "user", "parts": [{"text": text}]} for text in ("A red fox", "At night"))
    assert (await stream(room, PRO, contents=[mine, *said, redo])).status == 200
    stripped = [{**turn, "parts": [{k: v for k, v in turn["parts"][0].items() if "Sig" not in k}]} for turn in said]
    refused = await stream(room, PRO, contents=[mine, *stripped, redo])
    assert refused.status == 400
    assert "Text part is missing a thought_signature in content position 2" in refused.json["error"]["message"]


async def test_thoughts_are_chunks_of_their_own(room: Room) -> None:
    config = {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "HIGH"}, "imageConfig": {"imageSize": "512"}}
    answer = await stream(room, FLASH, generationConfig=config)
    assert [bool(part.get("thought")) for part in parts(answer)] == [True, True, False, False]
    assert picture(parts(answer)[2]["inlineData"]["data"]).size == (512, 512)
    assert len(base64.b64decode(parts(answer)[2]["thoughtSignature"])) == 1024


async def test_without_alt_sse_it_is_one_array(room: Room) -> None:
    answer = await stream(room, OLD, alt="")
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    found = json.loads(answer.content)
    assert [chunk["candidates"][0].get("finishReason") for chunk in found] == [None, None, None, "STOP"]
    assert answer.content.startswith(b'[{\n  "candidates"')


@pytest.mark.parametrize(("alt", "in_array"), [("sse", False), ("", True), ("json", True)])
async def test_what_is_wrong_before_the_stream_is_an_error_in_the_shape_of_the_stream(
    room: Room, alt: str, in_array: bool
) -> None:
    answer = await stream(room, FLASH, alt=alt, contents=[])
    assert answer.status == 400
    body = answer.json[0] if in_array else answer.json
    assert body["error"]["status"] == "INVALID_ARGUMENT"


async def test_an_error_in_the_middle_is_a_chunk(room: Room) -> None:
    answer = await stream(room, OLD, fault="error_event")
    first, second = chunks(answer)
    assert first["candidates"][0]["content"]["parts"] == [{"text": "Here is "}]
    assert (second["error"]["code"], second["error"]["status"]) == (500, "INTERNAL")
    whole = json.loads((await stream(room, OLD, alt="", fault="error_event")).content)
    assert ["error" in chunk for chunk in whole] == [False, True]


async def test_refusals_and_lost_pictures_are_chunks_without_one(room: Room) -> None:
    (blocked,) = chunks(await stream(room, PRO, contents=[{"parts": [{"text": "forbidden"}]}]))
    assert blocked["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    (late,) = chunks(await stream(room, PRO, contents=[{"parts": [{"text": "forbidden-output"}]}]))
    assert late["candidates"][0]["finishReason"] == "IMAGE_SAFETY"
    (empty,) = chunks(await stream(room, PRO, fault="empty"))
    assert empty["candidates"] == [{"finishReason": "NO_IMAGE", "index": 0}]
