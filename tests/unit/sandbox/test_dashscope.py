"""The pretend DashScope: one message in, URLs out; tasks that wait, finish, fail, are listed and cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from imageway.sandbox import Room, open_sandbox
from imageway.sandbox.shelf import LIMIT_BYTES
from imageway.sandbox.upstreams.dashscope import DashscopeUpstream
from imageway.sandbox.upstreams.dashscope import tasks as tasks_module
from imageway.sandbox.upstreams.dashscope.tasks import Task
from tests.unit.sandbox.asking import Answered, ask, data_url, file_of, picture
from tests.unit.sandbox.conftest import StoppedClock

BASE = "/dashscope/api/v1"
SYNC = f"{BASE}/services/aigc/multimodal-generation/generation"
LEGACY = f"{BASE}/services/aigc/text2image/image-synthesis"
TASK = f"{BASE}/services/aigc/image-generation/generation"
ASYNC = {"x-dashscope-async": "enable"}


def message(text: object, *images: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [*({"image": image} for image in images), {"text": text}]}]}


async def generate(room: Room, model: str, *images: str, text: object = "一只橘猫", **parameters: object) -> Answered:
    return await ask(room, SYNC, {"model": model, "input": message(text, *images), "parameters": parameters})


async def submit(room: Room, model: str = "qwen-image-plus", prompt: str = "a cat", **parameters: object) -> Answered:
    return await ask(
        room, LEGACY, {"model": model, "input": {"prompt": prompt}, "parameters": parameters}, headers=ASYNC
    )


async def poll(room: Room, task_id: str, **headers: str) -> dict[str, Any]:
    found: dict[str, Any] = (await ask(room, f"{BASE}/tasks/{task_id}", headers=headers)).json
    return found


async def shown(room: Room, url: str) -> tuple[str | None, tuple[int, int]]:
    drawn = picture((await ask(room, url.removeprefix("http://sandbox.test"))).content)
    return drawn.format, drawn.size


async def test_one_call_gives_choices_metrics_and_usage(room: Room) -> None:
    answer = await generate(room, "qwen-image", size="1328*1328", seed=42, result_format="message", unknown=1)
    output = answer.json["output"]
    url = output["choices"][0]["message"]["content"][0]["image"]
    assert await shown(room, url) == ("PNG", (1328, 1328))
    assert output["task_metric"] == {"TOTAL": 1, "FAILED": 0, "SUCCEEDED": 1}
    assert answer.json["usage"] == {"width": 1328, "height": 1328, "image_count": 1}
    assert answer.json["request_id"] == answer.headers["x-request-id"]


async def test_the_newer_models_report_in_their_own_ways(room: Room) -> None:
    second = (await generate(room, "qwen-image-2.0", n=2, size="512*512")).json
    assert "task_metric" not in second["output"]
    assert len(second["output"]["choices"][0]["message"]["content"]) == 2
    third = (await generate(room, "qwen-image-3.0-pro", size="1024*1024")).json
    assert third["output"]["rewrite_status"] == "success"
    assert third["usage"]["output_image_type"] == "qima_output_1k"
    assert (await generate(room, "qwen-image-3.0-pro")).json["usage"]["output_image_type"] == "qima_output_2k"


@pytest.mark.parametrize(
    ("model", "images", "parameters", "size"),
    [
        ("qwen-image", 0, {}, (1664, 928)),
        ("qwen-image-2.0-pro", 0, {"size": "2688*1536"}, (2688, 1536)),
        ("qwen-image-edit-plus", 1, {"size": "1033*1032"}, (1040, 1024)),
        ("qwen-image-edit", 1, {}, (1456, 720)),
        ("qwen-image-2.0", 2, {}, (1456, 720)),
    ],
)
async def test_sizes_are_exact_rounded_or_follow_the_last_input(
    room: Room, model: str, images: int, parameters: dict[str, object], size: tuple[int, int]
) -> None:
    links = [data_url(file_of()), data_url(file_of(size=(200, 99)))][2 - images :]
    answer = await generate(room, model, *links, **parameters)
    assert await shown(room, answer.json["output"]["choices"][0]["message"]["content"][0]["image"]) == ("PNG", size)


@pytest.mark.parametrize(
    ("model", "images", "parameters", "words"),
    [
        ("qwen-image", [], {"size": "1328x1328"}, "Expected format: '<width>*<height>'"),
        ("qwen-image", [], {"size": "1K"}, "Expected format: '<width>*<height>'"),
        ("qwen-image", [], {"size": "1024*1024"}, "1664*928,1472*1104"),
        ("qwen-image", [], {"n": 2}, "num_images_per_prompt must be 1"),
        ("qwen-image-2.0", [], {"n": 7}, "[1, 6]"),
        ("qwen-image-2.0", [], {"n": "2"}, "valid integer: parameters.n"),
        ("qwen-image-2.0", [], {"size": "4096*4096"}, "2048*2048"),
        ("qwen-image-3.0", [], {"size": "2048*200"}, "1:8 and 8:1"),
        ("qwen-image-edit", ["a"], {"size": "1024*1024"}, "size is not supported"),
        ("qwen-image-edit-plus", ["a"], {"size": "400*1024"}, "[512, 2048]"),
        ("qwen-image-edit-plus", [], {}, "image"),
        ("qwen-image-edit-plus", ["a", "a", "a", "a"], {}, "between 1 and 3"),
        ("qwen-image-max", ["a"], {}, "does not support image input"),
        ("qwen-image", [], {"seed": -1}, "seed should be [0, 2147483647]"),
        ("qwen-image", [], {"negative_prompt": "x" * 501}, "negative_prompt"),
        ("qwen-image", [], {"watermark": 1}, "valid boolean"),
    ],
)
async def test_a_wrong_parameter_is_an_invalid_parameter(
    room: Room, model: str, images: list[str], parameters: dict[str, object], words: str
) -> None:
    answer = await generate(room, model, *(f"https://a.test/{name}.png" for name in images), **parameters)
    assert (answer.status, answer.json["code"]) == (400, "InvalidParameter")
    assert words in answer.json["message"]
    assert set(answer.json) == {"code", "message", "request_id"}


@pytest.mark.parametrize(
    ("image", "status", "code"),
    [
        ("https://a.test/not-found.png", 415, "BadRequest.InputDownloadFailed"),
        ("https://a.test/not-an-image.png", 400, "InvalidParameter"),
        ("oss://bucket/a.png", 400, "InvalidURL"),
        ("data:image/png;base64,@", 400, "InvalidURL"),
    ],
)
async def test_a_wrong_input_is_refused(room: Room, image: str, status: int, code: str) -> None:
    answer = await generate(room, "qwen-image-edit-plus", image)
    assert (answer.status, answer.json["code"]) == (status, code)


async def test_keys_models_bodies_and_ways_are_checked_first(room: Room) -> None:
    missing = await ask(room, SYNC, {}, headers={"authorization": ""})
    assert (missing.status, missing.json["message"]) == (401, "No API-key provided.")
    bad = await ask(room, SYNC, {}, headers={"authorization": "Bearer bad"})
    assert (bad.status, bad.json["message"]) == (401, "Invalid API-key provided.")
    assert (await generate(room, "qwen-image-9")).json["code"] == "ModelNotFound"
    assert (await ask(room, SYNC, {})).json["code"] == "BadRequest.EmptyModel"
    assert (
        "Field required: input.messages"
        in (await ask(room, SYNC, {"model": "qwen-image", "input": {}})).content.decode()
    )
    assert (await generate(room, "qwen-image", text=5)).status == 400
    assert (await generate(room, "qwen-image", text="x" * 801)).json["message"].endswith("[1, 800]")
    assert (await ask(room, SYNC, b"{")).status == 400
    both = await ask(room, SYNC, {"model": "qwen-image"}, headers=ASYNC)
    assert (both.status, both.json["code"]) == (403, "AccessDenied")
    neither = await ask(room, LEGACY, {"model": "qwen-image"})
    assert "does not support synchronous calls" in neither.json["message"]
    assert (await submit(room, "qwen-image-max")).json["message"] == "url error, please check url!"
    streamed = await ask(room, SYNC, {"model": "qwen-image"}, headers={"x-dashscope-sse": "enable"})
    assert "does not stream" in streamed.json["message"]


async def test_a_task_goes_from_pending_over_running_to_succeeded(room: Room, clock: StoppedClock) -> None:
    receipt = (await submit(room, size="1328*1328")).json["output"]
    assert receipt["task_status"] == "PENDING"
    seen: list[str] = []
    while "SUCCEEDED" not in seen and len(seen) < 50:
        found = await poll(room, receipt["task_id"])
        seen.append(found["output"]["task_status"])
        clock.go_on(0.02)
    assert list(dict.fromkeys(seen)) == ["PENDING", "RUNNING", "SUCCEEDED"]
    output = found["output"]
    assert output["submit_time"] < output["scheduled_time"] < output["end_time"]
    assert output["task_metrics"] == {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0}
    assert set(output["results"][0]) == {"orig_prompt", "actual_prompt", "url"}
    assert found["usage"] == {"image_count": 1}
    assert await shown(room, output["results"][0]["url"]) == ("PNG", (1328, 1328))
    again = await poll(room, receipt["task_id"] + "/")
    assert again["output"]["results"] == output["results"]


async def test_the_new_way_of_submitting_gives_choices(room: Room, clock: StoppedClock) -> None:
    body = {"model": "qwen-image-3.0", "input": message("a cat"), "parameters": {"n": 2, "is_async": True}}
    receipt = (await ask(room, TASK, body, headers=ASYNC)).json["output"]
    clock.go_on(0.6)
    found = await poll(room, receipt["task_id"])
    assert len(found["output"]["choices"][0]["message"]["content"]) == 2
    assert found["usage"]["output_image_count"] == 2


async def test_nobody_sees_a_task_he_did_not_submit(room: Room) -> None:
    receipt = (await submit(room)).json["output"]
    other = await poll(room, receipt["task_id"], authorization="Bearer sk-test-2")
    assert other["output"]["task_status"] == "UNKNOWN"
    assert (await poll(room, "nothing"))["output"] == {"task_id": "nothing", "task_status": "UNKNOWN"}


async def test_tasks_are_cancelled_while_pending_and_listed_by_state(room: Room, clock: StoppedClock) -> None:
    first = (await submit(room)).json["output"]["task_id"]
    cancelled = await ask(room, f"{BASE}/tasks/{first}/cancel", b"")
    assert cancelled.status == 200
    assert (await poll(room, first))["output"]["task_status"] == "CANCELED"
    clock.go_on(0.01)
    second = (await submit(room)).json["output"]["task_id"]
    clock.go_on(0.2)
    too_late = await ask(room, f"{BASE}/tasks/{second}/cancel", b"")
    assert (too_late.status, too_late.json["code"]) == (400, "UnsupportedOperation")
    rows = (await ask(room, f"{BASE}/tasks?page_no=1&page_size=10")).json
    assert [row["task_id"] for row in rows["data"]] == [second, first]
    rows = (await ask(room, f"{BASE}/tasks?status=CANCELED&page_size=1")).json
    assert (rows["total"], rows["data"][0]["task_id"]) == (1, first)


async def test_moderation_refuses_the_submit_or_fails_the_task(room: Room, clock: StoppedClock) -> None:
    refused = await submit(room, prompt="forbidden")
    assert (refused.status, refused.json["code"]) == (400, "DataInspectionFailed")
    receipt = (await submit(room, prompt="forbidden-output")).json["output"]
    clock.go_on(0.6)
    output = (await poll(room, receipt["task_id"]))["output"]
    assert (output["task_status"], output["code"]) == ("FAILED", "DataInspectionFailed")
    late = await generate(room, "qwen-image", text="forbidden-output")
    assert late.json["message"] == "Output data may contain inappropriate content."


async def test_faults_of_tasks_are_the_tasks_own(clock: StoppedClock) -> None:
    """The receipt comes at once; pending never ends, empty ends without a picture, latency is the task's."""
    room = open_sandbox(latency_s=0.5)
    endless = (await submit(room, prompt="sandbox-fault:pending")).json["output"]["task_id"]
    empty = (await submit(room, prompt="sandbox-fault:empty")).json["output"]["task_id"]
    clock.go_on(0.7)
    assert (await poll(room, empty))["output"]["task_status"] == "RUNNING"
    clock.go_on(0.5)
    found = await poll(room, empty)
    assert (found["output"]["task_status"], found["output"]["results"]) == ("SUCCEEDED", [])
    assert (await poll(room, endless))["output"]["task_status"] == "RUNNING"
    assert [entry.outcome for entry in room.journal.entries] == ["200 pending", "200 empty"]


async def test_a_seed_gives_the_same_picture(room: Room) -> None:
    urls = [
        (await generate(room, "qwen-image", seed=5)).json["output"]["choices"][0]["message"]["content"][0]["image"]
        for _ in range(2)
    ]
    first, second = [(await ask(room, url.removeprefix("http://sandbox.test"))).content for url in urls]
    assert first == second


BROKEN = "InternalError.Timeout"


async def test_one_of_several_pictures_fails_alone(room: Room) -> None:
    """In its place stands why, and the counts say so."""
    answer = await generate(room, "qwen-image-2.0", text="a cat sandbox-fault:item_failed", n=3, size="512*512")
    first, second, failed = answer.json["output"]["choices"][0]["message"]["content"]
    assert [await shown(room, each["image"]) for each in (first, second)] == [("PNG", (512, 512))] * 2
    assert (failed["code"], "image" in failed) == (BROKEN, False)
    assert answer.json["usage"]["image_count"] == 2


async def test_one_of_several_pictures_of_a_task_fails_alone(room: Room, clock: StoppedClock) -> None:
    body = {"input": message("a cat sandbox-fault:item_failed"), "parameters": {"n": 2, "size": "512*512"}}
    receipt = await ask(room, TASK, {"model": "qwen-image-3.0", **body}, headers=ASYNC)
    clock.go_on(0.6)
    output = (await poll(room, receipt.json["output"]["task_id"]))["output"]
    assert output["task_status"] == "SUCCEEDED"
    assert output["task_metrics"] == {"TOTAL": 2, "SUCCEEDED": 1, "FAILED": 1}
    made, failed = output["choices"][0]["message"]["content"]
    assert made["image"].startswith("http")
    assert failed["code"] == BROKEN


async def test_the_only_picture_fails_as_a_whole(room: Room, clock: StoppedClock) -> None:
    answer = await generate(room, "qwen-image", text="a cat sandbox-fault:item_failed")
    assert (answer.status, answer.json["code"]) == (500, "InternalError")
    receipt = await submit(room, prompt="a cat sandbox-fault:item_failed")
    clock.go_on(0.6)
    output = (await poll(room, receipt.json["output"]["task_id"]))["output"]
    assert (output["task_status"], output["code"]) == ("FAILED", BROKEN)


def tasks_of(room: Room) -> dict[str, Task]:
    found = next(upstream for upstream in room._upstreams if isinstance(upstream, DashscopeUpstream))
    return found._desk._tasks._tasks


async def edit(room: Room, input_bytes: int = 0, text: str = "redder") -> str:
    """A task that edits a picture whose URL is at least so long."""
    image = data_url(file_of() + bytes(input_bytes))
    body = {"model": "qwen-image-3.0-pro", "input": message(text, image)}
    task_id: str = (await ask(room, TASK, body, headers=ASYNC)).json["output"]["task_id"]
    return task_id


async def test_a_task_keeps_no_inputs_once_there_is_nothing_to_draw(room: Room, clock: StoppedClock) -> None:
    """Neither their pixels nor the text they came in: it is kept for a day."""
    drawn, cancelled, failed = await edit(room), await edit(room), await edit(room, text="forbidden-output")
    tasks = tasks_of(room)
    assert [tasks[task_id].input_bytes > 0 for task_id in (drawn, cancelled, failed)] == [True, True, False]
    assert (await ask(room, f"{BASE}/tasks/{cancelled}/cancel", b"", method="POST")).status == 200
    clock.go_on(0.6)
    assert (await poll(room, drawn))["usage"]["input_image_count"] == 1
    assert (await poll(room, failed))["output"]["task_status"] == "FAILED"
    for task_id in (drawn, cancelled, failed):
        assert (tasks[task_id].draw, tasks[task_id].input_bytes, tasks[task_id].draft.image_urls) == (None, 0, ())
    finished = tasks[drawn].finished
    assert finished is not None
    assert [reference.image.size for reference in finished.ticket.references] == [(1, 1)]
    assert (await poll(room, drawn))["usage"]["input_image_count"] == 1


async def test_tasks_that_nobody_asks_for_are_forgotten_for_their_inputs(
    room: Room, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks_module, "INPUT_BYTES", 300_000)
    ids = [await edit(room, 100_000) for _ in range(4)]
    told = [(await poll(room, task_id))["output"]["task_status"] for task_id in ids]
    assert told == ["UNKNOWN", "UNKNOWN", "PENDING", "PENDING"]


async def test_a_task_whose_input_is_gone_when_it_is_drawn_has_failed(room: Room, clock: StoppedClock) -> None:
    path = await room.studio.shelf.put(file_of(), "png")
    body = {"model": "qwen-image-3.0-pro", "input": message("redder", f"http://sandbox.test{path}")}
    task_id = (await ask(room, TASK, body, headers=ASYNC)).json["output"]["task_id"]
    await room.studio.shelf.put(bytes(LIMIT_BYTES), "png")
    clock.go_on(0.6)
    for output in [(await poll(room, task_id))["output"] for _ in range(2)]:
        assert (output["task_status"], output["code"]) == ("FAILED", "BadRequest.InputDownloadFailed")
        assert output["task_metrics"] == {"TOTAL": 1, "SUCCEEDED": 0, "FAILED": 1}
