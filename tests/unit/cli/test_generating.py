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
JPEG = b"\xff\xd8\xff\xe0" + b"picture"
WEBP = b"RIFF\0\0\0\0WEBP"


@dataclass
class Gateway:
    """Answers every POST with `answer`, every GET with `file`; keeps what it was asked."""

    url: str = ""
    status: int = 200
    answer: Any = None
    file: bytes = PNG
    asked: list[Any] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def draw(self, *pictures: bytes) -> None:
        """What the next answer holds."""
        self.answer["data"] = [{"b64_json": base64.b64encode(picture).decode()} for picture in pictures]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            made.keys.append(self.headers["authorization"])
            made.headers.append({name.lower(): value for name, value in self.headers.items()})
            made.paths.append(self.path)
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
    assert gateway.asked == [{"model": "gpt-image-2", "prompt": "a cat", "n": 1, "output_format": "png"}]
    assert gateway.keys == ["Bearer sk-iw-1"]


def test_without_a_name_the_model_and_the_moment_are_one(shell: Shell, gateway: Gateway, tmp_path: Path) -> None:
    """And the bytes say the ending: nothing was asked for."""
    for content, suffix in ((PNG, ".png"), (JPEG, ".jpg"), (WEBP, ".webp"), (b"?", ".img")):
        gateway.draw(content)
        assert generate(shell, gateway).code == 0
        (written,) = tmp_path.glob(f"*{suffix}")
        assert written.name.startswith("gpt-image-2-")
        assert written.read_bytes() == content
    assert all("output_format" not in body for body in gateway.asked)


@pytest.mark.parametrize(
    ("name", "asked"), [("x.png", "png"), ("x.jpg", "jpeg"), ("x.JPEG", "jpeg"), ("x.webp", "webp")]
)
def test_the_ending_of_the_name_is_the_format_that_is_asked_for(
    shell: Shell, gateway: Gateway, name: str, asked: str
) -> None:
    assert generate(shell, gateway, "-o", name).code == 0
    assert gateway.asked[0]["output_format"] == asked


@pytest.mark.parametrize("name", ["x.gif", "x.tiff", "x", ".png", "x.png.txt"])
def test_an_ending_that_no_model_makes_is_told_before_anything_is_bought(
    shell: Shell, gateway: Gateway, name: str
) -> None:
    ran = generate(shell, gateway, "-o", name)
    assert (ran.code, gateway.asked) == (1, [])
    said = f'imageway: -o "{name}": its ending says no format that can be made; use .png, .jpg, .jpeg, .webp\n'
    assert ran.err == said


def test_no_file_has_the_ending_of_another_format(shell: Shell, gateway: Gateway, tmp_path: Path) -> None:
    """A gateway may deliver what it could not convert."""
    gateway.draw(JPEG, PNG)
    ran = generate(shell, gateway, "-o", "cat.png", "--n", "2")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["cat-1.jpg", "cat-2.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat-1.jpg", "cat-2.png"]
    gateway.draw(JPEG)
    assert generate(shell, gateway, "-o", "dog.jpeg").out.startswith("dog.jpeg ")


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


def test_an_input_that_cannot_be_read_is_named(shell: Shell, gateway: Gateway) -> None:
    assert "--image missing.png: No such file" in generate(shell, gateway, "--image", "missing.png").err
    assert gateway.asked == []


def test_directories_that_are_missing_are_made(shell: Shell, gateway: Gateway, tmp_path: Path) -> None:
    assert generate(shell, gateway, "-o", "a/b/x.png").code == 0
    assert (tmp_path / "a" / "b" / "x.png").read_bytes() == PNG


@pytest.mark.parametrize("name", ["file/x.png", "file/deeper/x.png", "folder.png"])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_bought(
    shell: Shell, gateway: Gateway, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    ran = generate(shell, gateway, "-o", name)
    assert (ran.code, ran.out, gateway.asked) == (1, "", [])
    assert ran.err.startswith(f"imageway: -o {name}: ")


@pytest.mark.parametrize("broken", ["a full disk", "a link that leads nowhere", "an item of something else"])
def test_what_was_bought_and_not_saved_can_be_had_later(
    shell: Shell, gateway: Gateway, tmp_path: Path, broken: str
) -> None:
    """The call carries an Idempotency-Key of its own, under which the gateway stores the pictures; the message names
    the task that shows them."""
    if broken == "a full disk":
        (tmp_path / "x.png").symlink_to("/dev/full")
        gateway.draw(PNG * 10_000)
    elif broken == "a link that leads nowhere":
        gateway.answer["data"], gateway.file = [{"url": f"{gateway.url}/a"}], b""
    else:
        gateway.answer["data"] = [{"b64_json": "?"}]
    ran = generate(shell, gateway, "-o", "x.png")
    assert (ran.code, ran.out) == (1, "")
    assert f"; the pictures are paid for: GET {gateway.url}/v1/tasks/req_1 (with your key) shows links" in ran.err
    assert ran.err.count("\n") == 1
    generate(shell, gateway, "-o", "y.png")
    first, second = (headers["idempotency-key"] for headers in gateway.headers)
    assert first != second


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_the_base_url_of_other_clients_is_taken_too(shell: Shell, gateway: Gateway, ending: str) -> None:
    gateway.url += ending
    assert generate(shell, gateway, "-o", "x.png").code == 0
    assert gateway.paths == ["/v1/images/generations"]


def test_without_a_key_nothing_is_asked(shell: Shell, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = shell.plain("generate", "a cat", "-m", "gpt-image-2", "--url", gateway.url)
    assert ran.code == 1
    assert "set IMAGEWAY_KEY; make one with: imageway keys create" in ran.err
    assert gateway.asked == []
    monkeypatch.setenv("IMAGEWAY_KEY", "sk-iw-2")
    assert shell.plain("generate", "a cat", "-m", "gpt-image-2", "--url", gateway.url, "-o", "x.png").code == 0
    assert gateway.keys == ["Bearer sk-iw-2"]
