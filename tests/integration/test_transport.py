"""Transport over real sockets: what an upstream does to us, and what we may say of it. Nothing is ever sent twice."""

from __future__ import annotations

import asyncio
import base64
import datetime
import gzip
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from imageway.bodies import Budget, Scope, Spool, blob_of, read_decoded
from imageway.core.blobs import Blob, Encoding
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import (
    BlobReply,
    FailureKind,
    FormBody,
    FormFile,
    HttpRequest,
    JsonBody,
    JsonReply,
    Page,
    Reply,
)
from imageway.core.upstreams import Upstream
from imageway.transport import Transport
from tests.turns import soon

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0" + b"\x1f\x15\xc4\x89" + b"x" * 500
OK = b'{"ok":true}'
POST = HttpRequest("POST", "/images", JsonBody({"prompt": "a cat"}))


def answer(body: bytes, *headers: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Received:
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            found, _, value = line.partition(":")
            if found.lower() == name:
                return value.strip()
        return None


async def receive(reader: asyncio.StreamReader) -> Received:
    head = await reader.readuntil(b"\r\n\r\n")
    received = Received(head, b"")
    received.body = await reader.readexactly(int(received.header("content-length") or 0))
    return received


def self_signed(directory: Path) -> Path:
    """A key and a certificate for 127.0.0.1 in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = directory / "server.pem"
    path.write_bytes(plain + certificate.public_bytes(pem))
    return path


Script = Callable[["Server", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A server on loopback that does to each connection what its script says, and counts."""

    script: Script
    url: str = ""
    connections: int = 0
    requests: list[Received] = field(default_factory=list)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.script(self, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader) -> Received:
        self.requests.append(await receive(reader))
        return self.requests[-1]

    @property
    def upstream(self) -> Upstream:
        return Upstream(id="one", provider="p", base_url=f"{self.url}/v1", auth="bearer", secrets={"key": "sk-test-1"})


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[Server]:
    server = Server(script)
    listener = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()


def answering(*answers: bytes) -> Script:
    """Answers each request of a connection with the next of `answers`, the last one again and again."""

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while True:
            await server.request(reader)
            writer.write(answers[min(number, len(answers) - 1)])
            await writer.drain()
            number += 1

    return script


def closing(partial: bytes = b"", *, reset: bool = False) -> Script:
    """Reads a request, says `partial`, and ends the connection."""

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(partial)
        await writer.drain()
        if reset:
            await asyncio.sleep(0.05)
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return script


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[Scope]:
    spool = Spool(tmp_path, Budget(1 << 30))
    yield spool.scope()
    spool.close()


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(connect_timeout_s=2)
    yield transport
    await transport.close()


async def send(
    transport: Transport, server: Server, scope: Scope, request: HttpRequest = POST, *, deadline_s: float = 5
) -> Reply:
    return await transport.send(server.upstream, request, scope, deadline_s=deadline_s, max_bytes=32 << 20)


async def failure(call: Awaitable[object]) -> TransportFailed:
    with pytest.raises(TransportFailed) as failed:
        await call
    return failed.value


async def test_a_request_arrives_as_written(transport: Transport, scope: Scope) -> None:
    async with serving(answering(answer(OK, "X-Request-Id: 7"))) as server:
        reply = await send(transport, server, scope, HttpRequest("POST", "/images", JsonBody({"prompt": "ein Bär"})))
        await send(transport, server, scope)
    assert reply.status == 200
    assert reply.headers["x-request-id"] == "7"
    assert reply.body == JsonReply({"ok": True})
    first, _ = server.requests
    assert first.head.startswith(b"POST /v1/images HTTP/1.1\r\n")
    assert json.loads(first.body) == {"prompt": "ein Bär"}
    assert first.header("authorization") == "Bearer sk-test-1"
    assert first.header("accept-encoding") == "identity"
    assert first.header("user-agent") == "imageway"
    assert first.header("content-type") == "application/json"
    assert first.header("transfer-encoding") is None
    assert first.head.lower().count(b"content-length:") == 1
    assert server.connections == 1, "the connection is used again"


async def test_cookies_are_not_kept(scope: Scope) -> None:
    async def loopback(host: str, port: int) -> tuple[str, ...]:
        return ("127.0.0.1",)

    transport = Transport(resolve=loopback)
    async with serving(answering(answer(OK, "Set-Cookie: a=1; Path=/"))) as server:
        server.url = server.url.replace("127.0.0.1", "api.example")
        for _ in range(2):
            await send(transport, server, scope)
    await transport.close()
    assert [request.header("cookie") for request in server.requests] == [None, None]


async def test_a_large_form_arrives_whole_and_of_the_length_it_announced(transport: Transport, scope: Scope) -> None:
    content = bytes(range(256)) * 20_000
    image = blob_of(base64.b64encode(content), encoding=Encoding.BASE64)
    form = FormBody((("prompt", "a cat"), ("image", FormFile(image, "a.png", "image/png"))))
    async with serving(answering(answer(OK))) as server:
        await send(transport, server, scope, HttpRequest("POST", "/edits", form))
    (received,) = server.requests
    assert content in received.body
    assert received.body.endswith(b"--\r\n")
    assert (received.header("content-type") or "").startswith("multipart/form-data; boundary=")


async def test_the_environment_names_no_proxy(
    transport: Transport, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving(answering(answer(OK))) as server:
        assert (await send(transport, server, scope)).status == 200


async def test_a_large_answer_becomes_a_blob_on_disk(transport: Transport, scope: Scope) -> None:
    content = PNG + b"y" * 5_000_000
    body = json.dumps({"data": [{"b64_json": base64.b64encode(content).decode()}]}).encode()
    async with serving(answering(answer(body))) as server:
        reply = await send(transport, server, scope)
    assert isinstance(reply.body, JsonReply)
    image = reply.body.tree["data"][0]["b64_json"]  # type: ignore[call-overload, index]
    assert isinstance(image, Blob)
    assert await read_decoded(image, limit_bytes=1 << 30) == content


async def test_a_chunked_answer_is_read_to_its_end(transport: Transport, scope: Scope) -> None:
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in OK) + b"0\r\n\r\n"
    async with serving(answering(CHUNKED + body)) as server:
        assert (await send(transport, server, scope)).body == JsonReply({"ok": True})
        assert (await send(transport, server, scope)).body == JsonReply({"ok": True})
    assert server.connections == 1


async def test_what_is_compressed_against_our_wish_is_read_once(transport: Transport, scope: Scope) -> None:
    async with serving(answering(answer(gzip.compress(OK), "Content-Encoding: gzip"))) as server:
        assert (await send(transport, server, scope)).body == JsonReply({"ok": True})


async def test_a_long_header_is_no_reason_to_lose_an_answer(transport: Transport, scope: Scope) -> None:
    async with serving(answering(answer(OK, "X-Policy: " + "x" * 30_000))) as server:
        assert len((await send(transport, server, scope)).headers["x-policy"]) == 30_000


async def test_a_page_leaves_the_connection_usable(transport: Transport, scope: Scope) -> None:
    page = b"<html>" + b"x" * 300_000
    async with serving(answering(answer(page, status="502 Bad Gateway", kind="text/html"), answer(OK))) as server:
        reply = await send(transport, server, scope)
        assert (reply.status, reply.body) == (502, Page(page[:4096]))
        assert (await send(transport, server, scope)).status == 200
    assert server.connections == 1


async def test_an_image_body_is_a_blob(transport: Transport, scope: Scope) -> None:
    async with serving(answering(answer(PNG, kind="application/octet-stream"))) as server:
        reply = await send(transport, server, scope)
    assert isinstance(reply.body, BlobReply)
    assert reply.body.media_type == "image/png"


async def test_a_redirect_is_an_answer_like_any_other(transport: Transport, scope: Scope) -> None:
    async with serving(answering(answer(OK))) as other:
        redirect = answer(b"", f"Location: {other.url}/", status="307 Temporary Redirect", kind="text/html")
        async with serving(answering(redirect)) as server:
            reply = await send(transport, server, scope)
    assert reply.status == 307
    assert other.connections == 0


# Never sent: only with proof.


async def test_a_refused_connection_never_sent(transport: Transport, scope: Scope) -> None:
    async with serving(answering(answer(OK))) as server:
        pass
    await asyncio.sleep(0)
    failed = await failure(send(transport, server, scope))
    assert failed.kind is FailureKind.NEVER_SENT
    assert "refused" in failed.detail.lower()


async def test_a_name_without_an_address_never_sent(scope: Scope) -> None:
    async def nowhere(host: str, port: int) -> tuple[str, ...]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    transport = Transport(resolve=nowhere)
    upstream = Upstream(id="a", provider="p", base_url="https://api.invalid", auth="bearer", secrets={"key": "k"})
    failed = await failure(transport.send(upstream, POST, scope, deadline_s=5, max_bytes=1000))
    assert failed.kind is FailureKind.NEVER_SENT
    await transport.close()


async def test_a_failed_handshake_never_sent(transport: Transport, scope: Scope) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer(OK))

    async with serving(script) as server:
        server.url = server.url.replace("http:", "https:")
        failed = await failure(send(transport, server, scope))
    assert failed.kind is FailureKind.NEVER_SENT
    assert server.requests == []


async def test_a_certificate_that_nobody_vouches_for_never_sees_the_key(
    transport: Transport, scope: Scope, tmp_path: Path
) -> None:
    server = Server(answering(answer(OK)))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed(tmp_path))
    listener = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=tls)
    server.url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    failed = await failure(send(transport, server, scope))
    listener.close()
    assert failed.kind is FailureKind.NEVER_SENT
    assert "certificate" in failed.detail.lower()
    assert server.requests == []


@pytest.mark.parametrize(("connect_timeout_s", "deadline_s"), [(0.05, 5), (5, 0.05)])
async def test_running_out_of_time_before_there_is_a_connection_never_sent(
    scope: Scope, connect_timeout_s: float, deadline_s: float
) -> None:
    async def silent(host: str, port: int) -> tuple[str, ...]:
        await asyncio.sleep(30)
        return ()

    transport = Transport(resolve=silent, connect_timeout_s=connect_timeout_s)
    upstream = Upstream(id="a", provider="p", base_url="http://api.invalid", auth="bearer", secrets={"key": "k"})
    failed = await failure(transport.send(upstream, POST, scope, deadline_s=deadline_s, max_bytes=1000))
    assert failed.kind is FailureKind.NEVER_SENT
    await transport.close()


async def test_a_header_that_cannot_be_written_never_sent(transport: Transport, scope: Scope) -> None:
    request = HttpRequest("POST", "/images", JsonBody({}), headers={"x-id": "1\r\nx-evil: 1"})
    async with serving(answering(answer(OK))) as server:
        failed = await failure(send(transport, server, scope, request))
        await asyncio.sleep(0.05)
    assert failed.kind is FailureKind.NEVER_SENT
    assert server.requests == []


# Unknown: everything after the first byte may have left. And nothing is ever sent twice.

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
UNANNOUNCED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
CUT = [
    pytest.param(closing(), id="closed before the head"),
    pytest.param(closing(reset=True), id="reset before the head"),
    pytest.param(closing(b"HTTP/1.1 200 OK\r\nContent-"), id="closed within the head"),
    pytest.param(closing(answer(OK)[:-3]), id="closed before the announced length"),
    pytest.param(closing(answer(OK)[:-3], reset=True), id="reset within the body"),
    pytest.param(closing(CHUNKED + b"5\r\n{\"ok\r\n"), id="chunks without an end"),
    pytest.param(closing(UNANNOUNCED + OK[:-3]), id="unannounced and cut"),
    pytest.param(closing(b"SSH-2.0-OpenSSH_9.2\r\n"), id="not HTTP"),
    pytest.param(closing(answer(b"<html>", "Content-Length: 5")), id="two lengths"),
]  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
@pytest.mark.parametrize("script", CUT)
async def test_a_cut_answer_is_unknown_and_the_request_is_sent_once(
    transport: Transport, scope: Scope, script: Script, method: str
) -> None:
    body = JsonBody({"prompt": "a cat"}) if method in ("POST", "PUT") else None
    async with serving(script) as server:
        failed = await failure(send(transport, server, scope, HttpRequest(method, "/images", body)))  # type: ignore[arg-type]
        await asyncio.sleep(0.02)
    assert failed.kind is FailureKind.UNKNOWN
    assert len(server.requests) == server.connections == 1


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_connection_that_dies_under_its_second_request_is_not_replaced(
    transport: Transport, scope: Scope, method: str
) -> None:
    """Many clients repeat a GET here: they take the connection for stale. We cannot know that."""

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(answer(OK))
        await server.request(reader)

    body = JsonBody({}) if method == "POST" else None
    async with serving(script) as server:
        await send(transport, server, scope)
        failed = await failure(send(transport, server, scope, HttpRequest(method, "/images", body)))  # type: ignore[arg-type]
        await asyncio.sleep(0.02)
    assert failed.kind is FailureKind.UNKNOWN
    assert len(server.requests) == 2
    assert server.connections == 1


@pytest.mark.parametrize(
    "partial", [b"", b"HTTP/1.1 200 OK\r\n", answer(OK)[:-1]], ids=["silent", "half a head", "slow"]
)
async def test_a_deadline_after_sending_is_unknown(transport: Transport, scope: Scope, partial: bytes) -> None:
    closed = asyncio.Event()

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(partial)
        await reader.read()
        closed.set()

    async with serving(script) as server:
        failed = await failure(send(transport, server, scope, deadline_s=0.1))
        assert failed.kind is FailureKind.UNKNOWN
        assert "0.1 s" in failed.detail
        await soon(closed.is_set, seconds=5)


async def test_a_cancelled_call_drops_its_connection(transport: Transport, scope: Scope) -> None:
    closed = asyncio.Event()

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        await reader.read()
        closed.set()

    async with serving(script) as server:
        call = asyncio.create_task(send(transport, server, scope))
        while not server.requests:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(closed.is_set, seconds=5)


async def test_an_answer_that_comes_before_the_request_has_left_counts(transport: Transport, scope: Scope) -> None:
    """A 413 or 401 in the middle of an upload is the upstream's answer, and the connection is not used again."""

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.requests.append(Received(await reader.readuntil(b"\r\n\r\n"), b""))
        writer.write(answer(b'{"error":1}', status="413 Payload Too Large"))
        await writer.drain()
        while await reader.read(1 << 16):
            pass

    form = FormBody((("image", FormFile(blob_of(b"x" * (8 << 20)), "a.png", "image/png")),))
    async with serving(script) as server:
        for _ in range(2):
            reply = await send(transport, server, scope, HttpRequest("POST", "/edits", form))
            assert (reply.status, reply.body) == (413, JsonReply({"error": 1}))
    assert server.connections == 2


@pytest.mark.parametrize("length", [True, False])
async def test_an_answer_over_its_limit_is_spoiled(transport: Transport, scope: Scope, length: bool) -> None:
    body = b'{"a":"' + b"x " * 50_000 + b'"}'
    whole = answer(body) if length else b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body
    async with serving(closing(whole)) as server:
        failed = await failure(transport.send(server.upstream, POST, scope, deadline_s=5, max_bytes=1000))
    assert failed.kind is FailureKind.SPOILED


async def test_no_key_is_ever_in_an_error(transport: Transport, scope: Scope) -> None:
    """Schemes that put the key into the URL are why no message names a URL."""
    for script in (closing(), closing(b"nonsense\r\n\r\n"), closing(answer(OK)[:-3])):
        async with serving(script) as server:
            upstream = Upstream(
                id="one", provider="p", base_url=server.url, auth="query_key", secrets={"key": "sk-test-secret"}
            )
            failed = await failure(transport.send(upstream, POST, scope, deadline_s=5, max_bytes=1000))
            assert b"sk-test-secret" in server.requests[0].head
        assert "sk-test-secret" not in f"{failed} {failed.detail} {failed.__cause__}"
        assert failed.__suppress_context__


async def test_no_key_is_in_the_error_of_a_broken_upload(transport: Transport, scope: Scope) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    form = FormBody((("image", FormFile(blob_of(b"x" * (32 << 20)), "a.png", "image/png")),))
    async with serving(script) as server:
        upstream = Upstream(
            id="a", provider="p", base_url=server.url, auth="query_key", secrets={"key": "sk-test-secret"}
        )
        call = transport.send(upstream, HttpRequest("POST", "/e", form), scope, deadline_s=5, max_bytes=1000)
        failed = await failure(call)
    assert failed.kind is FailureKind.UNKNOWN
    assert "sk-test-secret" not in f"{failed} {failed.detail} {failed.__cause__}"


class HangUp(threading.Thread):
    """A server outside the event loop: the first connection is answered once and closed, later ones are answered."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.closed = threading.Event()
        self.requests = 0

    def run(self) -> None:
        for _ in range(2):
            connection, _ = self.listener.accept()
            with connection:
                if connection.recv(65536):
                    self.requests += 1
                    connection.sendall(answer(OK))
            self.closed.set()


async def test_a_connection_that_went_stale_unnoticed_is_replaced_before_anything_is_sent(
    transport: Transport, scope: Scope
) -> None:
    """The other side closes while our event loop is busy elsewhere: it believes that the connection lives. A look at
    the socket before the first byte makes this a new connection instead of an unknown."""
    server = HangUp()
    server.start()
    upstream = Upstream(id="one", provider="p", base_url=server.url, auth="bearer", secrets={"key": "k"})
    try:
        for _ in range(2):
            reply = await transport.send(upstream, POST, scope, deadline_s=5, max_bytes=1000)
            assert reply.body == JsonReply({"ok": True})
            server.closed.wait(5)
            time.sleep(0.05)  # the loop stands still, as it does under load
    finally:
        server.listener.close()
        server.join(5)
    assert server.requests == 2


def test_the_loop_of_production_behaves_the_same(scope: Scope) -> None:
    """uvloop raises other errors at other places; the kinds must not depend on it."""

    async def everything() -> None:
        transport = Transport(connect_timeout_s=2)
        async with serving(answering(answer(OK))) as server:
            assert (await send(transport, server, scope)).body == JsonReply({"ok": True})
            with pytest.raises(FetchRefused):
                await transport.fetch("http://127.0.0.1/", scope, deadline_s=5, max_bytes=1000)
            with pytest.raises(FetchRefused):
                await transport.fetch("http://[::1]/", scope, deadline_s=5, max_bytes=1000)
        await transport.close()
        transport = Transport(connect_timeout_s=2)
        assert (await failure(send(transport, server, scope))).kind is FailureKind.NEVER_SENT
        for script in (closing(), closing(reset=True), closing(answer(OK)[:-3]), closing(answer(OK)[:-3], reset=True)):
            async with serving(script) as server:
                assert (await failure(send(transport, server, scope))).kind is FailureKind.UNKNOWN
            assert len(server.requests) == 1
        await test_a_connection_that_went_stale_unnoticed_is_replaced_before_anything_is_sent(transport, scope)
        await transport.close()

    uvloop.run(asyncio.wait_for(everything(), 30))


# Links out of replies, and links that callers wrote.


async def test_a_download_gives_the_image_and_leaves_the_credential_at_home(scope: Scope) -> None:
    async with serving(answering(answer(PNG, kind="binary/octet-stream"))) as files:
        redirect = answer(b"", f"Location: {files.url}/a.png?sig=a%2Fb", status="302 Found")
        async with serving(answering(redirect)) as server:
            transport = Transport(allowed_hosts=(files.url.removeprefix("http://"),))
            got = await transport.download(server.upstream, "/r/1", scope, deadline_s=5, max_bytes=1 << 20)
            assert await read_decoded(got.blob, limit_bytes=1 << 20) == PNG
            await transport.close()
    assert server.requests[0].header("authorization") == "Bearer sk-test-1"
    assert files.requests[0].header("authorization") is None
    assert files.requests[0].head.startswith(b"GET /a.png?sig=a%2Fb HTTP/1.1\r\n")


FETCH_FAILURES = [
    (answering(answer(b"<html>", kind="image/png")), "not_an_image"),
    (answering(answer(b"gone", status="404 Not Found")), "image_url_status"),
    (answering(answer(b"", status="503 Service Unavailable")), "image_url_failed"),
    (closing(answer(PNG)[:-3]), "image_url_failed"),
    (closing(), "image_url_failed"),
    (answering(answer(PNG + b"x" * 100_000)), "image_url_spoiled"),
    (answering(answer(b"", "Location: /a", status="302 Found")), "too_many_redirects"),
]


@pytest.mark.parametrize(("script", "code"), FETCH_FAILURES, ids=[code for _, code in FETCH_FAILURES])
async def test_a_callers_link_that_gives_no_image_is_refused_with_a_reason(
    scope: Scope, script: Script, code: str
) -> None:
    async with serving(script) as server:
        transport = Transport(allowed_hosts=(server.url.removeprefix("http://"),))
        with pytest.raises(FetchRefused) as refused:
            await transport.fetch(f"{server.url}/a.png", scope, deadline_s=5, max_bytes=50_000)
        await transport.close()
    assert refused.value.code == code


async def test_a_callers_link_that_trickles_ends_at_the_deadline(scope: Scope) -> None:
    """The deadline is for everything together; a byte now and then does not extend it. Of those that come within two
    seconds it is over long before the last."""
    trickled = 0

    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal trickled
        await server.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + PNG[:300])
        while True:
            trickled += 1
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(script) as server:
        transport = Transport(allowed_hosts=(server.url.removeprefix("http://"),))
        began_s = time.monotonic()
        with pytest.raises(FetchRefused) as refused:
            await transport.fetch(f"{server.url}/a.png", scope, deadline_s=0.2, max_bytes=50_000)
        assert time.monotonic() - began_s < 2
        assert trickled < 100
        assert refused.value.code == "image_url_failed"
        await transport.close()
