"""Upstreams with real credentials, played by `imageway sandbox` in another process and by servers that misbehave as no
sandbox does: credentials from the environment and from the file, failover, no way back to pretend upstreams."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.processes import (
    Answer,
    House,
    Process,
    assert_told,
    call,
    clean_environment,
    command,
    start,
    unharmed_by,
)

GPT, GEMINI, SEEDREAM, POLLED, SYNC = (
    *("gpt-image-1", "gemini-2.5-flash-image", "doubao-seedream-4-0-250828", "qwen-image-plus", "qwen-image-max"),
)
FAMILIES = (GPT, GEMINI, SEEDREAM, POLLED, SYNC)
IMAGEN, IMAGEN_EDIT, IMAGEN_UPSCALE = (
    *("imagen-4.0-fast-generate-001", "imagen-3.0-capability-001", "imagen-4.0-upscale-preview"),
)
PLACES = {
    "OPENAI": "/openai/v1",
    "GEMINI": "/google",
    "VERTEX": "/vertex",
    "ARK": "/ark/api/v3",
    "DASHSCOPE": "/dashscope/api/v1",
}
NOWHERE = "http://127.0.0.1:9"  # discard; nothing listens there


def credentials(url: str, key: str = "sk-test-good", *providers: str) -> dict[str, str]:
    """The environment that points these providers (all when none is named) at a sandbox."""
    chosen = providers or tuple(PLACES)
    return {f"{name}_API_KEY": f"{key}-{name}" for name in chosen} | {
        f"{name}_BASE_URL": f"{url}{PLACES[name]}" for name in chosen
    }


def ask(gateway: Process, house: House, model: str, prompt: str = "a boat", **more: object) -> Answer:
    body = {"model": model, "prompt": prompt, "response_format": "b64_json", **more}
    return call(f"{gateway.url}/v1/images/generations", body, key=house.key)


def assert_pictures(answer: Answer, count: int = 1) -> list[Image.Image]:
    assert answer.status == 200, answer.content[:500]
    images = [Image.open(io.BytesIO(base64.b64decode(item["b64_json"]))) for item in answer.json["data"]]
    for image in images:
        image.load()
    assert len(images) == count
    return images


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    log = tmp_path_factory.mktemp("sandbox") / "sandbox.log"
    process = start(["sandbox", "--port", "0"], log, clean_environment())
    yield process
    process.kill()


def submits(sandbox: Process) -> int:
    return len(call(f"{sandbox.url}/sandbox/log").json)


class Houses:
    """Makes houses, each with money and a running gateway; ends them all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: list[House] = []

    def __call__(self, *arguments: str, settings: str = "", **environment: str) -> tuple[House, Process]:
        folder = self._folder / f"house-{len(self._open)}"
        folder.mkdir()
        if settings:
            (folder / "imageway.toml").write_text(settings)
            arguments += ("--config", str(folder / "imageway.toml"))
        house = House(folder / "data", clean_environment(**environment), arguments)
        self._open.append(house)
        house.fund("20")
        return house, house.serve()

    def close(self) -> None:
        for house in self._open:
            house.close()


@pytest.fixture
def houses(tmp_path: Path) -> Iterator[Houses]:
    made = Houses(tmp_path)
    yield made
    made.close()


# The environment.


def test_every_provider_from_the_environment(houses: Houses, sandbox: Process) -> None:
    """Real in the gateway's eyes: no sandbox label. Each family makes pictures, and edits where it can."""
    house, gateway = houses(**credentials(sandbox.url))
    out = io.BytesIO()
    Image.new("RGB", (600, 600), "navy").save(out, "PNG")
    image = base64.b64encode(out.getvalue()).decode()
    before = submits(sandbox)
    for model in FAMILIES:
        answer = ask(gateway, house, model)
        assert_pictures(answer)
        assert "x-imageway-sandbox" not in answer.headers
    for model in (GPT, GEMINI, SEEDREAM, "qwen-image-edit-plus", IMAGEN_EDIT):
        assert_pictures(ask(gateway, house, model, image=image))
    (large,) = assert_pictures(ask(gateway, house, IMAGEN_UPSCALE, image=image, operation="upscale", scale=2))
    assert large.size == (1200, 1200)
    assert submits(sandbox) == before + 11
    served = {row["model"]: row["upstream"] for row in house.usage()}
    assert {served[model] for model in (GPT, SEEDREAM, POLLED)} == {"openai", "volcengine", "dashscope"}
    assert served[GEMINI] in ("google", "vertex")
    assert served[IMAGEN_EDIT] == served[IMAGEN_UPSCALE] == "vertex"
    assert house.money().held == 0
    assert_no_secrets(gateway, "sk-test-good")


def test_one_model_at_two_vendors_doors(houses: Houses, sandbox: Process) -> None:
    """Either serves it while it is well; what only one of them takes goes there, and is refused without that one."""
    house, gateway = houses(**credentials(sandbox.url, "sk-test-good", "GEMINI", "VERTEX"))
    for _ in range(12):
        assert_pictures(ask(gateway, house, GEMINI))
    assert {row["upstream"] for row in house.usage()} == {"google", "vertex"}
    before = len(house.usage())
    for _ in range(4):
        answer = predict(gateway, house, GEMINI, personGeneration="dont_allow")
        assert answer.status == 200, answer.content[:300]
    assert {row["upstream"] for row in house.usage()[: len(house.usage()) - before]} == {"vertex"}
    house, gateway = houses(**credentials(sandbox.url, "sk-test-good", "GEMINI"))
    answer = predict(gateway, house, GEMINI, personGeneration="dont_allow")
    assert answer.status == 400
    assert f'personGeneration "dont_allow" cannot be had with {GEMINI}' in answer.json["error"]["message"]


def test_a_project_and_a_place_stand_in_the_path(houses: Houses, sandbox: Process) -> None:
    """Of every method, where the file names them; without them the key alone says whose it is."""
    row = f"[[upstreams]]\nprovider = 'vertex'\nkey = 'sk-test-p'\nbase_url = '{sandbox.url}/vertex'\n"
    for values, place in (("", ""), ("values = {project = 'p-1', location = 'eu'}", "projects/p-1/locations/eu/")):
        house, gateway = houses(settings=row + values)
        for model in (GEMINI, IMAGEN):
            assert_pictures(ask(gateway, house, model))
        paths = [entry["path"] for entry in call(f"{sandbox.url}/sandbox/log").json[-2:]]
        models = f"/vertex/v1beta1/{place}publishers/google/models"
        assert paths == [f"{models}/{GEMINI}:generateContent", f"{models}/{IMAGEN}:predict"]


def predict(gateway: Process, house: House, model: str, **parameters: object) -> Answer:
    body = {"instances": [{"prompt": "a boat"}], "parameters": parameters}
    headers = {"x-goog-api-key": house.key}
    return call(f"{gateway.url}/v1/publishers/google/models/{model}:predict", body, headers=headers)


def assert_no_secrets(gateway: Process, *secrets: str) -> None:
    text = gateway.log.read_text()
    assert not [secret for secret in secrets if secret in text]


def test_a_key_the_provider_refuses_is_503_for_every_family(houses: Houses, sandbox: Process) -> None:
    """401 upstream is the operator's trouble: callers learn neither the provider's words nor its name nor the key."""
    house, gateway = houses(**credentials(sandbox.url, "bad-key"))
    with unharmed_by(house, gateway):
        for model in FAMILIES:
            answer = ask(gateway, house, model)
            error = assert_told(answer, 503, "no_healthy_route")
            assert "nothing was charged" in error["message"]
            said = answer.content.decode().lower()
            assert not [word for word in ("bad-key", "401", "openai", "google", "ark", "dashscope") if word in said]
    assert house.money().spent == 0
    assert "denied" in gateway.log.read_text()
    assert_no_secrets(gateway, "bad-key-")


def test_a_provider_with_a_real_credential_never_falls_back_to_the_sandbox(houses: Houses) -> None:
    """Its address is dead and `--sandbox` is given: 503 for its models; the others are served, and labelled."""
    house, gateway = houses("--sandbox", **credentials(NOWHERE, "sk-test", "OPENAI", "DASHSCOPE"))
    for model in (GPT, POLLED, SYNC):
        answer = ask(gateway, house, model)
        assert_told(answer, 503, "no_healthy_route")
        assert "x-imageway-sandbox" not in answer.headers
    assert house.money().spent == 0
    for model in (GEMINI, SEEDREAM):
        answer = ask(gateway, house, model)
        assert_pictures(answer)
        assert answer.headers["x-imageway-sandbox"] == "true"


def test_without_any_upstream_models_are_known_and_not_served(houses: Houses) -> None:
    """503 where somebody could sell it, 404 where its vendor does not sell it any more or nobody knows it."""
    house, gateway = houses()
    assert_told(ask(gateway, house, GEMINI), 503, "no_healthy_route")
    retired = assert_told(ask(gateway, house, "doubao-seedream-3-0-t2i-250415"), 404, "model_retired")
    assert SEEDREAM in retired["message"]
    assert_told(ask(gateway, house, "no-such-model"), 404, "model_not_found")
    assert call(f"{gateway.url}/healthz").status == 200
    assert call(f"{gateway.url}/readyz").status == 200
    assert house.money().held == 0


def test_a_base_url_without_a_key_is_no_upstream(houses: Houses, sandbox: Process) -> None:
    house, gateway = houses(GEMINI_BASE_URL=f"{sandbox.url}/google")
    assert_told(ask(gateway, house, GEMINI), 503, "no_healthy_route")


# The file.

TWO = """
[[upstreams]]
id = "first"
provider = "{provider}"
key = "{first_key}"
base_url = "{first}"
weight = 1000000

[[upstreams]]
id = "second"
provider = "{provider}"
key_env = "SECOND_KEY"
base_url = "{second}"
"""


def two(provider: str, first: str, second: str, first_key: str = "sk-test-first") -> str:
    return TWO.format(provider=provider, first=first, second=second, first_key=first_key)


SELLERS = (
    ("openai", "OPENAI", GPT),
    ("google", "GEMINI", GEMINI),
    ("volcengine", "ARK", SEEDREAM),
    ("dashscope", "DASHSCOPE", POLLED),
    ("vertex", "VERTEX", IMAGEN),
)


@pytest.mark.parametrize(("provider", "place", "model"), SELLERS)
def test_the_second_credential_serves_when_the_first_is_refused(
    houses: Houses, sandbox: Process, provider: str, place: str, model: str
) -> None:
    """Nobody notices; the refused one is left alone for a while."""
    url = sandbox.url + PLACES[place]
    house, gateway = houses(settings=two(provider, url, url, "bad-first"), SECOND_KEY="sk-test-second")
    for _ in range(3):
        assert_pictures(ask(gateway, house, model))
    assert [row["upstream"] for row in house.usage()] == ["second"] * 3
    assert gateway.log.read_text().count('"denied"') == 1
    assert_no_secrets(gateway, "bad-first", "sk-test-second")


def test_the_second_serves_when_nothing_listens_at_the_first(houses: Houses, sandbox: Process) -> None:
    second = sandbox.url + PLACES["OPENAI"]
    house, gateway = houses(settings=two("openai", NOWHERE, second), SECOND_KEY="sk-test-second")
    assert_pictures(ask(gateway, house, GPT, n=2), 2)
    assert [row["upstream"] for row in house.usage()] == ["second"]


@pytest.mark.parametrize(
    ("fault", "served"),
    [
        ("rate_limit_bare", True),
        ("error_500", True),
        ("reset_before", False),
        ("reset_after", False),
        ("truncated", False),
        ("html", False),
        ("empty", False),
    ],
)
def test_only_what_certainly_made_nothing_is_tried_elsewhere(
    houses: Houses, sandbox: Process, tmp_path: Path, fault: str, served: bool
) -> None:
    """Busy and failed go to the next credential; unknown and spoiled stop there: it may have been made, and billed."""
    faulty = start(["sandbox", "--port", "0", "--fault", f"{fault}=1"], tmp_path / "faulty.log", clean_environment())
    try:
        urls = [process.url + PLACES["OPENAI"] for process in (faulty, sandbox)]
        house, gateway = houses(settings=two("openai", *urls), SECOND_KEY="sk-test-second")
        before = submits(sandbox)
        answer = ask(gateway, house, GPT)
        assert (answer.status == 200) == served, answer.content[:300]
        assert submits(sandbox) - before == (1 if served else 0)
        assert submits(faulty) == 1
        assert (house.money().spent > 0) == served
        assert house.money().held == 0
    finally:
        faulty.kill()


def test_a_refused_prompt_is_not_tried_elsewhere(houses: Houses, sandbox: Process) -> None:
    url = sandbox.url + PLACES["OPENAI"]
    house, gateway = houses(settings=two("openai", url, url), SECOND_KEY="sk-test-second")
    before = submits(sandbox)
    assert_told(ask(gateway, house, GPT, "forbidden"), 400, "content_policy_violation")
    assert submits(sandbox) == before + 1


# What no sandbox does.


def image_bytes(file_format: str = "PNG", size: tuple[int, int] = (1024, 1024)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "teal").save(out, file_format)
    return out.getvalue()


def answer_with(content: bytes, **more: object) -> bytes:
    item = {"b64_json": base64.b64encode(content).decode()}
    return json.dumps({"created": 1, "data": [item], **more}).encode()


WHOLE = answer_with(image_bytes())


@dataclass
class Odd:
    """One odd answer: status, headers, body; what our caller should get."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    told: tuple[int, str] | None = (502, "bad_response")


def linked(url: str) -> bytes:
    return json.dumps({"created": 1, "data": [{"url": url}]}).encode()


ODD: dict[str, Odd] = {
    "JSON that is cut, of honest length": Odd(WHOLE[:-40]),
    "JSON that is cut in the picture": Odd(WHOLE[: len(WHOLE) // 2]),
    "not JSON at all": Odd(b"OK"),
    "nothing": Odd(b"", told=(502, "empty_response")),
    "no data": Odd(b'{"created": 1}', told=(502, "empty_response")),
    "an empty list": Odd(b'{"created": 1, "data": []}', told=(502, "empty_response")),
    "data of another kind": Odd(b'{"data": "pictures"}', told=(502, "empty_response")),
    "items of another kind": Odd(b'{"data": [null, 7, "x", []]}', told=(502, "empty_response")),
    "deep nonsense": Odd(b'{"data": ' + b"[" * 500 + b"]" * 500 + b"}"),
    "a page as a picture": Odd(answer_with(b"<html>" + b"no picture " * 2000 + b"</html>")),
    "a cut picture": Odd(answer_with(image_bytes()[:-30])),
    "not base64": Odd(b'{"data": [{"b64_json": "' + b"*" * 20_000 + b'"}]}', told=(502, "empty_response")),
    "a picture of no pixels": Odd(answer_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(30))),
    "a wrong mime type": Odd(answer_with(image_bytes("JPEG"), output_format="png"), told=None),
    "other dimensions": Odd(answer_with(image_bytes(size=(512, 256))), told=None),
    "no content type": Odd(WHOLE, headers={"content-type": ""}, told=None),
    "a page's content type": Odd(WHOLE, headers={"content-type": "text/html"}, told=None),
    "more than there may be": Odd(b'{"data": [{"b64_json": "' + b"A" * 120_000_000 + b'"}]}'),
    "a link into the house": Odd(linked("http://127.0.0.1:1/x.png")),
    "a link to metadata": Odd(linked("http://169.254.169.254/latest/meta-data")),
    "a link to a file": Odd(linked("file:///etc/passwd"), told=(502, "empty_response")),
    "a redirect": Odd(b"", 302, {"location": "http://127.0.0.1:1/"}, (503, "no_healthy_route")),
    "no such path": Odd(b"<html>404</html>", 404, told=(503, "no_healthy_route")),
    "payment required": Odd(b'{"error": {"message": "pay", "code": "x"}}', 402, told=(503, "no_healthy_route")),
    "parameters refused": Odd(b'{"error": {"message": "bad size", "code": "invalid_value"}}', 400),
    "a proxy's 502": Odd(b"<html>bad gateway</html>", 502, told=(504, "request_timeout")),
    "a proxy's 504": Odd(b"<html>timed out</html>", 504, told=(504, "request_timeout")),
    "maintenance": Odd(b"<html>later</html>", 503, {"retry-after": "77"}, (429, "rate_limit_exceeded")),
}


class OddServer:
    """Answers everything with what was set last."""

    def __init__(self) -> None:
        self.odd = Odd(b"")
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked += 1
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(outer.odd.status)
                for name, value in {"content-type": "application/json", **outer.odd.headers}.items():
                    if value:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(outer.odd.body)))
                self.end_headers()
                try:
                    self.wfile.write(outer.odd.body)
                except ConnectionError:
                    return  # it was more than the gateway takes

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def odd_server() -> Iterator[OddServer]:
    server = OddServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def odd_house(tmp_path_factory: pytest.TempPathFactory, odd_server: OddServer) -> Iterator[tuple[House, Process]]:
    made = Houses(tmp_path_factory.mktemp("odd"))
    yield made(OPENAI_API_KEY="sk-test-odd", OPENAI_BASE_URL=odd_server.url)
    made.close()


@pytest.mark.parametrize("case", ODD)
def test_an_odd_answer_never_costs_without_a_picture(
    odd_house: tuple[House, Process], odd_server: OddServer, case: str
) -> None:
    """Asked once; the caller gets a clean error and pays nothing, or a picture that opens and pays for it."""
    (house, gateway), odd = odd_house, ODD[case]
    odd_server.odd, odd_server.asked = odd, 0
    spent = house.money().spent
    answer = ask(gateway, house, GPT, size="1024x1024", quality="low")
    assert odd_server.asked == 1
    assert house.money().held == 0
    if odd.told is None:
        assert_pictures(answer)
        assert house.money().spent > spent
    else:
        assert_told(answer, *odd.told)
        assert house.money().spent == spent
    assert "crashed" not in gateway.log.read_text()


def test_other_dimensions_are_told(odd_house: tuple[House, Process], odd_server: OddServer) -> None:
    """The pixels that came are in `size`, and a warning says what was asked for; a wrong format is mended."""
    house, gateway = odd_house
    odd_server.odd = ODD["other dimensions"]
    answer = ask(gateway, house, GPT, size="1024x1024")
    assert answer.json["size"] == "512x256"
    assert "size_differs" in {warning["code"] for warning in answer.json["warnings"]}
    odd_server.odd = ODD["a wrong mime type"]
    answer = ask(gateway, house, GPT, output_format="png")
    assert [image.format for image in assert_pictures(answer)] == ["PNG"]
    assert answer.json["output_format"] == "png"
    assert "transcoded" in {warning["code"] for warning in answer.json["warnings"]}


def test_a_providers_wait_is_passed_on(odd_house: tuple[House, Process], odd_server: OddServer) -> None:
    house, gateway = odd_house
    odd_server.odd = ODD["maintenance"]
    assert ask(gateway, house, GPT).headers["retry-after"] == "77"


# Changes made by commands while the gateway runs.


def test_commands_count_from_the_next_request(houses: Houses) -> None:
    """A top-up lets the next call pass; a revoked key fails at the next one."""
    house, gateway = houses("--sandbox")
    made = command("keys", "create", "--workspace", "later", data=house.data)
    url = f"{gateway.url}/v1/images/generations"
    body = {"model": GEMINI, "prompt": "a boat"}
    assert call(url, body, key=made["key"]).status == 402
    command("wallet", "topup", "later", "0.039", data=house.data)
    assert call(url, body, key=made["key"]).status == 200
    assert call(url, body, key=made["key"]).status == 402
    command("wallet", "topup", "later", "1", data=house.data)
    command("keys", "revoke", made["id"], data=house.data)
    assert call(url, body, key=made["key"]).status == 401


def test_two_gateways_on_one_directory_share_the_books(houses: Houses) -> None:
    """A second process on the same data takes the same key and the same wallet; both stay right."""
    house, first = houses("--sandbox")
    second = house.serve()
    for gateway in (first, second, first, second):
        assert_pictures(ask(gateway, house, GEMINI))
    assert house.money().spent == 4 * 39_000
    answers = [ask(gateway, house, GEMINI, response_format="url") for gateway in (first, second)]
    links = [answer.json["data"][0]["url"] for answer in answers]
    crossed = [link.replace(first.url, second.url) for link in links]
    assert [call(link).status for link in (*links, *crossed)] == [200] * 4
    assert first.stop() == 0
    assert_pictures(ask(second, house, GEMINI))
