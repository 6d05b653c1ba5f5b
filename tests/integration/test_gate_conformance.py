"""One suite, two drivers: `Gate.handle` called directly, and the same gateway behind a socket. Whatever server stands
in front of the gate, a request means the same."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from imageway.ledger.ops import CreateKey, CreateWorkspace, TopUp
from imageway.server.bootstrap import Gateway, open_gateway
from imageway.server.configuration import Settings
from imageway.server.gate import Head
from imageway.server.http import Host
from imageway.server.serving import listen, url_of

KEY = "sk-iw-test-conformance"
SCOPED = "sk-iw-test-scoped"
GENERATE = "/v1/images/generations"
BOAT = {"model": "gpt-image-1", "prompt": "a boat", "size": "1024x1024", "quality": "low"}
Send = Callable[[str, str, bytes | None, Mapping[str, str]], "Got"]


@dataclass(frozen=True)
class Got:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Running:
    """A gateway in a loop of its own thread, with a socket in front as well."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.loop = asyncio.new_event_loop()
        self._opened: Future[Gateway] = Future()
        self._stop = asyncio.Event()
        self.url = ""
        threading.Thread(target=self.loop.run_until_complete, args=(self._run(),), daemon=True).start()
        self.gateway = self._opened.result(timeout=20)

    async def _run(self) -> None:
        listener = listen("127.0.0.1", 0)
        self.url = url_of(listener, "127.0.0.1")
        settings = Settings(data=self._data, sandbox=True, drain_s=5)
        async with open_gateway(settings, public_url=self.url, environment={}) as gateway:
            await fund(gateway)
            host = Host(gateway.app, settings.connections)
            server = await self.loop.create_server(host.connection, sock=listener)
            self._opened.set_result(gateway)
            await self._stop.wait()
            server.close()
            await host.close(5)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)

    def directly(self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]) -> Got:
        return asyncio.run_coroutine_threadsafe(self._handle(method, target, content, headers), self.loop).result(60)

    async def _handle(self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]) -> Got:
        parts = urlsplit(target)
        head = Head(method, parts.path, dict(parse_qsl(parts.query)), {n.lower(): v for n, v in headers.items()})

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(content or b""), 7):
                yield (content or b"")[start : start + 7]

        outgoing = await self.gateway.app.gate.handle(head, chunks())
        body = b"".join([chunk async for chunk in outgoing.payload.chunks()])
        assert outgoing.payload.length in (len(body), -1)
        outgoing.finish(True)
        return Got(outgoing.status, {**dict(outgoing.headers), "content-type": outgoing.payload.content_type}, body)

    def over_a_socket(self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]) -> Got:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        connection.request(method, target, content, dict(headers))
        reply = connection.getresponse()
        got = Got(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        connection.close()
        return got


async def fund(gateway: Gateway) -> None:
    digests = [hashlib.sha256(key.encode()).digest() for key in (KEY, SCOPED)]
    done = await gateway.tools.store.commit(
        CreateWorkspace("ws_1", "w", 1),
        TopUp("top_1", "ws_1", 50_000_000, 1),
        CreateKey("key_1", "ws_1", "all", digests[0], "ance", (), 1),
        CreateKey("key_2", "ws_1", "some", digests[1], "oped", ("qwen-*",), 1),
    )
    assert type(done).__name__ == "Committed"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("conformance") / "data")
    yield made
    made.close()


@pytest.fixture(params=["directly", "over_a_socket"])
def send(request: pytest.FixtureRequest, running: Running) -> Send:
    driver: Send = getattr(running, request.param)
    return driver


def post(send: Send, body: object, *, key: str = KEY, target: str = GENERATE, **headers: str) -> Got:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"authorization": f"Bearer {key}", "content-type": "application/json", **headers}
    return send("POST", target, content, sent)


def test_a_picture(send: Send) -> None:
    got = post(send, BOAT)
    assert got.status == 200
    assert got.headers["x-request-id"] == got.json["request_id"]
    assert got.headers["x-imageway-sandbox"] == "true"
    assert got.headers["content-type"] == "application/json"
    assert got.json["data"][0]["b64_json"].startswith("iVBOR")


def test_a_stream_of_events(send: Send) -> None:
    got = post(send, {**BOAT, "stream": True, "partial_images": 1})
    assert (got.status, got.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert "content-length" not in got.headers
    events = [json.loads(line[6:])["type"] for line in got.content.decode().splitlines() if line.startswith("data: {")]
    assert events == ["image_generation.partial_image", "image_generation.completed"]


def test_a_failure_of_a_pretend_provider_is_labelled_too(send: Send) -> None:
    got = post(send, {**BOAT, "prompt": "forbidden"})
    assert (got.status, got.json["error"]["code"]) == (400, "content_policy_violation")
    assert got.headers["x-imageway-sandbox"] == "true"
    assert "x-imageway-sandbox" not in post(send, {**BOAT, "n": 0}).headers


def test_an_unknown_query_is_ignored(send: Send) -> None:
    assert post(send, BOAT, target=f"{GENERATE}?api-version=2025-01-01&x=").status == 200


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", GENERATE, 405, "method_not_allowed"),
        ("GET", "/v1/models/", 404, "not_found"),
        ("GET", "/v1/models/nope", 404, "model_not_found"),
        ("GET", "/v1/tasks/req_nope", 404, "task_not_found"),
    ],
)
def test_paths_and_methods(send: Send, method: str, target: str, status: int, code: str) -> None:
    got = send(method, target, None, {"authorization": f"Bearer {KEY}"})
    assert (got.status, got.json["error"]["code"]) == (status, code)
    assert got.headers["x-request-id"] == got.json["error"]["request_id"]


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Bearer sk-iw-wrong", "Basic abc", "Bearer " + "x" * 5000])
def test_no_valid_key(send: Send, value: str) -> None:
    got = send("POST", GENERATE, b"{}", {"authorization": value, "content-type": "application/json"})
    assert (got.status, got.json["error"]["code"]) == (401, "invalid_api_key")
    assert "www-authenticate" in got.headers


def test_a_key_reaches_only_its_models(send: Send) -> None:
    got = post(send, BOAT, key=SCOPED)
    assert (got.status, got.json["error"]["code"]) == (403, "model_not_allowed")
    listed = send("GET", "/v1/models", None, {"authorization": f"Bearer {SCOPED}"}).json["data"]
    assert listed
    assert all(model["id"].startswith("qwen-") for model in listed)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "body_empty"),
        (b"{", "malformed_json"),
        (b'{"a":1,"a":2}', "duplicate_key"),
        (b'{"a":"\xff"}', "invalid_utf8"),
        (b"[" * 100 + b"]" * 100, "too_deep"),
        (b'{"a":NaN}', "malformed_json"),
        (b"{} {}", "malformed_json"),
    ],
)
def test_bodies_that_are_no_json(send: Send, content: bytes, code: str) -> None:
    got = post(send, content)
    assert (got.status, got.json["error"]["code"]) == (400, code)


def test_another_content_type(send: Send) -> None:
    got = post(send, BOAT, **{"content-type": "text/plain"})
    assert (got.status, got.json["error"]["code"]) == (415, "unsupported_content_type")


@pytest.mark.parametrize("encoding", ["gzip", "br", "x-anything", "gzip, identity"])
def test_a_body_that_was_compressed(send: Send, encoding: str) -> None:
    """Even when it is none: what a header says of the body is believed, and undoing it could fill the memory."""
    got = post(send, BOAT, **{"content-encoding": encoding})
    assert (got.status, got.json["error"]["code"]) == (415, "unsupported_content_type")
    assert f'"{encoding}"' in got.json["error"]["message"]


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_a_body_that_was_not(send: Send, encoding: str) -> None:
    assert post(send, BOAT, **{"content-encoding": encoding}).status == 200


def test_all_problems_at_once(send: Send) -> None:
    got = post(send, {"model": "gpt-image-1", "n": 11, "size": "huge", "quality": "best"})
    assert got.status == 400
    assert {detail["param"] for detail in got.json["error"]["details"]} >= {"n", "size", "quality"}
    assert got.headers["x-should-retry"] == "false"


def test_an_estimate_is_the_hold(send: Send) -> None:
    got = post(send, {"model": "doubao-seedream-4-0-250828", "prompt": "x"}, target="/v1/images/estimate")
    assert got.status == 200
    assert got.json["hold_usd"] == "0.030000"


def test_links_work_both_ways(send: Send, running: Running) -> None:
    """An answer by URL is a link of this gateway, whichever way it was asked for."""
    got = post(send, {**BOAT, "response_format": "url"})
    link = urlsplit(got.json["data"][0]["url"])
    picture = running.over_a_socket("GET", f"{link.path}?{link.query}", None, {"authorization": "Bearer ignored"})
    assert picture.status == 200
    assert picture.content.startswith(b"\x89PNG")
    tampered = running.over_a_socket("GET", f"{link.path}?{link.query}0", None, {})
    assert (tampered.status, tampered.json["error"]["code"]) == (403, "signature_invalid")
