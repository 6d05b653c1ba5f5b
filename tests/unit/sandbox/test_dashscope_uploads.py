"""The pretend DashScope's uploads, as the official client makes them; and edits of a base image."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from imageway.sandbox import Room, open_sandbox
from tests.unit.sandbox.asking import Answered, ask, data_url, file_of, picture
from tests.unit.sandbox.conftest import StoppedClock

BASE = "/dashscope/api/v1"
SYNC = f"{BASE}/services/aigc/multimodal-generation/generation"
EDIT = f"{BASE}/services/aigc/image2image/image-synthesis"
POLICY = f"{BASE}/uploads?action=getPolicy&model=qwen-image-edit-plus"
ASYNC = {"x-dashscope-async": "enable"}
RESOLVE = {"x-dashscope-ossresourceresolve": "enable"}
DONE_S = 0.6


async def granted(room: Room) -> dict[str, Any]:
    data: dict[str, Any] = (await ask(room, POLICY)).json["data"]
    return data


def form_of(grant: dict[str, Any], name: str = "a.png", **changed: str) -> dict[str, str]:
    return {
        "OSSAccessKeyId": grant["oss_access_key_id"],
        "Signature": grant["signature"],
        "policy": grant["policy"],
        "key": f"{grant['upload_dir']}/{name}",
        "x-oss-object-acl": grant["x_oss_object_acl"],
        "x-oss-forbid-overwrite": grant["x_oss_forbid_overwrite"],
        "success_action_status": "200",
    } | changed


async def post(room: Room, fields: dict[str, str], content: bytes | None) -> Answered:
    lines = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}' for name, text in fields.items()]
    body = "\r\n".join(lines).encode()
    if content is not None:
        body += b'\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + content
    headers = {"content-type": "multipart/form-data; boundary=b", "authorization": ""}
    return await ask(room, f"{BASE}/oss", body + b"\r\n--b--\r\n", headers=headers)


async def edited(room: Room, image: str, headers: dict[str, str] = RESOLVE) -> Answered:
    content = [{"image": image}, {"text": "blue"}]
    body = {"model": "qwen-image-edit-plus", "input": {"messages": [{"role": "user", "content": content}]}}
    return await ask(room, SYNC, body, headers=headers)


async def test_a_policy_names_a_folder_the_store_and_what_may_come(room: Room) -> None:
    first, second = await granted(room), await granted(room)
    assert first["upload_dir"].startswith("dashscope-instant/")
    assert first["upload_dir"] != second["upload_dir"]
    assert first["upload_host"] == f"http://sandbox.test{BASE}/oss"
    assert (first["expire_in_seconds"], first["max_file_size_mb"]) == (300, 100)
    assert "expiration" in json.loads(base64.b64decode(first["policy"]))


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?model=qwen-image-edit-plus", 400, "InvalidParameter"),
        ("?action=getPolicy", 400, "BadRequest.EmptyModel"),
        ("?action=getPolicy&model=qwen", 404, "ModelNotFound"),
    ],
)
async def test_a_policy_is_asked_for_by_name(room: Room, query: str, status: int, code: str) -> None:
    answer = await ask(room, f"{BASE}/uploads{query}")
    assert (answer.status, answer.json["code"]) == (status, code)
    refused = await ask(room, POLICY, headers={"authorization": "Bearer bad"})
    assert refused.status == 401


async def test_a_file_is_named_in_a_request_that_says_so(room: Room) -> None:
    grant = await granted(room)
    assert (await post(room, form_of(grant), file_of(size=(640, 320)))).status == 200
    name = f"oss://{grant['upload_dir']}/a.png"
    answer = await edited(room, name)
    url = answer.json["output"]["choices"][0]["message"]["content"][0]["image"]
    drawn = picture((await ask(room, url.removeprefix("http://sandbox.test"))).content)
    assert drawn.width == pytest.approx(2 * drawn.height, rel=0.03)
    assert (await edited(room, name, {})).json["code"] == "InvalidURL"
    missing = await edited(room, name + "x")
    assert (missing.status, missing.json["code"]) == (415, "BadRequest.InputDownloadFailed")
    stranger = await edited(room, name, RESOLVE | {"authorization": "Bearer sk-test-2"})
    assert stranger.json["code"] == "BadRequest.InputDownloadFailed"


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"Signature": "x"}, 403, "SignatureDoesNotMatch"),
        ({"policy": "e30="}, 403, "SignatureDoesNotMatch"),
        ({"OSSAccessKeyId": "x"}, 403, "SignatureDoesNotMatch"),
        ({"key": "elsewhere/a.png"}, 403, "AccessDenied"),
    ],
)
async def test_the_store_holds_a_form_against_its_policy(
    room: Room, changed: dict[str, str], status: int, code: str
) -> None:
    answer = await post(room, form_of(await granted(room), **changed), file_of())
    assert answer.status == status
    assert answer.headers["content-type"] == "application/xml"
    assert f"<Code>{code}</Code>".encode() in answer.content


async def test_the_store_takes_one_file_once(room: Room) -> None:
    grant = await granted(room)
    assert b"<Code>IncorrectNumberOfFilesInPOSTRequest</Code>" in (await post(room, form_of(grant), None)).content
    assert (await post(room, form_of(grant, success_action_status="x"), file_of())).status == 204
    again = await post(room, form_of(grant), file_of())
    assert (again.status, b"<Code>FileAlreadyExists</Code>" in again.content) == (409, True)
    broken = await ask(room, f"{BASE}/oss", b"{}")
    assert (broken.status, b"<Code>MalformedPOSTRequest</Code>" in broken.content) == (400, True)


async def test_a_policy_expires(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageway.sandbox.upstreams.dashscope.uploads.EXPIRE_S", -1)
    answer = await post(room, form_of(await granted(room)), file_of())
    assert b"Policy expired" in answer.content


async def test_an_upload_outlives_its_process(tmp_path: Path) -> None:
    room = open_sandbox(folder=tmp_path)
    grant = await granted(room)
    await post(room, form_of(grant), file_of())
    answer = await edited(open_sandbox(folder=tmp_path), f"oss://{grant['upload_dir']}/a.png")
    assert answer.status == 200


async def submit(room: Room, given: dict[str, Any], **parameters: object) -> Answered:
    body = {"model": "wanx2.1-imageedit", "input": given, "parameters": parameters}
    return await ask(room, EDIT, body, headers=ASYNC)


async def test_a_base_image_is_edited_as_a_task(room: Room, clock: StoppedClock) -> None:
    base = data_url(file_of(size=(600, 400)))
    for function, factor, size in (("description_edit", 1, (600, 400)), ("super_resolution", 2, (1200, 800))):
        given = {"prompt": "a hat", "function": function, "base_image_url": base}
        receipt = (await submit(room, given, n=1, upscale_factor=factor)).json["output"]
        clock.go_on(DONE_S)
        found = (await ask(room, f"{BASE}/tasks/{receipt['task_id']}")).json
        (result,) = found["output"]["results"]
        assert set(result) == {"url"}
        assert picture((await ask(room, result["url"].removeprefix("http://sandbox.test"))).content).size == size
        assert found["usage"] == {"image_count": 1}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"prompt": "a hat", "base_image_url": "u"}, "input.function"),
        ({"prompt": "a hat", "function": "paint", "base_image_url": "u"}, "description_edit"),
        ({"prompt": "a hat", "function": "doodle"}, "input.base_image_url"),
        ({"prompt": "a hat", "function": "description_edit_with_mask", "base_image_url": "u"}, "input.mask_image_url"),
        ({"function": "doodle", "base_image_url": "u"}, "input.prompt"),
    ],
)
async def test_an_edit_needs_what_its_function_needs(room: Room, given: dict[str, Any], words: str) -> None:
    answer = await submit(room, given)
    assert (answer.status, answer.json["code"]) == (400, "InvalidParameter")
    assert words in answer.json["message"]


async def test_a_list_is_filtered_by_model_and_time(room: Room, clock: StoppedClock) -> None:
    given = {"prompt": "a hat", "function": "doodle", "base_image_url": data_url(file_of())}
    task = (await submit(room, given)).json["output"]["task_id"]
    clock.go_on(DONE_S)
    (row,) = (await ask(room, f"{BASE}/tasks/?model_name=wanx2.1-imageedit")).json["data"]
    assert (row["task_id"], row["status"], row["request_id"]) == (task, "SUCCEEDED", task)
    assert row["gmt_create"] < row["start_time"] < row["end_time"]
    assert row["user_api_unique_key"] == "apikey:v1:aigc:image2image:image-synthesis:wanx2.1-imageedit"
    assert (await ask(room, f"{BASE}/tasks/?model_name=qwen-image")).json["total"] == 0
    for when in ("end_time=20200101000000", "start_time=20200101000000"):
        assert (await ask(room, f"{BASE}/tasks/?{when}")).json["total"] == 0


async def test_an_upscale_beyond_what_can_be_drawn_is_refused_with_the_submit(room: Room) -> None:
    """A few kilobytes of one colour would fill the memory of whoever draws them sixteen times as large."""
    given = {"prompt": "a hat", "function": "super_resolution", "base_image_url": data_url(file_of(size=(4200, 4200)))}
    assert (await submit(room, given, upscale_factor=1)).status == 200
    refused = await submit(room, given, upscale_factor=2)
    assert (refused.status, refused.json["code"]) == (400, "InvalidParameter")
    assert "8400*8400" in refused.json["message"]
