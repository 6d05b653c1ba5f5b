"""A sandbox with a folder: what a real service would not forget when our process ends is there for the next one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imageway.sandbox import Room, open_sandbox
from imageway.sandbox.cabinets import LIFETIME_S
from tests.unit.sandbox.asking import ask, data_url, file_of, picture
from tests.unit.sandbox.conftest import StoppedClock

BASE = "/dashscope/api/v1"
LEGACY = f"{BASE}/services/aigc/text2image/image-synthesis"
TASK = f"{BASE}/services/aigc/image-generation/generation"
ASYNC = {"x-dashscope-async": "enable"}
DONE_S = 0.6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sandbox"


@pytest.fixture
def rooms(folder: Path) -> Iterator[Room]:
    """One process after the other, each with the same seed, so that nothing is told apart by luck."""
    return (open_sandbox(folder=folder, random_seed=1) for _ in range(9))


async def submit(room: Room, prompt: str = "a cat", **parameters: object) -> str:
    body = {"model": "qwen-image-plus", "input": {"prompt": prompt}, "parameters": parameters}
    receipt = await ask(room, LEGACY, body, headers=ASYNC)
    task_id: str = receipt.json["output"]["task_id"]
    return task_id


async def shown(room: Room, task_id: str, **headers: str) -> dict[str, Any]:
    output: dict[str, Any] = (await ask(room, f"{BASE}/tasks/{task_id}", headers=headers)).json["output"]
    return output


async def drawn(room: Room, url: str) -> bytes:
    answer = await ask(room, url.removeprefix("http://sandbox.test"))
    assert answer.status == 200
    return answer.content


async def test_a_task_is_finished_by_the_next_process(rooms: Iterator[Room], clock: StoppedClock) -> None:
    task_id = await submit(next(rooms), size="1328*1328")
    room = next(rooms)
    first = await shown(room, task_id)
    assert first["task_status"] in ("PENDING", "RUNNING")
    clock.go_on(DONE_S)
    output = await shown(room, task_id)
    assert output["task_status"] == "SUCCEEDED"
    assert output["submit_time"] == first["submit_time"]
    assert output["results"][0]["orig_prompt"] == "a cat"
    assert picture(await drawn(room, output["results"][0]["url"])).size == (1328, 1328)


async def test_its_picture_is_the_same_in_every_process(rooms: Iterator[Room], clock: StoppedClock) -> None:
    """Also without a seed of the caller's: the one drawn for him is kept."""
    task_id = await submit(next(rooms))
    clock.go_on(DONE_S)
    first, second = [
        await drawn(room, (await shown(room, task_id))["results"][0]["url"]) for room in (next(rooms), next(rooms))
    ]
    assert first == second


async def test_time_goes_on_while_no_process_runs(rooms: Iterator[Room], monkeypatch: pytest.MonkeyPatch) -> None:
    task_id = await submit(next(rooms))
    later_s = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later_s)
    assert (await shown(next(rooms), task_id))["task_status"] == "SUCCEEDED"


async def test_a_process_sees_what_another_took_after_it_began(rooms: Iterator[Room], clock: StoppedClock) -> None:
    """Two gateways on one directory: the one that lives takes over what the dead one submitted."""
    living, dying = next(rooms), next(rooms)
    own, other = await submit(living), await submit(dying)
    assert own != other
    for room in (living, dying):
        assert {(await shown(room, task_id))["task_status"] for task_id in (own, other)} <= {"PENDING", "RUNNING"}


async def test_nobody_sees_a_task_he_did_not_submit(rooms: Iterator[Room]) -> None:
    task_id = await submit(next(rooms))
    room = next(rooms)
    assert (await shown(room, task_id, authorization="Bearer sk-test-2"))["task_status"] == "UNKNOWN"
    assert (await shown(room, "nothing"))["task_status"] == "UNKNOWN"
    assert (await shown(room, ".."))["task_status"] == "UNKNOWN"
    assert (await shown(room, task_id))["task_status"] != "UNKNOWN"


async def test_no_credential_is_written(rooms: Iterator[Room], folder: Path) -> None:
    task_id = await submit(next(rooms))
    written = (folder / "tasks" / task_id).read_text()
    assert "a cat" in written
    assert "sk-test-1" not in written


async def test_lateness_failure_and_cancelling_last_too(rooms: Iterator[Room], clock: StoppedClock) -> None:
    room = next(rooms)
    endless = await submit(room, "sandbox-fault:pending")
    empty = await submit(room, "sandbox-fault:empty")
    blocked = await submit(room, "forbidden-output")
    cancelled = await submit(room)
    assert (await ask(room, f"{BASE}/tasks/{cancelled}/cancel", b"")).status == 200
    clock.go_on(DONE_S)
    room = next(rooms)
    assert (await shown(room, endless))["task_status"] == "RUNNING"
    assert (await shown(room, empty))["results"] == []
    assert (await shown(room, blocked))["code"] == "DataInspectionFailed"
    assert (await shown(room, cancelled))["task_status"] == "CANCELED"


async def test_the_list_holds_the_tasks_of_all_processes_newest_first(rooms: Iterator[Room]) -> None:
    first = await submit(next(rooms))
    second = await submit(next(rooms))
    room = next(rooms)
    third = await submit(room)
    for _ in range(2):
        rows = (await ask(room, f"{BASE}/tasks")).json
        assert [row["task_id"] for row in rows["data"]] == [third, second, first]
        await shown(room, first)


async def test_an_edit_has_its_inputs_again(rooms: Iterator[Room], clock: StoppedClock) -> None:
    """Those sent with it, and those of this sandbox's own URLs, which last as long."""
    room = next(rooms)
    source = await submit(room)
    clock.go_on(DONE_S)
    link = (await shown(room, source))["results"][0]["url"]
    content = [{"image": data_url(file_of(size=(300, 200)))}, {"image": link}, {"text": "both"}]
    body = {"model": "qwen-image-3.0", "input": {"messages": [{"role": "user", "content": content}]}}
    task_id = (await ask(room, TASK, body, headers=ASYNC)).json["output"]["task_id"]
    clock.go_on(DONE_S)
    room = next(rooms)
    answer = (await ask(room, f"{BASE}/tasks/{task_id}")).json
    assert answer["usage"]["input_image_count"] == 2
    url = answer["output"]["choices"][0]["message"]["content"][0]["image"]
    width, height = picture(await drawn(room, url)).size
    assert width / height == pytest.approx(1664 / 928, rel=0.03)


async def test_tasks_are_forgotten_after_a_day(rooms: Iterator[Room], monkeypatch: pytest.MonkeyPatch) -> None:
    room = next(rooms)
    task_id = await submit(room)
    later_s = time.time() + LIFETIME_S + 1
    monkeypatch.setattr(time, "time", lambda: later_s)
    assert (await shown(next(rooms), task_id))["task_status"] == "UNKNOWN"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"owner": "x"}', b"\xff"])
async def test_a_file_nobody_can_read_is_no_task(rooms: Iterator[Room], folder: Path, content: bytes) -> None:
    task_id = await submit(next(rooms))
    (folder / "tasks" / task_id).write_bytes(content)
    room = next(rooms)
    assert (await shown(room, task_id))["task_status"] == "UNKNOWN"
    assert (await ask(room, f"{BASE}/tasks")).json["data"] == []


async def test_a_task_that_cannot_be_written_is_not_accepted(rooms: Iterator[Room], folder: Path) -> None:
    folder.mkdir()
    (folder / "tasks").write_bytes(b"in the way")
    room = next(rooms)
    body = {"model": "qwen-image-plus", "input": {"prompt": "a cat"}}
    answer = await ask(room, LEGACY, body, headers=ASYNC)
    assert (answer.status, answer.json["code"]) == (500, "InternalError")
    assert [entry.outcome for entry in room.journal.entries] == ["500"]
    assert (await ask(room, f"{BASE}/tasks")).json["data"] == []


async def test_a_file_answered_by_url_is_there_after_a_restart(rooms: Iterator[Room]) -> None:
    body = {"model": "doubao-seedream-4-0-250828", "prompt": "x", "size": "1K"}
    url = (await ask(next(rooms), "/ark/api/v3/images/generations", body)).json["data"][0]["url"]
    assert picture(await drawn(next(rooms), url.partition("?")[0])).format == "JPEG"


async def test_without_a_folder_nothing_lasts_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task_id = await submit(open_sandbox())
    assert (await shown(open_sandbox(), task_id))["task_status"] == "UNKNOWN"
    assert list(tmp_path.iterdir()) == []
