"""`imageway generate` against a gateway that a thread pretends to be."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Ran, Shell

PNG = b"\x89PNG\r\n\x1a\n" + b"picture"


@dataclass
class Gateway:
    """Answers every POST with `answer`, every GET with `file`; keeps what it was asked."""

    url: str = ""
    status: int = 200
    answer: Any = None
    file: bytes = PNG
    asked: list[Any] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            made.keys.append(self.headers["authorization"])
            answer = made.answer
            self._send(made.status, answer if isinstance(answer, bytes) else json.dumps(answer).encode())

        def do_GET(self) -> None:
            self._send(200 if made.file else 404, made.file)

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    made.answer = {"data": [{"b64_json": base64.b64encode(PNG).decode()}], "size": "1024x1024", "request_id": "req_1"}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    thread.join(timeout=10)
    server.server_close()


def generate(shell: Shell, gateway: Gateway, *more: str) -> Ran:
    return shell.plain("generate", "a cat", "-m", "gpt-image-2", "--url", gateway.url, "--key", "sk-iw-1", *more)


def test_a_picture_is_written_where_it_was_wanted(shell: Shell, gateway: Gateway, tmp_path: Path) -> None:
    ran = generate(shell, gateway, "-o", "cat.png")
    assert (ran.code, (tmp_path / "cat.png").read_bytes()) == (0, PNG)
    assert ran.out.startswith("cat.png  1024x1024  15 bytes  ")
    assert gateway.asked == [{"model": "gpt-image-2", "prompt": "a cat", "n": 1}]
    assert gateway.keys == ["Bearer sk-iw-1"]


def test_without_a_name_the_model_and_the_moment_are_one(shell: Shell, gateway: Gateway, tmp_path: Path) -> None:
    assert generate(shell, gateway).code == 0
    (written,) = tmp_path.glob("*.png")
    assert written.name.startswith("gpt-image-2-")


def test_several_pictures_are_numbered_and_links_are_followed(shell: Shell, gateway: Gateway, tmp_path: Path) -> None:
    gateway.answer = {"data": {"data": [{"url": f"{gateway.url}/a"}, {"url": f"{gateway.url}/b"}]}}
    assert generate(shell, gateway, "-o", "cat.png", "--n", "2").code == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["cat-1.png", "cat-2.png"]


def test_everything_that_was_said_is_sent(shell: Shell, gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "in.jpg").write_bytes(b"jpeg")
    generate(shell, gateway, "--size", "16:9", "--seed", "0", "--n", "3", "--image", "in.jpg", "-o", "x.png")
    (body,) = gateway.asked
    assert {name: body[name] for name in ("size", "seed", "n")} == {"size": "16:9", "seed": 0, "n": 3}
    assert body["image"] == [f"data:image/jpeg;base64,{base64.b64encode(b'jpeg').decode()}"]


def test_warnings_are_told_beside_the_picture(shell: Shell, gateway: Gateway) -> None:
    gateway.answer["warnings"] = [{"code": "size_adjusted", "param": "size", "message": "it became 1024x1024"}]
    ran = generate(shell, gateway, "-o", "x.png")
    assert (ran.code, ran.err) == (0, "warning: it became 1024x1024\n")


def test_an_error_of_the_gateway_is_told_in_its_own_words(shell: Shell, gateway: Gateway) -> None:
    details = [{"message": "first"}, {"message": "second"}]
    gateway.status = 402
    gateway.answer = {"error": {"code": "insufficient_balance", "message": "first", "details": details}}
    ran = generate(shell, gateway)
    assert (ran.code, ran.err) == (1, "imageway: 402 insufficient_balance: first; second\n")


@pytest.mark.parametrize("answer", [b"<html>", b"", b"[]", {"error": "x"}, {"error": {}}])
def test_an_error_of_somebody_else_is_a_number(shell: Shell, gateway: Gateway, answer: Any) -> None:
    gateway.status, gateway.answer = 502, answer
    ran = generate(shell, gateway)
    assert (ran.code, ran.err) == (1, "imageway: the gateway answered 502\n")


@pytest.mark.parametrize("answer", [b"<html>", b"", [], {}, {"data": 1}, {"data": {}}, {"data": ["x"]}, None])
def test_an_answer_of_somebody_else_is_one_sentence(shell: Shell, gateway: Gateway, answer: Any) -> None:
    gateway.answer = answer
    ran = generate(shell, gateway)
    assert ran.code == 1
    assert ran.err.startswith("imageway: ")
    assert gateway.url in ran.err


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:8400", "foo://x", "x"])
def test_a_gateway_that_does_not_answer_is_named(shell: Shell, gateway: Gateway, url: str) -> None:
    gateway.url = url
    ran = generate(shell, gateway)
    assert ran.code == 1
    assert ran.err.startswith(f"imageway: no answer from {url}")
    assert "is the gateway running? (imageway serve)" in ran.err


def test_a_link_that_leads_nowhere_is_named(shell: Shell, gateway: Gateway) -> None:
    gateway.answer, gateway.file = {"data": [{"url": f"{gateway.url}/a"}]}, b""
    ran = generate(shell, gateway)
    assert (ran.code, ran.out) == (1, "")
    assert f"the picture at {gateway.url}/a cannot be fetched" in ran.err


def test_files_that_cannot_be_read_or_written_are_named(shell: Shell, gateway: Gateway) -> None:
    assert "--image missing.png: No such file" in generate(shell, gateway, "--image", "missing.png").err
    assert gateway.asked == []
    assert "imageway: missing/x.png: No such file" in generate(shell, gateway, "-o", "missing/x.png").err


def test_without_a_key_nothing_is_asked(shell: Shell, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = shell.plain("generate", "a cat", "-m", "gpt-image-2", "--url", gateway.url)
    assert ran.code == 1
    assert "set IMAGEWAY_KEY; make one with: imageway keys create" in ran.err
    assert gateway.asked == []
    monkeypatch.setenv("IMAGEWAY_KEY", "sk-iw-2")
    assert shell.plain("generate", "a cat", "-m", "gpt-image-2", "--url", gateway.url, "-o", "x.png").code == 0
    assert gateway.keys == ["Bearer sk-iw-2"]
