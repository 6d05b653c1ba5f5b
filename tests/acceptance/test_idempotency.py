"""One Idempotency-Key, one purchase, in every dialect: the same request again gets the same images, whatever became of
the connection meanwhile; another request under the key is told what differs; what failed may be asked for again."""

from __future__ import annotations

import base64
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import openai
import pytest

from tests.acceptance.tongues import TONGUES, Order, Tongue, events_of, picture, shelf
from tests.integration.processes import (
    CRASHES,
    Answer,
    House,
    Process,
    assert_told,
    call,
    clean_environment,
    wait_for,
)

GPT, GEMINI, SEEDREAM = "gpt-image-1-mini", "gemini-2.5-flash-image", "doubao-seedream-4-0-250828"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("idempotency")
    (folder / "imageway.toml").write_text(f'fetch_allow = ["{shelf().authority}"]\n')
    made = House(folder / "data", clean_environment(), ("--sandbox", "--config", str(folder / "imageway.toml")))
    made.fund("100")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture(autouse=True)
def well(gateway: Process) -> Iterator[None]:
    """Whatever was asked, the gateway crashed nowhere."""
    yield
    news = gateway.log.read_text()
    assert not [word for word in CRASHES if word in news], news[-4000:]


def ask(gateway: Process, house: House, body: object, key: str, path: str = "generations", **more: str) -> Answer:
    headers = {"idempotency-key": key, **{name.replace("_", "-"): value for name, value in more.items()}}
    return call(f"{gateway.url}/v1/images/{path}", body, key=house.key, headers=headers)


def replayed(answer: Answer) -> bool:
    return answer.headers.get("idempotency-replayed") == "true"


def content_of(item: dict[str, Any]) -> bytes:
    return base64.b64decode(item["b64_json"]) if "b64_json" in item else call(item["url"]).content


class Free:
    """What happens inside costs nothing, and leaves no new row."""

    def __init__(self, house: House) -> None:
        self.house = house

    def __enter__(self) -> None:
        self.before = self.house.money(), len(self.house.usage())

    def __exit__(self, *_: object) -> None:
        assert (self.house.money(), len(self.house.usage())) == self.before


@pytest.mark.parametrize("tongue", TONGUES, ids=lambda tongue: tongue.name)
def test_every_dialect_gives_the_same_answer_again(house: House, gateway: Process, tongue: Tongue) -> None:
    """The same images under the same request id, for nothing, and it says so."""
    key = f"again {tongue.name}"
    first = tongue.ask(gateway.url, house.key, Order(model=SEEDREAM), idempotency_key=key)
    assert first.status == 200, first.whole
    assert "idempotency-replayed" not in first.headers
    with Free(house):
        second = tongue.ask(gateway.url, house.key, Order(model=SEEDREAM), idempotency_key=key)
    assert second.status == 200, second.whole
    assert second.request_id == first.request_id
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["x-imageway-sandbox"] == "true"
    assert second.pictures() == first.pictures()
    assert len(second.pictures()[0]) > 1000
    assert second.warnings == first.warnings


@pytest.mark.parametrize("tongue", [one for one in TONGUES if one.streams], ids=lambda tongue: tongue.name)
def test_every_dialect_streams_it_again(house: House, gateway: Process, tongue: Tongue) -> None:
    """A stream repeats the completed events; a plain answer of the same purchase has the same picture."""
    key, order = f"stream {tongue.name}", Order(model=GPT, stream=True)
    first = tongue.ask(gateway.url, house.key, order, idempotency_key=key)
    with Free(house):
        second = tongue.ask(gateway.url, house.key, order, idempotency_key=key)
        whole = tongue.ask(gateway.url, house.key, Order(model=GPT), idempotency_key=key)
    assert second.headers["idempotency-replayed"] == whole.headers["idempotency-replayed"] == "true"
    assert first.request_id == second.request_id == whole.request_id
    assert first.pictures() == second.pictures() == whole.pictures()


@pytest.mark.parametrize("tongue", TONGUES, ids=lambda tongue: tongue.name)
def test_every_dialect_names_what_differs(house: House, gateway: Process, tongue: Tongue) -> None:
    """In its own words, and repeats neither of the two prompts."""
    key = f"other {tongue.name}"
    tongue.ask(gateway.url, house.key, Order(model=SEEDREAM, prompt="a first boat"), idempotency_key=key)
    with Free(house):
        told = tongue.ask(gateway.url, house.key, Order(model=SEEDREAM, prompt="a second boat"), idempotency_key=key)
    assert told.status == 422, told.whole
    assert "Idempotency-Key" in told.message
    assert any(word in told.message for word in ("prompt", "input.messages", "contents", "instances"))
    assert "boat" not in str(told.whole)


def test_it_does_not_matter_in_which_dialect_it_is_written(house: House, gateway: Process) -> None:
    """The same wish is one purchase, whoever writes it."""
    order, key = Order(model=SEEDREAM, prompt="a boat for all"), "for all"
    first, *others = [tongue.ask(gateway.url, house.key, order, idempotency_key=key) for tongue in TONGUES]
    found = {tongue.name: told.request_id for tongue, told in zip(TONGUES[1:], others, strict=True)}
    assert found == dict.fromkeys(found, first.request_id)
    assert [told.headers["idempotency-replayed"] for told in others] == ["true"] * len(others)


def test_the_form_is_the_one_asked_for_now(house: House, gateway: Process) -> None:
    """How an answer is delivered is no part of the purchase: link, base64, stream, task."""
    body, key = {"model": GPT, "prompt": "a boat", "quality": "low"}, "forms"
    by_link = ask(gateway, house, {**body, "response_format": "url"}, key)
    with Free(house):
        inline = ask(gateway, house, {**body, "response_format": "b64_json"}, key)
        again = ask(gateway, house, {**body, "response_format": "url"}, key)
        stream = ask(gateway, house, {**body, "stream": True, "partial_images": 2}, key)
        task = ask(gateway, house, {**body, "async": True}, key)
    first = by_link.json["data"][0]
    assert content_of(first) == content_of(inline.json["data"][0]) == content_of(again.json["data"][0])
    ((name, event),) = [(name, event) for name, event in events_of(stream.content) if isinstance(event, dict)]
    assert (name, base64.b64decode(event["b64_json"])) == ("image_generation.completed", content_of(first))
    assert (task.status, task.json["status"], task.json["id"]) == (202, "succeeded", by_link.json["request_id"])
    assert content_of(task.json["data"][0]) == content_of(first)
    assert all(replayed(answer) for answer in (inline, again, stream, task))


def test_it_attaches_to_what_runs(house: House, gateway: Process) -> None:
    """Sixty-four at once, one purchase, sixty-four answers."""
    spent, rows = house.money().spent, len(house.usage())
    body = {"model": GEMINI, "prompt": "a boat sandbox-fault:late", "response_format": "b64_json"}
    with ThreadPoolExecutor(64) as callers:
        answers = list(callers.map(lambda _: ask(gateway, house, body, "crowd"), range(64)))
    assert {answer.status for answer in answers} == {200}
    assert sorted(replayed(answer) for answer in answers) == [False] + [True] * 63
    assert len({answer.json["data"][0]["b64_json"] for answer in answers}) == 1
    assert len({answer.headers["x-request-id"] for answer in answers}) == 1
    assert (house.money().spent - spent, len(house.usage()) - rows) == (39_000, 1)


def test_who_does_not_want_to_wait_is_told(house: House, gateway: Process) -> None:
    """`Imageway-Idempotency: reject`: 409 while it runs, with when to come again; the answer afterwards."""
    body = {"model": GEMINI, "prompt": "a boat sandbox-fault:late"}
    running = Thread(target=ask, args=(gateway, house, body, "impatient"))
    running.start()
    wait_for(lambda: house.money().held > 0)
    busy = ask(gateway, house, body, "impatient", imageway_idempotency="reject")
    running.join(timeout=30)
    assert_told(busy, 409, "idempotency_key_in_use", "Idempotency-Key")
    assert (busy.headers["retry-after"], "x-should-retry" in busy.headers) == ("1", False)
    assert replayed(ask(gateway, house, body, "impatient", imageway_idempotency="reject"))
    assert_told(ask(gateway, house, body, "x", imageway_idempotency="no"), 400, "invalid_value", "Imageway-Idempotency")


def test_a_task_is_shown_as_it_stands(house: House, gateway: Process) -> None:
    """Asynchronously asked again: the same task, not another one; who waits for it gets its images."""
    body = {"model": GEMINI, "prompt": "a boat sandbox-fault:late", "async": True}
    first = ask(gateway, house, body, "task")
    second = ask(gateway, house, body, "task")
    assert (first.status, second.status) == (202, 202)
    assert first.json["id"] == second.json["id"]
    assert (replayed(first), replayed(second)) == (False, True)
    waited = ask(gateway, house, body, "task", prefer="respond-async, wait=20")
    assert waited.status == 200
    assert waited.headers["x-request-id"] == first.json["id"]
    sync = ask(gateway, house, {**body, "async": False, "response_format": "b64_json"}, "task")
    assert replayed(sync)
    assert content_of(sync.json["data"][0]) == content_of(waited.json["data"][0])


def test_the_difference_is_named_by_the_callers_own_words(house: House, gateway: Process) -> None:
    """Every field that differs, without what stands in it; of images which."""
    one, other = (base64.b64encode(picture(size=size)).decode() for size in ((900, 900), (950, 900)))
    body: dict[str, Any] = {"model": GEMINI, "prompt": "two boats", "image": [one, one]}
    assert ask(gateway, house, body, "named").status == 200
    changed = {**body, "image": [one, other], "size": "16:9"}
    error = assert_told(ask(gateway, house, changed, "named"), 422, "idempotency_key_reused", "Idempotency-Key")
    assert {each["param"] for each in error["details"]} == {"size", "image[1]"}
    assert "size, image[1] differ" in error["message"]
    assert replayed(ask(gateway, house, body, "named"))


def test_what_is_left_out_goes_by_the_name_that_the_format_has_for_it(house: House, gateway: Process) -> None:
    """Of images that are not there any more, the field is named, once; what has no field is not."""
    one = f"data:image/png;base64,{base64.b64encode(picture(size=(900, 900))).decode()}"
    body: dict[str, Any] = {"model": SEEDREAM, "prompt": "two boats", "guidance_scale": 2, "image": [one, one]}
    url, again = f"{gateway.url}/api/v3/images/generations", {"idempotency-key": "left out"}
    assert call(url, body, key=house.key, headers=again).status == 200
    told = call(url, {"model": SEEDREAM, "prompt": "two boats"}, key=house.key, headers=again)
    assert told.status == 422, told.content
    assert [each["param"] for each in told.json["error"]["details"]] == ["guidance_scale", "image"]
    assert "guidance_scale, image differ" in told.json["error"]["message"]


def test_what_failed_frees_its_key(house: House, gateway: Process) -> None:
    """A stored error would stand in the way of an honest retry."""
    failed = ask(gateway, house, {"model": GPT, "prompt": "sandbox-fault:empty"}, "freed")
    assert failed.status == 502
    bought = ask(gateway, house, {"model": GPT, "prompt": "a boat", "quality": "low"}, "freed")
    assert bought.status == 200
    assert not replayed(bought)


def test_what_was_refused_before_it_began_claims_nothing(house: House, gateway: Process) -> None:
    assert ask(gateway, house, {"model": GPT, "prompt": "a boat", "n": 99}, "unclaimed").status == 400
    assert not replayed(ask(gateway, house, {"model": GPT, "prompt": "a boat", "quality": "low"}, "unclaimed"))


def test_an_unknown_outcome_binds(house: House, gateway: Process) -> None:
    """Its images may exist: the same 504 again, never a second submit, and nothing to pay."""
    body = {"model": GPT, "prompt": "a boat sandbox-fault:reset_after", "quality": "low"}
    first = ask(gateway, house, body, "unknown")
    with Free(house):
        second = ask(gateway, house, body, "unknown")
        task = ask(gateway, house, {**body, "async": True}, "unknown")
    for answer in (first, second):
        assert_told(answer, 504, "request_timeout")
        assert answer.headers["x-should-retry"] == "false"
    assert (replayed(first), replayed(second)) == (False, True)
    assert first.headers["x-request-id"] == second.headers["x-request-id"] == task.json["id"]
    assert first.json["error"]["message"] == second.json["error"]["message"]
    assert task.json["status"] == "unknown"


def test_deleted_images_are_gone(house: House, gateway: Process) -> None:
    """410 with when, and nothing new is bought."""
    body = {"model": GPT, "prompt": "a boat", "quality": "low"}
    bought = ask(gateway, house, body, "deleted")
    name = f"{bought.json['request_id']}-0"
    deleted = call_delete(f"{gateway.url}/v1/images/{name}", house.key)
    assert deleted == 204
    with Free(house):
        gone = ask(gateway, house, body, "deleted")
    told = assert_told(gone, 410, "link_expired")
    assert f"deleted at {time.strftime('%Y-', time.gmtime())}" in told["message"]
    assert told["request_id"] == bought.json["request_id"]
    assert replayed(gone)


def call_delete(url: str, key: str) -> int:
    request = urllib.request.Request(url, method="DELETE", headers={"authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        return int(reply.status)


def test_a_key_is_its_workspaces_own(house: House, gateway: Process) -> None:
    body = {"model": GPT, "prompt": "a boat", "quality": "low"}
    mine = ask(gateway, house, body, "shared")
    headers = {"idempotency-key": "shared"}
    theirs = call(f"{gateway.url}/v1/images/generations", body, key=house.key_for("others", "5"), headers=headers)
    assert not replayed(theirs)
    assert theirs.json["request_id"] != mine.json["request_id"]


@pytest.mark.parametrize("key", ["", "k" * 256, "caf\u00e9"])
def test_a_key_that_is_none_is_refused(house: House, gateway: Process, key: str) -> None:
    """What it may be is said."""
    refused = ask(gateway, house, {"model": GPT, "prompt": "a boat"}, key)
    told = assert_told(refused, 400, "invalid_value", "Idempotency-Key")
    assert "1 to 255 printable ASCII characters" in told["message"]


def test_keys_and_images_end(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Images may go before their key does: 410 with when. Once the key is over as well, the request is a new one."""
    folder = tmp_path_factory.mktemp("ends")
    (folder / "imageway.toml").write_text("[limits]\nkeep_images_s = 1.0\nidempotency_keep_s = 4.0\n")
    made = House(folder / "data", clean_environment(), ("--sandbox", "--config", str(folder / "imageway.toml")))
    made.fund("5")
    try:
        short = made.serve()
        body = {"model": GPT, "prompt": "a boat", "quality": "low"}
        bought = ask(short, made, body, "short")
        until = time.monotonic() + 3.5
        time.sleep(1.5)
        told = assert_told(ask(short, made, body, "short"), 410, "link_expired")
        assert "expired at 20" in told["message"]
        time.sleep(max(0, until - time.monotonic()) + 1)
        anew = ask(short, made, body, "short")
        assert (anew.status, replayed(anew)) == (200, False)
        assert anew.json["request_id"] != bought.json["request_id"]
    finally:
        made.close()


def test_a_restart_forgets_nothing(house: House, gateway: Process) -> None:
    """Another process on the same data gives the same answer."""
    body = {"model": GPT, "prompt": "a boat", "quality": "low"}
    first = ask(gateway, house, body, "durable")
    second = ask(house.serve(), house, body, "durable")
    assert replayed(second)
    assert second.json["data"] == first.json["data"]


def test_the_sdks_own_retry_buys_once(house: House, gateway: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """The openai SDK sends again after a timeout of its own; with a fixed key it comes back to the same purchase."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    spent, rows = house.money().spent, len(house.usage())
    with openai.OpenAI(api_key=house.key, base_url=f"{gateway.url}/v1", max_retries=4, timeout=1.2) as client:
        answer = client.images.generate(
            model=GEMINI,
            prompt="a boat sandbox-fault:late",
            response_format="b64_json",
            extra_headers={"Idempotency-Key": "sdk"},
        )
    assert answer.data is not None
    assert base64.b64decode(answer.data[0].b64_json or "").startswith(b"\x89PNG")
    wait_for(lambda: len(house.usage()) == rows + 1)
    assert house.money().spent - spent == 39_000
