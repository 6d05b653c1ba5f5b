"""The resale gateway's page with plain curl: what it shows works here, each answer says what was paid, to the
micro-dollar, and every error of its list comes with its status."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imageway.core.money import parse_usd
from imageway.dialects.omixa.decode import INLINE_BYTES
from tests.integration.processes import Answer, House, Process, clean_environment

PAGE = "gemini-2.0-flash-preview-image-generation"
FAMILIES = (PAGE, "gpt-image-1", "doubao-seedream-4-0-250828", "qwen-image-plus")
EDITORS = (PAGE, "gpt-image-1-mini", "doubao-seedream-4-0-250828", "qwen-image-edit-plus")
GENERATIONS = "/api/v1/images/generations"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("omixa")
    (folder / "imageway.toml").write_text("[connections]\nheartbeat_s = 1\n")
    made = House(folder / "data", clean_environment(), ("--sandbox", "--config", str(folder / "imageway.toml")))
    made.fund("100")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


def curl(url: str, body: Any = None, *, key: str = "", headers: tuple[str, ...] = ()) -> Answer:
    """One request by curl as the page writes it, the body from standard input."""
    words = ["curl", "--silent", "--noproxy", "*", "--max-time", "60", "--dump-header", "/dev/stderr", url]
    for header in (f"Authorization: Bearer {key}", "Content-Type: application/json", "Expect:", *headers):
        words += ["--header", header]
    if body is not None:
        words += ["--request", "POST", "--data-binary", "@-"]
    content = b"" if body is None else json.dumps(body).encode()
    done = subprocess.run(words, input=content, capture_output=True, timeout=70, check=True)
    status, *lines = done.stderr.decode().strip().splitlines()
    found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(status.split()[1]), found, done.stdout)


@pytest.fixture
def ask(house: House, gateway: Process) -> Any:
    def asked(**body: Any) -> Answer:
        return curl(gateway.url + GENERATIONS, body, key=house.key)

    return asked


def part(size: tuple[int, int] = (640, 480), colour: str = "navy", alpha: int = 255) -> dict[str, Any]:
    """A plain picture as the page wraps one; with `alpha` 0, all of it cut out."""
    image = Image.new("RGBA", size, colour)
    image.putalpha(alpha)
    file = io.BytesIO()
    image.save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def opened(text: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    image.load()
    return image


def warned(answer: Answer) -> set[tuple[str, str]]:
    told = json.loads(answer.headers.get("x-imageway-warnings", "[]"))
    return {(warning["code"], warning["param"]) for warning in told}


# What the page shows


def test_the_example_of_the_page(ask: Any, house: House) -> None:
    """The model's price is 0.040000; the example's own answer says 0.039000, which is its provider's."""
    before = house.money()
    answer = ask(
        model=PAGE,
        prompt="A premium black and white product dashboard, clean glass UI, high contrast.",
        n=1,
        output_format="png",
        aspect_ratio="1:1",
        size="1K",
        input_images=[part()],
    )
    assert answer.status == 200, answer.content[:500]
    body = answer.json
    assert body.keys() == {"created", "data", "usage"}
    assert [item.keys() for item in body["data"]] == [{"b64_json", "url"}]
    assert body["data"][0]["url"] is None
    picture = opened(body["data"][0]["b64_json"])
    assert (picture.size, picture.format) == ((1024, 1024), "PNG")
    assert body["usage"] == {"billed_amount": "0.040000"}
    after = house.money()
    assert (before.available - after.available, after.spent - before.spent, after.held) == (40_000, 40_000, 0)
    assert answer.headers["x-request-id"].startswith("req_")
    assert warned(answer) == {("model_renamed", "model")}


@pytest.mark.parametrize("model", FAMILIES)
def test_what_was_billed_is_what_the_wallet_lost(ask: Any, house: House, model: str) -> None:
    """By image or by token, of one image or of several."""
    for n in (1, 2):
        before = house.money().available
        answer = ask(model=model, prompt="a boat", n=n)
        assert answer.status == 200, answer.content[:500]
        assert len(answer.json["data"]) == n
        assert all(min(opened(item["b64_json"]).size) >= 768 for item in answer.json["data"])
        billed = answer.json["usage"]["billed_amount"]
        assert len(billed.partition(".")[2]) == 6
        assert parse_usd(billed) == before - house.money().available > 0


@pytest.mark.parametrize("model", EDITORS)
def test_it_edits_with_every_family(ask: Any, model: str) -> None:
    answer = ask(model=model, prompt="a red hat", input_images=[part()])
    assert answer.status == 200, answer.content[:500]
    assert min(opened(answer.json["data"][0]["b64_json"]).size) >= 768


def test_it_merges_images(ask: Any) -> None:
    answer = ask(model="gemini-3-pro-image", prompt="both in one", input_images=[part(), part(colour="red")])
    assert answer.status == 200, answer.content[:500]


def test_the_fields_of_the_other_table(ask: Any) -> None:
    answer = ask(
        model="gpt-image-1",
        prompt="a red hat",
        size="1536x1024",
        quality="low",
        background="opaque",
        moderation="low",
        input_images=[part((1536, 1024))],
        input_fidelity="high",
        mask=part((1536, 1024), alpha=0),
        output_format="webp",
    )
    assert answer.status == 200, answer.content[:500]
    picture = opened(answer.json["data"][0]["b64_json"])
    assert (picture.size, picture.format) == ((1536, 1024), "WEBP")
    assert warned(answer) == set()


def test_the_smallest_size_where_it_is_sold(ask: Any) -> None:
    """0.5K is served where a model has it; elsewhere 1K is, and told."""
    small = ask(model="gemini-3.1-flash-image", prompt="a boat", size="0.5K", aspect_ratio="16:9")
    assert opened(small.json["data"][0]["b64_json"]).size == (688, 384)
    assert small.json["usage"] == {"billed_amount": "0.045000"}
    assert warned(small) == set()
    other = ask(model="gemini-3-pro-image", prompt="a boat", size="0.5K")
    assert opened(other.json["data"][0]["b64_json"]).size == (1024, 1024)
    assert warned(other) == {("size_adjusted", "size")}


@pytest.mark.parametrize(
    ("model", "field", "value", "told"),
    [
        ("gemini-3.1-flash-image", "reasoning_effort", "high", False),
        ("gemini-3-pro-image", "reasoning_effort", "high", True),
        ("gemini-nano-banana-2.1", "person_generation", "allow_adult", True),
        ("gemini-3-pro-image", "person_generation", "dont_allow", False),  # at the one of its sellers who takes it
        ("imagen-4.0-fast-generate-001", "person_generation", "dont_allow", False),
        ("imagen-4.0-fast-generate-001", "enhance_prompt", False, False),
        ("imagen-4.0-fast-generate-001", "add_watermark", True, False),
        ("gemini-3-pro-image", "enhance_prompt", True, True),
        ("gemini-3-pro-image", "add_watermark", False, True),
        ("qwen-image-plus", "enhance_prompt", False, False),
        ("qwen-image-plus", "add_watermark", True, False),
        ("doubao-seedream-4-0-250828", "add_watermark", False, False),
        ("doubao-seedream-4-0-250828", "reasoning_effort", "minimal", True),
    ],
)
def test_a_field_is_honoured_or_told(ask: Any, model: str, field: str, value: Any, told: bool) -> None:
    answer = ask(model=model, prompt="a boat", **{field: value})
    assert answer.status == 200, answer.content[:500]
    assert warned(answer) == ({("parameter_ignored", field)} if told else set())


# Streams


def events_of(answer: Answer) -> list[tuple[str, Any]]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.content.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


@pytest.mark.parametrize("model", FAMILIES)
def test_a_stream_ends_with_what_was_billed(ask: Any, house: House, model: str) -> None:
    """Amounts add up over the events."""
    before = house.money().available
    events = events_of(ask(model=model, prompt="a boat", n=2, stream=True))
    assert [name for name, _ in events] == ["image_generation.completed"] * 2
    assert all(body["type"] == name for name, body in events)
    assert all(f"{opened(body['b64_json']).width}x" in body["size"] for _, body in events)
    billed = sum(parse_usd(body["usage"]["billed_amount"]) for _, body in events)
    assert billed == before - house.money().available > 0


def test_comments_keep_a_stream_alive(ask: Any) -> None:
    answer = ask(model="qwen-image-plus", prompt="a boat sandbox-fault:late", stream=True)
    assert answer.content.startswith(b":")
    assert [name for name, _ in events_of(answer)] == ["image_generation.completed"]


def test_a_stream_that_cannot_begin_is_an_error_with_a_status(ask: Any, house: House) -> None:
    spent = house.money().spent
    answer = ask(model="gpt-image-1", prompt="a boat sandbox-fault:reset_after", stream=True)
    refusal(answer, 504, "upstream_error", "request_timeout")
    assert house.money().spent == spent


# Models


def test_models_and_their_prices(house: House, gateway: Process) -> None:
    answer = curl(f"{gateway.url}/api/v1/models", key=house.key)
    assert answer.status == 200
    listed = {model["id"]: model for model in answer.json["data"]}
    assert set(FAMILIES) <= set(listed)
    page = listed[PAGE]
    assert page | {"prices": []} == {
        "id": PAGE,
        "name": "Nano Banana (Gemini 2.5 Flash Image)",
        "modality": "image",
        "provider": "google",
        "endpoint_type": "google_gemini_image_generation",
        "streaming": True,
        "context_window": 32_768,
        "max_output": 8_192,
        "prices": [],
    }
    assert {(price["metric"], price["unit"]): (price["amount"], price["billed"]) for price in page["prices"]} == {
        ("input", "1m tokens"): ("0.150000", False),
        ("output", "1m tokens"): ("0.600000", False),
        ("image", "unit"): ("0.040000", True),
        ("minimum hold", "request"): ("0.010000", False),
    }


# Errors


def refusal(answer: Answer, status: int, kind: str, code: str) -> dict[str, Any]:
    assert answer.status == status, answer.content[:500]
    error: dict[str, Any] = answer.json["error"]
    assert (error["type"], error["code"]) == (kind, code)
    assert error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


def test_a_key_that_is_missing_or_wrong_is_a_401(gateway: Process) -> None:
    for key in ("", "omx_live_xxx"):
        answer = curl(gateway.url + GENERATIONS, {"model": PAGE, "prompt": "a boat"}, key=key)
        refusal(answer, 401, "authentication_error", "invalid_api_key")


def test_a_wallet_too_low_is_a_402(house: House, gateway: Process) -> None:
    key = house.key_for("poor", "0.03")
    answer = curl(gateway.url + GENERATIONS, {"model": PAGE, "prompt": "a boat"}, key=key)
    refusal(answer, 402, "billing_error", "insufficient_balance")
    assert house.money("poor").available == 30_000


def test_a_model_that_the_key_may_not_use_is_a_403_before_anything_is_held(house: House, gateway: Process) -> None:
    key, rows = house.key_for("narrow", "0", models=("qwen-*",)), len(house.usage())
    answer = curl(gateway.url + GENERATIONS, {"model": PAGE, "prompt": "a boat"}, key=key)
    refusal(answer, 403, "permission_error", "model_not_allowed")
    assert len(house.usage()) == rows
    listed = curl(f"{gateway.url}/api/v1/models", key=key).json["data"]
    assert {model["id"].partition("-")[0] for model in listed} == {"qwen"}


@pytest.mark.parametrize(
    ("field", "value", "code", "accepted"),
    [
        ("n", 11, "invalid_value", ["an integer from 1 to 10"]),
        ("output_format", "gif", "invalid_value", ["png", "jpeg", "webp"]),
        ("aspect_ratio", "21:9", "invalid_value", ["1:1", "16:9", "9:16", "4:3", "3:4"]),
        ("size", "1024x1024", "invalid_value", ["0.5K", "1K", "2K", "4K"]),
        ("person_generation", "some", "invalid_value", ["allow_adult", "allow_all", "dont_allow"]),
        ("reasoning_effort", "medium", "invalid_value", ["minimal", "high"]),
        ("enhance_prompt", "yes", "invalid_type", ["true", "false"]),
        ("prompt", "", "missing_required_parameter", []),
    ],
)
def test_a_value_outside_the_table_is_a_422_with_the_list(
    ask: Any, house: House, field: str, value: Any, code: str, accepted: list[str]
) -> None:
    rows = len(house.usage())
    error = refusal(ask(**{"model": PAGE, "prompt": "a boat", field: value}), 422, "invalid_request_error", code)
    assert error["param"] == field
    assert error["details"][0]["accepted"] == accepted
    assert len(house.usage()) == rows


def test_a_limit_that_protects_is_a_422_where_nobody_can_keep_it(ask: Any) -> None:
    answer = ask(model="gemini-nano-banana-2.1", prompt="a boat", person_generation="dont_allow")
    error = refusal(answer, 422, "invalid_request_error", "parameter_not_supported")
    assert error["param"] == "person_generation"


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [(PAGE, "quality", "high"), (PAGE, "seed", 4), ("gpt-image-1", "aspect_ratio", "1:1"), (PAGE, "nonsense", 1)],
)
def test_a_field_outside_the_models_table_is_a_422(ask: Any, model: str, field: str, value: Any) -> None:
    answer = ask(**{"model": model, "prompt": "a boat", field: value})
    error = refusal(answer, 422, "invalid_request_error", "unknown_parameter")
    assert error["param"] == field
    assert "input_images" in error["details"][0]["accepted"]


def test_everything_wrong_is_told_at_once_what_the_model_finds_too(ask: Any) -> None:
    limits = {"model": "gemini-nano-banana-2.1", "person_generation": "dont_allow"}
    answer = ask(prompt="", n=0, seed=1, input_images=[part()] * 15, **limits)
    error = refusal(answer, 422, "invalid_request_error", "invalid_value")
    assert {each["code"] for each in error["details"]} == {
        "invalid_value",
        "unknown_parameter",
        "missing_required_parameter",
        "parameter_not_supported",
        "too_many_images",
    }


def test_a_remote_image_is_a_422_and_never_fetched(ask: Any, gateway: Process) -> None:
    """Not even one of this gateway's own."""
    for url in ("https://pictures.example/a.png", f"{gateway.url}/media/a.png"):
        answer = ask(model=PAGE, prompt="a hat", input_images=[{"type": "image_url", "image_url": {"url": url}}])
        error = refusal(answer, 422, "invalid_request_error", "invalid_image_url")
        assert error["param"] == "input_images[0].image_url.url"


def test_too_much_inline_is_a_422(ask: Any) -> None:
    large = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(INLINE_BYTES)).decode()
    answer = ask(model="gpt-image-1", prompt="a hat", input_images=[{"image_url": {"url": large}}])
    error = refusal(answer, 422, "invalid_request_error", "image_too_large")
    assert error["param"] == "input_images"


def test_what_is_no_json_is_a_422(house: House, gateway: Process) -> None:
    words = ["curl", "--silent", "--noproxy", "*", "--header", f"Authorization: Bearer {house.key}"]
    words += ["--header", "Content-Type: application/json", "--write-out", "\n%{http_code}", "--data", '{"model":']
    done = subprocess.run([*words, gateway.url + GENERATIONS], capture_output=True, timeout=30, check=True)
    body, _, status = done.stdout.decode().rpartition("\n")
    assert status == "422"
    assert json.loads(body)["error"]["message"]


def test_an_unknown_model_is_a_404_with_its_neighbours(ask: Any) -> None:
    error = refusal(ask(model="gpt-imge-1", prompt="a boat", quality="low"), 404, "not_found_error", "model_not_found")
    assert "gpt-image-1" in error["message"]


def test_a_refused_prompt_is_a_400_and_free(ask: Any, house: House) -> None:
    spent = house.money().spent
    refusal(ask(model=PAGE, prompt="forbidden things"), 400, "invalid_request_error", "content_policy_violation")
    assert house.money().spent == spent


def test_a_failure_is_released_and_tells_nothing_of_the_provider(ask: Any, house: House) -> None:
    before = house.money()
    answer = ask(model="gpt-image-1", prompt="sandbox-fault:error_500")
    refusal(answer, 502, "upstream_error", "bad_response")
    after = house.money()
    assert (after.available, after.held) == (before.available, 0)
    assert b"openai" not in answer.content.lower()


def test_no_healthy_route_is_a_503(tmp_path: Path) -> None:
    """A gateway without a single upstream."""
    made = House(tmp_path / "data", clean_environment())
    try:
        made.fund("1")
        answer = curl(made.serve().url + GENERATIONS, {"model": PAGE, "prompt": "a boat"}, key=made.key)
        refusal(answer, 503, "upstream_error", "no_healthy_route")
        assert int(answer.headers["retry-after"]) >= 1
        assert made.money().available == 1_000_000
    finally:
        made.close()


def test_other_paths_are_refused_by_whom_they_belong_to(house: House, gateway: Process) -> None:
    """What lies below services, tasks and uploads is another vendor's, and so is its envelope."""
    own = curl(f"{gateway.url}/api/v1/chat/completions", {}, key=house.key)
    refusal(own, 404, "not_found_error", "not_found")
    theirs = curl(f"{gateway.url}/api/v1/services/nothing", {}, key=house.key)
    assert theirs.status == 404
    assert "error" not in theirs.json


def test_strictly_a_warning_is_a_422(house: House, gateway: Process) -> None:
    body = {"model": "gemini-3-pro-image", "prompt": "a boat", "enhance_prompt": True}
    answer = curl(gateway.url + GENERATIONS, body, key=house.key, headers=("Imageway-Strict: 1",))
    error = refusal(answer, 422, "invalid_request_error", "parameter_ignored")
    assert error["param"] == "enhance_prompt"
