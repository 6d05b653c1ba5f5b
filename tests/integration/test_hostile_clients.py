"""Clients that send too much, too slowly, in two ways at once, or that leave: byte by byte over raw sockets. No request
is read in two ways, none has the effect of two, nobody holds what others need, and whoever hangs up pays only for
pictures that were made, which stay there for him."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.processes import (
    Answer,
    House,
    Process,
    answer_of,
    assert_told,
    call,
    clean_environment,
    connect,
    exchange,
    read_to_end,
    unharmed_by,
    wait_for,
)

GENERATIONS = "/v1/images/generations"
MIB = 2**20
BODY = json.dumps({"model": "gemini-2.5-flash-image", "prompt": "a boat"}).encode()
SETTINGS = """
[connections]
head_s = 2
body_idle_s = 2
body_s = 5
stall_s = 2
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("hostile-clients")
    (folder / "imageway.toml").write_text(SETTINGS)
    made = House(folder / "data", clean_environment(), ("--sandbox", "--config", str(folder / "imageway.toml")))
    made.fund("50")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture(scope="module")
def leaver(house: House) -> str:
    """The key of a workspace whose callers may end up paying."""
    return house.key_for("leaver", "50")


@pytest.fixture(autouse=True)
def unharmed(house: House, gateway: Process) -> Iterator[None]:
    with unharmed_by(house, gateway):
        yield


def head(key: str, *lines: str, path: str = GENERATIONS, method: str = "POST") -> bytes:
    fields = (f"{method} {path} HTTP/1.1", "Host: gateway", f"Authorization: Bearer {key}", *lines)
    return "\r\n".join((*fields, "", "")).encode()


def request(key: str, body: bytes = BODY, *lines: str) -> bytes:
    return head(key, "Content-Type: application/json", f"Content-Length: {len(body)}", *lines) + body


def tasks_of(house: House, workspace: str) -> int:
    return sum(row["workspace"] == workspace for row in house.usage())


# Too large: 40 MB against 32 MiB.


class Flood:
    """A client that would send 80 MB and looks for an answer all the while, as curl and browsers do."""

    def __init__(self, gateway: Process, opening: bytes, frame: Callable[[bytes], bytes] = bytes) -> None:
        self.sent_bytes = 0
        piece = frame(b"A" * 65536)
        with connect(gateway.url) as connection:
            connection.sendall(opening)
            while self.sent_bytes < 80_000_000:
                if select.select([connection], [], [], 0)[0]:
                    break
                connection.sendall(piece)
                self.sent_bytes += 65536
            self.answer = answer_of(read_to_end(connection))


OPEN = b'{"model": "gpt-image-1", "prompt": "a boat", "image": "'


def test_forty_megabytes_with_a_length_are_refused_at_once(house: House, gateway: Process) -> None:
    """Before anything of it was read: what could be sent meanwhile stays in the buffers of two sockets."""
    flood = Flood(gateway, head(house.key, "Content-Type: application/json", "Content-Length: 40000000"))
    error = assert_told(flood.answer, 413, "body_too_large")
    assert "33,554,432" in error["message"]
    assert flood.answer.headers["connection"] == "close"
    assert flood.sent_bytes < 12 * MIB


def test_eighty_megabytes_in_chunks_are_refused_at_the_limit(house: House, gateway: Process) -> None:
    opening = head(house.key, "Content-Type: application/json", "Transfer-Encoding: chunked")
    opening += b"%x\r\n%s\r\n" % (len(OPEN), OPEN)
    flood = Flood(gateway, opening, lambda piece: b"%x\r\n%s\r\n" % (len(piece), piece))
    assert_told(flood.answer, 413, "body_too_large")
    assert 31 * MIB < flood.sent_bytes < 45 * MIB


def test_a_client_that_sends_first_and_reads_later_gets_the_413_too(house: House, gateway: Process) -> None:
    """It may find the connection broken while it sends; the answer is there all the same."""
    with connect(gateway.url) as connection:
        connection.sendall(head(house.key, "Content-Type: application/json", "Content-Length: 40000000"))
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                connection.sendall(b"A" * 1_000_000)
        assert_told(answer_of(read_to_end(connection)), 413, "body_too_large")


@pytest.mark.parametrize("expect", [True, False], ids=["asking first", "just sending"])
def test_curl_is_told_413(house: House, gateway: Process, tmp_path: Path, expect: bool) -> None:
    """With `Expect: 100-continue` not one byte of the body is ever sent."""
    body = tmp_path / "body.json"
    body.write_bytes(b'{"prompt": "' + b"A" * 40_000_000 + b'"}')
    arguments = ["-sS", "-X", "POST", gateway.url + GENERATIONS, "--data-binary", f"@{body}", "--max-time", "20"]
    arguments += ["-H", f"Authorization: Bearer {house.key}", "-H", "Content-Type: application/json"]
    arguments += ["-H", "Expect: 100-continue" if expect else "Expect:", "-w", "\n%{http_code} %{size_upload}"]
    done = subprocess.run(["curl", *arguments], capture_output=True, text=True, timeout=30, check=False)
    answer, _, last = done.stdout.rpartition("\n")
    status, uploaded = last.split()
    assert (status, json.loads(answer)["error"]["code"]) == ("413", "body_too_large"), done.stderr
    assert int(uploaded) == 0 if expect else int(uploaded) < 12 * MIB


def test_without_a_key_no_body_is_read(gateway: Process) -> None:
    flood = Flood(gateway, head("sk-iw-none", "Content-Type: application/json", "Content-Length: 30000000"))
    assert_told(flood.answer, 401, "invalid_api_key")
    assert flood.sent_bytes < 12 * MIB


def test_just_under_the_limit_is_read(house: House, gateway: Process) -> None:
    """30 MB arrive whole and are judged for what they are."""
    body = OPEN + b"A" * 30_000_000 + b'"}'
    answer = call(gateway.url + GENERATIONS, body, key=house.key)
    assert_told(answer, 400, "invalid_image", "image")


def test_no_room_for_a_body_is_503_and_passes(tmp_path: Path) -> None:
    """A spool of 1 MiB: a larger body is told to come back, a smaller one is served from memory."""
    (tmp_path / "imageway.toml").write_text("spool_bytes = 1048576\n")
    own = House(tmp_path / "data", clean_environment(), ("--sandbox", "--config", str(tmp_path / "imageway.toml")))
    try:
        own.fund()
        gateway = own.serve()
        answer = call(gateway.url + GENERATIONS, OPEN + b"A" * 3_000_000 + b'"}', key=own.key)
        assert_told(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert "crashed" not in gateway.log.read_text()
        assert call(f"{gateway.url}/v1/models", key=own.key).status == 200
    finally:
        own.close()


def test_an_endless_head_is_refused(gateway: Process) -> None:
    for line in (b"X-Filler: " + b"a" * 1000 + b"\r\n", b"a" * 1000):
        with connect(gateway.url) as connection:
            connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n")
            with contextlib.suppress(ConnectionError):
                for _ in range(1000):
                    connection.sendall(line)
            received = read_to_end(connection)
        assert not received or answer_of(received).status in (400, 431)


def test_a_head_over_the_limit_is_told_so(gateway: Process) -> None:
    with connect(gateway.url) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Filler: " + b"a" * 64 * 1024)
        assert_told(answer_of(read_to_end(connection)), 431, "head_too_large")


# Lengths that lie, and requests that two readers would read differently.


def test_a_length_beyond_the_body_is_no_request(house: House, gateway: Process) -> None:
    """The client closes before it has sent what it announced: nothing was asked for."""
    assert exchange_and_end(gateway, head(house.key, f"Content-Length: {len(BODY) + 10}") + BODY) == b""


def exchange_and_end(gateway: Process, content: bytes) -> bytes:
    with connect(gateway.url) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        return read_to_end(connection)


def test_a_length_short_of_the_body_is_refused(house: House, gateway: Process) -> None:
    answer = answer_of(exchange(gateway.url, head(house.key, f"Content-Length: {len(BODY) - 10}") + BODY))
    assert answer.status == 400


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


CHUNKED = "Transfer-Encoding: chunked"
SMUGGLING: dict[str, Callable[[bytes], bytes]] = {
    # Each takes a whole second request and hides it behind the first one's framing.
    "length and chunks": lambda second: post("Content-Length: 4", CHUNKED, body=b"0\r\n\r\n" + second),
    "chunks and length": lambda second: post(
        "Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n" + second
    ),
    "two lengths": lambda second: post(f"Content-Length: {len(BODY)}", "Content-Length: 0", body=BODY + second),
    "two equal lengths": lambda second: post(*[f"Content-Length: {len(BODY)}"] * 2, body=BODY),
    "a list of lengths": lambda second: post(f"Content-Length: {len(BODY)}, {len(BODY)}", body=BODY),
    "a signed length": lambda second: post(f"Content-Length: +{len(BODY)}", body=BODY),
    "a negative length": lambda second: post("Content-Length: -1", body=BODY),
    "a hexadecimal length": lambda second: post(f"Content-Length: 0x{len(BODY):x}", body=BODY),
    "a length beyond all": lambda second: post("Content-Length: " + "9" * 30, body=BODY),
    "chunked twice": lambda second: post(*[CHUNKED] * 2, body=chunked(BODY)),
    "chunked in a list twice": lambda second: post("Transfer-Encoding: chunked, chunked", body=chunked(BODY)),
    "xchunked": lambda second: post("Transfer-Encoding: xchunked", body=chunked(BODY)),
    "chunked, then identity": lambda second: post("Transfer-Encoding: chunked, identity", body=chunked(BODY)),
    "gzip alone": lambda second: post("Transfer-Encoding: gzip", body=chunked(BODY)),
    "a tab before chunked": lambda second: post("Transfer-Encoding:\x0bchunked", body=chunked(BODY)),
    "space before the colon": lambda second: post(f"Content-Length : {len(BODY)}", body=BODY),
    "a folded field": lambda second: post(f"Content-Length: {len(BODY)}", "X-A: b", " Content-Length: 0", body=BODY),
    "a folded transfer encoding": lambda second: post("Transfer-Encoding:", " chunked", body=chunked(BODY)),
    "a field without a name": lambda second: post(": x", f"Content-Length: {len(BODY)}", body=BODY),
    "a field without a colon": lambda second: post("Content-Length", body=BODY),
    "a NUL in a field": lambda second: post("X-A: a\0b", f"Content-Length: {len(BODY)}", body=BODY),
    "bare line feeds": lambda second: post(f"Content-Length: {len(BODY)}", body=BODY).replace(b"\r\n", b"\n"),
    "a bare line feed in the head": lambda second: post(f"X: y\nContent-Length: {len(BODY)}", body=BODY),
    "a bare carriage return": lambda second: post(f"X: y\rContent-Length: {len(BODY)}", body=BODY),
    "a chunk with a sign": lambda second: post(CHUNKED, body=b"+" + chunked(BODY)),
    "a chunk in 0x": lambda second: post(CHUNKED, body=b"0x" + chunked(BODY)),
    "a chunk beyond all": lambda second: post(CHUNKED, body=b"f" * 20 + b"\r\n" + BODY),
    "a chunk longer than it says": lambda second: post(CHUNKED, body=b"5\r\n" + BODY),
    "a chunk that ends in a line feed": lambda second: post(CHUNKED, body=b"%x\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "no version": lambda second: post(body=BODY).replace(b" HTTP/1.1", b"", 1),
    "another version": lambda second: post(body=BODY).replace(b"HTTP/1.1", b"HTTP/1.2", 1),
    "HTTP/2": lambda second: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS greeting": lambda second: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "blanks in the path": lambda second: post(body=BODY).replace(b"/v1/images", b"/v1 /images", 1),
    "no Host": lambda second: request(KEY).replace(b"Host: gateway\r\n", b"", 1) + second,
    "two Hosts": lambda second: request(KEY, BODY, "Host: other") + second,
    "a method nobody knows": lambda second: post(body=BODY).replace(b"POST", b"STEAL", 1),
}
KEY = "sk-iw-PLACE"


def post(*lines: str, body: bytes) -> bytes:
    return head(KEY, "Content-Type: application/json", *lines) + body


@pytest.mark.parametrize("shape", SMUGGLING)
def test_what_can_be_read_in_two_ways_is_not_read(house: House, gateway: Process, leaver: str, shape: str) -> None:
    """400 and the end of the connection, before the request in front or the one behind it has any effect."""
    before = tasks_of(house, "leaver")
    content = SMUGGLING[shape](request(KEY)).replace(KEY.encode(), leaver.encode())
    received = exchange(gateway.url, content)
    assert len(re.findall(rb"HTTP/1\.1 \d{3} ", received)) == 1, received
    answer = answer_of(received)
    assert answer.status == 400, received
    assert answer.json["error"]["code"] in ("malformed_http", "body_empty", "malformed_json")
    assert tasks_of(house, "leaver") == before


def test_a_missing_host_is_named_and_minded_in_http_1_1_alone(gateway: Process) -> None:
    """RFC 9112 §3.2."""
    lacking = b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"
    refused = assert_told(answer_of(exchange(gateway.url, lacking)), 400, "malformed_http")
    assert "Host" in refused["message"]
    assert answer_of(exchange(gateway.url, lacking.replace(b"1.1", b"1.0"))).status == 200


def test_requests_one_behind_the_other_are_answered_in_order(house: House, gateway: Process, leaver: str) -> None:
    """Pipelining is lawful: two requests, two answers, two pictures, and the connection goes on."""
    before = tasks_of(house, "leaver")
    last = head(leaver, "Connection: close", path="/v1/models", method="GET")
    received = exchange(gateway.url, request(leaver) + request(leaver) + last)
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert tasks_of(house, "leaver") == before + 2


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_an_offer_to_upgrade_is_declined(house: House, gateway: Process, leaver: str, protocol: str) -> None:
    """Java's client offers HTTP/2 with every first request: its body counts all the same."""
    offer = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    with connect(gateway.url) as connection:
        connection.sendall(request(leaver, BODY, *offer))
        received = b""
        while not received.endswith(b'"}'):
            received += connection.recv(65536)
        assert answer_of(received).status == 200
        connection.sendall(head(leaver, "Connection: close", path="/v1/models", method="GET"))
        again = read_to_end(connection)
    assert not again or answer_of(again).status == 200


# Slow clients.


def test_a_head_that_never_ends_is_not_waited_for(gateway: Process) -> None:
    """Nor is a connection on which nothing is ever said."""
    started_s = time.monotonic()
    with connect(gateway.url) as silent, connect(gateway.url) as slow:
        slow.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(ConnectionError):  # on a machine that stood still it may have ended by now
            for _ in range(3):
                time.sleep(0.5)
                slow.sendall(b"X: y\r\n")
        assert read_to_end(slow) == b""
        assert read_to_end(silent) == b""
    assert 1.5 < time.monotonic() - started_s < 8


def test_a_second_head_on_the_same_connection_is_not_waited_for_either(house: House, gateway: Process) -> None:
    with connect(gateway.url) as connection:
        connection.sendall(head(house.key, path="/healthz", method="GET"))
        received = b""
        while not received.endswith(b'"ok"}'):
            received += connection.recv(65536)
        connection.sendall(b"GET /v1/models HTTP/1.1\r\n")
        started_s = time.monotonic()
        assert read_to_end(connection) == b""
    assert 1.5 < time.monotonic() - started_s < 8


def test_a_body_that_stops_is_408(house: House, gateway: Process) -> None:
    content = request(house.key)
    answer = answer_of(exchange(gateway.url, content[:-20]))
    assert_told(answer, 408, "request_timeout_body")


def test_a_body_that_drips_for_ever_is_408(house: House, gateway: Process) -> None:
    with connect(gateway.url) as connection:
        connection.sendall(head(house.key, "Content-Length: 100000", "Content-Type: application/json") + b"{")
        started_s = time.monotonic()
        while not select.select([connection], [], [], 0.3)[0] and time.monotonic() - started_s < 12:
            connection.sendall(b" ")
        assert_told(answer_of(read_to_end(connection)), 408, "request_timeout_body")
    assert 4 < time.monotonic() - started_s < 9


def test_a_slow_but_steady_client_is_served(house: House, gateway: Process, leaver: str) -> None:
    content = request(leaver, BODY, "Connection: close")
    with connect(gateway.url) as connection:
        for start in range(0, len(content), 40):
            connection.sendall(content[start : start + 40])
            time.sleep(0.05)
        assert answer_of(read_to_end(connection)).status == 200


# More than the buffers of two sockets take: three pictures of 16 million pixels, and as PNG what was JPEG.
LARGE = json.dumps(
    {
        "model": "doubao-seedream-4-0-250828",
        "prompt": "x",
        "size": "4096x4096",
        "n": 3,
        "output_format": "png",
        "response_format": "b64_json",
    }
).encode()


def small_window(gateway: Process) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(15)
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    connection.connect((host, int(port)))
    return connection


def test_who_stops_reading_is_left_and_finds_his_pictures_stored(house: House, gateway: Process, leaver: str) -> None:
    """Nobody may hold the spool for ever by reading nothing; what he paid for is kept under the request's id."""
    before = house.money("leaver").spent
    with small_window(gateway) as connection:
        connection.sendall(request(leaver, LARGE))
        received = connection.recv(2000)
        wait_for(lambda: newest(house)["delivery"] == "stored", seconds=10)
    request_id = answer_of(received + b"").headers["x-request-id"]
    assert newest(house)["request_id"] == request_id
    task = call(f"{gateway.url}/v1/tasks/{request_id}", key=leaver).json
    assert [call(item["url"]).status for item in task["data"]] == [200] * 3
    assert house.money("leaver").spent > before


def newest(house: House) -> dict[str, object]:
    return next(row for row in house.usage() if row["workspace"] == "leaver")


# Clients that hang up.


def leave(connection: socket.socket, *, reset: bool) -> None:
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("stage", ["connected", "in the head", "after the head", "in the body", "in a large body"])
def test_who_leaves_before_he_has_asked_owes_nothing(house: House, gateway: Process, stage: str, reset: bool) -> None:
    whole = request(house.key)
    announced = head(house.key, "Content-Type: application/json", "Content-Length: 20000000")
    content = {
        "connected": b"",
        "in the head": whole[:60],
        "after the head": whole[: -len(BODY)],
        "in the body": whole[:-10],
        "in a large body": announced + OPEN + base64.b64encode(bytes(2 * MIB)),
    }[stage]
    rows = len(house.usage())
    connection = connect(gateway.url)
    connection.sendall(content)
    time.sleep(0.1)
    leave(connection, reset=reset)
    time.sleep(0.2)
    assert len(house.usage()) == rows


@pytest.mark.parametrize(
    "model", ["gpt-image-1", "gemini-2.5-flash-image", "doubao-seedream-4-0-250828", "qwen-image-plus"]
)
def test_who_leaves_while_it_is_made_finds_it_stored(house: House, gateway: Process, leaver: str, model: str) -> None:
    """It was submitted, so it is made, charged and kept; it is made once."""
    rows = len(house.usage())
    body = json.dumps({"model": model, "prompt": "a boat sandbox-fault:late"}).encode()
    connection = connect(gateway.url)
    connection.sendall(request(leaver, body))
    wait_for(lambda: house.money("leaver").held > 0)
    leave(connection, reset=False)
    wait_for(lambda: len(house.usage()) > rows)
    row = wait_for(lambda: (found := newest(house))["delivery"] != "undelivered" and found)
    assert (row["model"], row["outcome"], row["delivered"], row["delivery"]) == (model, "succeeded", 1, "stored")
    task = call(f"{gateway.url}/v1/tasks/{row['request_id']}", key=leaver).json
    assert call(task["data"][0]["url"]).status == 200
    assert len(house.usage()) == rows + 1


def test_who_leaves_at_once_is_charged_once_or_not_at_all(house: House, gateway: Process, leaver: str) -> None:
    """Twenty clients that send a whole request and are gone: each has either nothing, or one picture stored."""
    spent, rows = house.money("leaver").spent, len(house.usage())
    for number in range(20):
        connection = connect(gateway.url)
        connection.sendall(request(leaver))
        leave(connection, reset=number % 2 == 0)
    wait_for(lambda: house.money("leaver").held == 0)
    new = house.usage()[: len(house.usage()) - rows]
    wait_for(lambda: not [row for row in house.usage() if row["delivery"] == "undelivered"])
    assert {row["outcome"] for row in new} <= {"succeeded", "cancelled"}
    made = sum(row["outcome"] == "succeeded" for row in house.usage()[: len(house.usage()) - rows])
    assert house.money("leaver").spent - spent == made * 39_000


def test_who_leaves_in_the_middle_of_the_answer_finds_it_stored(house: House, gateway: Process, leaver: str) -> None:
    with small_window(gateway) as connection:
        connection.sendall(request(leaver, LARGE))
        request_id = answer_of(connection.recv(2000)).headers["x-request-id"]
    row = wait_for(lambda: (found := newest(house))["delivery"] == "stored" and found)
    assert row["request_id"] == request_id
    task = call(f"{gateway.url}/v1/tasks/{request_id}", key=leaver).json
    assert len(task["data"]) == 3


def test_others_are_served_meanwhile(house: House, gateway: Process, leaver: str) -> None:
    """With fifty connections that say nothing, and ten that read nothing, a request takes no longer than usual."""
    idle = [connect(gateway.url) for _ in range(50)]
    stuck = [small_window(gateway) for _ in range(10)]
    for connection in stuck:
        connection.sendall(request(leaver))
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(call(gateway.url + GENERATIONS, BODY, key=leaver)))
    started_s = time.monotonic()
    asking.start()
    asking.join(timeout=10)
    assert answers
    assert answers[0].status == 200
    assert time.monotonic() - started_s < 5
    for connection in (*idle, *stuck):
        connection.close()
    wait_for(lambda: house.money("leaver").held == 0)
