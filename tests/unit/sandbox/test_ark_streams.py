"""The pretend Ark event by event: one picture or a group, items that fail alone, the end of the stream."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from imageway.sandbox import Room, open_sandbox
from imageway.sandbox.cabinets import NotKept
from tests.unit.sandbox.asking import Answered, ask, handed, picture

PATH = "/ark/api/v3/images/generations"
V4, V45, LITE = "doubao-seedream-4-0-250828", "doubao-seedream-4-5-251128", "doubao-seedream-5-0-260128"
GROUP = {"sequential_image_generation": "auto", "sequential_image_generation_options": {"max_images": 3}}
BODY = {"model": V4, "prompt": "a red panda", "size": "1280x720", "stream": True, "response_format": "b64_json"}
SUCCEEDED, FAILED, COMPLETED = (
    f"image_generation.{name}" for name in ("partial_succeeded", "partial_failed", "completed")
)


async def stream(room: Room, fault: str = "", **body: object) -> Answered:
    headers = {"x-sandbox-fault": fault} if fault else {}
    return await ask(room, PATH, {**BODY, **body}, headers=headers)


def names(answer: Answered) -> list[str | None]:
    return [name for name, _ in answer.events]


def usage(answer: Answered) -> Any:
    return answer.events[-2][1]["usage"]


@pytest.mark.parametrize(("model", "size"), [(V4, "1280x720"), (V45, "2560x1440"), (LITE, "2560x1440")])
async def test_one_picture_is_two_events_and_the_word_done(room: Room, model: str, size: str) -> None:
    answer = await stream(room, model=model, size=size)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert names(answer) == [SUCCEEDED, COMPLETED, None]
    (_, item), (_, completed), (_, done) = answer.events
    assert list(item) == ["type", "model", "created", "image_index", "b64_json", "size"]
    assert (item["type"], item["model"], item["image_index"], item["size"]) == (SUCCEEDED, model, 0, size)
    width, height = picture(item["b64_json"]).size
    assert f"{width}x{height}" == size
    assert list(completed) == ["type", "model", "created", "usage"]
    tokens = width * height // 256
    assert completed["usage"] == {"generated_images": 1, "output_tokens": tokens, "total_tokens": tokens}
    assert done == "[DONE]"
    assert answer.content.endswith(b"\n\ndata: [DONE]\n\n")


async def test_a_group_is_an_event_for_every_picture_by_url(room: Room) -> None:
    answer = await stream(room, **GROUP, response_format="url")
    assert names(answer) == [SUCCEEDED] * 3 + [COMPLETED, None]
    assert [data["image_index"] for _, data in answer.events[:3]] == [0, 1, 2]
    paths = [data["url"].removeprefix("http://sandbox.test").partition("?")[0] for _, data in answer.events[:3]]
    assert len(set(paths)) == 3
    assert picture((await ask(room, paths[2])).content).size == (1280, 720)


async def test_what_moderation_takes_out_fails_alone_and_the_others_come(room: Room) -> None:
    answer = await stream(room, **GROUP, prompt="a story forbidden-output:2")
    assert names(answer) == [SUCCEEDED, FAILED, SUCCEEDED, COMPLETED, None]
    failed = answer.events[1][1]
    assert list(failed) == ["type", "model", "created", "image_index", "error"]
    assert failed["error"]["code"] == "OutputImageSensitiveContentDetected"
    assert usage(answer)["generated_images"] == 2


async def test_an_item_fails_on_demand(room: Room) -> None:
    answer = await stream(room, "item_failed", **GROUP)
    assert names(answer) == [SUCCEEDED, SUCCEEDED, FAILED, COMPLETED, None]
    assert answer.events[2][1]["error"]["code"] == "InternalServiceError"
    assert usage(answer)["generated_images"] == 2
    whole = await stream(room, "item_failed", **GROUP, stream=False)
    assert ["error" in item for item in whole.json["data"]] == [False, False, True]
    alone = await stream(room, "item_failed", stream=False)
    assert (alone.status, alone.json["error"]["code"]) == (500, "InternalServiceError")
    assert names(await stream(room, "item_failed")) == [FAILED, COMPLETED, None]


async def test_an_empty_stream_completes_without_a_picture(room: Room) -> None:
    answer = await stream(room, "empty")
    assert names(answer) == [COMPLETED, None]
    assert usage(answer)["generated_images"] == 0


async def test_a_failure_in_the_middle_has_no_event_name_and_no_end(room: Room) -> None:
    answer = await stream(room, "error_event", **GROUP)
    assert names(answer) == [SUCCEEDED, None]
    assert answer.events[1][1]["error"]["code"] == "InternalServiceError"


async def test_a_picture_that_cannot_be_kept_ends_the_stream_with_an_error(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when it is the first, there is no stream to begin with."""
    kept = room.studio.shelf.put

    async def put(content: bytes, format_name: str) -> str:
        if room.journal.entries[-1].prompt == "no room" or len(made):
            raise NotKept("full")
        made.append(1)
        return await kept(content, format_name)

    made: list[int] = []
    monkeypatch.setattr(room.studio.shelf, "put", put)
    answer = await stream(room, **GROUP, response_format="url")
    assert [(name, "error" in data) for name, data in answer.events] == [(SUCCEEDED, False), (None, True)]
    refused = await stream(room, prompt="no room", response_format="url")
    assert (refused.status, refused.json["error"]["code"]) == (500, "InternalServiceError")


async def test_what_is_wrong_before_the_stream_is_plain_json(room: Room) -> None:
    refused = await stream(room, size="100x100")
    assert (refused.status, refused.json["error"]["code"]) == (400, "InvalidParameter")
    pro = await stream(room, model="doubao-seedream-5-0-pro-260628")
    assert (pro.status, pro.json["error"]["param"]) == (400, "stream")


async def test_a_search_is_told_at_the_end(room: Room) -> None:
    answer = await stream(room, model=LITE, size="2560x1440", tools=[{"type": "web_search"}])
    assert answer.events[-2][1]["tools"] == [{"type": "web_search"}]
    assert usage(answer)["tool_usage"] == {"web_search": 1}


async def test_the_head_comes_with_the_first_picture() -> None:
    room = open_sandbox(latency_s=30)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await handed(room, PATH, BODY)
    assert room.journal.entries[-1].outcome == "gone"
