"""The official dashscope SDK, pointed at the gateway by its base URL: both of its generations, every way to ask for
images, any model behind them, its own answer or exception for every error, and nothing bought twice."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dashscope
import pytest
from dashscope.aigc.image_generation import ImageGeneration
from dashscope.aigc.image_synthesis import AioImageSynthesis
from dashscope.api_entities.aio_session import close_shared_aio_session
from dashscope.common.error import InvalidTask, UploadFileException
from dashscope.v2 import errors
from PIL import Image

from imageway.core.money import parse_usd
from tests.integration.processes import Answer, House, Process, call, clean_environment, start, wait_for

SIZES = {
    "qwen-image-max": ("1328*1328", (1328, 1328)),
    "gpt-image-1-mini": ("1536*1024", (1536, 1024)),
    "gemini-2.5-flash-image": ("16:9", (1344, 768)),
    "doubao-seedream-4-0-250828": ("2048*1024", (2048, 1024)),
}
EDITORS = ("qwen-image-edit-plus", "gpt-image-1-mini", "gemini-2.5-flash-image", "doubao-seedream-4-0-250828")
SLOW = threading.Event()


class Slow(BaseHTTPRequestHandler):
    """A picture that does not come before it is told to."""

    def do_GET(self) -> None:
        SLOW.wait(20)
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def slow() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/slow.png"
    SLOW.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, slow: str) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("dashscope-sdk")
    settings = folder / "imageway.toml"
    settings.write_text(f'fetch_allow = ["{urlsplit(slow).netloc}"]\n')
    made = House(folder / "data", clean_environment(), ("--sandbox", "--config", str(settings)))
    made.fund("100")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture(autouse=True)
def pointed(gateway: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base URL is all that is changed. The SDK honours proxies of the environment; loopback has no use for one."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{gateway.url}/api/v1")


@pytest.fixture
async def aio() -> AsyncIterator[None]:
    """The SDK keeps connections open for as long as its process lives."""
    yield
    await close_shared_aio_session()


@pytest.fixture
def cat(tmp_path: Path) -> str:
    """A local picture, by the name that the SDK uploads it under."""
    path = tmp_path / "a cat 猫.png"
    Image.new("RGB", (640, 480), "orange").save(path)
    return f"file://{path}"


def opened(url: str) -> Image.Image:
    image = Image.open(io.BytesIO(call(url).content))
    image.load()
    return image


def say(*content: dict[str, str]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


def ask(house: House, model: str, *content: dict[str, str], **fields: Any) -> Any:
    made = content or ({"text": "a boat"},)
    return dashscope.MultiModalConversation.call(api_key=house.key, model=model, messages=say(*made), **fields)


def pictures_of(answer: Any) -> list[Image.Image]:
    """Of a conversation's answer, each decoded to its last pixel."""
    assert answer.status_code == 200, answer
    return [opened(part["image"]) for part in answer.output.choices[0].message.content]


def results_of(answer: Any) -> list[Image.Image]:
    """Of a task's answer."""
    assert (answer.status_code, answer.output.task_status) == (200, "SUCCEEDED"), answer
    assert answer.usage["image_count"] == len(answer.output.results)
    return [opened(result.url) for result in answer.output.results]


# Conversations: at once


@pytest.mark.parametrize("model", SIZES)
def test_a_conversation_draws_with_every_family(house: House, model: str) -> None:
    """The picture has the size asked for, and costs what is booked."""
    size, pixels = SIZES[model]
    before = house.money().spent
    answer = ask(house, model, size=size, n=2, prompt_extend=True)
    assert [picture.size for picture in pictures_of(answer)] == [pixels, pixels]
    assert (answer.usage.image_count, answer.usage.width, answer.usage.height) == (2, *pixels)
    assert answer.output.task_metric == {"TOTAL": 2, "SUCCEEDED": 2, "FAILED": 0}
    assert answer.headers["x-request-id"] == answer.request_id
    assert answer.headers["x-imageway-sandbox"] == "true"
    row = house.usage()[0]
    assert (row["request_id"], row["model"], row["delivered"]) == (answer.request_id, model, 2)
    assert house.money().spent - before == parse_usd(row["price_usd"]) > 0


@pytest.mark.parametrize("model", EDITORS)
def test_a_conversation_edits_a_local_file_with_every_family(house: House, model: str, cat: str) -> None:
    """The SDK asks for a policy, posts the file as a form, and names it in the request."""
    before = house.money().spent
    (picture,) = pictures_of(ask(house, model, {"image": cat}, {"text": "make it blue"}, n=1))
    assert min(picture.size) >= 512
    assert house.money().spent > before


def test_inputs_come_as_links_data_urls_and_files(house: House, cat: str) -> None:
    drawn = ask(house, "qwen-image-max", size="1328*1328")
    link = drawn.output.choices[0].message.content[0]["image"]
    tiny = io.BytesIO()
    Image.new("RGB", (400, 400), "green").save(tiny, "JPEG")
    data = "data:image/jpeg;base64," + base64.b64encode(tiny.getvalue()).decode()
    answer = ask(
        house,
        "qwen-image-edit-plus",
        {"image": link},
        {"image": data},
        {"image": cat},
        {"text": "all three of them"},
        size="1024*1536",
    )
    assert pictures_of(answer)[0].size == (1024, 1536)


def test_a_conversation_of_several_turns(house: House) -> None:
    drawn = ask(house, "gemini-2.5-flash-image")
    turns = [
        *say({"text": "a boat"}),
        {"role": "assistant", "content": [{"image": drawn.output.choices[0].message.content[0]["image"]}]},
        *say({"text": "make it red"}),
    ]
    answer = dashscope.MultiModalConversation.call(api_key=house.key, model="gemini-2.5-flash-image", messages=turns)
    assert len(pictures_of(answer)) == 1


def test_what_was_not_honoured_is_told_in_a_header(house: House) -> None:
    answer = ask(house, "doubao-seedream-4-5-251128", size="1024*1024", style="<anime>", enable_thinking=True)
    assert pictures_of(answer)[0].size == (2048, 2048)
    told = {warning["param"] for warning in json.loads(answer.headers["x-imageway-warnings"])}
    assert told == {"parameters.size", "parameters.style", "parameters.enable_thinking"}


def test_a_stream_is_one_answer(house: House) -> None:
    """Images have no events in this API; the SDK takes the plain answer for the only one."""
    answers = list(ask(house, "qwen-image-max", stream=True))
    assert len(answers) == 1
    assert len(pictures_of(answers[0])) == 1


async def test_the_asynchronous_class_converses(house: House, cat: str, aio: None) -> None:
    calls = [
        dashscope.AioMultiModalConversation.call(api_key=house.key, model="qwen-image-edit-plus", messages=said)
        for said in (say({"image": cat}, {"text": "one"}), say({"image": cat}, {"text": "two"}))
    ]
    for answer in await asyncio.gather(*calls):
        assert len(await asyncio.to_thread(pictures_of, answer)) == 1


# Tasks


@pytest.mark.parametrize("model", ["qwen-image-plus", "gpt-image-1-mini"])
def test_a_synthesis_is_submitted_and_waited_for(house: House, model: str) -> None:
    before = house.money().spent
    answer = dashscope.ImageSynthesis.call(api_key=house.key, model=model, prompt="a boat", n=2, negative_prompt="fog")
    assert len(results_of(answer)) == 2
    assert answer.output.task_metrics == {"TOTAL": 2, "SUCCEEDED": 2, "FAILED": 0}
    assert answer.output.submit_time <= answer.output.scheduled_time <= answer.output.end_time
    assert house.money().spent - before == parse_usd(house.usage()[0]["price_usd"]) > 0


def test_a_task_is_submitted_fetched_waited_for_and_listed(house: House) -> None:
    synthesis, key = dashscope.ImageSynthesis, house.key
    receipt = synthesis.async_call(api_key=key, model="qwen-image-plus", prompt="a dog", size="1664*928")
    assert receipt.output.task_status == "PENDING"
    assert receipt.request_id == receipt.output.task_id
    fetched = synthesis.fetch(receipt, api_key=key)
    assert fetched.output.task_status in ("PENDING", "RUNNING")
    done = synthesis.wait(receipt, api_key=key)
    assert results_of(done)[0].size == (1664, 928)
    assert synthesis.fetch(receipt.output.task_id, api_key=key).output.task_status == "SUCCEEDED"
    listed = synthesis.list(api_key=key, status="SUCCEEDED", model_name="qwen-image-plus", page_size=1)
    (row,) = listed.output["data"]
    assert (row["task_id"], row["model_name"], row["status"]) == (
        receipt.output.task_id,
        "qwen-image-plus",
        "SUCCEEDED",
    )
    assert row["gmt_create"] <= row["start_time"] <= row["end_time"]
    assert listed.output["total_page"] == listed.output["total"] >= 1
    assert synthesis.list(api_key=key, page_no=1000).output["data"] == []
    assert synthesis.list(api_key=house.key_for("other"), page_size=100).output["total"] == 0


def test_what_has_not_begun_can_be_cancelled_and_costs_nothing(house: House, slow: str) -> None:
    """It waits for an input that does not come."""
    synthesis, key, before = dashscope.ImageSynthesis, house.key, house.money().spent
    receipt = synthesis.async_call(
        api_key=key, model="qwen-image-edit-plus", prompt="blue", base_image_url=slow, task="image2image"
    )
    cancelled = synthesis.cancel(receipt, api_key=key)
    assert (cancelled.status_code, cancelled.request_id[:4]) == (200, "req_")
    assert synthesis.wait(receipt, api_key=key).output.task_status == "CANCELED"
    assert (house.money().held, house.money().spent) == (0, before)


def test_what_was_sent_can_not_be_cancelled_any_more(house: House) -> None:
    synthesis, key = dashscope.ImageSynthesis, house.key
    receipt = synthesis.async_call(api_key=key, model="qwen-image-plus", prompt="a boat sandbox-fault:slow")
    task = receipt.output.task_id
    wait_for(lambda: synthesis.fetch(task, api_key=key).output.task_status == "RUNNING")
    time.sleep(0.3)
    late = synthesis.cancel(task, api_key=key)
    assert (late.status_code, late.code) == (400, "UnsupportedOperation")
    assert len(results_of(synthesis.wait(task, api_key=key))) == 1
    assert synthesis.cancel(task, api_key=key).code == "UnsupportedOperation"


def test_tasks_of_others_and_tasks_that_never_were_are_alike(house: House) -> None:
    synthesis = dashscope.ImageSynthesis
    receipt = synthesis.async_call(api_key=house.key, model="qwen-image-plus", prompt="a boat")
    stranger = house.key_for("stranger")
    for task, key in ((receipt.output.task_id, stranger), ("0385dc79-5ff8-4d82-bcb6-000000000001", house.key)):
        assert synthesis.fetch(task, api_key=key).output.task_status == "UNKNOWN"
        assert synthesis.cancel(task, api_key=key).code == "UnsupportedOperation"
    assert len(results_of(synthesis.wait(receipt, api_key=house.key))) == 1


def test_a_refused_prompt_is_a_failed_task_and_free(house: House) -> None:
    before = house.money().spent
    answer = dashscope.ImageSynthesis.call(api_key=house.key, model="qwen-image-plus", prompt="forbidden things")
    assert (answer.status_code, answer.output.task_status) == (200, "FAILED")
    assert answer.output.code == "DataInspectionFailed"
    assert answer.output.task_metrics == {"TOTAL": 1, "SUCCEEDED": 0, "FAILED": 1}
    assert house.money().spent == before


def test_what_did_not_come_is_an_item_with_a_code(house: House) -> None:
    answer = dashscope.ImageSynthesis.call(
        api_key=house.key,
        model="doubao-seedream-4-0-250828",
        prompt="four seasons forbidden-output:2",
        n=3,
        enable_sequential=True,
    )
    assert answer.output.task_status == "SUCCEEDED"
    assert answer.output.task_metrics == {"TOTAL": 3, "SUCCEEDED": 2, "FAILED": 1}
    first, second, lost = answer.output.results
    assert opened(first.url).size == opened(second.url).size
    assert (lost.code, lost.url) == ("DataInspectionFailed", "")
    assert answer.usage["image_count"] == 2


def test_an_edit_is_a_task_of_its_own_path(house: House, cat: str) -> None:
    answer = dashscope.ImageSynthesis.call(
        api_key=house.key,
        model="qwen-image-edit-plus",
        prompt="make it blue",
        task="image2image",
        function="description_edit",
        base_image_url=cat,
    )
    assert len(results_of(answer)) == 1


def test_a_generation_of_messages_is_a_task(house: House) -> None:
    answer = ImageGeneration.async_call(
        model="qwen-image-3.0", api_key=house.key, messages=say({"text": "a boat"}), n=1
    )
    assert answer.output.task_status == "PENDING"
    done = ImageGeneration.wait(answer, api_key=house.key)
    assert done.output.task_status == "SUCCEEDED"
    assert opened(done.output.choices[0].message.content[0]["image"]).size == (2048, 2048)
    once = ImageGeneration.call(model="qwen-image-max", api_key=house.key, messages=say({"text": "a boat"}))
    assert len(pictures_of(once)) == 1


async def test_the_asynchronous_class_polls_with_a_slash_and_parameters_that_leak(house: House, aio: None) -> None:
    key = house.key
    answer = await AioImageSynthesis.call(
        api_key=key, model="qwen-image-plus", prompt="a boat", size="1328*1328", n=1, prompt_extend=False
    )
    (picture,) = await asyncio.to_thread(results_of, answer)
    assert picture.size == (1328, 1328)
    receipt = await AioImageSynthesis.async_call(api_key=key, model="qwen-image-plus", prompt="a boat")
    fetched = await AioImageSynthesis.fetch(receipt, api_key=key)
    assert fetched.output.task_status in ("PENDING", "RUNNING")
    late = await AioImageSynthesis.wait(receipt, api_key=key)
    assert late.output.task_status == "SUCCEEDED"
    refused = await AioImageSynthesis.cancel(receipt, api_key=key)
    assert (refused.status_code, refused.code) == (400, "UnsupportedOperation")
    listed = await AioImageSynthesis.list(api_key=key, page_size=2)
    assert len(listed.output["data"]) == 2


# Uploads


def post(gateway: Process, house: House, image: str, *, key: str | None = None) -> Answer:
    body = {"model": "qwen-image-edit-plus", "input": {"messages": say({"image": image}, {"text": "blue"})}}
    resolve = {"x-dashscope-ossresourceresolve": "enable"}
    url = f"{gateway.url}/api/v1/services/aigc/multimodal-generation/generation"
    return call(url, body, key=key or house.key, headers=resolve)


def uploaded(house: House, gateway: Process, path: str) -> str:
    from dashscope.utils.oss_utils import OssUtils

    name, _ = OssUtils.upload("qwen-image-edit-plus", path, house.key, base_address=f"{gateway.url}/api/v1")
    return str(name)


def test_an_upload_may_be_named_by_its_own_workspace_alone(house: House, gateway: Process, cat: str) -> None:
    name = uploaded(house, gateway, cat.removeprefix("file://"))
    assert name.startswith("oss://")
    assert post(gateway, house, name).status == 200
    refused = post(gateway, house, name, key=house.key_for("thief", "5"))
    assert (refused.status, refused.json["code"]) == (415, "BadRequest.InputDownloadFailed")
    assert post(gateway, house, name + "x").status == 415


def test_only_whole_images_are_taken(house: House, tmp_path: Path) -> None:
    page, cut = tmp_path / "page.png", tmp_path / "cut.png"
    page.write_bytes(b"<html></html>")
    Image.new("RGB", (64, 64)).save(cut)
    cut.write_bytes(cut.read_bytes()[:-8])
    for path in (page, cut):
        with pytest.raises(UploadFileException, match="InvalidParameter"):
            ask(house, "qwen-image-edit-plus", {"image": f"file://{path}"}, {"text": "blue"})


def test_no_key_no_upload(cat: str) -> None:
    with pytest.raises(UploadFileException, match="InvalidApiKey"):
        dashscope.MultiModalConversation.call(
            api_key="sk-iw-wrong", model="qwen-image-edit-plus", messages=say({"image": cat}, {"text": "blue"})
        )


# Errors


def test_a_bad_key_is_the_sdks_own_answer_or_exception() -> None:
    answer = dashscope.MultiModalConversation.call(
        api_key="sk-iw-wrong", model="qwen-image-max", messages=say({"text": "a boat"})
    )
    assert (answer.status_code, answer.code) == (401, "InvalidApiKey")
    with pytest.raises(InvalidTask, match="InvalidApiKey"):
        dashscope.ImageSynthesis.call(api_key="sk-iw-wrong", model="qwen-image-plus", prompt="a boat")


BAD = {
    "parameters": ({"n": 11, "size": "1K*"}, 400, "InvalidParameter"),
    "the model's": ({"negative_prompt": "x" * 501, "seed": -5}, 400, "InvalidParameter"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_told_whole_and_costs_nothing(house: House, what: str) -> None:
    fields, status, code = BAD[what]
    before = len(house.usage())
    answer = ask(house, "qwen-image-max", **fields)
    assert (answer.status_code, answer.code) == (status, code), answer
    assert len(answer.message.splitlines()) == 2
    assert len(house.usage()) == before


def test_an_unknown_model_and_one_not_allowed(house: House) -> None:
    unknown = ask(house, "qwen-imge")
    assert (unknown.status_code, unknown.code) == (404, "ModelNotFound")
    assert "qwen-image" in unknown.message
    key = house.key_for("w", models=("gpt-*",))
    refused = dashscope.MultiModalConversation.call(
        api_key=key, model="qwen-image-max", messages=say({"text": "a boat"})
    )
    assert (refused.status_code, refused.code) == (403, "Model.AccessDenied")


def test_no_money(house: House) -> None:
    key = house.key_for("poor")
    answer = dashscope.MultiModalConversation.call(
        api_key=key, model="qwen-image-max", messages=say({"text": "a boat"})
    )
    assert (answer.status_code, answer.code) == (400, "Arrearage")
    submitted = dashscope.ImageSynthesis.async_call(api_key=key, model="qwen-image-plus", prompt="a boat")
    assert (submitted.status_code, submitted.code) == (400, "Arrearage")


def test_a_synthesis_is_never_synchronous(house: House) -> None:
    refused = dashscope.ImageSynthesis.sync_call(api_key=house.key, model="qwen-image-plus", prompt="a boat")
    assert (refused.status_code, refused.code) == (403, "AccessDenied")
    assert "does not support synchronous calls" in refused.message


def test_a_refused_prompt_is_a_400(house: House) -> None:
    answer = ask(house, "qwen-image-max", {"text": "forbidden things"})
    assert (answer.status_code, answer.code) == (400, "DataInspectionFailed")


# The client of the SDK's second generation


@pytest.fixture
def client(house: House, gateway: Process) -> Iterator[Any]:
    made = dashscope.Client(api_key=house.key, base_url=f"{gateway.url}/api/v1", max_retries=1)
    yield made
    made.close()


def test_the_newer_client_generates_lists_and_cancels(client: Any) -> None:
    job = client.images.generate(model="qwen-image-plus", prompt="a boat", size="1328x1328", poll_interval=0.3)
    assert (job.status, [opened(url).size for url in job.image_urls]) == ("SUCCEEDED", [(1328, 1328)])
    found = client.images.jobs.list(page_size=3)
    (task,) = [task for task in found.tasks if task.task_id == job.task_id]
    assert (task.status, task.submitted_at, task.finished_at) == ("SUCCEEDED", job.submitted_at, job.finished_at)
    with pytest.raises(errors.BadRequestError) as refused:
        client.images.jobs.cancel(job.task_id)
    assert refused.value.code == "UnsupportedOperation"
    assert client.images.jobs.fetch("no-such-task").status == "UNKNOWN"


def test_the_newer_client_uploads_files(client: Any, cat: str) -> None:
    """By the path of messages, which is where it sends models of this name."""
    edit = {"base_image_url": cat, "function": "description_edit"}
    job = client.images.generate(model="qwen-image-edit-plus", prompt="blue", extra_input=edit, poll_interval=0.3)
    assert len(job.image_urls) == 1


@pytest.mark.parametrize(
    ("fields", "error", "code"),
    [
        ({"model": "qwen-imge"}, errors.NotFoundError, "ModelNotFound"),
        ({"n": 11}, errors.BadRequestError, "InvalidParameter"),
        ({"api_key": "sk-iw-wrong"}, errors.AuthenticationError, "InvalidApiKey"),
        ({"prompt": "forbidden things"}, errors.ContentFilterError, "DataInspectionFailed"),
    ],
)
def test_the_newer_client_raises_its_own_exceptions(
    client: Any, fields: dict[str, Any], error: type[Exception], code: str
) -> None:
    asked = {"model": "qwen-image-plus", "prompt": "a boat", "poll_interval": 0.3} | fields
    with pytest.raises(error) as refused:
        client.images.generate(**asked)
    told: Any = refused.value
    assert told.code == code
    assert told.request_id.startswith("req_")


def test_the_newer_client_learns_of_an_empty_wallet(client: Any, house: House) -> None:
    with pytest.raises(errors.PermissionDeniedError) as refused:
        client.images.generate(model="qwen-image-plus", prompt="a boat", api_key=house.key_for("poorer"))
    assert refused.value.code == "Arrearage"


FAULTS = {
    "rate_limit_bare": (errors.RateLimitError, "Throttling.RateQuota", 2),
    "reset_after": (errors.InternalServerError, "InternalError.Timeout", 1),
    "html": (errors.InternalServerError, "InternalError.Algo", 1),
    "empty": (errors.InternalServerError, "InternalError.Algo", 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_newer_client_sends_again_only_where_nothing_can_have_been_made(
    client: Any, house: House, fault: str
) -> None:
    """It resends every 429 and 5xx by itself, and would buy again; `x-should-retry: false` stops it."""
    error, code, requests = FAULTS[fault]
    before, spent = len(house.usage()), house.money().spent
    body = {"model": "qwen-image-max", "input": {"messages": say({"text": f"sandbox-fault:{fault}"})}}
    path = "/services/aigc/multimodal-generation/generation"
    with pytest.raises(error) as failed:
        errors.check_response(client.transport.request("POST", path, json=body))
    assert failed.value.code == code
    assert len(house.usage()) == before + requests
    assert house.money().spent == spent


# The same SDK against the pretend provider itself


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = start(["sandbox", "--port", "0"], tmp_path_factory.mktemp("sandbox") / "log", clean_environment())
    yield process
    process.kill()


def test_the_sandbox_takes_local_files_and_edits(sandbox: Process, monkeypatch: pytest.MonkeyPatch, cat: str) -> None:
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{sandbox.url}/dashscope/api/v1")
    answer = dashscope.MultiModalConversation.call(
        api_key="sk-test-1", model="qwen-image-edit-plus", messages=say({"image": cat}, {"text": "make it blue"})
    )
    assert len(pictures_of(answer)) == 1
    edited = dashscope.ImageSynthesis.call(
        api_key="sk-test-1",
        model="wanx2.1-imageedit",
        prompt="make it blue",
        function="description_edit",
        base_image_url=cat,
    )
    assert results_of(edited)[0].size == (640, 480)
    listed = dashscope.ImageSynthesis.list(api_key="sk-test-1", model_name="wanx2.1-imageedit")
    assert [row["status"] for row in listed.output["data"]] == ["SUCCEEDED"]
