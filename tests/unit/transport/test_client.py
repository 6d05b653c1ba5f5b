"""Who is asked, over which wire and with which credential: the rules for paths, absolute URLs and redirects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from imageway.bodies import Budget, Scope, Spool
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import FailureKind, HttpRequest, JsonBody, JsonReply, Secret
from imageway.core.upstreams import Upstream
from imageway.sandbox.wire import SandboxAnswer, SandboxRequest
from imageway.transport import Transport
from imageway.transport.links import origin_of
from imageway.transport.wire import Incoming, Outgoing
from tests.unit.transport.test_tokens import key_file
from tests.values import replace

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 500
UPSTREAM = Upstream(
    id="one",
    provider="p",
    base_url="https://api.example/v1",
    auth="bearer",
    secrets={"key": "sk-test-1"},
    credential_origins=("https://files.example", "https://results.example:443"),
)
PRETEND = Upstream(
    id="two", provider="p", base_url="sandbox:/vendor/v1", auth="bearer", secrets={"key": "sk-test-1"}, sandbox=True
)


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


class Recorder:
    """A wire that notes what it is given and answers from a table; anything else is an image."""

    def __init__(self, name: str, log: list[tuple[str, Outgoing]], answers: dict[str, tuple[int, str]]) -> None:
        self.name = name
        self.log = log
        self.answers = answers

    @asynccontextmanager
    async def exchange(self, outgoing: Outgoing) -> AsyncIterator[Incoming]:
        self.log.append((self.name, outgoing))
        status, location = self.answers.get(outgoing.url, (200, ""))
        yield Incoming(status, {"location": location} if location else {}, chunks(PNG))

    async def close(self) -> None:
        self.log.clear()


class Bouncer:
    """A wire to a token endpoint that numbers its tokens, and to an upstream that takes the first one no more."""

    def __init__(self) -> None:
        self.there = asyncio.Event()
        self.late = asyncio.Event()
        self.granted = 0
        self.taken = True
        self.asked: list[tuple[str, str]] = []

    @asynccontextmanager
    async def exchange(self, outgoing: Outgoing) -> AsyncIterator[Incoming]:
        path = urlsplit(outgoing.url).path
        if path == "/token":
            self.granted += 1
            told = b'{"access_token": "%d", "expires_in": 3600}' % self.granted
            yield Incoming(200, {"content-type": "application/json"}, chunks(told))
            return
        token = outgoing.headers["authorization"].removeprefix("Bearer ")
        self.asked.append((path, token))
        if path == "/late":
            self.there.set()
            await self.late.wait()
        yield Incoming(200 if self.taken and token != "1" else 401, {}, chunks(PNG))

    async def close(self) -> None:
        self.asked.clear()


class Pretender:
    """A sandbox that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[SandboxRequest] = []
        self.chunks: AsyncIterator[bytes] = chunks(b'{"ok": true}')
        self.headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)

    async def handle(self, request: SandboxRequest) -> SandboxAnswer:
        self.asked.append(request)
        if "reset" in request.path:
            raise ConnectionResetError
        if request.path.endswith(".png"):
            return SandboxAnswer(200, (("content-length", str(len(PNG))),), chunks(PNG))
        return SandboxAnswer(200, self.headers, self.chunks)


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[Scope]:
    spool = Spool(tmp_path, Budget(1 << 30))
    yield spool.scope()
    spool.close()


@pytest.fixture
def log() -> list[tuple[str, Outgoing]]:
    return []


@pytest.fixture
def answers() -> dict[str, tuple[int, str]]:
    return {}


@pytest.fixture
def sandbox() -> Pretender:
    return Pretender()


@pytest.fixture
def transport(log: list[tuple[str, Outgoing]], answers: dict[str, tuple[int, str]], sandbox: Pretender) -> Transport:
    transport = Transport(sandbox=sandbox, allowed_hosts=("10.0.0.5:9000", "store.internal"))
    transport._wires = {False: Recorder("open", log, answers), True: Recorder("guarded", log, answers)}
    return transport


async def send(transport: Transport, scope: Scope, path: str, upstream: Upstream = UPSTREAM) -> None:
    await transport.send(upstream, HttpRequest("GET", path), scope, deadline_s=5, max_bytes=1 << 20)


async def download(transport: Transport, scope: Scope, url: str, upstream: Upstream = UPSTREAM) -> None:
    await transport.download(upstream, url, scope, deadline_s=5, max_bytes=1 << 20)


async def fetch(transport: Transport, scope: Scope, url: str) -> None:
    await transport.fetch(url, scope, deadline_s=5, max_bytes=1 << 20)


RULES = [
    ("https://api.example/v1/results/1", "open", True),
    ("https://api.example:443/elsewhere", "open", True),
    ("https://API.EXAMPLE/v1/results/1", "open", True),
    ("https://files.example/a.png", "guarded", True),
    ("https://results.example/a.png", "guarded", True),
    ("http://api.example/v1/results/1", "guarded", False),
    ("https://api.example.:443/v1", "guarded", False),
    ("https://api.example.evil.example/v1", "guarded", False),
    ("https://evil.example/https://api.example/v1", "guarded", False),
    ("http://files.example/a.png", "guarded", False),
    ("https://files.example.evil.example/a.png", "guarded", False),
    ("https://files.example:80/a.png", "guarded", False),
    ("https://cdn.example/a.png?key=1", "guarded", False),
    ("http://10.0.0.5:9000/a.png", "open", False),
    ("http://store.internal/a.png", "open", False),
    ("https://store.internal/a.png", "open", False),
    ("http://10.0.0.5/a.png", "guarded", False),
]


@pytest.mark.parametrize("ask", [send, download])
@pytest.mark.parametrize(("url", "wire", "credential"), RULES)
async def test_an_absolute_url_is_judged_by_its_origin(
    transport: Transport,
    scope: Scope,
    log: list[tuple[str, Outgoing]],
    ask: object,
    url: str,
    wire: str,
    credential: bool,
) -> None:
    await ask(transport, scope, url)  # type: ignore[operator]
    ((used, outgoing),) = log
    assert used == wire
    assert ("authorization" in outgoing.headers) is credential


@pytest.mark.parametrize("ask", [send, download])
async def test_a_path_goes_to_the_upstream_itself(
    transport: Transport, scope: Scope, log: list[tuple[str, Outgoing]], ask: object
) -> None:
    for path in ("/results/1", "//evil.example/results", "/@evil.example"):
        await ask(transport, scope, path)  # type: ignore[operator]
    assert [(used, origin_of(out.url), "authorization" in out.headers) for used, out in log] == [
        ("open", "https://api.example:443", True)
    ] * 3


@pytest.mark.parametrize(
    "path", ["results/1", "@evil.example/", ".evil.example", ":443@evil.example", "", "ftp://a.example/"]
)
async def test_what_is_neither_path_nor_url_is_refused(transport: Transport, scope: Scope, path: str) -> None:
    with pytest.raises(FetchRefused):
        await send(transport, scope, path)


async def test_a_callers_url_never_carries_a_credential(
    transport: Transport, scope: Scope, log: list[tuple[str, Outgoing]]
) -> None:
    for url in ("https://api.example/v1/a.png", "https://files.example/a.png", "https://cdn.example/a.png"):
        await fetch(transport, scope, url)
    assert [(used, "authorization" in outgoing.headers) for used, outgoing in log] == [("guarded", False)] * 3


@pytest.mark.parametrize("url", ["http://cdn.example:8080/", "https://cdn.example:22/", "http://10.0.0.5:9001/"])
async def test_unusual_ports_are_for_allowed_hosts_alone(transport: Transport, scope: Scope, url: str) -> None:
    for ask in (fetch, download, send):
        with pytest.raises(FetchRefused, match=r"port \d+ is not allowed: use 80 or 443"):
            await ask(transport, scope, url)


async def test_each_hop_of_a_redirect_is_judged_anew(
    transport: Transport, scope: Scope, log: list[tuple[str, Outgoing]], answers: dict[str, tuple[int, str]]
) -> None:
    answers["https://api.example/v1/r"] = (302, "https://files.example/a")
    answers["https://files.example/a"] = (307, "//cdn.example/b")
    answers["https://cdn.example/b"] = (301, "c?x=1")
    await download(transport, scope, "/r")
    assert [(used, out.url, "authorization" in out.headers) for used, out in log] == [
        ("open", "https://api.example/v1/r", True),
        ("guarded", "https://files.example/a", True),
        ("guarded", "https://cdn.example/b", False),
        ("guarded", "https://cdn.example/c?x=1", False),
    ]


async def test_more_than_three_redirects_are_too_many(
    transport: Transport, scope: Scope, log: list[tuple[str, Outgoing]], answers: dict[str, tuple[int, str]]
) -> None:
    answers["https://cdn.example/a"] = (302, "/a")
    for ask in (fetch, download):
        log.clear()
        with pytest.raises(FetchRefused) as refused:
            await ask(transport, scope, "https://cdn.example/a")
        assert refused.value.code == "too_many_redirects"
        assert len(log) == 4


@pytest.mark.parametrize(
    "location", ["ftp://cdn.example/a", "file:///etc/passwd", "http://user@cdn.example/", "data:,x"]
)
async def test_a_redirect_is_read_as_strictly_as_a_url(
    transport: Transport, scope: Scope, answers: dict[str, tuple[int, str]], location: str
) -> None:
    answers["https://cdn.example/a"] = (302, location)
    with pytest.raises(FetchRefused) as refused:
        await fetch(transport, scope, "https://cdn.example/a")
    assert refused.value.code == "invalid_image_url"


async def test_a_call_to_an_upstream_follows_no_redirect(
    transport: Transport, scope: Scope, log: list[tuple[str, Outgoing]], answers: dict[str, tuple[int, str]]
) -> None:
    answers["https://api.example/v1/images"] = (307, "https://files.example/images")
    await send(transport, scope, "/images")
    assert len(log) == 1


async def test_the_sandbox_is_asked_in_process(transport: Transport, scope: Scope, sandbox: Pretender) -> None:
    request = HttpRequest("POST", "/images?a=1", JsonBody({"prompt": "a cat"}), query={"b": "2 3"})
    reply = await transport.send(PRETEND, request, scope, deadline_s=5, max_bytes=1 << 20)
    assert reply.body == JsonReply({"ok": True})
    (asked,) = sandbox.asked
    assert (asked.method, asked.path, asked.origin) == ("POST", "/vendor/v1/images", "http://sandbox.imageway.invalid")
    assert asked.query == {"a": "1", "b": "2 3"}
    assert asked.headers["authorization"] == "Bearer sk-test-1"
    assert asked.headers["content-length"] == "18"
    assert b"".join([chunk async for chunk in asked.body]) == b'{"prompt":"a cat"}'


async def test_what_the_sandbox_links_to_comes_from_the_sandbox(
    transport: Transport, scope: Scope, sandbox: Pretender, log: list[tuple[str, Outgoing]]
) -> None:
    await download(transport, scope, "http://sandbox.imageway.invalid/files/1.png", PRETEND)
    assert [asked.path for asked in sandbox.asked] == ["/files/1.png"]
    await download(transport, scope, "https://cdn.example/1.png", PRETEND)
    assert [used for used, _ in log] == ["guarded"]
    await fetch(transport, scope, "http://sandbox.imageway.invalid/files/1.png")
    await download(transport, scope, "http://sandbox.imageway.invalid/files/1.png", UPSTREAM)
    assert len(sandbox.asked) == 1, "only a sandbox upstream's links lead there"


async def broken() -> AsyncIterator[bytes]:
    yield b'{"ok": '
    raise ConnectionResetError


@pytest.mark.parametrize("fault", ["reset before", "reset after", "truncated"])
async def test_the_sandbox_fails_as_sockets_do(
    transport: Transport, scope: Scope, sandbox: Pretender, fault: str
) -> None:
    if fault == "reset after":
        sandbox.chunks = broken()
    elif fault == "truncated":
        sandbox.headers = (("Content-Length", "13"),)
    with pytest.raises(TransportFailed) as failed:
        await send(transport, scope, "/reset" if fault == "reset before" else "/images", PRETEND)
    assert failed.value.kind is FailureKind.UNKNOWN


async def test_without_a_sandbox_nothing_is_sent(scope: Scope) -> None:
    with pytest.raises(TransportFailed) as failed:
        await send(Transport(), scope, "/images", PRETEND)
    assert failed.value.kind is FailureKind.NEVER_SENT


@pytest.mark.parametrize("ask", [send, download])
async def test_a_token_is_forgotten_by_those_it_did_not_serve(
    ask: Callable[..., Awaitable[None]], scope: Scope, tmp_path: Path
) -> None:
    """Two requests carry the first token; both are told 401, the second one when the next token is there already,
    which stays."""
    wire = Bouncer()
    transport = Transport()
    transport._wires = {False: wire}
    upstream = replace(UPSTREAM, auth="google_jwt", secrets={"key": key_file()})

    async def refused(path: str) -> None:
        with suppress(TransportFailed, FetchRefused):
            await ask(transport, scope, f"https://api.example{path}", upstream)

    late = asyncio.create_task(refused("/late"))
    await wire.there.wait()
    await refused("/first")
    await refused("/second")
    wire.late.set()
    await late
    await refused("/third")
    first = dict(reversed(wire.asked))
    assert first == {"/late": "1", "/first": "1", "/second": "2", "/third": "2"}
    assert wire.granted == 2


async def test_an_image_is_asked_for_again_with_another_token_and_only_once(scope: Scope) -> None:
    """It is there, and paid for: a token that was taken when it was made may be over when it is fetched."""
    wire = Bouncer()
    transport = Transport()
    transport._wires = {False: wire}
    upstream = replace(UPSTREAM, auth="google_jwt", secrets={"key": key_file()})
    await download(transport, scope, "https://api.example/image", upstream)
    assert wire.asked == [("/image", "1"), ("/image", "2")]
    wire.taken = False
    with pytest.raises(FetchRefused, match="401"):
        await download(transport, scope, "https://api.example/other", upstream)
    assert wire.asked[2:] == [("/other", "2"), ("/other", "3")]
    with pytest.raises(FetchRefused, match="401"):
        await download(transport, scope, "https://api.example/keyed")
    assert wire.asked[4:] == [("/keyed", "sk-test-1")]


async def test_a_missing_secret_is_a_denied_upstream(transport: Transport, scope: Scope) -> None:
    request = HttpRequest("GET", "/x", headers={"x": Secret("account")})
    with pytest.raises(TransportFailed, match='no secret named "account"') as failed:
        await transport.send(UPSTREAM, request, scope, deadline_s=5, max_bytes=100)
    assert failed.value.kind is FailureKind.DENIED


@pytest.mark.parametrize(
    ("upstream", "message"),
    [
        (Upstream(id="a", provider="p", base_url="api.example", auth="bearer", secrets={"key": "k"}), "cannot be used"),
        (Upstream(id="a", provider="p", base_url="https://a.example", auth="magic", secrets={"key": "k"}), '"magic"'),
        (Upstream(id="a", provider="p", base_url="https://a.example", auth="bearer"), 'no secret named "key"'),
        (PRETEND, "this process has none"),
        (
            Upstream(
                id="a",
                provider="p",
                base_url="https://a.example",
                auth="bearer",
                secrets={"key": "k"},
                credential_origins=("*.a.example",),
            ),
            "cannot be used",
        ),
    ],
)
def test_a_wrong_upstream_is_told_at_start(upstream: Upstream, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("*", r"\*")):
        Transport().check(upstream)


def test_a_right_upstream_passes(transport: Transport) -> None:
    transport.check(UPSTREAM)
    transport.check(PRETEND)


def test_a_wrong_allowed_host_is_told_at_start() -> None:
    with pytest.raises(ValueError, match='"http://a" cannot be used'):
        Transport(allowed_hosts=("http://a",))


async def test_closing_closes_every_wire(transport: Transport, scope: Scope, log: list[tuple[str, Outgoing]]) -> None:
    await send(transport, scope, "/images")
    await transport.close()
    assert log == []
    await transport.close()
