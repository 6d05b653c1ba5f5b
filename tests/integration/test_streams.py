"""Streams through the whole gateway: clients that leave while it is quiet, processes that die in the middle, readers
who are slow or stop, many at once. Whatever happens, what was made and proved is paid for once and kept; all else is
free."""

from __future__ import annotations

import contextlib
import io
import itertools
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.acceptance.tongues import TONGUES, Order, Tongue, Unified, picture
from tests.integration.processes import Answer, House, Process, call, clean_environment, connect, start, wait_for

MODELS = ("gpt-image-1-mini", "gemini-2.5-flash-image", "doubao-seedream-4-0-250828", "qwen-image-plus")
STREAMING = [tongue for tongue in TONGUES if tongue.streams]
SETTINGS = """
fetch_allow = ["{files}"]
[limits]
fetch_deadline_s = 8
[connections]
heartbeat_s = 0.5
stall_s = 2
"""
FUNDS = 200_000_000


class SlowFiles(BaseHTTPRequestHandler):
    """A server of one picture, which takes its time."""

    def do_GET(self) -> None:
        time.sleep(4)
        content = picture()
        self.send_response(200)
        self.send_header("content-type", "image/png")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowFiles)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, files: str) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("streams")
    (folder / "imageway.toml").write_text(SETTINGS.format(files=urlsplit(files).netloc))
    made = House(folder / "data", clean_environment(), ("--sandbox", "--config", str(folder / "imageway.toml")))
    made.fund("200")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture(autouse=True)
def balanced(house: House, gateway: Process) -> Iterator[None]:
    """After every test nothing is held, the wallet has lost what the rows say, and nothing crashed."""
    yield
    wait_for(lambda: house.money().held == 0)
    assert house.money().available + house.money().spent == FUNDS
    assert "crashed" not in gateway.log.read_text()


class Listener:
    """A client of one stream over a raw connection."""

    def __init__(self, url: str, key: str, tongue: Tongue, order: Order, *, window: int | None = None) -> None:
        content, content_type = tongue.content(order)
        fields = {"host": "gateway", "content-type": content_type, "content-length": str(len(content))}
        lines = [f"{name}: {value}" for name, value in {**fields, **tongue.credential(key)}.items()]
        self.connection = connect(url) if window is None else narrow(url, window)
        self.connection.sendall("\r\n".join([f"POST {tongue.path(order)} HTTP/1.1", *lines, "", ""]).encode() + content)
        self.received = b""

    def read_until(self, mark: bytes) -> None:
        while mark not in self.received:
            piece = self.connection.recv(65536)
            assert piece, self.received[-500:]
            self.received += piece

    def hear(self) -> None:
        """Anything at all after the head."""
        self.read_until(b"\r\n\r\n")
        while not self.received.partition(b"\r\n\r\n")[2]:
            piece = self.connection.recv(65536)
            assert piece, self.received[-500:]
            self.received += piece

    @property
    def request_id(self) -> str:
        self.read_until(b"\r\n\r\n")
        lines = self.received.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        assert lines[0].startswith("HTTP/1.1 200"), self.received[:2000]
        return next(line.partition(": ")[2] for line in lines if line.lower().startswith("x-request-id"))

    def leave(self) -> None:
        self.connection.close()


def narrow(url: str, window: int) -> socket.socket:
    """A connection that takes little at a time."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    connection.settimeout(30)
    parts = urlsplit(url)
    connection.connect((parts.hostname, parts.port))
    return connection


def row_of(house: House, request_id: str) -> dict[str, Any] | None:
    return next((row for row in house.usage() if row["request_id"] == request_id), None)


def kept(house: House, gateway: Process, request_id: str) -> list[Image.Image]:
    """The pictures of a request that nobody received, as its owner finds them."""
    task = call(f"{gateway.url}/v1/tasks/{request_id}", key=house.key).json
    assert task["status"] == "succeeded", task
    found = [Image.open(io.BytesIO(call(item["url"]).content)) for item in task["data"]]
    for image in found:
        image.load()
    return found


# Clients that leave


def test_who_leaves_a_quiet_stream_pays_for_what_was_made_and_finds_it(house: House, gateway: Process) -> None:
    """The request was submitted: the picture comes, in whatever dialect it was asked for, whoever the provider is, and
    whether or not it streams; it is charged, stored, and there under the request's id."""

    def leave_early(asked: tuple[Tongue, str]) -> str:
        order = Order(model=asked[1], prompt="a boat sandbox-fault:late", stream=True)
        listener = Listener(gateway.url, house.key, asked[0], order)
        request_id = listener.request_id
        listener.hear()  # a heartbeat, of whatever form: it is quiet
        listener.leave()
        return request_id

    asked = zip(STREAMING, itertools.cycle(MODELS), strict=False)
    with ThreadPoolExecutor(len(STREAMING)) as pool:
        request_ids = list(pool.map(leave_early, asked))
    for request_id in request_ids:
        row = wait_for(lambda each=request_id: row_of(house, each))
        assert (row["outcome"], row["delivered"], row["delivery"]) == ("succeeded", 1, "stored")
        (image,) = kept(house, gateway, request_id)
        assert min(image.size) >= 512


def test_who_leaves_before_anything_was_sent_pays_nothing(house: House, gateway: Process, files: str) -> None:
    """The gateway still fetches what he links to: nobody was asked for a picture, and nobody is."""
    order = Order(model=MODELS[1], stream=True, prompt="a hat")
    tongue = Linking(f"{files}/slow.png")
    listener = Listener(gateway.url, house.key, tongue, order)
    listener.read_until(b": waiting\n\n")
    listener.leave()
    row = wait_for(lambda: row_of(house, listener.request_id), seconds=10)
    assert (row["outcome"], row["delivered"], row["price_usd"], row["cost_usd"]) == (
        "cancelled",
        0,
        "0.000000",
        "0.000000",
    )


class Linking(Unified):
    """An edit of a linked picture."""

    def __init__(self, link: str) -> None:
        self.link = link

    def path(self, order: Order) -> str:
        return "/v1/images/edits"

    def body(self, order: Order) -> dict[str, Any]:
        return {**super().body(order), "image": self.link}


def test_who_leaves_between_two_pictures_pays_for_all_that_come(house: House, gateway: Process) -> None:
    """A group of three over Ark's own stream: the first was received, the others were made all the same."""
    order = Order(model=MODELS[2], stream=True)
    listener = Listener(gateway.url, house.key, Grouping(), order)
    listener.read_until(b"image_generation.partial_succeeded")
    listener.leave()
    row = wait_for(lambda: row_of(house, listener.request_id))
    assert (row["outcome"], row["delivered"], row["delivery"]) == ("succeeded", 3, "stored")
    assert row["price_usd"] == "0.090000"
    assert len(kept(house, gateway, listener.request_id)) == 3


class Grouping(type(TONGUES[6])):  # type: ignore[misc]
    """Ark's, asking for a group of three that takes a while."""

    def body(self, order: Order) -> dict[str, Any]:
        group = {"sequential_image_generation": "auto", "sequential_image_generation_options": {"max_images": 3}}
        return {**super().body(order), **group, "prompt": "three boats sandbox-fault:slow"}


# Readers


def test_a_slow_reader_gets_every_byte(house: House, gateway: Process) -> None:
    """A few kilobytes at a time, for longer than anybody may be silent: he is not taken for one who has stopped."""
    order = Order(model=MODELS[2], stream=True, pixels=(2048, 2048), file_format="png")
    listener = Listener(gateway.url, house.key, InBase64(), order, window=4096)
    request_id = listener.request_id
    began_s = time.monotonic()
    while not listener.received.endswith(b"\r\n0\r\n\r\n"):
        piece = listener.connection.recv(16384)
        assert piece
        listener.received += piece
        if time.monotonic() - began_s < 4:
            time.sleep(0.1)
    assert time.monotonic() - began_s > 4
    (content,) = Unified().read(answer_of_chunks(listener.received)).pictures()
    image = Image.open(io.BytesIO(content))
    image.load()
    assert image.size == (2048, 2048)
    wait_for(lambda: (row := row_of(house, request_id)) and row["delivery"] == "delivered")


def answer_of_chunks(received: bytes) -> Answer:
    """An answer by chunks (RFC 9112 §7.1) as its reader has it."""
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            break
        body, rest = body + rest[:length], rest[length + 2 :]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


def test_a_reader_who_stops_is_left_and_finds_his_pictures(house: House, gateway: Process) -> None:
    """More than any buffer on the way takes; what he has not read is kept."""
    order = Order(model=MODELS[2], stream=True, pixels=(2048, 2048), file_format="png", n=3)
    listener = Listener(gateway.url, house.key, InBase64(), order, window=4096)
    request_id = listener.request_id
    row = wait_for(lambda: (found := row_of(house, request_id)) and found["delivery"] == "stored" and found)
    assert (row["outcome"], row["delivered"]) == ("succeeded", 3)
    assert [image.size for image in kept(house, gateway, request_id)] == [(2048, 2048)] * 3


class InBase64(Unified):
    """Whatever the model's own form is."""

    def body(self, order: Order) -> dict[str, Any]:
        return {**super().body(order), "response_format": "b64_json"}


def test_sixty_four_streams_at_once(house: House, gateway: Process) -> None:
    """In every dialect and of every family: each gets its one picture and its last event, and each is paid once."""
    before, rows = house.money().spent, len(house.usage())
    orders = [
        (STREAMING[number % len(STREAMING)], Order(model=MODELS[number // 16], prompt=f"boat {number}", stream=True))
        for number in range(64)
    ]
    with ThreadPoolExecutor(64) as pool:
        told = list(pool.map(lambda each: each[0].ask(gateway.url, house.key, each[1]), orders))
    assert [each.status for each in told] == [200] * 64
    assert [len(each.items) for each in told] == [1] * 64
    assert len({each.request_id for each in told}) == 64
    wait_for(lambda: house.money().held == 0)
    new = house.usage()[: len(house.usage()) - rows]
    assert {row["request_id"] for row in new} == {each.request_id for each in told}
    assert {(row["outcome"], row["delivered"]) for row in new} == {("succeeded", 1)}
    assert house.money().spent - before == sum(round(float(row["price_usd"]) * 1_000_000) for row in new)


# Processes that die


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Process]:
    process = start(["sandbox", "--port", "0"], tmp_path / "sandbox.log", clean_environment())
    yield process
    process.kill()


@pytest.fixture
def mortal(tmp_path: Path, sandbox: Process) -> Iterator[House]:
    """A gateway whose providers outlive it."""
    environment = clean_environment(
        OPENAI_API_KEY="sk-test-openai",
        OPENAI_BASE_URL=f"{sandbox.url}/openai/v1",
        GEMINI_API_KEY="test-gemini",
        GEMINI_BASE_URL=f"{sandbox.url}/google",
        ARK_API_KEY="test-ark",
        ARK_BASE_URL=f"{sandbox.url}/ark/api/v3",
    )
    (tmp_path / "imageway.toml").write_text("[connections]\nheartbeat_s = 0.5\n")
    made = House(tmp_path / "data", environment, ("--config", str(tmp_path / "imageway.toml")))
    made.fund("10")
    yield made
    made.close()


def submits(sandbox: Process) -> int:
    return len(call(f"{sandbox.url}/sandbox/log").json)


class Previewing(Unified):
    """Asks for previews."""

    def body(self, order: Order) -> dict[str, Any]:
        return {**super().body(order), "partial_images": 2}


# After its first event a provider falls silent, or before it: OpenAI's first is the picture, where no preview is wanted
DEATHS = [(Previewing(), MODELS[0], "stall_mid")]
DEATHS += [
    (tongue, model, "pending" if model == MODELS[0] else "stall_mid")
    for tongue, model in zip(STREAMING, itertools.cycle(MODELS[:3]), strict=False)
]


@pytest.mark.parametrize(("tongue", "model", "fault"), DEATHS, ids=lambda each: getattr(each, "name", each))
def test_killed_in_the_middle_of_a_stream(
    mortal: House, sandbox: Process, tongue: Tongue, model: str, fault: str
) -> None:
    """What became of it nobody can say: the provider is not asked again, the hold goes back, and the task says so."""
    gateway = mortal.serve()
    order = Order(model=model, prompt=f"a boat sandbox-fault:{fault}", stream=True)
    listener = Listener(gateway.url, mortal.key, tongue, order)
    request_id = listener.request_id
    wait_for(lambda: submits(sandbox) == 1)
    if isinstance(tongue, Previewing):
        listener.read_until(b"partial_image")
    gateway.kill()
    received = listener.received + drained(listener.connection)
    assert (b"partial_image" in received) == isinstance(tongue, Previewing)
    assert b"completed" not in received
    again = mortal.serve()
    row = wait_for(lambda: row_of(mortal, request_id))
    assert (row["outcome"], row["delivered"], row["price_usd"]) == ("unknown", 0, "0.000000")
    assert submits(sandbox) == 1
    wallet = mortal.money()
    assert (wallet.available, wallet.held, wallet.spent) == (10_000_000, 0, 0)
    assert call(f"{again.url}/v1/tasks/{request_id}", key=mortal.key).json["status"] == "unknown"


def drained(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(OSError):
        while select.select([connection], [], [], 5)[0] and (piece := connection.recv(65536)):
            received += piece
    return received


@pytest.mark.parametrize(("tongue", "delivery"), [(Unified(), "refunded"), (TONGUES[6], "stored")])
def test_killed_between_the_charge_and_the_last_event(
    mortal: House, sandbox: Process, tongue: Tongue, delivery: str
) -> None:
    """Base64 that nobody received is given back; what was promised as a link is there, and stays charged."""
    gateway = mortal.serve(IMAGEWAY_FAULT="after_capture:1")
    listener = Listener(gateway.url, mortal.key, tongue, Order(model=MODELS[1], stream=True))
    assert gateway.wait_killed() == -9
    received = drained(listener.connection)
    assert b"image_generation.completed" not in received
    again = mortal.serve()
    row = wait_for(lambda: (rows := mortal.usage()) and rows[0]["delivery"] != "undelivered" and rows[0])
    assert (row["delivery"], submits(sandbox)) == (delivery, 1)
    spent = 0 if delivery == "refunded" else 39_000
    wallet = mortal.money()
    assert (wallet.available, wallet.held, wallet.spent) == (10_000_000 - spent, 0, spent)
    if delivery == "stored":
        assert len(kept(mortal, again, row["request_id"])) == 1


def test_sigterm_ends_streams_with_an_event(mortal: House, sandbox: Process) -> None:
    """A stream that the drain cannot wait for is ended in its own words, not cut."""
    mortal.arguments = (*mortal.arguments, "--drain", "1")
    gateway = mortal.serve()
    listener = Listener(
        gateway.url, mortal.key, Unified(), Order(model=MODELS[0], prompt="a boat sandbox-fault:pending", stream=True)
    )
    listener.read_until(b": waiting\n\n")
    assert gateway.stop() == 0
    received = listener.received + drained(listener.connection)
    assert b"event: error" in received
    assert b"request_timeout" in received
    assert received.endswith(b"0\r\n\r\n")
    assert mortal.money().spent == 0
