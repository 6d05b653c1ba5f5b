"""Connections byte by byte, over real sockets and both kinds of event loop, in front of a site that does as it is told:
what a client may send and how it may be cut up, what reaches it and when, and what is noticed when it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
import uvloop

from imageway.bodies import Payload, json_payload
from imageway.core.errors import GatewayError
from imageway.server.gate import Chunks, Head, Outgoing
from imageway.server.http import Host
from imageway.server.limits import ConnectionLimits
from imageway.server.serving import listen, url_of
from tests.integration.processes import Answer, answer_of, connect, exchange, read_to_end, wait_for

PATIENCE = ConnectionLimits(head_s=3600, body_idle_s=3600, body_s=3600, stall_s=3600, keep_alive_s=3600)
HASTE = ConnectionLimits(head_s=1, body_idle_s=1, body_s=3, stall_s=1, keep_alive_s=1)
MIB = 2**20
SEEN: ContextVar[str] = ContextVar("SEEN", default="nobody")


@dataclass
class Site:
    """Echoes what it is sent, unless its path says something else. `finished` are the verdicts on its answers, `left`
    counts requests that were cancelled, `gate` lets the paths that wait for it go on."""

    finished: list[bool] = field(default_factory=list)
    cuts: list[Exception] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    left: int = 0
    produced_bytes: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    last: list[str] = field(default_factory=list)

    async def handle(self, head: Head, chunks: Chunks) -> Outgoing:
        self.paths.append(head.path)
        try:
            return await getattr(self, f"_{head.path.strip('/').replace('-', '_') or 'echo'}")(head, chunks)
        except asyncio.CancelledError:
            self.left += 1
            raise

    def before_last_byte(self, head: Head, outgoing: Outgoing) -> None:
        self.last.append(head.path)

    def cut(self, head: Head, error: Exception) -> None:
        self.cuts.append(error)

    def _outgoing(self, payload: Payload, status: int = 200, *headers: tuple[str, str]) -> Outgoing:
        return Outgoing(status, headers, payload, self.finished.append)

    def _stream(self, chunks: Callable[[], AsyncIterator[bytes]]) -> Outgoing:
        return self._outgoing(Payload(-1, "text/event-stream", chunks))

    async def _echo(self, head: Head, chunks: Chunks) -> Outgoing:
        try:
            content = b"".join([chunk async for chunk in chunks])
        except GatewayError as error:
            return self._outgoing(json_payload({"code": error.code}), error.kind.status)
        return self._outgoing(json_payload({"query": head.query.get("q", ""), "body": content.decode("latin-1")}))

    async def _refuse(self, head: Head, chunks: Chunks) -> Outgoing:
        return self._outgoing(json_payload({"code": "no"}), 401)

    async def _wait(self, head: Head, chunks: Chunks) -> Outgoing:
        content = b"".join([chunk async for chunk in chunks])
        await self.gate.wait()
        return self._outgoing(json_payload({"body": content.decode()}))

    async def _hoard(self, head: Head, chunks: Chunks) -> Outgoing:
        """Takes one chunk, then nothing for a while."""
        size = len(await anext(chunks))
        await self.gate.wait()
        async for chunk in chunks:
            size += len(chunk)
        return self._outgoing(json_payload({"size": size}))

    async def _large(self, head: Head, chunks: Chunks) -> Outgoing:
        """8 MB in which every byte knows its place."""

        async def pieces() -> AsyncIterator[bytes]:
            for number in range(128):
                self.produced_bytes += 65536
                yield number.to_bytes(4, "big") * 16384

        return self._outgoing(Payload(128 * 65536, "image/png", pieces))

    async def _short(self, head: Head, chunks: Chunks) -> Outgoing:
        return self._outgoing(Payload(100, "image/png", lambda: saying(b"first", b"second")))

    async def _long(self, head: Head, chunks: Chunks) -> Outgoing:
        return self._outgoing(Payload(8, "image/png", lambda: saying(b"first", b"second")))

    async def _broken(self, head: Head, chunks: Chunks) -> Outgoing:
        return self._outgoing(Payload(100, "image/png", lambda: saying(b"first", OSError(5, "Input/output error"))))

    async def _nothing(self, head: Head, chunks: Chunks) -> Outgoing:
        return self._outgoing(Payload(-1, "", lambda: saying()), 304, ("etag", '"1"'))

    async def _events(self, head: Head, chunks: Chunks) -> Outgoing:
        """One event at once, the next when the gate opens, then the end."""

        async def events() -> AsyncIterator[bytes]:
            yield b"data: one\n\n"
            await self.gate.wait()
            yield b"data: two\n\n"

        return self._stream(events)

    async def _silence(self, head: Head, chunks: Chunks) -> Outgoing:
        async def silence() -> AsyncIterator[bytes]:
            try:
                await self.gate.wait()
                yield b""
            finally:
                self.produced_bytes += 1

        return self._stream(silence)

    async def _flood(self, head: Head, chunks: Chunks) -> Outgoing:
        async def flood() -> AsyncIterator[bytes]:
            while True:
                self.produced_bytes += 65536
                yield b"x" * 65536

        return self._stream(flood)

    async def _broken_stream(self, head: Head, chunks: Chunks) -> Outgoing:
        return self._stream(lambda: saying(b"data: one\n\n", RuntimeError("a hole")))

    async def _reset(self, head: Head, chunks: Chunks) -> Outgoing:
        raise ConnectionResetError("on demand")

    async def _context(self, head: Head, chunks: Chunks) -> Outgoing:
        before = SEEN.get()
        SEEN.set("somebody")
        return self._outgoing(json_payload({"before": before}))


async def saying(*words: bytes | Exception) -> AsyncIterator[bytes]:
    for word in words:
        if isinstance(word, Exception):
            raise word
        yield word


class Served:
    """A site behind a socket, in a loop of a thread of its own. Whatever ends soon there does not end by a limit,
    unless it is in a hurry."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.site = Site()
        self._listener = listen("127.0.0.1", 0)
        self.url = url_of(self._listener, "127.0.0.1")
        self._stop = asyncio.Event()
        self._begun = threading.Event()
        self.grace_s = 1.0
        self.thread = threading.Thread(target=loop.run_until_complete, args=(self._serve(),), daemon=True)
        self.thread.start()
        assert self._begun.wait(5)

    async def _serve(self) -> None:
        self.host = Host(self.site, PATIENCE)
        server = await self.loop.create_server(self.host.connection, sock=self._listener)
        self._begun.set()
        await self._stop.wait()
        server.close()
        await self.host.close(self.grace_s)
        async with asyncio.timeout(5):
            while self.connections():  # a loop tells of what was torn down in its next rounds
                await asyncio.sleep(0.01)

    def open_gate(self) -> None:
        self.loop.call_soon_threadsafe(self.site.gate.set)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)

    def hurry(self) -> None:
        """From the next connection on."""
        self.host._shared.limits = HASTE

    def connections(self) -> int:
        return len(self.host._shared.connections)


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    made = Served(request.param())
    yield made
    made.stop()
    made.thread.join(timeout=10)
    assert not made.thread.is_alive()
    assert not made.connections()


def post(path: str = "/", body: bytes = b"hello", *lines: str, method: str = "POST") -> bytes:
    return head(path, f"Content-Length: {len(body)}", *lines, method=method) + body


def head(path: str, *lines: str, method: str = "POST", version: str = "1.1") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/{version}", "Host: gateway", *lines, "", "")).encode()


CLOSE = "Connection: close"


def answers_of(received: bytes) -> list[Answer]:
    """Every answer in what came over a connection; lengths must be told."""
    found = []
    while received:
        found.append(answer_of(received))
        received = received[received.index(b"\r\n\r\n") + 4 + len(found[-1].content) :]
    return found


def bodies_of(received: bytes) -> list[str]:
    return [answer.json["body"] for answer in answers_of(received)]


def read_answer(connection: socket.socket) -> Answer:
    """Exactly one, and nothing behind it."""
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        received += some(connection, 1)
    left = int(answer_of(received).headers["content-length"])
    while left > 0:
        received += (chunk := some(connection, left))
        left -= len(chunk)
    return answer_of(received)


def some(connection: socket.socket, size: int) -> bytes:
    chunk = connection.recv(size)
    assert chunk, "the connection ended"
    return chunk


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    received = b""
    while mark not in received:
        received += some(connection, 65536)
    return received


# Requests, however they arrive.


def test_a_request_split_at_every_byte(served: Served) -> None:
    """Two pieces, so far apart that each is read on its own; the connection serves all of them."""
    whole = (
        post("/?q=%C3%A9", b"hello")
        + head("/?q=1", "Transfer-Encoding: chunked")
        + b"2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n"
    )
    with connect(served.url) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(1, len(whole)):
            connection.sendall(whole[:place])
            time.sleep(0.002)
            connection.sendall(whole[place:])
            first, second = read_answer(connection), read_answer(connection)
            assert (first.json["query"], first.json["body"]) == ("é", "hello")
            assert (second.json["query"], second.json["body"]) == ("1", "hello")


def test_requests_sent_at_once_are_answered_in_order(served: Served) -> None:
    """Two hundred, of every kind, in one piece."""
    kinds: list[Callable[[str], bytes]] = [
        lambda word: post(body=word.encode()),
        lambda word: (
            head("/", "Transfer-Encoding: chunked") + f"{len(word):x}\r\n{word}\r\n0\r\nX-A: b\r\n\r\n".encode()
        ),
        lambda word: post(body=word.encode()) + b"\r\n" * 3,  # as some old clients end a body
    ]
    words = [f"request {number}" for number in range(200)]
    content = b"".join(kinds[number % 3](word) for number, word in enumerate(words))
    assert bodies_of(exchange(served.url, content + post("/", b"last", CLOSE))) == [*words, "last"]


def test_what_is_sent_ahead_waits_and_is_bounded(served: Served) -> None:
    """While one request runs, the next ones are not begun, and no more of them is read than a head may be long."""
    with connect(served.url) as connection:
        connection.sendall(post("/wait", b"first"))
        wait_for(lambda: served.site.paths)
        connection.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            for _ in range(100_000):
                sent += connection.send(post("/", b"x" * 1000))
        assert sent < 12 * MIB  # the buffers of two sockets
        assert served.site.paths == ["/wait"]
        served.open_gate()
        connection.settimeout(15)
        assert read_answer(connection).json["body"] == "first"
        for _ in range(1000):  # more than was read before
            assert read_answer(connection).json["body"] == "x" * 1000


def test_one_request_knows_nothing_of_the_one_before_it(served: Served) -> None:
    """Context variables, too, begin anew, when requests come in one piece as when they do not."""
    content = post("/context", b"") * 3 + post("/context", b"", CLOSE)
    assert [answer.json["before"] for answer in answers_of(exchange(served.url, content))] == ["nobody"] * 4


def test_large_bodies_arrive_whole(served: Served) -> None:
    body = bytes(range(256)) * 20_000
    answer = answer_of(exchange(served.url, post("/", body, CLOSE)))
    assert answer.json["body"].encode("latin-1") == body
    pieces = b"".join(
        b"%x\r\n%s\r\n" % (len(body) // 8, body[at : at + len(body) // 8]) for at in range(0, len(body), len(body) // 8)
    )
    answer = answer_of(exchange(served.url, head("/", "Transfer-Encoding: chunked", CLOSE) + pieces + b"0\r\n\r\n"))
    assert answer.json["body"].encode("latin-1") == body


@pytest.mark.parametrize("framing", ["Content-Length: 33554432", "Transfer-Encoding: chunked"])
def test_a_body_that_nobody_takes_holds_its_client_back(served: Served, framing: str) -> None:
    """Until it is taken: then all of it comes."""
    size, at_once = 32 * MIB, 65536
    piece = b"x" * at_once if "Length" in framing else b"%x\r\n%s\r\n" % (at_once, b"x" * at_once)
    with connect(served.url) as connection:
        connection.sendall(head("/hoard", framing, CLOSE))
        connection.settimeout(1)
        whole, sent = memoryview(piece * (size // at_once) + (b"" if "Length" in framing else b"0\r\n\r\n")), 0
        with contextlib.suppress(TimeoutError):
            while sent < len(whole):
                sent += connection.send(whole[sent : sent + at_once])
        assert sent < 12 * MIB
        served.open_gate()
        connection.settimeout(15)
        connection.sendall(whole[sent:])
        assert answer_of(read_to_end(connection)).json["size"] == size


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_body_is_invited_when_somebody_wants_it(served: Served, version: str) -> None:
    """`Expect: 100-continue`, which HTTP/1.0 does not know."""
    with connect(served.url) as connection:
        connection.sendall(head("/", "Content-Length: 5", "Expect: 100-continue", version=version))
        if version == "1.1":
            assert read_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert read_answer(connection).json["body"] == "hello"


def test_a_body_is_not_invited_when_it_is_there_or_unwanted(served: Served) -> None:
    with connect(served.url) as connection:
        connection.sendall(post("/", b"hello", "Expect: 100-continue"))
        assert read_answer(connection).status == 200
        connection.sendall(head("/refuse", "Content-Length: 5", "Expect: 100-continue"))
        refused = answer_of(read_to_end(connection))
    assert (refused.status, refused.headers["connection"]) == (401, "close")


# Connections that go on, and those that end.


def test_a_connection_goes_on_after_an_error(served: Served) -> None:
    """Whether the body was there when the answer was given, or the little of it comes later."""
    with connect(served.url) as connection:
        connection.sendall(post("/refuse"))
        assert read_answer(connection).status == 401
        connection.sendall(head("/refuse", "Content-Length: 60000"))
        assert read_answer(connection).status == 401
        connection.sendall(b"x" * 60_000 + post("/", b"again"))
        assert read_answer(connection).json["body"] == "again"
        connection.sendall(head("/", "Content-Length: 0", "Expect: 100-continue"))
        assert read_answer(connection).status == 200


def test_the_rest_of_a_body_is_not_waited_for_for_ever(served: Served) -> None:
    served.hurry()
    with connect(served.url) as connection:
        connection.sendall(head("/refuse", "Content-Length: 60000") + b"x" * 100)
        assert read_answer(connection).status == 401
        assert read_to_end(connection) == b""


@pytest.mark.parametrize("framing", ["Content-Length: 10000000", "Transfer-Encoding: chunked"])
def test_a_connection_ends_when_much_was_still_to_come(served: Served, framing: str) -> None:
    with connect(served.url) as connection:
        connection.sendall(head("/refuse", framing))
        answer = answer_of(read_to_end(connection))
    assert (answer.status, answer.headers["connection"]) == (401, "close")


def test_a_late_body_ends_its_connection(served: Served) -> None:
    served.hurry()
    with connect(served.url) as connection:
        connection.sendall(head("/", "Content-Length: 10"))
        answer = answer_of(read_to_end(connection))
    assert (answer.status, answer.json["code"], answer.headers["connection"]) == (408, "request_timeout_body", "close")


def test_an_idle_connection_ends(served: Served) -> None:
    served.hurry()
    with connect(served.url) as connection:
        connection.sendall(post())
        assert read_answer(connection).status == 200
        started_s = time.monotonic()
        wait_for(lambda: select.select([connection], [], [], 0)[0], seconds=3)
        assert time.monotonic() - started_s > 0.7
        assert read_to_end(connection) == b""


@pytest.mark.parametrize(("version", "line"), [("1.0", "X: y"), ("1.0", "Connection: keep-alive"), ("1.1", CLOSE)])
def test_a_connection_ends_when_the_client_wants_it(served: Served, version: str, line: str) -> None:
    answer = answer_of(exchange(served.url, head("/", line, method="GET", version=version)))
    assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_a_chunk_that_is_none_ends_the_request_it_belongs_to(served: Served) -> None:
    """The handler is cancelled in the middle of the body, and the client told why."""
    with connect(served.url) as connection:
        connection.sendall(head("/", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n")
        wait_for(lambda: served.site.paths)
        connection.sendall(b"nonsense\r\n")
        answer = answer_of(read_to_end(connection))
    assert (answer.status, answer.json["error"]["code"]) == (400, "malformed_http")
    wait_for(lambda: served.site.left == 1)
    assert served.site.finished == []


def test_garbage_behind_a_request_is_told_behind_its_answer(served: Served) -> None:
    received = exchange(served.url, post("/", b"hello") + b"nonsense")
    assert [answer.status for answer in answers_of(received)] == [200, 400]


# Answers.


def test_a_small_answer_is_one_packet(served: Served) -> None:
    with connect(served.url) as connection:
        for _ in range(5):
            connection.sendall(post())
            assert answer_of(connection.recv(65536)).json["body"] == "hello"


def expected_large() -> bytes:
    return b"".join(number.to_bytes(4, "big") * 16384 for number in range(128))


def test_eight_megabytes_to_a_slow_reader(served: Served) -> None:
    """Byte for byte, produced no faster than he reads."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.settimeout(15)
        parts = urlsplit(served.url)
        connection.connect((parts.hostname, parts.port))
        connection.sendall(post("/large", b"", CLOSE))
        received = bytearray(connection.recv(1000))
        time.sleep(0.5)
        assert served.site.produced_bytes < 6 * MIB
        while chunk := connection.recv(32768):
            received += chunk
            time.sleep(0.001)
    assert bytes(received).partition(b"\r\n\r\n")[2] == expected_large()
    wait_for(lambda: served.site.finished == [True])


def test_others_are_served_while_somebody_reads_eight_megabytes(served: Served) -> None:
    with connect(served.url) as connection:
        connection.sendall(post("/large", b"") * 20)
        reading = threading.Thread(target=lambda: read_bytes(connection, 20 * 128 * 65536))
        reading.start()
        started_s = time.monotonic()
        for _ in range(10):
            assert answer_of(exchange(served.url, post("/", b"x", CLOSE))).status == 200
        assert time.monotonic() - started_s < 5
        reading.join(timeout=15)


def read_bytes(connection: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(connection.recv(MIB))


def test_who_reads_nothing_is_left(served: Served) -> None:
    served.hurry()
    with connect(served.url) as connection:
        connection.sendall(post("/flood", b""))
        wait_for(lambda: served.site.finished == [False], seconds=5)
        assert not served.connections()
        read_to_end(connection)


@pytest.mark.parametrize("path", ["/", "/large", "/events"])
def test_head_is_answered_without_a_body(served: Served, path: str) -> None:
    """And says how long it would be, where that is known."""
    received = exchange(served.url, head(path, method="HEAD") + head(path, CLOSE, method="HEAD"))
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert received.endswith(b"\r\n\r\n")
    assert (b"content-length: 8388608" in received) is (path == "/large")
    assert served.site.finished == [True, True]


def test_not_modified_is_answered_without_a_body(served: Served) -> None:
    received = exchange(served.url, head("/nothing", method="GET") + head("/nothing", CLOSE, method="GET"))
    assert received.count(b"HTTP/1.1 304 Not Modified\r\n") == 2
    assert b"transfer-encoding" not in received


@pytest.mark.parametrize("path", ["/short", "/broken"])
def test_an_answer_that_breaks_off_is_seen_to_be_cut(served: Served, path: str) -> None:
    """Fewer bytes than the head says, then the end; somebody is told, and nothing counts as delivered."""
    answer = answer_of(exchange(served.url, post(path, b"") + post()))
    assert answer.headers["content-length"] == "100"
    assert answer.content.startswith(b"first")
    assert len(answer.content) < 100
    assert served.site.finished == [False]
    assert [type(error).__name__ for error in served.site.cuts] == [
        {"/short": "WrongLength", "/broken": "OSError"}[path]
    ]
    assert served.site.last == []


def test_an_answer_is_never_longer_than_it_says(served: Served) -> None:
    answer = answer_of(exchange(served.url, post("/long", b"")))
    assert b"first".startswith(answer.content)
    assert served.site.finished == [False]


def test_a_reset_on_demand_is_a_reset(served: Served) -> None:
    with connect(served.url) as connection:
        connection.sendall(post("/reset"))
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


# Streams.


def test_a_stream_arrives_event_by_event(served: Served) -> None:
    """Each when it happens: the second is not there before it is due, the first does not wait for it."""
    with connect(served.url) as connection:
        connection.sendall(post("/events", b""))
        received = read_until(connection, b"b\r\ndata: one\n\n\r\n")
        assert b"transfer-encoding: chunked\r\n" in received
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        served.open_gate()
        connection.settimeout(5)
        assert read_until(connection, b"0\r\n\r\n") == b"b\r\ndata: two\n\n\r\n0\r\n\r\n"
        wait_for(lambda: served.site.finished == [True])
        assert served.site.last == ["/events"]
        connection.sendall(post())
        assert read_answer(connection).status == 200


def test_a_stream_begins_before_its_first_event(served: Served) -> None:
    with connect(served.url) as connection:
        connection.sendall(post("/silence", b""))
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_stream_for_http_1_0_ends_with_its_connection(served: Served) -> None:
    served.open_gate()
    received = exchange(served.url, head("/events", method="GET", version="1.0"))
    assert b"transfer-encoding" not in received
    assert received.endswith(b"\r\n\r\ndata: one\n\ndata: two\n\n")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stream_that_fails_is_seen_to_be_cut(served: Served, version: str) -> None:
    """It lacks its last chunk; where there are no chunks, the connection is reset."""
    with connect(served.url) as connection:
        connection.sendall(head("/broken-stream", method="GET", version=version))
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
            was_reset = False
        except ConnectionResetError:
            was_reset = True
    assert b"data: one" in received
    assert not received.endswith(b"0\r\n\r\n")
    assert was_reset is (version == "1.0")
    assert served.site.finished == [False]
    assert [str(error) for error in served.site.cuts] == ["a hole"]
    assert served.site.last == []


@pytest.mark.parametrize("path", ["/silence", "/events", "/wait"])
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_leaving_is_noticed_while_nothing_is_written(served: Served, path: str, reset: bool) -> None:
    connection = connect(served.url)
    connection.sendall(post(path, b""))
    if path != "/wait":
        read_until(connection, b"\r\n\r\n")
    wait_for(lambda: served.site.paths)
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    wait_for(lambda: served.site.left == 1 or served.site.finished == [False], seconds=1)
    wait_for(lambda: not served.connections(), seconds=1)
    if path == "/silence":
        assert served.site.produced_bytes == 1  # the stream was closed, too


def test_leaving_in_the_same_breath_leaves_nothing_behind(served: Served) -> None:
    """The request and the end of the connection arrive at once: whether it was begun or not, it ends."""
    for _ in range(50):
        with connect(served.url) as connection:
            connection.sendall(post("/wait"))
    wait_for(lambda: not served.connections(), seconds=3)
    assert served.site.left == len(served.site.paths)


# The end of the process.


def test_at_the_end_what_is_idle_is_closed_and_what_is_asked_is_answered(served: Served) -> None:
    served.grace_s = 3600
    with connect(served.url) as idle, connect(served.url) as begun, connect(served.url) as busy:
        idle.sendall(post())
        assert read_answer(idle).status == 200
        begun.sendall(b"GET / HT")
        busy.sendall(post("/wait") + post("/"))
        wait_for(lambda: "/wait" in served.site.paths)
        started_s = time.monotonic()
        served.stop()
        assert read_to_end(idle) == b""  # which neither idleness nor the grace would end within an hour
        assert read_to_end(begun) == b""
        assert time.monotonic() - started_s < 0.5
        assert served.thread.is_alive()
        served.open_gate()
        last = answer_of(read_to_end(busy))
    assert (last.json["body"], last.headers["connection"]) == ("hello", "close")
    served.thread.join(timeout=2)
    assert not served.thread.is_alive()
    assert served.site.finished == [True, True]


def test_at_the_end_nobody_is_waited_for_longer_than_the_grace(served: Served) -> None:
    with connect(served.url) as busy:
        busy.sendall(post("/wait"))
        wait_for(lambda: served.site.paths)
        served.stop()
        assert read_to_end(busy) == b""
    served.thread.join(timeout=4)
    assert not served.thread.is_alive()
    assert served.site.left == 1
