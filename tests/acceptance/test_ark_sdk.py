"""The official volcengine SDK, pointed at the gateway: pictures of every family, edits, groups, streams, its own
exception for every error, and no second purchase where a resend could make one."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import openai
import pytest
from PIL import Image
from volcenginesdkarkruntime import Ark, AsyncArk
from volcenginesdkarkruntime._exceptions import (
    ArkAPIError,
    ArkAuthenticationError,
    ArkBadRequestError,
    ArkInternalServerError,
    ArkNotFoundError,
    ArkPermissionDeniedError,
    ArkRateLimitError,
)
from volcenginesdkarkruntime.types.images import OptimizePromptOptions, SequentialImageGenerationOptions

from tests.integration.processes import Answer, House, Process, call, clean_environment

SEEDREAM = "doubao-seedream-4-0-250828"
FAMILIES = (SEEDREAM, "gpt-image-1-mini", "gemini-2.5-flash-image", "qwen-image-plus")
EDITORS = (SEEDREAM, "gpt-image-1-mini", "gemini-2.5-flash-image", "qwen-image-edit-plus")
PRICE = 30_000  # of one image of SEEDREAM, in micro-dollars
GROUP_OF_3 = SequentialImageGenerationOptions(max_images=3)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("ark-sdk")
    (folder / "imageway.toml").write_text("[connections]\nheartbeat_s = 1\n")
    made = House(folder / "data", clean_environment(), ("--sandbox", "--config", str(folder / "imageway.toml")))
    made.fund("100")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK honours proxies of the environment; a loopback gateway has no use for one."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def client(house: House, gateway: Process, direct: None) -> Iterator[Ark]:
    with client_of(house.key, gateway) as made:
        yield made


def client_of(key: str, gateway: Process, **options: Any) -> Ark:
    return Ark(base_url=f"{gateway.url}/api/v3", api_key=key, **options)


def post(house: House, gateway: Process, **body: Any) -> Answer:
    return call(f"{gateway.url}/api/v3/images/generations", body, key=house.key)


def fetched(url: str) -> Image.Image:
    return opened(call(url).content)


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def data_url(size: tuple[int, int] = (1024, 1024), colour: str = "navy") -> str:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def pixels(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    return int(width), int(height)


# Pictures


@pytest.mark.parametrize("model", FAMILIES)
def test_it_generates_with_every_family(client: Ark, house: House, model: str) -> None:
    """A link, as where nobody says otherwise; what is behind it has the size that the answer names; it was paid for."""
    before = house.money().spent
    answer: Any = client.images.generate(model=model, prompt="a red panda", size="1024x1024", watermark=False)
    (item,) = answer.data
    assert item.b64_json is None
    assert fetched(item.url).size == pixels(item.size)
    assert answer.model == model
    assert answer.created
    assert answer.usage.generated_images == 1
    assert answer.usage.total_tokens >= answer.usage.output_tokens > 0
    assert house.money().spent > before
    assert house.money().held == 0


def test_it_counts_tokens_and_money_as_the_vendor_does(client: Ark, house: House) -> None:
    before = house.money().spent
    answer: Any = client.images.generate(model=SEEDREAM, prompt="a red panda", size="2K", response_format="b64_json")
    (item,) = answer.data
    width, height = pixels(item.size)
    assert opened(base64.b64decode(item.b64_json)).size == (width, height)
    assert item.output_format == "jpeg"
    assert answer.usage.output_tokens == answer.usage.total_tokens == round(width * height / 256)
    assert house.money().spent == before + PRICE


@pytest.mark.parametrize("model", EDITORS)
def test_it_edits_with_every_family(client: Ark, model: str) -> None:
    answer: Any = client.images.generate(model=model, prompt="a red hat", image=data_url())
    assert fetched(answer.data[0].url).size == pixels(answer.data[0].size)
    assert answer.usage.input_images == 1


def test_it_takes_links_and_data_urls_together(client: Ark) -> None:
    """A link of this gateway is opened from its own store."""
    first: Any = client.images.generate(model=SEEDREAM, prompt="a cat")
    answer: Any = client.images.generate(
        model="doubao-seedream-4-5-251128",
        prompt="both in one",
        image=[first.data[0].url, data_url()],
        size="2048x2048",
    )
    assert fetched(answer.data[0].url).size == (2048, 2048)
    assert answer.usage.input_images == 2


def test_seededit_keeps_the_shape_of_its_input(client: Ark) -> None:
    answer: Any = client.images.generate(
        model="doubao-seededit-3-0-i2i-250628",
        prompt="make it blue",
        image=data_url((1200, 800)),
        size="adaptive",
        seed=1,
        guidance_scale=5.5,
        watermark=False,
    )
    width, height = pixels(answer.data[0].size)
    assert fetched(answer.data[0].url).size == (width, height)
    assert 1.3 < width / height < 1.7


async def test_the_asynchronous_client_generates_and_streams(house: House, gateway: Process) -> None:
    async with AsyncArk(base_url=f"{gateway.url}/api/v3", api_key=house.key) as client:
        answer: Any = await client.images.generate(model=SEEDREAM, prompt="a boat")
        stream: Any = await client.images.generate(model=SEEDREAM, prompt="a boat", stream=True)
        names = [event.type async for event in stream]
    assert answer.data[0].url
    assert names == ["image_generation.partial_succeeded", "image_generation.completed"]


def test_the_openai_sdk_may_stand_in_for_the_vendors(house: House, gateway: Process) -> None:
    """The vendor's pages show it so; fields it does not know go into `extra_body`."""
    with openai.OpenAI(api_key=house.key, base_url=f"{gateway.url}/api/v3") as client:
        extra = {"watermark": False, "image": data_url()}
        answer = client.images.generate(
            model=SEEDREAM,
            prompt="a boat",
            size="2K",
            response_format="url",
            extra_body=extra,  # type: ignore[arg-type]
        )
        with pytest.raises(openai.AuthenticationError) as refused:
            client.with_options(api_key="sk-iw-wrong").images.generate(model=SEEDREAM, prompt="a boat")
    assert answer.data is not None
    assert answer.data[0].url
    assert refused.value.code == "AuthenticationError"


# Groups


def test_a_group_is_one_call_and_charged_by_what_came(client: Ark, house: House) -> None:
    before = house.money().spent
    answer: Any = client.images.generate(
        model="doubao-seedream-4-5-251128",
        prompt="3 images: a tree in spring, summer and autumn",
        sequential_image_generation="auto",
        sequential_image_generation_options=GROUP_OF_3,
        optimize_prompt_options=OptimizePromptOptions(mode="standard"),
        size="2048x2048",
    )
    assert 1 <= len(answer.data) <= 3
    assert all(fetched(item.url).size == (2048, 2048) for item in answer.data)
    assert answer.usage.generated_images == len(answer.data)
    assert house.money().spent == before + len(answer.data) * 40_000


def test_an_image_of_a_group_that_failed_stands_as_an_error_and_costs_nothing(client: Ark, house: House) -> None:
    before = house.money().spent
    answer: Any = client.images.generate(
        model=SEEDREAM,
        prompt="3 images of a tree sandbox-fault:item_failed",
        sequential_image_generation="auto",
        sequential_image_generation_options=GROUP_OF_3,
    )
    *came, failed = answer.data
    assert all(item.url for item in came)
    assert failed.error["code"] in ("OutputImageSensitiveContentDetected", "InternalServiceError")
    assert failed.error["message"]
    assert answer.usage.generated_images == len(came) > 0
    assert house.money().spent == before + len(came) * PRICE


# Streams


def test_a_group_streams_image_by_image(client: Ark, house: House) -> None:
    before = house.money().spent
    stream: Any = client.images.generate(
        model=SEEDREAM,
        prompt="3 images: a tree in spring, summer and autumn",
        sequential_image_generation="auto",
        sequential_image_generation_options=GROUP_OF_3,
        size="2K",
        stream=True,
    )
    *images, last = list(stream)
    assert [event.type for event in images] == ["image_generation.partial_succeeded"] * len(images)
    assert [event.image_index for event in images] == [*range(len(images))]
    assert all(event.model == SEEDREAM and event.created for event in images)
    assert all(fetched(event.url).size == pixels(event.size) for event in images)
    assert last.type == "image_generation.completed"
    assert last.usage["generated_images"] == len(images)
    assert last.usage["output_tokens"] > 0
    assert house.money().spent == before + len(images) * PRICE


@pytest.mark.parametrize("model", FAMILIES[1:])
def test_every_family_streams_here(client: Ark, house: House, model: str) -> None:
    """Also where the upstream answers in one piece."""
    before = house.money().spent
    stream: Any = client.images.generate(model=model, prompt="a boat", response_format="b64_json", stream=True)
    image, last = list(stream)
    assert opened(base64.b64decode(image.b64_json)).size == pixels(image.size)
    assert (image.image_index, image.model) == (0, model)
    assert last.type == "image_generation.completed"
    assert last.usage["generated_images"] == 1
    assert house.money().spent > before


def test_an_image_that_failed_is_told_before_the_end(house: House, gateway: Process, client: Ark) -> None:
    """The SDK raises at the vendor's own event for it; whoever reads the events himself learns the rest."""
    asked: dict[str, Any] = {
        "model": SEEDREAM,
        "prompt": "3 images of a tree sandbox-fault:item_failed",
        "sequential_image_generation": "auto",
        "sequential_image_generation_options": {"max_images": 3},
        "stream": True,
    }
    before = house.money().spent
    names, bodies = read_events(post(house, gateway, **asked))
    came = names.count("image_generation.partial_succeeded")
    assert came > 0
    assert names[came:] == ["image_generation.partial_failed", "image_generation.completed", ""]
    assert bodies[came]["image_index"] == came
    assert bodies[-2]["usage"]["generated_images"] == came
    assert house.money().spent == before + came * PRICE
    stream: Any = client.images.generate(**asked | {"sequential_image_generation_options": GROUP_OF_3})
    with pytest.raises(ArkAPIError) as failed:
        list(stream)
    assert failed.value.code == bodies[came]["error"]["code"]


@pytest.mark.parametrize("fault", ["reset_mid", "truncated"])
def test_a_group_whose_upstream_dies_ends_with_what_came(house: House, gateway: Process, fault: str) -> None:
    """How many it would have made nobody knows: the next one failed, and of those never begun nothing is said. What
    came is counted and paid for."""
    before = house.money().spent
    answer = post(
        house,
        gateway,
        model=SEEDREAM,
        prompt=f"4 images of a tree sandbox-fault:{fault}",
        sequential_image_generation="auto",
        sequential_image_generation_options={"max_images": 4},
        stream=True,
    )
    names, bodies = read_events(answer)
    came = names.count("image_generation.partial_succeeded")
    assert 0 < came < 4
    assert sorted(body["image_index"] for body in bodies[:came]) == [*range(came)]
    assert names[came:] == ["image_generation.partial_failed", "image_generation.completed", ""]
    assert bodies[came]["image_index"] == came
    assert bodies[came]["error"]["code"] == "InternalServiceError"
    assert bodies[-2]["usage"]["generated_images"] == came
    assert house.money().spent == before + came * PRICE


def read_events(answer: Answer) -> tuple[list[str], list[Any]]:
    """Names and data, "" for the one without a name; what is not JSON stays text. As the vendor's Java library reads:
    it knows names, data, and the empty line behind data; anything else is a mistake of the server's."""
    names, bodies = [], []
    name, data = "", ""
    for line in answer.content.decode().removesuffix("\n").split("\n"):
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data = line.removeprefix("data:").strip()
        else:
            assert (line, bool(data)) == ("", True), line[:100]
            names.append(name)
            bodies.append(data if data == "[DONE]" else json.loads(data))
            name, data = "", ""
    assert bodies[-1] == "[DONE]"
    return names, bodies


def test_a_wrong_request_for_a_stream_is_refused_with_a_status(client: Ark) -> None:
    with pytest.raises(ArkBadRequestError) as refused:
        client.images.generate(model=SEEDREAM, prompt="a boat", size="huge", stream=True)
    assert (refused.value.code, refused.value.param) == ("InvalidParameter", "size")


def test_a_stream_that_breaks_ends_with_an_error_and_is_paid_for_what_came(client: Ark, house: House) -> None:
    before = house.money().spent
    stream: Any = client.images.generate(
        model=SEEDREAM,
        prompt="3 images of a tree sandbox-fault:error_event",
        sequential_image_generation="auto",
        sequential_image_generation_options=GROUP_OF_3,
        stream=True,
    )
    seen = []
    with pytest.raises(ArkAPIError) as failed:
        seen.extend(event.type for event in stream)
    assert seen == ["image_generation.partial_succeeded"]
    assert failed.value.code == "InternalServiceError"
    assert house.money().spent == before + PRICE
    assert house.money().held == 0


def test_a_stream_of_which_nothing_came_is_an_error_with_a_status(client: Ark, house: House) -> None:
    """The provider's own 500 comes before any event: the SDK may send that again, and does."""
    before, spent = rows(house), house.money().spent
    with pytest.raises(ArkInternalServerError):
        client.images.generate(model=SEEDREAM, prompt="sandbox-fault:error_500", stream=True)
    assert rows(house) == before + 3
    assert house.money().spent == spent


def test_a_slow_stream_is_kept_alive_by_what_every_library_of_the_vendor_reads_over(
    house: House, gateway: Process, client: Ark
) -> None:
    asked: dict[str, Any] = {"model": SEEDREAM, "prompt": "a boat sandbox-fault:late", "stream": True}
    answer = post(house, gateway, **asked)
    assert answer.content.startswith(b"event:\n")
    assert read_events(answer)[0] == ["image_generation.partial_succeeded", "image_generation.completed", ""]
    events: Any = client.images.generate(**asked)
    assert [event.type for event in events] == ["image_generation.partial_succeeded", "image_generation.completed"]


# Models


def test_models_are_listed_as_the_vendor_lists_its_own(house: House, gateway: Process) -> None:
    listed = {model["id"]: model for model in call(f"{gateway.url}/api/v3/models", key=house.key).json["data"]}
    assert set(FAMILIES) <= set(listed)
    assert listed[SEEDREAM]["name"] == SEEDREAM.rpartition("-")[0]
    assert listed[SEEDREAM]["task_type"] == ["TextToImage", "ImageToImage"]
    assert {model["domain"] for model in listed.values()} == {"ImageGeneration"}


# Refusals


def rows(house: House) -> int:
    return len(house.usage())


def test_bad_input_is_a_bad_request_that_names_its_place(client: Ark, house: House) -> None:
    before = rows(house)
    with pytest.raises(ArkBadRequestError) as refused:
        client.images.generate(model=SEEDREAM, prompt="a boat", guidance_scale="much")  # type: ignore[arg-type]
    assert (refused.value.code, refused.value.param, refused.value.type) == (
        "InvalidParameter",
        "guidance_scale",
        "BadRequest",
    )
    assert "Request id: req_" in refused.value.message
    assert rows(house) == before


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"model": "qwen-image-plus", "image": data_url()}, "InvalidParameter.UnsupportedParameter"),
        ({"model": "doubao-seededit-3-0-i2i-250628"}, "MissingParameter"),
        ({"model": "doubao-seedream-5-0-pro-260628", "sequential_image_generation": "auto"}, "InvalidParameter.Unsup"),
        ({"model": SEEDREAM, "layer_decomposition": True, "image": data_url()}, "InvalidParameter.UnsupportedParam"),
        ({"model": SEEDREAM, "image": "http://127.0.0.1:1/a.png"}, "InvalidImageURL.InvalidFormat"),
    ],
)
def test_what_a_model_cannot_do_is_refused_in_the_vendors_words(client: Ark, asked: dict[str, Any], code: str) -> None:
    with pytest.raises(ArkBadRequestError) as refused:
        client.images.generate(prompt="a boat", **asked)
    assert refused.value.code is not None
    assert refused.value.code.startswith(code)


def test_a_bad_key_is_an_authentication_error(gateway: Process) -> None:
    with client_of("sk-iw-wrong", gateway) as client, pytest.raises(ArkAuthenticationError) as refused:
        client.images.generate(model=SEEDREAM, prompt="a boat")
    assert (refused.value.code, refused.value.type) == ("AuthenticationError", "Unauthorized")


def test_an_empty_wallet_is_an_overdue_account(house: House, gateway: Process) -> None:
    with client_of(house.key_for("poor"), gateway) as client, pytest.raises(ArkPermissionDeniedError) as refused:
        client.images.generate(model=SEEDREAM, prompt="a boat")
    assert (refused.value.code, refused.value.type) == ("AccountOverdueError", "Forbidden")


def test_a_model_that_the_key_may_not_use_is_denied(house: House, gateway: Process) -> None:
    key = house.key_for("w", models=("gemini-*",))
    with client_of(key, gateway) as client, pytest.raises(ArkPermissionDeniedError) as refused:
        client.images.generate(model=SEEDREAM, prompt="a boat")
    assert refused.value.code == "AccessDenied"


def test_an_unknown_model_is_not_found(client: Ark) -> None:
    with pytest.raises(ArkNotFoundError) as refused:
        client.images.generate(model="doubao-seedream-4-0-250829", prompt="a boat")
    assert refused.value.code == "InvalidEndpointOrModel.NotFound"
    assert SEEDREAM in refused.value.message


def test_a_refused_prompt_is_sensitive_content_and_asked_once(client: Ark, house: House) -> None:
    before = rows(house)
    with pytest.raises(ArkBadRequestError) as refused:
        client.images.generate(model=SEEDREAM, prompt="forbidden things")
    assert refused.value.code == "SensitiveContentDetected"
    assert rows(house) == before + 1


def test_a_rate_limit_is_resent_as_often_as_the_sdk_does(house: House, gateway: Process) -> None:
    before = rows(house)
    with client_of(house.key, gateway, max_retries=1) as client, pytest.raises(ArkRateLimitError) as refused:
        client.images.generate(model=SEEDREAM, prompt="sandbox-fault:rate_limit_bare")
    assert refused.value.code == "AccountRateLimitExceeded"
    assert int(refused.value.response.headers["retry-after"]) >= 1
    assert rows(house) == before + 2


@pytest.mark.parametrize("fault", ["reset_after", "truncated", "html", "empty"])
def test_what_may_have_been_made_is_not_bought_again(client: Ark, house: House, fault: str) -> None:
    """The SDK resends twice on every 5xx; `x-should-retry: false` stops it."""
    before, spent = rows(house), house.money().spent
    with pytest.raises(ArkInternalServerError) as failed:
        client.images.generate(model=SEEDREAM, prompt=f"sandbox-fault:{fault}")
    assert (failed.value.status_code, failed.value.code) == (500, "InternalServiceError")
    assert rows(house) == before + 1
    assert house.money().spent == spent


def test_a_path_that_is_nobodys_is_refused_in_the_vendors_envelope(house: House, gateway: Process) -> None:
    """Videos have their own path there."""
    answer = call(f"{gateway.url}/api/v3/contents/generations/tasks", {}, key=house.key)
    assert answer.status == 404
    assert answer.json["error"]["code"] == "NotFound"


# What was not honoured


def test_what_was_not_honoured_stands_in_a_header(house: House, gateway: Process) -> None:
    """`n` is no field of this API: the vendor passes it over and bills one image, and so it is here, but told."""
    before = house.money().spent
    answer = post(house, gateway, model=SEEDREAM, prompt="a boat", n=2, seed=4, quality="high")
    told = json.loads(answer.headers["x-imageway-warnings"])
    assert {warning["param"] for warning in told} == {"n", "seed", "quality"}
    assert len(answer.json["data"]) == 1
    assert house.money().spent == before + PRICE


def test_a_field_that_nobody_knows_is_told_where_another_family_serves(house: House, gateway: Process) -> None:
    answer = post(house, gateway, model="gpt-image-1-mini", prompt="a boat", invented=True)
    assert [warning["param"] for warning in json.loads(answer.headers["x-imageway-warnings"])] == ["invented"]


class Recorder(BaseHTTPRequestHandler):
    """An upstream that keeps what it was sent, and answers one picture."""

    received: ClassVar[list[Any]] = []

    def do_POST(self) -> None:  # the name that http.server calls
        self.received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        picture = data_url((2048, 2048)).partition(",")[2]
        content = json.dumps({"model": SEEDREAM, "created": 1, "data": [{"b64_json": picture}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api/v3"
    server.shutdown()
    server.server_close()


def test_a_field_that_nobody_knows_reaches_an_upstream_of_this_family(tmp_path: Path, upstream: str) -> None:
    """In its place, untouched; what the vendor knows is written as it always is."""
    house = House(tmp_path / "data", clean_environment(ARK_API_KEY="sk-test-ark", ARK_BASE_URL=upstream))
    try:
        house.fund("1")
        with client_of(house.key, house.serve()) as client:
            client.images.generate(
                model="seedream-4-0-250828",
                prompt="a boat",
                optimize_prompt_options=OptimizePromptOptions(mode="fast"),
                watermark=False,
                extra_body={"invented": {"a": [1, None]}, "optimize_prompt_options": {"mode": "fast", "depth": 2}},
            )
    finally:
        house.close()
    (body,) = Recorder.received
    assert body == {
        "model": SEEDREAM,
        "prompt": "a boat",
        "size": "2048x2048",
        "watermark": False,
        "response_format": "url",
        "optimize_prompt_options": {"mode": "fast", "depth": 2},
        "invented": {"a": [1, None]},
    }


def test_strictly_it_is_refused(house: House, gateway: Process) -> None:
    body = {"model": SEEDREAM, "prompt": "a boat", "n": 2}
    answer = call(f"{gateway.url}/api/v3/images/generations", body, key=house.key, headers={"imageway-strict": "1"})
    assert answer.status == 400
    assert answer.json["error"]["param"] == "n"
