"""The pretend OpenAI event by event: fields, partial pictures, tokens, refusals before and within a stream."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from imageway.sandbox import Room, open_sandbox
from tests.unit.sandbox.asking import Answered, ask, data_url, file_of, handed, picture

GENERATIONS, EDITS = "/openai/v1/images/generations", "/openai/v1/images/edits"
SMALL = {"model": "gpt-image-2", "prompt": "a fox", "size": "1024x640", "quality": "low", "stream": True}


async def stream(room: Room, fault: str = "", **body: object) -> Answered:
    headers = {"x-sandbox-fault": fault} if fault else {}
    return await ask(room, GENERATIONS, {**SMALL, **body}, headers=headers)


def pictures(answer: Answered) -> list[Image.Image]:
    return [picture(data["b64_json"]).convert("RGB") for _, data in answer.events]


async def test_the_events_have_the_documented_fields_in_the_documented_order(room: Room) -> None:
    answer = await stream(room, partial_images=2)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert "content-length" not in answer.headers
    assert answer.headers["x-request-id"].startswith("req_")
    names = ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert [name for name, _ in answer.events] == names
    assert [data["type"] for _, data in answer.events] == names
    shared = ["type", "b64_json", "created_at", "size", "quality", "background", "output_format"]
    assert [list(data) for _, data in answer.events] == [[*shared, "partial_image_index"]] * 2 + [[*shared, "usage"]]
    assert [data.get("partial_image_index") for _, data in answer.events] == [0, 1, None]
    last = answer.events[-1][1]
    assert (last["size"], last["quality"], last["background"], last["output_format"]) == (
        *("1024x640", "low", "opaque", "png"),
    )


async def test_every_partial_picture_costs_a_hundred_tokens(room: Room) -> None:
    async def usage(**body: object) -> dict[str, Any]:
        found: dict[str, Any] = (await stream(room, **body)).events[-1][1]["usage"]
        return found

    plain, dearer = await usage(), await usage(partial_images=3)
    assert list(plain) == ["total_tokens", "input_tokens", "output_tokens", "input_tokens_details"]
    assert dearer["output_tokens"] == plain["output_tokens"] + 300
    assert dearer["total_tokens"] == dearer["input_tokens"] + dearer["output_tokens"]
    whole = (await ask(room, GENERATIONS, {**SMALL, "stream": False})).json["usage"]
    assert plain["output_tokens"] == whole["output_tokens"]
    assert plain["input_tokens_details"] == whole["input_tokens_details"]


@pytest.mark.parametrize("format_name", ["png", "webp", "jpeg"])
async def test_partial_pictures_come_nearer_to_the_finished_one(room: Room, format_name: str) -> None:
    """All of the size and format asked for; each differs less from the last than the one before it."""
    answer = await stream(room, partial_images=3, output_format=format_name)
    assert {picture(data["b64_json"]).format for _, data in answer.events} == {format_name.upper()}
    *partials, finished = pictures(answer)
    assert {one.size for one in (*partials, finished)} == {(1024, 640)}
    distances = [sum(ImageStat.Stat(ImageChops.difference(one, finished)).mean) for one in partials]
    assert distances[0] > distances[1] > distances[2] > 0


async def test_several_pictures_come_one_after_the_other_each_with_its_own_usage(room: Room) -> None:
    answer = await stream(room, n=2, partial_images=1)
    assert [name.rpartition(".")[2] for name, _ in answer.events if name] == ["partial_image", "completed"] * 2
    first, second = (data["usage"] for name, data in answer.events if name == "image_generation.completed")
    assert first == second
    whole = (await ask(room, GENERATIONS, {**SMALL, "stream": False, "n": 2})).json["usage"]
    assert first["output_tokens"] + second["output_tokens"] == whole["output_tokens"] + 200
    assert pictures(answer)[1] != pictures(answer)[3]


async def test_an_edit_streams_under_its_own_name(room: Room) -> None:
    body = {**SMALL, "images": [{"image_url": data_url(file_of())}], "partial_images": 1}
    answer = await ask(room, EDITS, body)
    assert [name for name, _ in answer.events] == ["image_edit.partial_image", "image_edit.completed"]
    assert answer.events[-1][1]["usage"]["input_tokens_details"]["image_tokens"] == 64


async def test_the_safety_identifier_is_echoed_and_wins_over_the_user(room: Room) -> None:
    answer = await stream(room, user="u", safety_identifier="s", partial_images=1)
    assert [data["safety_identifier"] for _, data in answer.events] == ["s", "s"]
    assert (await stream(room, user="u")).events[0][1]["safety_identifier"] == "u"


async def test_what_is_wrong_before_the_stream_is_plain_json(room: Room) -> None:
    refused = await stream(room, prompt="forbidden")
    assert (refused.status, refused.json["error"]["code"]) == (400, "moderation_blocked")
    limited = await stream(room, "rate_limit")
    assert (limited.status, limited.headers["retry-after"]) == (429, "1")


async def test_an_output_is_refused_within_the_stream_after_its_partial_pictures(room: Room) -> None:
    answer = await stream(room, prompt="forbidden-output", partial_images=2)
    assert answer.status == 200
    assert [name for name, _ in answer.events] == ["image_generation.partial_image"] * 2 + ["error"]
    failed = answer.events[-1][1]
    assert failed["type"] == "error"
    assert failed["error"]["code"] == "moderation_blocked"
    assert failed["error"]["moderation_details"]["moderation_stage"] == "output"


async def test_an_error_event_follows_the_first_event_and_ends_the_stream(room: Room) -> None:
    answer = await stream(room, "error_event", partial_images=2)
    assert [name for name, _ in answer.events] == ["image_generation.partial_image", "error"]
    assert answer.events[-1][1]["error"] == {
        "message": "The server had an error while processing your request. Sorry about that!",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    assert room.journal.entries[-1].outcome == "200 error_event"


async def test_a_lost_picture_is_one_fewer(room: Room) -> None:
    assert len((await stream(room, "item_failed", n=3)).events) == 2
    whole = await ask(room, GENERATIONS, {**SMALL, "stream": False, "n": 3, "prompt": "sandbox-fault:item_failed"})
    assert len(whole.json["data"]) == 2


async def test_an_empty_stream_has_no_event(room: Room) -> None:
    assert (await stream(room, "empty")).content == b""


async def test_the_latency_of_a_stream_is_in_its_events_not_before_its_head() -> None:
    async with asyncio.timeout(5):
        answer = await handed(open_sandbox(latency_s=30), GENERATIONS, {**SMALL, "partial_images": 1})
    assert answer.status == 200
    room, started_s = open_sandbox(latency_s=0.4), time.monotonic()
    events = (await ask(room, GENERATIONS, {**SMALL, "partial_images": 1})).events
    assert len(events) == 2
    assert time.monotonic() - started_s >= 0.4
