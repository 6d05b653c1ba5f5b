"""The unified image endpoint as its callers meet it: every published sample, both
answer forms for every family, links, sizes, formats, money; over a real socket, from one gateway on its sandbox."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from PIL import Image

from imageway.media.links import LinkSigner
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
    wait_for,
)

GPT, GEMINI, SEEDREAM, QWEN = "gpt-image-1", "gemini-2.5-flash-image", "doubao-seedream-4-0-250828", "qwen-image-max"
FAMILIES = (GPT, GEMINI, SEEDREAM, QWEN)


def picture(width: int = 640, height: int = 480, file_format: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (40, 90, 200)).save(out, file_format)
    return out.getvalue()


def data_url(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


class Files(BaseHTTPRequestHandler):
    """A caller's own file server: pictures, a page, a redirect into the house, and somebody who never answers."""

    asked: ClassVar[list[tuple[str, Mapping[str, str]]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        status, headers, content = {
            "/boat.png": (200, {"content-type": "image/png"}, picture()),
            "/boat.jpeg": (200, {"content-type": "image/jpeg"}, picture(file_format="JPEG")),
            "/mislabelled": (200, {"content-type": "text/plain"}, picture()),
            "/page": (200, {"content-type": "image/png"}, b"<html>not a picture</html>"),
            "/tiny.png": (200, {"content-type": "image/png"}, picture(8, 8)),
            "/cut.png": (200, {"content-type": "image/png"}, picture()[:-20]),
            "/inward": (302, {"location": "http://127.0.0.1:1/x.png"}, b""),
            "/moved": (302, {"location": "/boat.png"}, b""),
        }.get(self.path, (404, {}, b"no such thing"))
        if self.path == "/never":
            with contextlib.suppress(OSError):
                self.connection.recv(1)  # until whoever asked is gone
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, files: str) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("unified")
    settings = folder / "imageway.toml"
    settings.write_text(f'fetch_allow = ["{urlsplit(files).netloc}"]\n[limits]\nfetch_deadline_s = 60\n')
    made = House(folder / "data", clean_environment(), ("--sandbox", "--config", str(settings)))
    made.fund("500")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture(autouse=True)
def balanced(house: House, gateway: Process) -> Iterator[None]:
    """After every test nothing is held, and the wallet has lost exactly what the usage rows say."""
    yield
    wait_for(lambda: house.money().held == 0, seconds=8)
    assert house.money().available + house.money().spent == 500_000_000
    assert "crashed" not in gateway.log.read_text()


def ask(gateway: Process, house: House, body: object, *, path: str = "generations", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(f"{gateway.url}/v1/images/{path}", body, key=house.key, headers=named)


def pictures_of(answer: Answer) -> list[Image.Image]:
    """Every picture of an answer, decoded to its last pixel."""
    assert answer.status == 200, answer.content[:1000]
    body = answer.json
    items = body["data"]["data"] if isinstance(body["data"], dict) else body["data"]
    return [opened(base64.b64decode(i["b64_json"]) if i.get("b64_json") else call(i["url"]).content) for i in items]


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def warned(answer: Answer) -> set[tuple[str, str | None]]:
    warnings = answer.json.get("warnings", [])
    assert all(warning["message"] for warning in warnings)
    return {(warning["code"], warning["param"]) for warning in warnings}


def price_of(house: House, answer: Answer) -> str:
    (row,) = [row for row in house.usage() if row["request_id"] == answer.json["request_id"]]
    assert row["outcome"] == "succeeded"
    return str(row["price_usd"])


# The published samples, verbatim but for their input image, which is elided there.

KITTEN = "A cute orange kitten sitting in a garden, sunny day, high quality photography"
INPUT = data_url(picture())
TIER = {("size_adjusted", "image_size"), ("parameter_ignored", "quality")}
ANY_PRICE = ""

SAMPLES: dict[str, tuple[dict[str, Any], tuple[int, int], str, set[tuple[str, str | None]]]] = {
    # body, pixels, price (the hold's side is tested elsewhere), warnings
    "nano banana, in short": (
        {
            "model": "gemini-2.5-flash-image",
            "prompt": "A cute orange kitten sitting in a garden",
            "size": "16:9",
            "quality": "high",
            "n": 1,
            "response_format": "b64_json",
            "image_size": "2K",
        },
        (1344, 768),
        "0.039000",
        TIER,
    ),
    "nano banana": (
        {
            "model": "gemini-2.5-flash-image",
            "prompt": KITTEN,
            "size": "16:9",
            "quality": "high",
            "n": 1,
            "response_format": "b64_json",
            "image_size": "2K",
            "mime_type": "image/png",
            "response_modalities": "image",
        },
        (1344, 768),
        "0.039000",
        TIER,
    ),
    "nano banana of another gateway": (
        {
            "model": "gemini-2.5-flash-image",
            "prompt": "A cute orange cat sitting in a garden, sunny, high-quality photo",
            "size": "16:9",
            "quality": "high",
            "n": 1,
            "response_format": "b64_json",
            "image_size": "2K",
            "mime_type": "image/png",
            "response_modalities": "image",
        },
        (1344, 768),
        "0.039000",
        TIER,
    ),
    "Gemini, text to image": (
        {
            "model": "gemini-2.5-flash-image",
            "prompt": KITTEN,
            "size": "16:9",
            "quality": "high",
            "n": 1,
            "temperature": 1.1,
            "top_p": 0.95,
            "response_format": "b64_json",
            "image_size": "2K",
            "mime_type": "image/png",
            "response_modalities": "image",
        },
        (1344, 768),
        "0.039000",
        TIER,
    ),
    "Gemini, image to image": (
        {
            "model": "gemini-2.5-flash-image",
            "size": "16:9",
            "quality": "high",
            "image_size": "3K",
            "temperature": 1.1,
            "top_p": 0.95,
            "response_format": "b64_json",
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "Generate an aerial view of Canton Tower based on this image"},
                        {"image": INPUT},
                    ],
                }
            ],
        },
        (1344, 768),
        "0.039000",
        TIER,
    ),
    "Gemini, image to image, of another gateway": (
        {
            "model": "gemini-2.5-flash-image",
            "size": "16:9",
            "quality": "high",
            "image_size": "3K",
            "response_format": "b64_json",
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "Generate an aerial view of Canton Tower based on this image"},
                        {"image": INPUT},
                    ],
                }
            ],
        },
        (1344, 768),
        "0.039000",
        TIER,
    ),
    "Seedream, text to image": (
        {
            "model": "doubao-seedream-4-0-250828",
            "prompt": KITTEN,
            "size": "2048x2048",
            "watermark": False,
            "seed": 12345,
            "optimize_prompt_options": {"mode": "standard"},
        },
        (2048, 2048),
        "0.030000",
        {("parameter_ignored", "seed")},
    ),
    "Seedream, image to image": (
        {
            "model": "doubao-seedream-4-0-250828",
            "prompt": "Transform this image into oil painting style",
            "size": "2048x2048",
            "watermark": False,
            "seed": 12345,
            "contents": [
                {
                    "role": "user",
                    "parts": [{"image": INPUT}, {"text": "Transform this image into oil painting style"}],
                }
            ],
        },
        (2048, 2048),
        "0.030000",
        {("parameter_ignored", "seed")},
    ),
    "GPT Image, text to image": (
        {"model": "gpt-image-1", "prompt": KITTEN, "size": "1024x1024", "quality": "high", "n": 1},
        (1024, 1024),
        ANY_PRICE,
        set(),
    ),
    "GPT Image, image to image": (
        {
            "model": "gpt-image-1",
            "prompt": "Transform this image into oil painting style",
            "size": "1024x1024",
            "quality": "high",
            "input_fidelity": "medium",
            "n": 1,
            "image": INPUT,
        },
        (1024, 1024),
        ANY_PRICE,
        {("parameter_replaced", "input_fidelity")},
    ),
    "Qwen": (
        {
            "model": "qwen-image-plus",
            "input": {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"text": "An elegant couplet hanging in a traditional Chinese hall"}],
                    }
                ]
            },
            "parameters": {"negative_prompt": "1", "prompt_extend": True, "seed": "4", "watermark": True},
        },
        (1664, 928),
        "0.030000",
        set(),
    ),
    "Seedream by its short name": (
        {
            "model": "seedream-4.0-base",
            "prompt": "A cute orange kitten sitting in a garden",
            "size": "1024x1024",
            "n": 1,
        },
        (1024, 1024),
        "0.030000",
        set(),
    ),
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_published_sample_is_answered(house: House, gateway: Process, sample: str) -> None:
    """200 in the shape its page shows: flat, or nested for the nested body; what is not honoured is told."""
    body, pixels, price, warnings = SAMPLES[sample]
    answer = ask(gateway, house, body)
    (image,) = pictures_of(answer)
    assert image.size == pixels
    assert warned(answer) == warnings
    assert answer.headers["x-request-id"] == answer.json["request_id"]
    assert answer.headers["x-imageway-sandbox"] == "true"
    assert price_of(house, answer) == price or price == ANY_PRICE
    if "input" in body:
        assert_nested(answer)
    else:
        assert_flat(answer, body, pixels)


def assert_flat(answer: Answer, body: dict[str, Any], pixels: tuple[int, int]) -> None:
    told = answer.json
    assert abs(told["created"] - time.time()) < 120
    assert told["size"] == f"{pixels[0]}x{pixels[1]}"
    assert told["output_format"] in ("png", "jpeg")
    form = "url" if body["model"].startswith(("doubao", "seedream")) else "b64_json"
    revised = set() if body["model"].startswith("gpt") else {"revised_prompt"}
    assert set(told["data"][0]) == {form} | revised


def assert_nested(answer: Answer) -> None:
    told = answer.json
    assert (told["code"], told["msg"], set(told["data"])) == (200, "Success", {"data", "created"})
    (item,) = told["data"]["data"]
    assert item["url"] == ""
    assert item["b64_json"]
    assert isinstance(item["revised_prompt"], str)


# Both forms for every family.


@pytest.mark.parametrize("form", ["b64_json", "url", None])
@pytest.mark.parametrize("model", FAMILIES)
def test_the_form_asked_for_is_given_by_every_family(
    house: House, gateway: Process, model: str, form: str | None
) -> None:
    """Absent: what that family's users are used to. Only the key that was asked for is there."""
    body = {"model": model, "prompt": "a boat", **({"response_format": form} if form else {})}
    answer = ask(gateway, house, body)
    pictures_of(answer)
    usual = "b64_json" if model in (GPT, GEMINI) else "url"
    keys = set(answer.json["data"][0]) - {"revised_prompt"}
    assert keys == {form or usual}


@pytest.mark.parametrize("form", ["b64_json", "url"])
def test_a_nested_body_works_for_any_model_and_has_all_three_keys(house: House, gateway: Process, form: str) -> None:
    body = {
        "model": GEMINI,
        "input": {"messages": [{"role": "user", "content": [{"text": "a boat"}, {"image": INPUT}]}]},
        "parameters": {"response_format": form, "n": 2, "size": "1:1"},
    }
    answer = ask(gateway, house, body)
    assert [image.size for image in pictures_of(answer)] == [(1024, 1024)] * 2
    for item in answer.json["data"]["data"]:
        assert set(item) == {"url", "b64_json", "revised_prompt"}
        assert bool(item["url"]) == (form == "url")
        assert bool(item["b64_json"]) == (form == "b64_json")


@pytest.mark.parametrize(("asked", "told"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
@pytest.mark.parametrize("model", FAMILIES)
def test_the_format_asked_for_is_given_by_every_family(
    house: House, gateway: Process, model: str, asked: str, told: str
) -> None:
    """Converted here where the provider cannot; the pixels stay the same picture."""
    body = {"model": model, "prompt": "a boat", "response_format": "b64_json"}
    answer = ask(gateway, house, {**body, "output_format": asked})
    (image,) = pictures_of(answer)
    assert image.format == told
    assert answer.json["output_format"] == asked
    assert image.size == tuple(map(int, answer.json["size"].split("x")))
    assert len(image.convert("RGB").resize((32, 32)).getcolors(1024) or []) > 8


def test_a_converted_picture_is_the_same_picture(house: House, gateway: Process) -> None:
    """The same seed and prompt, once as it comes and once converted: alike in every region."""
    body = {"model": GEMINI, "prompt": "a red boat", "seed": 7}
    (as_it_comes,) = pictures_of(ask(gateway, house, body))
    for media_type in ("image/jpeg", "image/png", "image/webp"):
        answer = ask(gateway, house, {**body, "mime_type": media_type})
        (converted,) = pictures_of(answer)
        assert (converted.format or "").lower() == media_type.removeprefix("image/")
        assert distance(as_it_comes, converted) < 12
    assert ("transcoded", "mime_type") in warned(answer)


def distance(one: Image.Image, other: Image.Image) -> float:
    """The largest mean difference of a colour in any of 64 regions, of 255."""
    small = [image.convert("RGB").resize((8, 8)).tobytes() for image in (one, other)]
    return max(abs(a - b) for a, b in zip(*small, strict=True))


# Links to stored pictures.


@pytest.fixture(scope="module")
def link(house: House, gateway: Process) -> str:
    answer = ask(gateway, house, {"model": GPT, "prompt": "a linked boat", "response_format": "url"})
    url: str = answer.json["data"][0]["url"]
    return url


def get(url: str, method: str = "GET", **headers: str) -> Answer:
    """One raw GET or HEAD, with exactly these headers."""
    parts = urlsplit(url)
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    path = f"{parts.path}?{parts.query}"
    return answer_of(
        exchange(url, f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n".encode())
    )


def test_a_link_needs_no_key_and_minds_none(gateway: Process, link: str) -> None:
    """Some clients send their key along with every address of the same origin; whatever it is, it is ignored."""
    plain = get(link)
    assert (plain.status, plain.headers["content-type"]) == (200, "image/png")
    assert opened(plain.content).size == (1024, 1024)
    assert link.startswith(f"{gateway.url}/media/")
    for stray in ("Bearer sk-iw-wrong", "Basic x", "nonsense"):
        assert get(link, authorization=stray).content == plain.content
    assert plain.headers["content-disposition"].startswith("inline; filename=")
    assert plain.headers["x-content-type-options"] == "nosniff"
    assert plain.headers["x-request-id"].startswith("req_")


def test_a_link_answers_head_and_etag(link: str) -> None:
    plain, head = get(link), get(link, "HEAD")
    assert (head.status, head.content) == (200, b"")
    assert head.headers["content-length"] == plain.headers["content-length"] == str(len(plain.content))
    etag = plain.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        unchanged = get(link, if_none_match=known)
        assert (unchanged.status, unchanged.content) == (304, b"")
    assert get(link, if_none_match='"other"').status == 200


def test_a_link_answers_ranges(link: str) -> None:
    """RFC 9110 §14: what cannot be understood is ignored, what cannot be satisfied is 416 with the size."""
    whole = get(link)
    size = len(whole.content)
    for asked, expected in {
        "bytes=0-99": whole.content[:100],
        "bytes=100-": whole.content[100:],
        "bytes=-50": whole.content[-50:],
        f"bytes=10-{size * 9}": whole.content[10:],
        "bytes=10-" + "9" * 30: whole.content[10:],
        "bytes=0-" + "9" * 30: whole.content,
    }.items():
        part = get(link, range=asked)
        assert (part.status, part.content) == (206, expected), asked
        first = size - len(expected) if asked != "bytes=0-99" else 0
        assert part.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{size}"
    for ignored in ("bytes=9-2", "bytes=-", "lines=1-2", "bytes=0-1,5-6", "bytes=" + "9" * 5000 + "-"):
        assert get(link, range=ignored).status == 200, ignored
    beyond = get(link, range=f"bytes={size}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert get(link, range="bytes=0-9", if_range=whole.headers["etag"]).status == 206
    assert get(link, range="bytes=0-9", if_range='"other"').status == 200


def test_a_link_that_was_changed_is_403(link: str) -> None:
    url, _, query = link.partition("?")
    fields = dict(pair.split("=") for pair in query.split("&"))
    last = fields["signature"][-1]
    changed = [
        url,
        link.replace("-0.png", "-1.png"),
        link.replace("expires=", "expires=9"),
        link.replace("key=k1", "key=k2"),
        link[:-1] + ("0" if last != "0" else "1"),
        f"{url}?expires={fields['expires']}&key=k1&signature=",
        f"{url}?expires=never&key=k1&signature={fields['signature']}",
        link.replace("/media/", "/media/../media/"),
    ]
    for wrong in changed:
        assert_told(get(wrong), 403, "signature_invalid")
    assert_told(get(link, "DELETE"), 405, "method_not_allowed")


def signer(house: House, gateway: Process) -> LinkSigner:
    secret = bytes.fromhex((house.data / "media-signing.key").read_text().strip())
    return LinkSigner(gateway.url, "k1", {"k1": secret})


def test_a_link_that_has_expired_is_410_and_one_to_nothing_404(house: House, gateway: Process, link: str) -> None:
    name = urlsplit(link).path.removeprefix("/media/")
    now_ms = int(time.time() * 1000)
    assert_told(get(signer(house, gateway).sign(name, now_ms - 1000)), 410, "link_expired")
    assert get(signer(house, gateway).sign(name, now_ms + 60_000)).status == 200
    assert_told(get(signer(house, gateway).sign("req_none-0.png", now_ms + 60_000)), 404, "not_found")


def test_pictures_are_swept_after_their_time(tmp_path: Path) -> None:
    """A gateway that keeps pictures for a second or two: then the link is 410, and the file is gone."""
    settings = tmp_path / "imageway.toml"
    settings.write_text("[limits]\nkeep_images_s = 2\nsweep_every_s = 0.5\nlease_renew_s = 0.5\n")
    house = House(tmp_path / "data", clean_environment(), ("--sandbox", "--config", str(settings)))
    try:
        house.fund()
        gateway = house.serve()
        answer = ask(gateway, house, {"model": GEMINI, "prompt": "short-lived", "response_format": "url"})
        url = answer.json["data"][0]["url"]
        assert get(url).status == 200
        wait_for(lambda: get(url).status == 410, seconds=10)
        wait_for(lambda: not list((house.data / "images").rglob("req_*")), seconds=10)
        task = call(f"{gateway.url}/v1/tasks/{answer.json['request_id']}", key=house.key).json
        assert (task["status"], task["price_usd"], task["data"]) == ("succeeded", "0.039000", [])
    finally:
        house.close()


# How many.


@pytest.mark.parametrize("model", FAMILIES)
def test_three_are_three_whatever_one_call_gives(house: House, gateway: Process, model: str) -> None:
    answer = ask(gateway, house, {"model": model, "prompt": "three boats", "n": 3, "response_format": "b64_json"})
    assert len(pictures_of(answer)) == 3
    (row,) = [row for row in house.usage() if row["request_id"] == answer.json["request_id"]]
    assert (row["n"], row["delivered"]) == (3, 3)


def test_seeds_count_up_and_are_told(house: House, gateway: Process) -> None:
    body = {"model": "doubao-seedream-3-0-t2i-250415", "prompt": "boats", "n": 3, "seed": 2147483646}
    answer = ask(gateway, house, body)
    assert answer.json["metadata"]["seeds"] == [2147483646, 2147483647, 0]
    tones = {image.convert("RGB").resize((4, 4)).tobytes() for image in pictures_of(answer)}
    assert len(tones) == 3


def test_k_of_n_is_a_success_that_charges_k(house: House, gateway: Process) -> None:
    """One of four pictures of a group is taken out by moderation: three come, three are paid."""
    body = {
        "model": SEEDREAM,
        "prompt": "four boats forbidden-output:2",
        "sequential_image_generation": "auto",
        "sequential_image_generation_options": {"max_images": 4},
    }
    answer = ask(gateway, house, body)
    assert len(pictures_of(answer)) == 3
    assert price_of(house, answer) == "0.090000"


def test_a_group_that_came_short_of_n_is_told(house: House, gateway: Process) -> None:
    body = {"model": SEEDREAM, "prompt": "boats forbidden-output:2", "sequential_image_generation": "auto"}
    answer = ask(gateway, house, {**body, "n": 3})
    assert len(pictures_of(answer)) == 2
    assert warned(answer) == {("partial_result", "n")}
    assert price_of(house, answer) == "0.060000"


def test_a_prompt_without_a_blank_is_a_prompt(house: House, gateway: Process) -> None:
    """Though every letter of it could be base64."""
    body = {"model": GPT, "prompt": "boat" * 8000, "quality": "low"}
    pictures_of(ask(gateway, house, body))
    assert_told(ask(gateway, house, {**body, "prompt": "boat" * 8000 + "s"}), 400, "prompt_too_long", "prompt")


def test_a_group_is_one_call(house: House, gateway: Process) -> None:
    body = {"model": SEEDREAM, "prompt": "a story in pictures", "sequential_image_generation": "auto"}
    answer = ask(gateway, house, {**body, "sequential_image_generation_options": {"max_images": 3}})
    assert 1 <= len(pictures_of(answer)) <= 3
    assert_told(ask(gateway, house, {**body, "model": GPT}), 400, "parameter_not_supported")
    two_ways = {**body, "n": 2, "sequential_image_generation_options": {"max_images": 3}}
    assert_told(ask(gateway, house, two_ways), 400, "invalid_value", "n")


def test_nulls_and_query_strings_say_nothing(house: House, gateway: Process) -> None:
    """Clients write explicit nulls for what they leave out, and versions into the query."""
    body = {"model": GEMINI, "prompt": "a boat", "n": None, "size": None, "image": None, "seed": None, "stream": False}
    url = f"{gateway.url}/v1/images/generations?api-version=2025-04-01&key=x"
    answer = call(url, body, key=house.key)
    pictures_of(answer)
    assert warned(answer) == set()


# To the letter.


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": GEMINI, "size": "16:9", "image_size": "4K"}, "image_size"),
        ({"model": GEMINI, "size": "1024x768"}, "size"),
        ({"model": GEMINI, "output_format": "webp"}, "output_format"),
        ({"model": "gemini-3-pro-image-preview"}, "model"),
        ({"model": SEEDREAM, "seed": 3}, "seed"),
        ({"model": GPT, "style": "vivid"}, "style"),
        ({"model": GPT, "quality": "hd"}, "quality"),
        ({"model": GPT, "size": "800x600"}, "size"),
    ],
)
def test_strict_turns_warnings_into_errors(house: House, gateway: Process, change: dict[str, Any], param: str) -> None:
    """What would only be told is refused, with nothing spent; without the header it is 200 with a warning."""
    body = {"prompt": "a boat", "response_format": "b64_json", **change}
    spent = house.money().spent
    answer = ask(gateway, house, body, imageway_strict="1")
    assert answer.status == 400
    assert answer.json["error"]["param"] == param
    assert house.money().spent == spent
    loose = ask(gateway, house, body)
    assert param in {where for _, where in warned(loose)}
    pictures_of(loose)


def test_strict_lets_pass_what_is_honoured(house: House, gateway: Process) -> None:
    body = {"model": GEMINI, "prompt": "a boat", "size": "16:9", "image_size": "1K"}
    assert warned(ask(gateway, house, body, imageway_strict="1")) == set()


# Input images by address.


@pytest.mark.parametrize("model", [GPT, GEMINI, SEEDREAM, "qwen-image-edit-plus"])
@pytest.mark.parametrize("name", ["boat.png", "moved", "mislabelled"])
def test_an_input_image_by_address(house: House, gateway: Process, files: str, model: str, name: str) -> None:
    """Fetched here, once, with no credential of anybody's; redirects are followed; the bytes say what it is."""
    Files.asked.clear()
    answer = ask(gateway, house, {"model": model, "prompt": "bluer", "image": f"{files}/{name}"})
    pictures_of(answer)
    paths = [path for path, _ in Files.asked]
    assert paths == ([f"/{name}"] if name != "moved" else ["/moved", "/boat.png"])
    assert not [headers for _, headers in Files.asked if "authorization" in headers or "cookie" in headers]


@pytest.mark.parametrize("name", ["page", "cut.png", "inward", "nothing-here"])
def test_an_address_without_an_image_is_400_and_free(house: House, gateway: Process, files: str, name: str) -> None:
    spent = house.money().spent
    answer = ask(
        gateway, house, {"model": GEMINI, "prompt": "bluer", "image": [f"{files}/boat.png", f"{files}/{name}"]}
    )
    assert answer.status == 400
    assert answer.json["error"]["param"] == "image[1]"
    assert house.money().spent == spent


@pytest.mark.parametrize("by_address", [True, False], ids=["fetched", "sent"])
def test_a_fetched_image_obeys_the_same_limits(house: House, gateway: Process, files: str, by_address: bool) -> None:
    """Seedream takes no side below 15 pixels, however the image came."""
    image = f"{files}/tiny.png" if by_address else data_url(picture(8, 8))
    spent = house.money().spent
    answer = ask(gateway, house, {"model": SEEDREAM, "prompt": "bluer", "image": image})
    assert_told(answer, 400, "image_too_small", "image")
    assert house.money().spent == spent


def test_a_fetched_mask_obeys_the_same_limits(house: House, gateway: Process, files: str) -> None:
    """Looked at once it and the first image are here; nobody was asked to draw, and nothing is spent."""
    spent = house.money().spent
    body = {"model": GPT, "prompt": "bluer", "image": f"{files}/boat.png", "mask": f"{files}/tiny.png"}
    error = assert_told(ask(gateway, house, body), 400, "invalid_mask", "mask")
    assert len(error["details"]) == 2
    assert house.money().spent == spent


def test_who_leaves_before_anything_was_submitted_owes_nothing(house: House, gateway: Process, files: str) -> None:
    """While an input image is still being fetched: the hold goes back at once, and no provider was ever asked."""
    body = json.dumps({"model": GEMINI, "prompt": "bluer", "image": f"{files}/never"}).encode()
    fields = f"authorization: Bearer {house.key}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    spent = house.money().spent
    with connect(gateway.url) as connection:
        connection.sendall(f"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n".encode() + body)
        wait_for(lambda: house.money().held > 0)
    wait_for(lambda: house.money().held == 0, seconds=1.2)
    row = house.usage()[0]
    assert (row["outcome"], row["price_usd"], row["cost_usd"]) == ("cancelled", "0.000000", "0.000000")
    assert house.money().spent == spent


HOSTILE = (
    *("http://127.0.0.1/x.png", "http://localhost/x.png", "http://127.1/x.png", "http://2130706433/x.png"),
    *("http://0x7f000001/x.png", "http://0177.0.0.1/x.png", "http://0/x.png", "http://[::1]/x.png"),
    *("http://[::ffff:127.0.0.1]/x.png", "http://[::ffff:7f00:1]/x.png", "http://[2002:7f00:1::]/x.png"),
    *("http://[64:ff9b::7f00:1]/x.png", "http://169.254.169.254/latest/meta-data/", "http://192.0.0.192/x"),
    *("http://10.0.0.1/x.png", "http://192.168.0.1/x.png", "http://172.16.0.1/x.png", "http://100.64.0.1/x.png"),
    *("http://[fe80::1]/x.png", "http://[fc00::1]/x.png", "http://224.0.0.1/x.png", "http://255.255.255.255/x.png"),
    *("http://user:word@127.0.0.1/x.png", "http://127.0.0.1#@example.com/x.png", "http://127.0.0.1\\@example.com/"),
    *("http://127.0.0.1:22/x.png", "http://①②⑦.0.0.1/x.png", "https://127.0.0.1/x.png", "http:///x.png"),
    *("http://x y/z.png", "http://example.com:99999/x.png", "http://a\r\nhost: b/x.png", "http://" + "a" * 9000),
)


def test_hostile_addresses_are_refused_one_and_all(house: House, gateway: Process, files: str) -> None:
    """Each is 400 at its own place, nothing is spent, and what an inner address would have said is never repeated."""
    spent = house.money().spent
    with ThreadPoolExecutor(8) as callers:
        bodies = [{"model": GEMINI, "prompt": "x", "image": url} for url in HOSTILE]
        answers = list(callers.map(partial(ask, gateway, house), bodies))
    for url, answer in zip(HOSTILE, answers, strict=True):
        assert answer.status == 400, (url, answer.content)
        assert answer.json["error"]["param"] == "image", url
        assert answer.json["error"]["code"] in ("invalid_image_url", "invalid_image"), url
    assert house.money().spent == spent


def test_an_address_in_this_house_needs_the_operators_word(tmp_path: Path, files: str) -> None:
    """The very server that another gateway may fetch from is refused where `fetch_allow` does not name it."""
    house = House(tmp_path / "data", clean_environment(), ("--sandbox",))
    try:
        house.fund()
        gateway = house.serve()
        Files.asked.clear()
        answer = ask(gateway, house, {"model": GEMINI, "prompt": "x", "image": f"{files}/boat.png"})
        assert_told(answer, 400, "invalid_image_url", "image")
        assert Files.asked == []
        assert house.money().spent == 0
    finally:
        house.close()


def test_a_link_of_ours_is_opened_not_fetched(house: House, gateway: Process, link: str) -> None:
    """Though it names a loopback address; a changed one is a stranger's address like any other."""
    answer = ask(gateway, house, {"model": GEMINI, "prompt": "bluer", "image": link})
    pictures_of(answer)
    assert_told(
        ask(gateway, house, {"model": GEMINI, "prompt": "bluer", "image": link + "0"}), 400, "invalid_image_url"
    )
    old = signer(house, gateway).sign("req_none-0.png", int(time.time() * 1000) - 1000)
    refused = ask(gateway, house, {"model": GEMINI, "prompt": "bluer", "image": old})
    assert "has expired" in assert_told(refused, 400, "invalid_image_url", "image")["message"]


def test_an_edit_may_be_asked_for_in_every_spelling(house: House, gateway: Process) -> None:
    """JSON on the edits path too; bare base64, a list, OpenAI's `images`, Google's inline data."""
    bare = base64.b64encode(picture()).decode()
    inline = {"parts": [{"text": "bluer"}, {"inlineData": {"mimeType": "image/png", "data": bare}}]}
    for spelled in (
        {"image": bare},
        {"image": [INPUT, INPUT]},
        {"images": [{"image_url": INPUT}]},
        {"images": [{"image_url": {"url": INPUT}}]},
        {"contents": [inline]},
    ):
        answer = ask(gateway, house, {"model": GPT, "prompt": "bluer", "quality": "low", **spelled}, path="edits")
        pictures_of(answer)
    assert_told(ask(gateway, house, {"model": GPT, "prompt": "x"}, path="edits"), 400, "image_required", "image")


# Money.


def test_an_estimate_is_exactly_what_is_held(house: House, gateway: Process) -> None:
    """With a wallet one millionth of a dollar short it is 402, with that millionth it is 200."""
    body = {"model": GPT, "prompt": "a boat", "quality": "high", "n": 2}
    key = house.key_for("exact")
    told = call(f"{gateway.url}/v1/images/estimate", body, key=key)
    assert told.status == 200
    assert set(told.json) >= {"hold_usd", "worst_usd", "expected_usd", "prices"}
    amounts = [told.json[name] for name in ("hold_usd", "worst_usd", "expected_usd")]
    assert all(len(amount.partition(".")[2]) == 6 for amount in amounts)
    hold_micros = int(told.json["hold_usd"].replace(".", ""))
    short = hold_micros - 1
    command("wallet", "topup", "exact", f"{short // 10**6}.{short % 10**6:06d}", data=house.data)
    url = f"{gateway.url}/v1/images/generations"
    refused = call(url, body, key=key)
    assert f"${told.json['hold_usd']}" in assert_told(refused, 402, "insufficient_balance")["message"]
    command("wallet", "topup", "exact", "0.000001", data=house.data)
    assert len(pictures_of(call(url, body, key=key))) == 2
    wallet = house.money("exact")
    assert wallet.held == 0
    assert 0 < wallet.spent <= hold_micros
    assert wallet.available + wallet.spent == hold_micros


def test_an_estimate_finds_the_same_mistakes_and_costs_nothing(house: House, gateway: Process) -> None:
    spent = house.money().spent
    error = assert_told(ask(gateway, house, {"model": GPT, "n": 99}, path="estimate"), 400, "invalid_value")
    assert {detail["param"] for detail in error["details"]} == {"n", "prompt"}
    told = ask(gateway, house, {"model": SEEDREAM, "prompt": "x", "n": 3, "seed": 1}, path="estimate")
    assert told.json["hold_usd"] == "0.090000"
    assert warned(told) == {("parameter_ignored", "seed")}
    assert house.money().spent == spent


def test_money_for_five_buys_five_of_twenty_at_once(house: House, gateway: Process) -> None:
    """Twenty callers race for a wallet that covers five pictures: five get one, fifteen get 402, not a cent is lost."""
    key = house.key_for("race", "0.195")
    url = f"{gateway.url}/v1/images/generations"
    with ThreadPoolExecutor(20) as callers:
        answers = list(callers.map(lambda n: call(url, {"model": GEMINI, "prompt": f"boat {n}"}, key=key), range(20)))
    assert sorted(answer.status for answer in answers) == [200] * 5 + [402] * 15
    wallet = house.money("race")
    assert (wallet.available, wallet.held, wallet.spent) == (0, 0, 195_000)


def test_sixty_four_calls_of_one_key_run_at_once(house: House, gateway: Process) -> None:
    url = f"{gateway.url}/v1/images/generations"
    body = {"model": "gpt-image-1-mini", "prompt": "a boat sandbox-fault:late", "quality": "low"}
    started_s = time.monotonic()
    with ThreadPoolExecutor(64) as callers:
        answers = list(callers.map(lambda _: call(url, body, key=house.key), range(64)))
    assert [answer.status for answer in answers] == [200] * 64
    assert len({answer.json["request_id"] for answer in answers}) == 64
    assert time.monotonic() - started_s < 20  # one after the other they would take 190 s


def test_a_finished_request_can_be_asked_for(house: House, gateway: Process) -> None:
    """By its own workspace alone; with links while its pictures are stored."""
    answer = ask(gateway, house, {"model": SEEDREAM, "prompt": "a boat", "n": 2, "seed": 5})
    path = f"{gateway.url}/v1/tasks/{answer.json['request_id']}"
    task = call(path, key=house.key).json
    assert (task["object"], task["status"], task["model"], task["error"]) == ("task", "succeeded", SEEDREAM, None)
    assert task["price_usd"] == "0.060000"
    assert task["warnings"] == answer.json["warnings"]
    assert [get(item["url"]).status for item in task["data"]] == [200, 200]
    assert_told(call(path, key=house.key_for("stranger")), 404, "task_not_found")


def test_an_idempotency_key_keeps_the_pictures(house: House, gateway: Process) -> None:
    """A base64 answer too: whoever lost it finds it by the request's id."""
    answer = ask(gateway, house, {"model": GPT, "prompt": "a boat", "quality": "low"}, idempotency_key="boat-1")
    task = call(f"{gateway.url}/v1/tasks/{answer.json['request_id']}", key=house.key).json
    assert get(task["data"][0]["url"]).content == base64.b64decode(answer.json["data"][0]["b64_json"])


def test_the_catalog_is_told(house: House, gateway: Process) -> None:
    """OpenAI's shape, with capabilities and prices; one model by id or alias; the command says the same."""
    listed = call(f"{gateway.url}/v1/models", key=house.key).json
    assert listed["object"] == "list"
    assert {model["object"] for model in listed["data"]} == {"model"}
    by_id = {model["id"]: model for model in listed["data"]}
    assert set(FAMILIES) <= set(by_id)
    card = call(f"{gateway.url}/v1/models/{GPT}", key=house.key).json
    assert card == by_id[GPT]
    assert card["capabilities"]["size"]["sizes"]
    assert card["prices"]
    alias = call(f"{gateway.url}/v1/models/seedream-4.0-base", key=house.key).json
    assert alias["id"] == SEEDREAM
    assert command("models", data=house.data) == listed
    assert_told(call(f"{gateway.url}/v1/models", headers={}), 401, "invalid_api_key")
