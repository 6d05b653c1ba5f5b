"""Connections to upstreams over real sockets, on both event loops: which request goes over which connection, what is
waited for, and what is never done twice."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from imageway.bodies import Payload
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import FailureKind
from imageway.transport.connections import READ_AHEAD_BYTES, WRITE_AHEAD_BYTES, Connection
from imageway.transport.dialing import authorities
from imageway.transport.http_wire import HttpWire
from imageway.transport.names import Resolve, resolve
from imageway.transport.wire import Incoming, Outgoing
from tests.integration.test_transport import (
    CHUNKED,
    OK,
    HangUp,
    Script,
    Server,
    answer,
    answering,
    closing,
    self_signed,
    serving,
)
from tests.turns import soon

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    LOOPS = {"asyncio": asyncio.DefaultEventLoopPolicy(), "uvloop": uvloop.EventLoopPolicy()}

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture")


@pytest.fixture(params=LOOPS)
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    return LOOPS[request.param]


@asynccontextmanager
async def wired(
    *, resolve: Resolve = resolve, guarded: bool = False, keepalive_s: float = 15, connect_timeout_s: float = 2
) -> AsyncIterator[HttpWire]:
    wire = HttpWire(resolve=resolve, guarded=guarded, keepalive_s=keepalive_s, connect_timeout_s=connect_timeout_s)
    try:
        yield wire
    finally:
        await wire.close()


def payload(*chunks: bytes | Exception, length: int | None = None) -> Payload:
    """A body that comes in these chunks; an exception stands for a file that cannot be read any further."""

    async def give() -> AsyncIterator[bytes]:
        for chunk in chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    size = sum(len(chunk) for chunk in chunks if isinstance(chunk, bytes)) if length is None else length
    return Payload(size, "application/octet-stream", give)


def post(server: Server, body: Payload | None = None, path: str = "/") -> Outgoing:
    length = {"content-length": str(body.length if body else 0)}
    return Outgoing("POST", server.url + path, length, body)


async def read(incoming: Incoming) -> bytes:
    return b"".join([chunk async for chunk in incoming.chunks])


async def ask(wire: HttpWire, outgoing: Outgoing) -> tuple[int, bytes]:
    async with asyncio.timeout(5), wire.exchange(outgoing) as incoming:
        return incoming.status, await read(incoming)


async def failure(wire: HttpWire, outgoing: Outgoing) -> TransportFailed:
    with pytest.raises(TransportFailed) as failed:
        await ask(wire, outgoing)
    return failed.value


def steps(awaitable: object) -> int:
    """How often what is awaited lets the event loop go on; it must end at the first try for 0."""
    try:
        awaitable.__await__().send(None)  # type: ignore[attr-defined]
    except StopIteration:
        return 0
    return 1


# Which connection.


async def test_one_connection_carries_one_request_after_the_other() -> None:
    async with serving(answering(answer(OK))) as server, wired() as wire:
        for _ in range(5):
            assert await ask(wire, post(server)) == (200, OK)
        assert server.connections == 1
        assert await asyncio.gather(*(ask(wire, post(server)) for _ in range(5))) == [(200, OK)] * 5
        assert server.connections == 5


async def test_answers_go_to_whom_they_were_for() -> None:
    """Many at once over few connections, of every kind of body, and some who leave early."""

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await server.request(reader)).head
            name = head.split(b" ", 2)[1][1:]
            await asyncio.sleep(int(name) % 7 / 1000)
            body = name * 20_000
            if int(name) % 2:
                writer.write(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            else:
                writer.write(answer(body))
            await writer.drain()

    async def one(wire: HttpWire, server: Server, number: int) -> None:
        async with wire.exchange(post(server, path=f"/{number}")) as incoming:
            if number % 5:
                assert await read(incoming) == str(number).encode() * 20_000

    async with serving(script) as server, wired() as wire:
        for first in range(0, 120, 12):
            await asyncio.gather(*(one(wire, server, number) for number in range(first, first + 12)))
        assert len(server.requests) == 120
        assert server.connections < 60


@pytest.mark.parametrize(
    "whole",
    [answer(b"x" * 500_000), CHUNKED + b"7a120\r\n" + b"x" * 500_000 + b"\r\n0\r\n\r\n", answer(b"ab")],
    ids=["measured", "chunked", "small"],
)
async def test_a_body_not_read_to_its_end_ends_the_connection(whole: bytes) -> None:
    """What is left of it would be taken for the beginning of the next answer."""
    async with serving(answering(whole)) as server, wired() as wire:
        for _ in range(3):
            async with wire.exchange(post(server)) as incoming:
                assert incoming.status == 200
        assert server.connections == 3
        with contextlib.suppress(ZeroDivisionError):
            async with wire.exchange(post(server)) as incoming:
                await anext(incoming.chunks)
                raise ZeroDivisionError
        await ask(wire, post(server))
        assert server.connections == (4 if len(whole) < 1000 else 5), "what was read to its end leaves nothing behind"


async def test_a_body_left_early_cannot_be_read_later() -> None:
    async with serving(answering(answer(b"x" * 500_000), answer(OK))) as server, wired() as wire:
        async with wire.exchange(post(server)) as incoming:
            await anext(incoming.chunks)
        with pytest.raises(TransportFailed) as failed:
            await read(incoming)
        assert failed.value.kind is FailureKind.UNKNOWN


@pytest.mark.parametrize(
    "whole",
    [
        answer(OK, "Connection: close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n" + OK,
        answer(OK) + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        answer(OK) + b"\0",
    ],
    ids=["close", "1.0", "two answers", "too much"],
)
async def test_a_connection_that_may_not_be_used_again_is_not(whole: bytes) -> None:
    async with serving(answering(whole)) as server, wired() as wire:
        for _ in range(3):
            assert await ask(wire, post(server)) == (200, OK)
        assert server.connections == 3


async def test_what_comes_without_being_asked_for_ends_the_connection() -> None:
    """An answer that was sent ahead must not be taken for that of the next request."""

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(answer(OK))
        await writer.drain()
        await asyncio.sleep(0.02)
        if server.connections == 1:
            writer.write(answer(b"evil"))
        await server.request(reader)
        writer.write(answer(OK))

    async with serving(script) as server, wired() as wire:
        await ask(wire, post(server))
        await asyncio.sleep(0.1)
        assert await ask(wire, post(server)) == (200, OK)
        assert server.connections == 2


async def test_idle_connections_end_after_their_time() -> None:
    ended = asyncio.Event()

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(answer(OK))
        await reader.read()
        ended.set()

    async with serving(script) as server, wired(keepalive_s=0.1) as wire:
        await ask(wire, post(server))
        assert not ended.is_set()
        await soon(ended.is_set, seconds=2)
        assert not wire._open
        assert not wire._idle
        await ask(wire, post(server))
        assert server.connections == 2


async def test_a_connection_closed_while_the_loop_stood_still_is_replaced_before_anything_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The request is not sent twice: nothing of it is given to the dead connection."""
    written: list[Connection] = []
    write = Connection.write

    def counted(connection: Connection, data: bytes) -> None:
        written.append(connection)
        write(connection, data)

    server = HangUp()
    server.start()
    url = server.url + "/"
    async with wired() as wire:
        assert (await ask(wire, Outgoing("GET", url, {})))[0] == 200
        server.closed.wait(5)
        (idle,) = wire._idle.values()
        (connection,) = idle
        time.sleep(0.05)
        assert not connection.closed
        assert not connection.is_fresh
        monkeypatch.setattr(Connection, "write", counted)
        assert (await ask(wire, Outgoing("GET", url, {})))[0] == 200
        assert connection not in written
        assert len(written) == 1
        assert server.requests == 2
    server.listener.close()
    server.join(5)


async def test_a_connection_that_dies_with_the_request_is_unknown_and_nothing_is_repeated() -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(answer(OK))
        await server.request(reader)

    async with serving(script) as server, wired() as wire:
        await ask(wire, post(server))
        outgoing = post(server)
        assert (await failure(wire, outgoing)).kind is FailureKind.UNKNOWN
        assert outgoing.left
        await asyncio.sleep(0.02)
        assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_guarded_connection_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageway.transport.dialing.is_public", lambda address: True)
    async with serving(answering(answer(OK))) as server, wired(guarded=True) as wire:
        for _ in range(3):
            await ask(wire, post(server))
        assert server.connections == 3
        assert not wire._idle


async def test_closing_ends_everything_at_once() -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(answer(OK)[:-1])
        await reader.read()

    async with serving(script) as server, wired() as wire:
        waiting = asyncio.create_task(failure(wire, post(server)))
        while not server.requests:
            await asyncio.sleep(0.01)
        await wire.close()
        await soon(waiting.done, seconds=2)
        assert (await waiting).kind is FailureKind.UNKNOWN
        assert not wire._open


@pytest.mark.parametrize("whole", [answer(OK), CHUNKED + b"2\r\nab\r\n0\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"])
async def test_an_exchange_leaves_nothing_for_the_garbage_collector(whole: bytes) -> None:
    """A full collection stops everything for tens of milliseconds."""
    async with serving(answering(whole)) as server, wired() as wire:
        await ask(wire, post(server))
        gc.freeze()  # what earlier tests left is not looked at
        gc.disable()
        try:
            for _ in range(100):
                await ask(wire, post(server))
            assert gc.collect() < 100
        finally:
            gc.enable()
            gc.unfreeze()


# What is read.


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
@pytest.mark.parametrize(
    ("whole", "status"),
    [(b"HTTP/1.1 204 No Content\r\n\r\n", 204), (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304)],
)
async def test_an_answer_without_a_body_ends_with_its_head(method: str, whole: bytes, status: int) -> None:
    async with serving(answering(whole)) as server, wired() as wire:
        for _ in range(2):
            assert await ask(wire, Outgoing(method, server.url + "/", {})) == (status, b"")
        assert server.connections == 1


async def test_the_answer_to_a_head_has_no_body() -> None:
    async with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")) as server, wired() as wire:
        for _ in range(2):
            assert await ask(wire, Outgoing("HEAD", server.url + "/", {})) == (200, b"")
        assert server.connections == 1


async def test_interim_answers_are_passed_over() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with serving(answering(interim + answer(OK))) as server, wired() as wire:
        for _ in range(2):
            assert await ask(wire, post(server)) == (200, OK)
        assert server.connections == 1


async def test_a_body_that_only_the_end_delimits_is_read_to_it() -> None:
    whole = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000
    async with serving(closing(whole)) as server, wired() as wire, wire.exchange(post(server)) as incoming:
        assert not incoming.delimited
        assert await read(incoming) == b"x" * 300_000


async def test_a_reset_is_not_the_end_of_such_a_body() -> None:
    whole = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3000
    async with serving(closing(whole, reset=True)) as server, wired() as wire:
        assert (await failure(wire, post(server))).kind is FailureKind.UNKNOWN


async def test_what_came_before_a_cut_is_given_before_the_failure() -> None:
    script = closing(answer(b"x" * 1000)[:-1])
    async with serving(script) as server, wired() as wire, wire.exchange(post(server)) as incoming:
        got = await anext(incoming.chunks)
        while len(got) < 999:
            got += await anext(incoming.chunks)
        with pytest.raises(TransportFailed, match="1 bytes before its end"):
            await anext(incoming.chunks)


@pytest.mark.parametrize("piece", [OK, b"b\r\n" + OK + b"\r\n"], ids=["measured", "chunked"])
async def test_what_has_arrived_is_given_at_once(piece: bytes) -> None:
    """Streams: no event waits for the next one."""
    go_on = asyncio.Event()

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(CHUNKED if piece != OK else answer(OK * 3)[: -3 * len(OK)])
        for _ in range(3):
            writer.write(piece)
            await go_on.wait()
            go_on.clear()

    async with serving(script) as server, wired() as wire, wire.exchange(post(server)) as incoming:
        for _ in range(3):
            assert await asyncio.wait_for(anext(incoming.chunks), 5) == OK
            go_on.set()


async def test_a_body_that_came_with_its_head_costs_no_turn_of_the_loop() -> None:
    async with serving(answering(answer(OK))) as server, wired() as wire:
        async with wire.exchange(post(server)) as incoming:
            assert steps(incoming.chunks.__anext__()) == 0
            with pytest.raises(StopAsyncIteration):
                steps(incoming.chunks.__anext__())
        assert steps(wire.exchange(post(server)).__aenter__()) == 1, "the control: an answer is waited for"


async def test_a_slow_reader_slows_the_upstream_down() -> None:
    """What waits here is memory: the socket is not read while nobody takes what came."""
    sent_bytes = 0

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent_bytes
        await server.request(reader)
        writer.write(answer(b"x" * (64 << 20))[: -(64 << 20)])
        for _ in range(64):
            writer.write(b"x" * (1 << 20))
            await writer.drain()
            sent_bytes += 1 << 20

    async with serving(script) as server, wired() as wire, asyncio.timeout(20):
        async with wire.exchange(post(server)) as incoming:
            assert await anext(incoming.chunks)
            await asyncio.sleep(0.3)
            (connection,) = wire._open
            assert connection._answer is not None
            assert connection._answer.waiting_bytes < READ_AHEAD_BYTES + (512 << 10)
            assert sent_bytes < 32 << 20, "the rest is in the kernel's buffers, or not sent at all"
            assert len(await read(incoming)) > 32 << 20
        assert sent_bytes == 64 << 20


async def test_two_wires_share_no_place_for_what_arrives() -> None:
    """They may belong to loops of two threads, one of which reads while the other copies."""
    async with (
        serving(answering(answer(OK))) as server,
        wired() as one,
        wired() as other,
        one.exchange(post(server)),
        other.exchange(post(server)),
    ):
        places = [next(iter(wire._open)).get_buffer(-1) for wire in (one, other)]
        for place, content in zip(places, (b"one", b"two"), strict=True):
            place[:3] = content
        assert [bytes(place[:3]) for place in places] == [b"one", b"two"]


async def test_a_head_without_an_end_is_given_up() -> None:
    async with serving(closing(b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 20_000)) as server, wired() as wire:
        failed = await failure(wire, post(server))
        assert failed.kind is FailureKind.UNKNOWN
        assert "larger than 64 KiB" in failed.detail


# What is written.


async def test_the_head_is_what_it_should_be() -> None:
    async with serving(answering(answer(OK))) as server, wired() as wire:
        await ask(wire, Outgoing("GET", f"{server.url}/a%2Fb?q=ü", {"x-name": "ü", "accept": "*/*"}))
    host = server.url.removeprefix("http://")
    lines = f"GET /a%2Fb?q=ü HTTP/1.1\r\nhost: {host}\r\nx-name: ü\r\naccept: */*\r\n\r\n"
    assert server.requests[0].head == lines.encode()


@pytest.mark.parametrize("evil", ["1\r\nx-evil: 1", "1\nx-evil: 1", "1\rx", "1\0", "\ud800"])
async def test_what_would_be_another_line_is_not_written(evil: str) -> None:
    async with serving(answering(answer(OK))) as server, wired() as wire:
        for outgoing in (
            Outgoing("GET", server.url + "/", {"x-id": evil}),
            Outgoing("GET", server.url + "/", {f"x-{evil}": "1"}),
            Outgoing("GET", f"{server.url}/{evil}", {}),
        ):
            assert (await failure(wire, outgoing)).kind is FailureKind.NEVER_SENT
            assert not outgoing.left
        assert server.connections == 0


@pytest.mark.parametrize("size", [1, 60_000, 70_000, 5_000_000])
async def test_a_body_of_any_size_arrives_whole(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    pieces = [content[at : at + 50_000] for at in range(0, size, 50_000)]
    async with serving(answering(answer(OK))) as server, wired() as wire:
        for _ in range(2):
            assert await ask(wire, post(server, payload(*pieces))) == (200, OK)
        assert [request.body for request in server.requests] == [b"".join(pieces)] * 2
        assert server.connections == 1


async def test_a_slow_upstream_slows_the_reading_of_the_body_down() -> None:
    given = 0

    async def give() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(1024):
            given += 1
            yield b"x" * 65_536

    release = asyncio.Event()

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await release.wait()
        await reader.readexactly(64 << 20)
        writer.write(answer(OK))

    async with serving(script) as server, wired() as wire, asyncio.timeout(20):
        asking = asyncio.create_task(ask(wire, post(server, Payload(64 << 20, "a/b", give))))
        await asyncio.sleep(0.3)
        assert given * 65_536 < 32 << 20 > WRITE_AHEAD_BYTES
        release.set()
        assert await asking == (200, OK)


async def test_a_body_that_goes_on_after_an_early_answer_is_sent_to_its_end() -> None:
    """An upstream may begin to answer before it has read everything; only leaving ends the upload."""

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(OK)[: -len(OK)])
            await reader.readexactly(16 << 20)
            writer.write(OK)

    body = payload(*[b"x" * 65_536] * 256)
    async with serving(script) as server, wired() as wire:
        for _ in range(2):
            assert await ask(wire, post(server, body)) == (200, OK)
        assert server.connections == 1


@pytest.mark.parametrize(
    "short", [payload(b"ab", length=3), payload(b"ab", length=1), payload(b"ab", OSError(5, "Input/output error"))]
)
async def test_a_small_body_that_cannot_be_read_is_never_sent(short: Payload) -> None:
    async with serving(answering(answer(OK))) as server, wired() as wire:
        assert (await failure(wire, post(server, short))).kind is FailureKind.NEVER_SENT
        assert server.connections == 0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (payload(OSError(5, "Input/output error"), length=100_000), FailureKind.NEVER_SENT),
        (payload(b"x" * 70_000, OSError(5, "Input/output error"), length=100_000), FailureKind.UNKNOWN),
        (payload(b"x" * 70_000, length=100_000), FailureKind.UNKNOWN),
        (payload(b"x" * 70_000, b"GET /evil HTTP/1.1\r\n\r\n", length=70_000), FailureKind.UNKNOWN),
    ],
    ids=["at once", "later", "too short", "too long"],
)
async def test_a_large_body_that_cannot_be_read_ends_the_connection(body: Payload, kind: FailureKind) -> None:
    heads: list[bytes] = []

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.read())

    async with serving(script) as server, wired() as wire:
        failed = await failure(wire, post(server, body))
        assert failed.kind is kind
        assert "could not be read" in failed.detail
        await asyncio.sleep(0.05)
        assert not wire._open
    assert not any(b"evil" in said for said in heads)


# How connections come about.


async def test_addresses_are_tried_in_their_order() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.2", 0))) as closed:
        port = closed.getsockname()[1]

    async def several(host: str, port: int) -> tuple[str, ...]:
        return ("127.0.0.2", "127.0.0.1", "127.0.0.3")

    async with serving(answering(answer(OK))) as server, wired(resolve=several) as wire:
        server.url = f"http://api.example:{server.url.rpartition(':')[2]}"
        assert (await ask(wire, post(server)))[0] == 200
        failed = await failure(wire, Outgoing("GET", f"http://api.example:{port}/", {}))
        assert failed.kind is FailureKind.NEVER_SENT
        assert "refused" in failed.detail.lower()


@pytest.mark.parametrize("event_loop_policy", ["asyncio"], indirect=True)
async def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of the standard loop alone: the other one's methods cannot be replaced."""
    loop = asyncio.get_running_loop()
    assert not isinstance(loop, uvloop.Loop)
    connect = loop.sock_connect

    async def sock_connect(sock: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == "192.0.2.1":
            await asyncio.sleep(30)
        await connect(sock, address)

    async def several(host: str, port: int) -> tuple[str, ...]:
        return ("192.0.2.1", "127.0.0.1")

    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    async with serving(answering(answer(OK))) as server, wired(resolve=several, connect_timeout_s=0.4) as wire:
        server.url = f"http://api.example:{server.url.rpartition(':')[2]}"
        assert (await ask(wire, post(server)))[0] == 200


async def test_a_name_is_not_asked_for_with_every_connection() -> None:
    asked = 0

    async def counting(host: str, port: int) -> tuple[str, ...]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        return ("127.0.0.1",)

    async with serving(answering(answer(OK, "Connection: close"))) as server, wired(resolve=counting) as wire:
        server.url = f"http://api.example:{server.url.rpartition(':')[2]}"
        await asyncio.gather(*(ask(wire, post(server)) for _ in range(4)))
        await ask(wire, post(server))
        assert server.connections == 5
        assert asked == 1
        assert server.requests[0].header("host") == server.url.removeprefix("http://")


async def test_a_silent_handshake_ends_at_the_connect_timeout() -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(script) as server, wired(connect_timeout_s=0.1) as wire:
        outgoing = Outgoing("GET", server.url.replace("http:", "https:") + "/", {})
        failed = await failure(wire, outgoing)
        assert failed.kind is FailureKind.NEVER_SENT
        assert "within 0.1 s" in failed.detail
        assert not outgoing.left


@pytest.fixture
def own_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Script], object]]:
    """Serves TLS with a certificate for 127.0.0.1 that this process trusts while the test runs."""
    file = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    authorities.cache_clear()

    @asynccontextmanager
    async def secure(script: Script) -> AsyncIterator[Server]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(file)
        server = Server(script)
        listener = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=tls)
        server.url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        try:
            yield server
        finally:
            listener.close()

    yield secure
    authorities.cache_clear()


Secure = Callable[[Script], contextlib.AbstractAsyncContextManager[Server]]


async def test_a_trusted_upstream_is_spoken_to_over_tls(own_authority: Secure) -> None:
    body = b"x" * 3_000_000
    async with own_authority(answering(answer(body))) as server, wired() as wire:
        for _ in range(3):
            assert await ask(wire, post(server, payload(b"y" * 1_000_000))) == (200, body)
        assert server.connections == 1


@pytest.mark.parametrize("whole", [answer(b"x" * 1000)[:-1], CHUNKED + b"5\r\nab"])
async def test_an_answer_cut_under_tls_is_unknown(own_authority: Secure, whole: bytes) -> None:
    async with own_authority(closing(whole)) as server, wired() as wire:
        assert (await failure(wire, post(server))).kind is FailureKind.UNKNOWN


async def test_a_certificate_for_another_host_is_refused(own_authority: Secure) -> None:
    async def loopback(host: str, port: int) -> tuple[str, ...]:
        return ("127.0.0.1",)

    async with own_authority(answering(answer(OK))) as server, wired(resolve=loopback) as wire:
        server.url = server.url.replace("127.0.0.1", "api.example")
        failed = await failure(wire, post(server))
        assert failed.kind is FailureKind.NEVER_SENT
        assert "certificate" in failed.detail.lower()
        assert server.requests == []


async def test_a_guarded_wire_looks_at_the_address_itself() -> None:
    """Also at one that was written into the URL, which no resolver ever sees."""
    async with serving(answering(answer(OK))) as server, wired(guarded=True) as wire:
        with pytest.raises(FetchRefused):
            await ask(wire, post(server))
        assert server.connections == 0
