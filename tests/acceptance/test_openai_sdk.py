"""The official openai SDK, pointed at the gateway: pictures of every family, edits, models, its own exception for every
error, and no second purchase where a resend could make one."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from PIL import Image

from tests.integration.processes import House, Process, clean_environment, command

FAMILIES = ("gpt-image-1", "gemini-2.5-flash-image", "doubao-seedream-4-0-250828", "qwen-image-max")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("openai-sdk") / "data", clean_environment(), ("--sandbox",))
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
def client(house: House, gateway: Process, direct: None) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=house.key, base_url=f"{gateway.url}/v1") as made:
        yield made


def decode(text: str | None) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(text or "")))
    image.load()
    return image


@pytest.mark.parametrize("model", FAMILIES)
def test_it_generates_with_every_family(client: openai.OpenAI, model: str) -> None:
    answer = client.images.generate(model=model, prompt="a boat", n=2, response_format="b64_json")
    assert answer.data is not None
    assert len(answer.data) == 2
    assert all(min(decode(item.b64_json).size) >= 768 for item in answer.data)
    assert answer.created
    assert answer.size is not None


def test_it_reads_usage_size_and_format(client: openai.OpenAI) -> None:
    answer = client.images.generate(
        model="gpt-image-1", prompt="a boat", size="1536x1024", quality="low", output_format="webp"
    )
    assert (answer.size, answer.output_format) == ("1536x1024", "webp")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.data is not None
    assert decode(answer.data[0].b64_json).format == "WEBP"


def test_it_passes_fields_of_other_families(client: openai.OpenAI) -> None:
    """`extra_body` goes to the top level; what was not honoured is in the answer's own `warnings`."""
    answer = client.images.generate(
        model="doubao-seedream-4-5-251128",
        prompt="a boat",
        size="1024x1024",
        extra_body={"watermark": False, "sequential_image_generation": "disabled"},
    )
    assert answer.data is not None
    assert answer.data[0].url
    told: Any = answer
    assert [warning["code"] for warning in told.warnings] == ["size_adjusted"]


def test_it_asks_through_the_raw_response(client: openai.OpenAI) -> None:
    raw = client.images.with_raw_response.generate(model="gpt-image-1-mini", prompt="a boat", quality="low")
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-imageway-sandbox"] == "true"
    assert raw.parse().data


async def test_the_asynchronous_client_runs_many_at_once(house: House, gateway: Process) -> None:
    async with openai.AsyncOpenAI(api_key=house.key, base_url=f"{gateway.url}/v1") as client:
        calls = [client.images.generate(model="gpt-image-1-mini", prompt=f"boat {n}", quality="low") for n in range(16)]
        answers = await asyncio.gather(*calls)
        listed = [model.id async for model in client.models.list()]
    assert [decode(answer.data[0].b64_json).size for answer in answers if answer.data] == [(1024, 1024)] * 16
    assert "gpt-image-1-mini" in listed


def test_it_lists_and_retrieves_models(client: openai.OpenAI) -> None:
    ids = {model.id for model in client.models.list()}
    assert set(FAMILIES) <= ids
    model = client.models.retrieve("gpt-image-1")
    assert (model.id, model.object) == ("gpt-image-1", "model")
    assert model.owned_by
    told: Any = model
    assert told.capabilities["n"]["maximum"] == 10
    assert told.prices
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def rows(house: House) -> int:
    return len(house.usage())


def test_400_is_bad_request_with_code_and_param(client: openai.OpenAI, house: House) -> None:
    before = rows(house)
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(model="gpt-image-1", prompt="a boat", n=11)
    assert (refused.value.code, refused.value.param, refused.value.type) == (
        "invalid_value",
        "n",
        "invalid_request_error",
    )
    assert refused.value.request_id is not None
    assert rows(house) == before


def test_401_is_authentication_error(gateway: Process, direct: None) -> None:
    with (
        openai.OpenAI(api_key="sk-iw-wrong", base_url=f"{gateway.url}/v1") as client,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        client.images.generate(model="gpt-image-1", prompt="a boat")
    assert refused.value.code == "invalid_api_key"


def test_402_is_a_status_error_that_is_not_resent(house: House, gateway: Process, direct: None) -> None:
    """The SDK has no class of its own for 402: its general one carries status, code and type."""
    with (
        openai.OpenAI(api_key=house.key_for("poor"), base_url=f"{gateway.url}/v1") as client,
        pytest.raises(openai.APIStatusError) as refused,
    ):
        client.images.generate(model="gpt-image-1", prompt="a boat")
    assert (refused.value.status_code, refused.value.code) == (402, "insufficient_balance")
    assert refused.value.type == "billing_error"


def test_403_is_permission_denied(house: House, gateway: Process, direct: None) -> None:
    key = house.key_for("w", models=("gemini-*",))
    with (
        openai.OpenAI(api_key=key, base_url=f"{gateway.url}/v1") as client,
        pytest.raises(openai.PermissionDeniedError) as refused,
    ):
        client.images.generate(model="gpt-image-1", prompt="a boat")
    assert refused.value.code == "model_not_allowed"


def test_404_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.images.generate(model="gpt-imagge-1", prompt="a boat")
    assert refused.value.code == "model_not_found"
    assert "gpt-image-1" in refused.value.message


def test_422_is_unprocessable_and_not_resent(client: openai.OpenAI, house: House) -> None:
    """A key that was used for another request."""
    headers = {"Idempotency-Key": "sdk-1"}
    client.images.generate(model="gpt-image-1-mini", prompt="a boat", quality="low", extra_headers=headers)
    before = rows(house)
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.images.generate(model="gpt-image-1-mini", prompt="a ship", quality="low", extra_headers=headers)
    assert refused.value.code == "idempotency_key_reused"
    assert rows(house) == before


def test_429_is_a_rate_limit_error_and_resent_as_told(house: House, gateway: Process, direct: None) -> None:
    """The wait it is told is the provider's; one resend here, so two requests in all."""
    before = rows(house)
    with (
        openai.OpenAI(api_key=house.key, base_url=f"{gateway.url}/v1", max_retries=1) as client,
        pytest.raises(openai.RateLimitError) as refused,
    ):
        client.images.generate(model="gpt-image-1", prompt="sandbox-fault:rate_limit_bare")
    assert int(refused.value.response.headers["retry-after"]) >= 1
    assert rows(house) == before + 2


FAULTS = {
    "reset_before": (504, 1),
    "reset_after": (504, 1),
    "truncated": (504, 1),
    "html": (502, 1),
    "empty": (502, 1),
}
CASES = [(model, fault, *expected) for model in FAMILIES for fault, expected in FAULTS.items()]


@pytest.mark.parametrize(("model", "fault", "status", "requests"), [*CASES, (FAMILIES[0], "error_500", 502, 3)])
def test_5xx_is_resent_only_where_nothing_can_have_been_made(
    client: openai.OpenAI, house: House, model: str, fault: str, status: int, requests: int
) -> None:
    """The SDK resends twice on every 5xx, and would buy again; `x-should-retry: false` stops it."""
    before, spent = rows(house), house.money().spent
    with pytest.raises(openai.InternalServerError) as failed:
        client.images.generate(model=model, prompt=f"sandbox-fault:{fault}")
    assert failed.value.status_code == status
    assert rows(house) == before + requests
    assert house.money().spent == spent


def test_a_refused_prompt_is_a_bad_request_asked_once(client: openai.OpenAI, house: House) -> None:
    before = rows(house)
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(model="gpt-image-1", prompt="forbidden things")
    assert refused.value.code == "content_policy_violation"
    assert rows(house) == before + 1


def test_a_revoked_key_fails_at_the_next_call(house: House, gateway: Process, direct: None) -> None:
    made = command("keys", "create", "--workspace", "w", data=house.data)
    with openai.OpenAI(api_key=made["key"], base_url=f"{gateway.url}/v1") as client:
        assert client.models.retrieve("gpt-image-1").id == "gpt-image-1"
        command("keys", "revoke", made["id"], data=house.data)
        with pytest.raises(openai.AuthenticationError):
            client.models.retrieve("gpt-image-1")
