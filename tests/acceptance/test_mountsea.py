"""The task gateway's pages with plain curl, at both families of its paths: a task is submitted and polled, images are
links of ours, linked inputs are fetched in the task and nowhere else, every error has its status and is free."""

from __future__ import annotations

import io
import json
import re
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import pytest
from PIL import Image, ImageStat

from imageway.core.money import parse_usd
from imageway.dialects.mountsea.decode import FILE_BYTES
from tests.acceptance.test_omixa import curl
from tests.acceptance.tongues import by_light, picture, shelf
from tests.integration.processes import Answer, House, Process, call, clean_environment, wait_for

SUBMIT, RESULT = "/gemini/image/generate", "/gemini/task/result"
HUB, TASKS = "/hub/v1/image", "/hub/v1/tasks"
PLAIN = {"prompt": "a boat", "action": "generate"}
PAGE = {  # as it stands there, links to nowhere included
    "prompt": "A fluffy orange cat running through a sunny meadow",
    "action": "generate",
    "num_images": 1,
    "image_urls": ["https://example.com/image1.jpg", "https://example.com/image2.jpg"],
    "aspect_ratio": "1:1",
    "model": "nano-banana-fast",
    "resolution": "1K",
}
WORDS = {"pending", "ready", "assigned", "processing", "completed", "failed", "cancelled", "timeout"}
MEMBERS = ["taskId", "status", "result", "errorMessage", "errorCode", "error", "createdAt", "finishedAt", "traceId"]
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("mountsea")
    (folder / "imageway.toml").write_text(f'fetch_allow = ["{shelf().authority}"]\n')
    made = House(folder / "data", clean_environment(), ("--sandbox", "--config", str(folder / "imageway.toml")))
    made.fund("100")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


Ask = Callable[..., Answer]


@pytest.fixture
def submit(house: House, gateway: Process) -> Ask:
    def asked(*headers: str, **body: Any) -> Answer:
        return curl(gateway.url + SUBMIT, body, key=house.key, headers=headers)

    return asked


@pytest.fixture
def submit_hub(house: House, gateway: Process) -> Ask:
    def asked(model: str, *headers: str, **fields: Any) -> Answer:
        return curl(gateway.url + HUB, {"model": model, "input": fields}, key=house.key, headers=headers)

    return asked


@pytest.fixture
def result(house: House, gateway: Process) -> Callable[[str], Any]:
    """A task at its end, polled at the older path; on the way it is nothing that the page does not have."""

    def polled(task_id: str) -> Any:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            answer = curl(f"{gateway.url}{RESULT}?taskId={task_id}", key=house.key)
            assert answer.status == 200, answer.content
            assert list(answer.json) == MEMBERS
            assert answer.json["status"] in WORDS
            assert (answer.json["result"] is None) == (answer.json["status"] != "completed")
            if answer.json["finishedAt"] is not None:
                return answer.json
            assert answer.json["status"] in {"pending", "ready", "assigned", "processing"}
            time.sleep(0.05)
        raise AssertionError("it never ended")

    return polled


def ended(gateway: Process, house: House, receipt: Answer) -> Any:
    """The same at the newer path."""
    assert receipt.status == 200, receipt.content
    until = time.monotonic() + 60
    while time.monotonic() < until:
        answer = curl(f"{gateway.url}{TASKS}/{receipt.json['task_id']}", key=house.key)
        assert answer.status == 200, answer.content
        if answer.json["ready"]:
            assert answer.json["elapsed_ms"] >= 0
            return answer.json
        assert (answer.json["status"], answer.json["data"]) in (("pending", None), ("processing", None))
        time.sleep(0.05)
    raise AssertionError("it never ended")


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def drawn(task: Any) -> Image.Image:
    """The one image of a task that completed, read without a key."""
    assert task["status"] == "completed", task
    (link,) = task["result"]["imageUrls"]
    return opened(call(link).content)


def warned(answer: Answer) -> set[tuple[str, str]]:
    return {(each["code"], each["param"]) for each in json.loads(answer.headers.get("x-imageway-warnings", "[]"))}


def refusal(answer: Answer, status: int, code: str) -> Any:
    """An error in the one envelope."""
    assert answer.status == status, answer.content
    body = answer.json
    assert (body["statusCode"], body["errorCode"], body["error"]) == (status, status, code)
    assert body["message"] == body["errorMessage"]
    assert body["traceId"] == answer.headers["x-request-id"]
    return body


# The older path


def test_the_example_of_the_page(submit: Ask, result: Any, house: House) -> None:
    """Letter by letter it is accepted: with a resolution that the model does not have, which is told. Its links lead to
    nobody's pictures, so the task fails, and is free."""
    before = house.money()
    receipt = submit(**PAGE)
    assert receipt.status == 201
    assert list(receipt.json) == ["taskId"]
    assert warned(receipt) == {("parameter_ignored", "resolution")}
    task = result(receipt.json["taskId"])
    assert (task["status"], task["error"], task["errorCode"]) == ("failed", "invalid_image_url", 400)
    assert "image_urls[0]" in task["errorMessage"]
    wait_for(lambda: house.money() == before)


def test_a_task_becomes_a_link_for_a_day(submit: Ask, result: Any, house: House) -> None:
    before, now = house.money(), time.time()
    receipt = submit(**PLAIN)
    assert receipt.status == 201
    task = result(receipt.json["taskId"])
    assert drawn(task).size == (1024, 1024)
    assert (task["errorMessage"], task["errorCode"], task["traceId"]) == (None, None, receipt.headers["x-request-id"])
    assert task["createdAt"] <= task["finishedAt"]
    for at in ("createdAt", "finishedAt"):
        assert re.fullmatch(MOMENT, task[at])
    (link,) = task["result"]["imageUrls"]
    expires_s = int(parse_qs(urlsplit(link).query)["expires"][0])
    assert 86_400 - 60 <= expires_s - now <= 86_400 + 60
    assert call(link, key="sk-iw-test-nobodys").status == 200
    assert call(link.replace("signature=", "signature=0")).status == 403
    wait_for(lambda: house.money().held == 0)
    assert before.available - house.money().available == parse_usd("0.039")


@pytest.mark.parametrize(
    ("model", "fields", "ratio", "edge"),
    [
        ("nano-banana-fast", {"aspect_ratio": "21:9"}, 21 / 9, 1536),
        ("nano-banana-pro", {"aspect_ratio": "3:4", "resolution": "2K"}, 3 / 4, 2400),
        ("nano-banana-2", {"aspect_ratio": "8:1", "resolution": "1K"}, 8, 3072),
    ],
)
def test_ratios_and_resolutions_of_each_model(
    submit: Ask, result: Any, model: str, fields: dict[str, str], ratio: float, edge: int
) -> None:
    receipt = submit(**PLAIN, model=model, **fields)
    assert warned(receipt) == set()
    width, height = drawn(result(receipt.json["taskId"])).size
    assert abs(width / height / ratio - 1) < 0.05
    assert abs(max(width, height) / edge - 1) < 0.1


def plain(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (640, 640), colour).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("action", ["edit", "generate"])
def test_linked_images_are_edited_or_gone_by(submit: Ask, result: Any, action: str) -> None:
    """Fetched in the task; what is drawn has their colours."""
    means = []
    for colour in ((240, 20, 20), (20, 20, 240)):
        receipt = submit(prompt="a hat", action=action, image_urls=[shelf().put(plain(colour))])
        assert receipt.status == 201
        red, _, blue = ImageStat.Stat(drawn(result(receipt.json["taskId"])).convert("RGB")).mean
        means.append(red - blue)
    assert means[0] > 60
    assert means[1] < -60


def test_what_was_drawn_here_may_be_edited_next(submit: Ask, result: Any) -> None:
    """A link of ours is opened, not fetched: nobody has allowed this address."""
    first = result(submit(**PLAIN).json["taskId"])["result"]["imageUrls"]
    again = result(submit(prompt="a hat", action="edit", image_urls=first).json["taskId"])
    assert drawn(again).size == (1024, 1024)


# What a fetch may meet: the task fails, and is free


def padded(size: int) -> bytes:
    """A picture of exactly so many bytes."""
    small = picture(size=(64, 64))
    noise = size - len(small) - 12
    chunk = noise.to_bytes(4, "big") + b"prVt" + bytes(noise)
    return small[:33] + chunk + zlib.crc32(chunk[4:]).to_bytes(4, "big") + small[33:]


def test_a_file_may_have_ten_mebibytes(submit: Ask, result: Any) -> None:
    exact = padded(FILE_BYTES)
    assert len(exact) == FILE_BYTES
    receipt = submit(prompt="a hat", action="edit", image_urls=[shelf().put(exact)])
    assert result(receipt.json["taskId"])["status"] == "completed"


@pytest.mark.parametrize(
    ("link", "said"),
    [
        (lambda: shelf().put(padded(FILE_BYTES + 1)), "10,485,760"),
        (lambda: f"http://{shelf().authority}/none.png", "404"),
        (lambda: shelf().put(b"<html>no image</html>"), "not an image"),
        (lambda: "http://127.0.0.1:9/a.png", "image_urls[0]"),
        (lambda: "http://169.254.169.254/latest/meta-data", "image_urls[0]"),
        (lambda: "http://nowhere.invalid/a.png", "image_urls[0]"),
    ],
    ids=["too large", "absent", "no image", "own house", "metadata", "no such host"],
)
def test_a_link_that_cannot_be_had_ends_the_task_and_is_free(
    submit: Ask, result: Any, house: House, link: Callable[[], str], said: str
) -> None:
    before = house.money()
    receipt = submit(prompt="a hat", action="edit", image_urls=[link()])
    assert receipt.status == 201
    task = result(receipt.json["taskId"])
    assert (task["status"], task["error"], task["errorCode"]) == ("failed", "invalid_image_url", 400)
    assert said in task["errorMessage"]
    wait_for(lambda: house.money() == before)
    (row,) = [row for row in house.usage() if row["request_id"] == receipt.json["taskId"]]
    assert (row["outcome"], row["delivered"], row["price_usd"]) == ("failed", 0, "0.000000")


def test_a_refused_prompt_fails_and_is_free(submit: Ask, result: Any, house: House) -> None:
    before = house.money()
    task = result(submit(**PLAIN | {"prompt": "forbidden things"}).json["taskId"])
    assert (task["status"], task["error"], task["errorCode"]) == ("failed", "content_policy_violation", 400)
    wait_for(lambda: house.money() == before)


def test_a_failure_tells_nothing_of_the_provider(submit: Ask, result: Any, house: House) -> None:
    before = house.money()
    task = result(submit(**PLAIN | {"prompt": "sandbox-fault:error_500"}).json["taskId"])
    assert (task["status"], task["error"], task["errorCode"]) == ("failed", "bad_response", 502)
    assert "google" not in json.dumps(task).lower()
    wait_for(lambda: house.money() == before)


def test_an_answer_that_never_comes_is_a_timeout_and_free(submit: Ask, result: Any, house: House) -> None:
    """Cut after the submit, nobody knows what became of it."""
    before = house.money()
    task = result(submit(**PLAIN | {"prompt": "sandbox-fault:reset_before"}).json["taskId"])
    assert (task["status"], task["error"], task["errorCode"]) == ("timeout", "request_timeout", 504)
    wait_for(lambda: house.money() == before)


# Errors


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"num_images": 2}, "num_images", "invalid_value"),
        ({"num_images": 0}, "num_images", "invalid_value"),
        ({"action": "edit"}, "image_urls", "image_required"),
        ({"action": "edit", "image_urls": []}, "image_urls", "image_required"),
        ({"image_urls": ["ftp://pictures.example/a.png"]}, "image_urls[0]", "invalid_image_url"),
        ({"image_urls": ["data:image/png;base64,iVBORw0KGgo="]}, "image_urls[0]", "invalid_image_url"),
        ({"aspect_ratio": "1:4"}, "aspect_ratio", "invalid_value"),
        ({"aspect_ratio": "8:1", "model": "nano-banana-pro"}, "aspect_ratio", "invalid_value"),
        ({"aspect_ratio": "7:5", "model": "nano-banana-2"}, "aspect_ratio", "invalid_value"),
        ({"model": "nano-banana-9"}, "model", "model_not_found"),
        ({"action": "draw"}, "action", "invalid_value"),
        ({"resolution": "8K", "model": "nano-banana-2"}, "resolution", "invalid_value"),
        ({"prompt": None}, "prompt", "missing_required_parameter"),
        ({"action": None}, "action", "missing_required_parameter"),
        ({"image_urls": [f"https://pictures.example/{n}.png" for n in range(4)]}, "image_urls[3]", "too_many_images"),
    ],
    ids=lambda each: json.dumps(each)[:60] if isinstance(each, dict) else "",
)
def test_what_is_wrong_is_a_400_before_anything_is_held(
    submit: Ask, house: House, fields: dict[str, Any], param: str, code: str
) -> None:
    before, booked = house.money(), len(house.usage())
    body = refusal(submit(**PLAIN | fields), 400, code)
    assert [each["param"] for each in body["details"]] == [param]
    assert len(body["errorMessage"]) > 20
    assert (house.money(), len(house.usage())) == (before, booked)


def test_everything_wrong_is_told_at_once_what_the_model_finds_too(submit: Ask) -> None:
    links = [f"https://pictures.example/{n}.png" for n in range(4)]
    body = refusal(submit(num_images=3, image_urls=links, aspect_ratio="1:8"), 400, "invalid_value")
    found = {each["param"]: each["code"] for each in body["details"]}
    assert found == {
        "num_images": "invalid_value",
        "aspect_ratio": "invalid_value",
        "prompt": "missing_required_parameter",
        "action": "missing_required_parameter",
        "image_urls[3]": "too_many_images",
    }
    assert body["errorMessage"].count("\n") == len(found) - 1
    unknown = refusal(submit(prompt="a boat", model="nano-banana-9", action="draw"), 400, "invalid_value")
    assert {each["param"] for each in unknown["details"]} == {"action", "model"}


@pytest.mark.parametrize("path", [SUBMIT, HUB])
def test_what_is_no_json_is_a_400(house: House, gateway: Process, path: str) -> None:
    for content in (b"{", b"", b"[]", b'"a boat"', b"\xff"):
        answer = call(gateway.url + path, content, key=house.key)
        assert (answer.status, answer.json["statusCode"]) == (400, 400), content


@pytest.mark.parametrize("path", [SUBMIT, f"{RESULT}?taskId=req_1", HUB, f"{TASKS}/req_1"])
def test_a_key_that_is_missing_or_wrong_is_a_401(gateway: Process, path: str) -> None:
    body = PLAIN if path in (SUBMIT, HUB) else None
    for headers in ({}, {"authorization": "Bearer sk-iw-test-nobodys"}, {"x-api-key": "sk-iw-test-nobodys"}):
        answer = call(gateway.url + path, body, headers=headers)
        refusal(answer, 401, "invalid_api_key")
        assert "www-authenticate" in answer.headers


def test_a_wallet_too_low_is_a_402_when_the_task_is_submitted(house: House, gateway: Process) -> None:
    poor = house.key_for("poor", "0.01")
    for path, body in ((SUBMIT, PLAIN), (HUB, {"model": "nano-banana", "input": {"prompt": "a boat"}})):
        refusal(curl(gateway.url + path, body, key=poor), 402, "insufficient_balance")
    assert (house.money("poor").available, house.money("poor").held) == (10_000, 0)


def test_a_model_that_the_key_may_not_use_is_a_403(house: House, gateway: Process) -> None:
    kept = house.key_for("narrow", "1", models=("gpt-image-*",))
    refusal(curl(gateway.url + SUBMIT, PLAIN, key=kept), 403, "model_not_allowed")
    assert curl(gateway.url + HUB, {"model": "gpt-image-2", "input": {"prompt": "a boat"}}, key=kept).status == 200


def test_foreign_and_unknown_tasks_are_both_404(house: House, gateway: Process, submit: Ask, result: Any) -> None:
    task_id = submit(**PLAIN).json["taskId"]
    result(task_id)
    stranger = house.key_for("stranger")
    for place in (f"{RESULT}?taskId=", f"{TASKS}/"):
        foreign = refusal(curl(f"{gateway.url}{place}{task_id}", key=stranger), 404, "task_not_found")
        unknown_id = "req_0" + task_id[5:]
        unknown = refusal(curl(f"{gateway.url}{place}{unknown_id}", key=stranger), 404, "task_not_found")
        assert foreign["message"].replace(task_id, "") == unknown["message"].replace(unknown_id, "")
        assert curl(f"{gateway.url}{place}{task_id}", key=house.key).status == 200


def test_a_poll_names_its_task(house: House, gateway: Process) -> None:
    for query in ("", "?taskId=", "?taskid=req_1"):
        body = refusal(curl(f"{gateway.url}{RESULT}{query}", key=house.key), 400, "missing_required_parameter")
        assert body["details"][0]["param"] == "taskId"


def test_other_paths_and_methods_are_refused_in_the_same_envelope(house: House, gateway: Process) -> None:
    for path in ("/gemini/video/generate", "/hub/v1/video", "/hub/v1/tasks/"):
        refusal(curl(gateway.url + path, {}, key=house.key), 404, "not_found")
    answer = curl(gateway.url + SUBMIT, key=house.key)
    refusal(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_a_key_of_the_callers_own_buys_once(submit: Ask, result: Any, house: House) -> None:
    first = submit("Idempotency-Key: boat-1", **PLAIN)
    assert result(first.json["taskId"])["status"] == "completed"
    booked = len(house.usage())
    again = submit("Idempotency-Key: boat-1", **PLAIN)
    assert (again.status, again.json) == (201, first.json)
    refusal(submit("Idempotency-Key: boat-1", **PLAIN | {"prompt": "a ship"}), 422, "idempotency_key_reused")
    assert len(house.usage()) == booked


def test_strictly_the_pages_example_is_a_400(submit: Ask) -> None:
    body = refusal(submit("Imageway-Strict: 1", **PAGE), 400, "parameter_ignored")
    assert body["details"][0]["param"] == "resolution"


def test_a_deadline_is_read(submit: Ask, result: Any) -> None:
    assert refusal(submit("Imageway-Deadline: soon", **PLAIN), 400, "invalid_value")
    assert result(submit("Imageway-Deadline: 60", **PLAIN).json["taskId"])["status"] == "completed"


def test_a_task_is_the_same_at_every_path(submit: Ask, result: Any, house: House, gateway: Process) -> None:
    """At both families of paths, and at the unified endpoint, which also lists and cancels."""
    task_id = submit(**PLAIN).json["taskId"]
    older = result(task_id)
    newer = curl(f"{gateway.url}{TASKS}/{task_id}", key=house.key).json
    unified = curl(f"{gateway.url}/v1/tasks/{task_id}", key=house.key).json
    assert [each["url"] for each in newer["data"]["images"]] == older["result"]["imageUrls"]
    assert unified["data"][0]["url"] == older["result"]["imageUrls"][0]
    assert (newer["status"], newer["model"], unified["status"]) == ("completed", "nano-banana", "succeeded")


def test_images_that_were_deleted_are_told(submit: Ask, result: Any, house: House, gateway: Process) -> None:
    task_id = submit(**PLAIN).json["taskId"]
    (link,) = result(task_id)["result"]["imageUrls"]
    name = urlsplit(link).path.rpartition("/")[2]
    assert delete(f"{gateway.url}/v1/images/{name}", house.key) in (200, 204)
    task = result(task_id)
    assert (task["status"], task["result"], task["errorCode"]) == ("completed", {"imageUrls": []}, 410)


def delete(url: str, key: str) -> int:
    with urlopen(Request(url, headers={"authorization": f"Bearer {key}"}, method="DELETE"), timeout=20) as reply:
        return int(reply.status)


# The newer paths


def test_the_example_of_the_newer_page(submit_hub: Ask, house: House, gateway: Process) -> None:
    receipt = submit_hub(
        "nano-banana",
        prompt="a black lab in a pool",
        num_images=1,
        aspect_ratio="1:1",
        output_format="png",
        safety_tolerance="4",
    )
    about = receipt.json
    assert about.pop("task_id") == receipt.headers["x-request-id"]
    assert re.fullmatch(MOMENT, about.pop("created_at"))
    assert about == {
        "status": "pending",
        "capability": "image",
        "model": "nano-banana",
        "vendor": "Google",
        "mode": "text-to-image",
    }
    assert warned(receipt) == {("parameter_ignored", "input.safety_tolerance")}
    task = ended(gateway, house, receipt)
    (image,) = task["data"]["images"]
    assert (image["content_type"], image["width"], image["height"]) == ("image/png", 1024, 1024)
    assert opened(call(image["url"]).content).size == (1024, 1024)


def test_several_images_cost_as_many_times_as_much(submit_hub: Ask, house: House, gateway: Process) -> None:
    before = house.money()
    receipt = submit_hub("nano-banana-2", prompt="a boat", num_images=3, aspect_ratio="4:3", output_format="webp")
    task = ended(gateway, house, receipt)
    sizes = {opened(call(each["url"]).content).size for each in task["data"]["images"]}
    assert (len(task["data"]["images"]), len(sizes)) == (3, 1)
    assert {each["content_type"] for each in task["data"]["images"]} == {"image/webp"}
    wait_for(lambda: house.money().held == 0)
    assert before.available - house.money().available == 3 * parse_usd("0.067")


def test_an_edit_keeps_what_its_mask_keeps(submit_hub: Ask, house: House, gateway: Process) -> None:
    square = (1024, 1024)
    mask = Image.new("RGBA", square, (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 512, 1024))
    file = io.BytesIO()
    mask.save(file, "PNG")
    receipt = submit_hub(
        "gpt-image-2-edit",
        prompt="a hat",
        image_urls=[shelf().put(picture(size=square))],
        mask_url=shelf().put(by_light(file.getvalue())),
        image_size={"width": 1024, "height": 1024},
        quality="low",
    )
    assert (receipt.json["mode"], receipt.json["model"], receipt.json["vendor"]) == (
        "image-to-image",
        "gpt-image-2-edit",
        "OpenAI",
    )
    task = ended(gateway, house, receipt)
    assert task | receipt.json == task | {"status": "pending"}  # the poll says all that the receipt did
    image = opened(call(task["data"]["images"][0]["url"]).content).convert("RGB")
    assert image.size == square
    assert image.crop((700, 300, 1000, 700)).getcolors(1) == [(300 * 400, (40, 90, 200))]
    assert image.crop((0, 300, 400, 700)).getcolors(1) is None


@pytest.mark.parametrize(
    ("model", "fields", "param", "code"),
    [
        ("nano-banana-edit", {}, "input.image_urls", "image_required"),
        ("gpt-image-2-edit", {"image_urls": []}, "input.image_urls", "image_required"),
        ("nano-banana", {"num_images": 11}, "input.num_images", "invalid_value"),
        ("nano-banana", {"aspect_ratio": "1:8"}, "input.aspect_ratio", "invalid_value"),
        ("nano-banana", {"output_format": "gif"}, "input.output_format", "invalid_value"),
        ("nano-banana", {"image_urls": ["pictures.example/a.png"]}, "input.image_urls[0]", "invalid_image_url"),
        ("nano-banana-9", {}, "model", "model_not_found"),
        ("veo-3.1-fast", {}, "model", "model_not_found"),
    ],
)
def test_what_is_wrong_there_is_a_400_too(
    submit_hub: Ask, house: House, model: str, fields: dict[str, Any], param: str, code: str
) -> None:
    before = house.money()
    body = refusal(submit_hub(model, prompt="a boat", **fields), 400, code)
    assert [each["param"] for each in body["details"]] == [param]
    assert house.money() == before


def test_a_task_that_failed_says_so_in_the_newer_words(submit_hub: Ask, house: House, gateway: Process) -> None:
    before = house.money()
    task = ended(
        gateway, house, submit_hub("nano-banana-edit", prompt="a hat", image_urls=["http://127.0.0.1:9/a.png"])
    )
    assert (task["status"], task["data"], task["error_code"]) == ("failed", None, 400)
    assert "input.image_urls[0]" in task["error_message"]
    wait_for(lambda: house.money() == before)
