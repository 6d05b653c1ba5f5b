"""Bad input through a real socket: every wrong request is told what is wrong with it, costs nothing, holds nothing,
shows no trace of our insides, and leaves the gateway healthy. Providers that misbehave never cost the caller anything
either."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.processes import (
    Answer,
    House,
    Process,
    answer_of,
    assert_told,
    call,
    clean_environment,
    command,
    connect,
    exchange,
    read_to_end,
    unharmed_by,
)

GENERATIONS = "/v1/images/generations"

# One model of each family: OpenAI's, Google's, Ark's, and DashScope's polled and synchronous ways.
GPT, GEMINI, SEEDREAM = "gpt-image-1", "gemini-2.5-flash-image", "doubao-seedream-4-0-250828"
POLLED, SYNC = "qwen-image-plus", "qwen-image-max"
FAMILIES = (GPT, GEMINI, SEEDREAM, POLLED, SYNC)

SETTINGS = """
[limits]
attempt_deadline_s = 4
read_retry_s = 0.1
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("bad-input")
    (folder / "imageway.toml").write_text(SETTINGS)
    made = House(folder / "data", clean_environment(), ("--sandbox", "--config", str(folder / "imageway.toml")))
    made.fund("50")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture(scope="module")
def spending_key(house: House) -> str:
    """Of another workspace: for requests that may become a picture."""
    return house.key_for("spender", "50")


@pytest.fixture(autouse=True)
def unharmed(house: House, gateway: Process) -> Iterator[None]:
    with unharmed_by(house, gateway):
        yield


def post(gateway: Process, body: object, key: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(gateway.url + GENERATIONS, body, key=key, headers=named)


def png_head(width: int, height: int) -> bytes:
    """A PNG's beginning: signature and IHDR, and nothing else."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = zlib.crc32(b"IHDR" + header)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", crc)


def png(width: int = 512, height: int = 512) -> bytes:
    """A whole grey PNG."""
    rows = zlib.compress((b"\0" + b"\x80" * (width * 3)) * height)
    end = b"IDAT" + rows, b"IEND"
    chunks = b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in end)
    return png_head(width, height) + chunks


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def data_url(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64_of(content)}"


PAGE = b"<!DOCTYPE html><html><body>" + b"not an image " * 1000 + b"</body></html>"
BOMB = png_head(30_000, 30_000)

# Wrong values in JSON that is right: what is added to a good body (None: taken away), status, code, param.
WRONG: dict[str, tuple[dict[str, object], int, str, str | None]] = {
    "unknown model": ({"model": "gpt-imagge-1"}, 404, "model_not_found", "model"),
    "no model": ({"model": None}, 400, "missing_required_parameter", "model"),
    "empty model": ({"model": ""}, 400, "missing_required_parameter", "model"),
    "model of another type": ({"model": ["gpt-image-1"]}, 400, "invalid_type", "model"),
    "no prompt": ({"prompt": None}, 400, "missing_required_parameter", "prompt"),
    "blank prompt": ({"prompt": " \n\t"}, 400, "missing_required_parameter", "prompt"),
    "prompt of another type": ({"prompt": 7}, 400, "invalid_type", "prompt"),
    "prompt over the hard limit": ({"prompt": "x" * 32_001}, 400, "prompt_too_long", "prompt"),
    "prompt over every limit": ({"prompt": "x " * 300_000}, 400, "text_too_large", "prompt"),
    "n of none": ({"n": 0}, 400, "invalid_value", "n"),
    "n below none": ({"n": -1}, 400, "invalid_value", "n"),
    "n too large": ({"n": 11}, 400, "invalid_value", "n"),
    "n enormous": ({"n": 10**17}, 400, "invalid_value", "n"),
    "n beyond integers": ({"n": 10**40}, 400, "number_too_large", "n"),
    "n of a half": ({"n": 1.5}, 400, "invalid_value", "n"),
    "n in words": ({"n": "two"}, 400, "invalid_type", "n"),
    "n as truth": ({"n": True}, 400, "invalid_type", "n"),
    "n as a list": ({"n": [1]}, 400, "invalid_type", "n"),
    "size in words": ({"size": "huge"}, 400, "invalid_size", "size"),
    "size cut": ({"size": "1024x"}, 400, "invalid_size", "size"),
    "size of nothing": ({"size": "0x0"}, 400, "invalid_size", "size"),
    "size below nothing": ({"size": "-1024x1024"}, 400, "invalid_size", "size"),
    "size enormous": ({"size": "9" * 5000 + "x1"}, 400, "invalid_size", "size"),
    "ratio of nothing": ({"size": "0:1"}, 400, "invalid_size", "size"),
    "size as a number": ({"size": 1024}, 400, "invalid_type", "size"),
    "size as an object": ({"size": {"width": 1}}, 400, "invalid_type", "size"),
    "quality unknown": ({"quality": "finest"}, 400, "invalid_value", "quality"),
    "quality of another type": ({"quality": 3}, 400, "invalid_type", "quality"),
    "seed in words": ({"seed": "lucky"}, 400, "invalid_type", "seed"),
    "watermark in words": ({"watermark": "yes"}, 400, "invalid_type", "watermark"),
    "contents as text": ({"contents": "a cat"}, 400, "invalid_type", "contents"),
    "contents of numbers": ({"contents": [1]}, 400, "invalid_type", "contents[0]"),
    "a part without anything": ({"contents": [{"parts": [{}]}]}, 400, "invalid_value", "contents[0].parts[0]"),
    "role unknown": ({"contents": [{"role": "system", "parts": []}]}, 400, "invalid_value", "contents[0].role"),
    "form unknown": ({"response_format": "jpeg"}, 400, "invalid_value", "response_format"),
    "stream in words": ({"stream": "yes"}, 400, "invalid_type", "stream"),
    "format unknown": ({"output_format": "bmp"}, 400, "invalid_value", "output_format"),
    "image as a number": ({"image": 7}, 400, "invalid_type", "image"),
    "not base64": ({"image": "this is no base64!"}, 400, "invalid_image", "image"),
    "a data URL that is not base64": ({"image": "data:image/png;base64,@@@@"}, 400, "invalid_image", "image"),
    "long, and not base64": ({"image": "A" * 20_000 + "*" * 20_000}, 400, "invalid_image", "image"),
    "HTML as an image": ({"image": data_url(PAGE)}, 400, "invalid_image", "image"),
    "short HTML as an image": ({"image": base64_of(b"<html></html>")}, 400, "invalid_image", "image"),
    "HTML that says so": ({"image": data_url(PAGE, "text/html")}, 400, "invalid_image", "image"),
    "a cut PNG": ({"image": data_url(png()[:-30])}, 400, "invalid_image", "image"),
    "30,000 × 30,000": ({"image": data_url(BOMB)}, 400, "image_too_large", "image"),
    "17 images": ({"image": [data_url(png())] * 17}, 400, "too_many_images", "image[16]"),
    "a mask alone": ({"mask": data_url(png())}, 400, "image_required", "image"),
    "a file of another house": ({"image": {"file_id": "file-1"}}, 400, "parameter_not_supported", "image.file_id"),
    "an address that is none": ({"image": "http://"}, 400, "invalid_image_url", "image"),
    "transparent JPEG": ({"background": "transparent", "output_format": "jpeg"}, 400, "invalid_value", None),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_wrong_values(house: House, gateway: Process, case: tuple[dict[str, object], int, str, str | None]) -> None:
    """A status, a code and the caller's own path to what is wrong; nothing else happens."""
    change, status, code, param = case
    body = {"model": GPT, "prompt": "a boat", **change}
    assert_told(post(gateway, body, house.key), status, code, param)


def test_an_unknown_model_names_the_closest(house: House, gateway: Process) -> None:
    error = assert_told(post(gateway, {"model": "gpt-imagge-1", "prompt": "x"}, house.key), 404, "model_not_found")
    assert "gpt-image-1" in error["message"]
    assert "gpt-image-1" in error["details"][0]["accepted"]


def test_everything_wrong_is_said_at_once(house: House, gateway: Process) -> None:
    """Five mistakes, five details; the first one is also the error's own."""
    body = {"model": GPT, "prompt": 7, "n": 99, "size": "huge", "quality": [], "image": "!", "response_format": "gif"}
    error = assert_told(post(gateway, body, house.key), 400, "invalid_type", "prompt")
    details = {detail["param"]: detail for detail in error["details"]}
    assert set(details) == {"prompt", "n", "size", "quality", "image", "response_format"}
    assert details["response_format"]["accepted"] == ["b64_json", "url"]
    assert all(detail["message"] and detail["code"] for detail in details.values())


def test_what_only_the_model_can_judge_is_said_at_once_too(house: House, gateway: Process) -> None:
    body = {"model": GPT, "prompt": "x " * 20_000, "quality": "finest", "image": data_url(BOMB)}
    error = assert_told(post(gateway, body, house.key), 400, "prompt_too_long", "prompt")
    assert {detail["param"] for detail in error["details"]} == {"prompt", "quality", "image"}


def test_what_the_dialect_and_what_the_model_finds_is_said_at_once(house: House, gateway: Process) -> None:
    """An unknown model is a 404 alone, and one of the problems among others."""
    body = {"model": "gpt-image-1-mini", "prompt": "x", "quality": "zz", "n": 0, "size": "0x0"}
    error = assert_told(post(gateway, body, house.key), 400, "invalid_value", "n")
    assert [detail["param"] for detail in error["details"]] == ["n", "quality", "size"]
    error = assert_told(post(gateway, {**body, "model": "gpt-imagge-1"}, house.key), 400, "invalid_value", "n")
    assert [detail["code"] for detail in error["details"]] == ["invalid_value", "model_not_found"]
    body = {"model": "qwen-image-edit-plus", "n": 0, "parameters": {"seed": -5}}
    error = assert_told(post(gateway, body, house.key, idempotency_key="n"), 400, "invalid_value", "n")
    assert [detail["param"] for detail in error["details"]] == ["n", "prompt", "image", "parameters.seed"]


@pytest.mark.parametrize(
    ("mask", "told"),
    [(png(), "has no transparency"), (png(64, 64), "64x64 pixels and the first image 512x512")],
)
def test_a_bad_mask_is_the_callers_mistake(house: House, gateway: Process, mask: bytes, told: str) -> None:
    """Found by its header, before anything is held."""
    body = {"model": GPT, "prompt": "x", "image": data_url(png()), "mask": data_url(mask)}
    error = assert_told(post(gateway, body, house.key), 400, "invalid_mask", "mask")
    assert told in "".join(detail["message"] for detail in error["details"])


@pytest.mark.parametrize("model", [GPT, GEMINI, SEEDREAM, "qwen-image-edit-plus"])
@pytest.mark.parametrize("wrong", ["bomb", "page", "cut"])
def test_no_family_takes_a_bad_image(house: House, gateway: Process, model: str, wrong: str) -> None:
    content = {"bomb": BOMB, "page": PAGE, "cut": png()[:-30]}[wrong]
    entry = {"role": "user", "parts": [{"text": "bluer"}, {"image": data_url(content)}]}
    code = "image_too_large" if wrong == "bomb" else "invalid_image"
    assert_told(
        post(gateway, {"model": model, "contents": [entry]}, house.key), 400, code, "contents[0].parts[1].image"
    )


@pytest.mark.parametrize(
    ("model", "image", "right"),
    [
        ("qwen-image-plus", True, "qwen-image-edit-plus"),
        ("doubao-seedream-3-0-t2i-250415", True, "doubao-seededit-3-0-i2i-250628"),
        ("qwen-image-edit-plus", False, "qwen-image-plus"),
        ("doubao-seededit-3-0-i2i-250628", False, "doubao-seedream-3-0-t2i-250415"),
    ],
)
def test_the_wrong_sister_names_the_right_one(
    house: House, gateway: Process, model: str, image: bool, right: str
) -> None:
    body = {"model": model, "prompt": "a boat", **({"image": data_url(png())} if image else {})}
    error = assert_told(post(gateway, body, house.key), 400, "image_not_supported" if image else "image_required")
    assert right in error["message"]


# Bodies that are no JSON, or none we would read.

GOOD = {"model": GPT, "prompt": "a boat"}
BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "body_empty"),
    "blanks": (b" \r\n ", "body_empty"),
    "cut": (b'{"model": "gpt-image-1", "prom', "malformed_json"),
    "single quotes": (b"{'model': 1}", "malformed_json"),
    "a comma too many": (b'{"model": "gpt-image-1",}', "malformed_json"),
    "a comment": (b'{"model": 1 /* one */}', "malformed_json"),
    "two values": (json.dumps(GOOD).encode() * 2, "malformed_json"),
    "NaN": (b'{"model": "gpt-image-1", "prompt": "x", "seed": NaN}', "malformed_json"),
    "infinite": (b'{"model": "gpt-image-1", "prompt": "x", "seed": 1e999999}', "number_too_large"),
    "a number of 100,000 digits": (b'{"seed": ' + b"9" * 100_000 + b"}", "number_too_large"),
    "a list": (b"[]", "invalid_type"),
    "null": (b"null", "invalid_type"),
    "a text": (b'"a boat"', "invalid_type"),
    "duplicate keys": (b'{"model": "gpt-image-1", "prompt": "a", "prompt": "b"}', "duplicate_key"),
    "duplicate keys inside": (b'{"input": {"messages": [{"role": "user", "role": "model"}]}}', "duplicate_key"),
    "invalid UTF-8": (b'{"model": "gpt-image-1", "prompt": "\xff\xfe"}', "invalid_utf8"),
    "overlong UTF-8": (b'{"model": "gpt-image-1", "prompt": "\xc0\xaf"}', "invalid_utf8"),
    "half a surrogate pair": (b'{"model": "gpt-image-1", "prompt": "\\ud800"}', "malformed_json"),
    "UTF-16": (json.dumps(GOOD).encode("utf-16"), "invalid_utf8"),
    "compressed": (gzip.compress(json.dumps(GOOD).encode()), "invalid_utf8"),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), "malformed_json"),
    "a control character": (b'{"model": "gpt-image-1", "prompt": "a\x00b"}', "malformed_json"),
    "a form": (b"model=gpt-image-1&prompt=boat", "malformed_json"),
    "lists of lists": (b"[" * 100_000, "malformed_json"),
    "lists of lists that end": (b'{"prompt": ' + b"[" * 400 + b"]" * 400 + b"}", "too_deep"),
    "objects of objects": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "too_deep"),
    "a deep field nobody knows": (b'{"metadata": ' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}", "too_deep"),
    "2 MiB of small things": (b"[" + b'"aaaaaaaa",' * 200_000 + b"1]", "tree_too_large"),
    "65 fields nobody knows": (
        json.dumps({**GOOD, **{f"field_{number}": 1 for number in range(65)}}).encode(),
        "unknown_parameter",
    ),
}


@pytest.mark.parametrize("case", BODIES.values(), ids=BODIES)
def test_bodies_that_are_no_request(house: House, gateway: Process, case: tuple[bytes, str]) -> None:
    content, code = case
    answer = post(gateway, content, house.key)
    if code == "malformed_json" and answer.json["error"]["code"] == "too_deep":
        return  # a nesting bomb without an end is wrong in both ways
    assert_told(answer, 400, code)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data", "x" * 9000],
)
def test_another_content_type_is_415(house: House, gateway: Process, content_type: str) -> None:
    error = assert_told(post(gateway, GOOD, house.key, content_type=content_type), 415, "unsupported_content_type")
    assert "application/json" in error["message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_method_is_405_naming_the_right_one(gateway: Process, house: House, method: str) -> None:
    request = (
        f"{method} {GENERATIONS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {house.key}\r\nconnection: close\r\n\r\n"
    )
    answer = answer_of(exchange(gateway.url, request.encode()))
    assert "POST" in assert_told(answer, 405, "method_not_allowed")["message"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_asked_for_and_nothing_else(gateway: Process, path: str) -> None:
    asked = f"%s {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    found, head = (answer_of(exchange(gateway.url, (asked % method).encode())) for method in ("GET", "HEAD"))
    assert (found.status, found.json) == (200, {"status": "ok"})
    assert (head.status, head.content, head.headers["content-length"]) == (200, b"", found.headers["content-length"])
    assert found.headers["x-request-id"].startswith("req_")
    assert found.headers["x-request-id"] != head.headers["x-request-id"]
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        refused = answer_of(exchange(gateway.url, (asked % method).encode()))
        assert "GET, HEAD" in assert_told(refused, 405, "method_not_allowed")["message"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *(("/v1/models", 200), ("/v1/models/gpt-image-1", 200), ("/v1/tasks", 200), ("/v1beta/models", 200)),
        *(("/openapi.json", 200), ("/api/v1/tasks", 200), ("/admin/v1/openapi.json", 200), ("/admin/v1/keys", 401)),
        *(("/v1/models/nobody", 404), ("/v1/tasks/req_0/events", 404), ("/v1/nothing", 404)),
    ],
)
def test_head_is_answered_like_get_without_a_body(gateway: Process, house: House, path: str, status: int) -> None:
    """RFC 9110, section 9.3.2: whoever asks how much there is gets no other answer than who asks for it."""
    asked = f"%s {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {house.key}\r\nconnection: close\r\n\r\n"
    found, head = (answer_of(exchange(gateway.url, (asked % method).encode())) for method in ("GET", "HEAD"))
    assert (found.status, head.status, head.content) == (status, status, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == found.headers[name]


@pytest.mark.parametrize("path", ["/v1/models", "/openapi.json", "/admin/v1/openapi.json", "/v1/tasks/req_0/events"])
def test_where_get_is_allowed_head_is(gateway: Process, house: House, path: str) -> None:
    asked = f"PUT {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {house.key}\r\nconnection: close\r\n\r\n"
    refused = answer_of(exchange(gateway.url, asked.encode()))
    assert refused.headers["allow"] == "GET, HEAD"
    assert "use GET, HEAD" in assert_told(refused, 405, "method_not_allowed")["message"]


PATHS = (
    *("/", "/v1", "/v1/", "/v1/images", "/v1/images/generations/", "/V1/images/generations", "/v1/tasks/"),
    *("/v1/images/../images/generations", "/v1/models/a/b", "/.env", "/%00", "/%ff%fe", "//evil/", "/" + "a" * 8000),
)


@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_path_is_404(gateway: Process, house: House, path: str) -> None:
    assert_told(call(gateway.url + path, GOOD, key=house.key), 404, "not_found")


def test_unknown_ids_are_404(gateway: Process, house: House) -> None:
    assert_told(call(f"{gateway.url}/v1/tasks/req_none", key=house.key), 404, "task_not_found")
    assert_told(call(f"{gateway.url}/v1/models/none", key=house.key), 404, "model_not_found")


# Who asks.


@pytest.mark.parametrize(
    "header",
    [None, "Bearer", "Bearer ", "Bearer sk-iw-unknown", "Basic dXNlcjpwYXNz", "Bearer " + "k" * 5000, "Bearer ü"],
)
def test_without_a_valid_key_it_is_401(gateway: Process, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    answer = call(gateway.url + GENERATIONS, GOOD, headers=headers)
    assert_told(answer, 401, "invalid_api_key")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["x-should-retry"] == "false"


def test_a_key_in_the_address_is_no_key(gateway: Process, house: House) -> None:
    """Addresses end up in logs."""
    assert_told(call(f"{gateway.url}{GENERATIONS}?api_key={house.key}&key={house.key}", GOOD), 401, "invalid_api_key")


def test_a_revoked_key_is_worth_nothing_from_the_next_request_on(house: House, gateway: Process) -> None:
    made = command("keys", "create", "--workspace", "w", data=house.data)
    body = {"model": GPT, "prompt": "sandbox-fault:error_500"}
    assert post(gateway, body, made["key"]).status == 502
    command("keys", "revoke", made["id"], data=house.data)
    assert_told(post(gateway, body, made["key"]), 401, "invalid_api_key")
    assert_told(call(f"{gateway.url}/v1/models", key=made["key"]), 401, "invalid_api_key")


def test_a_key_revoked_while_its_request_still_arrives_buys_nothing(house: House, gateway: Process) -> None:
    """It was valid when the head came; the commit that would hold money looks again."""
    made = command("keys", "create", "--workspace", "w", data=house.data)
    body = json.dumps({"model": GEMINI, "prompt": "a boat"}).encode()
    lines = f"POST {GENERATIONS} HTTP/1.1", "host: x", f"authorization: Bearer {made['key']}", "connection: close"
    head = "\r\n".join((*lines, "content-type: application/json", f"content-length: {len(body)}")) + "\r\n\r\n"
    requests = len(house.usage())
    with connect(gateway.url) as connection:
        connection.sendall(head.encode() + body[:10])
        time.sleep(0.3)  # until the key was found
        command("keys", "revoke", made["id"], data=house.data)
        connection.sendall(body[10:])
        error = assert_told(answer_of(read_to_end(connection)), 401, "invalid_api_key")
    assert "not valid any more" in error["message"]
    assert house.money().held == 0
    assert len(house.usage()) == requests


def test_a_model_outside_the_keys_scope_is_403_before_any_hold(house: House, gateway: Process) -> None:
    """Its wallet is empty: a hold, had it been tried, would have been 402."""
    scoped = house.key_for("empty", models=("gemini-*", "qwen-image"))
    assert_told(post(gateway, GOOD, scoped), 403, "model_not_allowed", "model")
    assert_told(post(gateway, {**GOOD, "model": POLLED}, scoped), 403, "model_not_allowed", "model")
    assert_told(post(gateway, {**GOOD, "model": GEMINI}, scoped), 402, "insufficient_balance")
    listed = {model["id"] for model in call(f"{gateway.url}/v1/models", key=scoped).json["data"]}
    assert GPT not in listed
    assert GEMINI in listed
    assert_told(call(f"{gateway.url}/v1/models/{GPT}", key=scoped), 403, "model_not_allowed")


def test_an_empty_wallet_is_402_and_says_how_much_is_needed(house: House, gateway: Process) -> None:
    key = house.key_for("penniless")
    error = assert_told(post(gateway, {**GOOD, "model": GEMINI, "n": 2}, key), 402, "insufficient_balance")
    assert error["type"] == "billing_error"
    assert "$0.078000" in error["message"]
    assert house.money("penniless").held == 0


def test_an_idempotency_key_buys_once_and_for_one_request(house: House, gateway: Process, spending_key: str) -> None:
    """The same again gets the same picture, another body is refused with what differs: never a second purchase."""
    body = {"model": GEMINI, "prompt": "a boat"}
    first = post(gateway, body, spending_key, idempotency_key="once")
    assert first.status == 200
    spent = house.money("spender").spent
    again = post(gateway, body, spending_key, idempotency_key="once")
    assert (again.status, again.headers["idempotency-replayed"]) == (200, "true")
    assert again.json["data"] == first.json["data"]
    assert again.headers["x-request-id"] == first.headers["x-request-id"]
    other = post(gateway, {**body, "prompt": "a secret lake"}, spending_key, idempotency_key="once")
    error = assert_told(other, 422, "idempotency_key_reused")
    assert "prompt" in json.dumps(error)
    assert "secret lake" not in json.dumps(error)
    assert other.headers["x-should-retry"] == "false"
    assert house.money("spender").spent == spent
    assert_told(post(gateway, body, spending_key, idempotency_key="k" * 256), 400, "invalid_value", "Idempotency-Key")
    assert_told(post(gateway, body, spending_key, imageway_strict="maybe"), 400, "invalid_value", "Imageway-Strict")


# Providers that misbehave: a fault, then status and code.

FAULTS = {
    "rate_limit": (429, "rate_limit_exceeded"),
    "rate_limit_bare": (429, "rate_limit_exceeded"),
    "error_500": (502, "bad_response"),
    "reset_before": (504, "request_timeout"),
    "reset_after": (504, "request_timeout"),
    "truncated": (504, "request_timeout"),
    "html": (502, "bad_response"),
    "empty": (502, "empty_response"),
    "pending": (504, "request_timeout"),
}
RESENDING_HELPS = {"rate_limit", "rate_limit_bare", "error_500"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_provider_that_misbehaves_costs_the_caller_nothing(house: House, gateway: Process, fault: str) -> None:
    """All families at once, one call each; a resend is discouraged where it might buy twice."""
    status, code = FAULTS[fault]
    # Seedream's catalog row allows 900 s, whatever the setting: nobody waits for that here.
    models = [model for model in FAMILIES if (model, fault) != (SEEDREAM, "pending")]
    bodies = [{"model": model, "prompt": f"a boat sandbox-fault:{fault}"} for model in models]
    with ThreadPoolExecutor(len(bodies)) as callers:
        answers = list(callers.map(lambda body: post(gateway, body, house.key), bodies))
    for answer in answers:
        error = assert_told(answer, status, code)
        assert "nothing was charged" in error["message"]
        assert ("retry-after" in answer.headers) == (status in (429, 503))
        assert answer.headers.get("x-should-retry") == (None if fault in RESENDING_HELPS else "false")
        task = call(f"{gateway.url}/v1/tasks/{error['request_id']}", key=house.key).json
        assert task["status"] == ("unknown" if status == 504 else "failed")
        assert (task["error"]["code"], task["price_usd"], task["data"]) == (code, "0.000000", [])


@pytest.mark.parametrize("model", FAMILIES)
def test_a_refused_prompt_is_400_and_free(house: House, gateway: Process, model: str) -> None:
    answer = post(gateway, {"model": model, "prompt": "something forbidden"}, house.key)
    assert_told(answer, 400, "content_policy_violation")
    assert answer.headers["x-should-retry"] == "false"
