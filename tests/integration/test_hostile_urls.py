"""URLs that strangers write to reach what is not theirs: blocked to the last one, directly, behind a redirect, behind a
name that changes its mind. A fence stands in for the network: it counts every attempt to connect, and lets one fake
public address through to a server on loopback. Nothing leaves the machine, and a plain client shows what would have."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from imageway.bodies import Budget, Scope, Spool, read_decoded
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import FailureKind
from imageway.core.upstreams import Upstream
from imageway.transport import Transport
from imageway.transport.http_wire import HttpWire
from imageway.transport.wire import UNREACHABLE, Outgoing

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0" + b"\x1f\x15\xc4\x89" + b"x" * 500
PUBLIC = "93.184.216.34"
PUBLIC_V6 = "2606:2800:220:1::1"

# What the fake resolver says; a name that is not here does not exist.
NAMES: dict[str, tuple[str, ...]] = {
    "images.example": (PUBLIC,),
    "both.example": (PUBLIC_V6, PUBLIC),
    "localhost": ("127.0.0.1", "::1"),
    "localhost.": ("127.0.0.1",),
    "localhost.localdomain": ("127.0.0.1",),
    "foo.localhost": ("127.0.0.1",),
    "ip6-localhost": ("::1",),
    "loop.example": ("127.0.0.1",),
    "127.0.0.1.nip.example": ("127.0.0.1",),
    "any.example": ("0.0.0.0",),
    "any6.example": ("::",),
    "private.example": ("10.0.0.5",),
    "shared.example": ("100.64.0.1",),
    "metadata.google.internal": ("169.254.169.254",),
    "metadata.example": ("169.254.169.254",),
    "mixed.example": (PUBLIC, "127.0.0.1"),
    "mixed-last.example": (PUBLIC, PUBLIC_V6, "fd00::1"),
    "mapped.example": ("::ffff:127.0.0.1",),
    "compatible.example": ("::7f00:1",),
    "nat64.example": ("64:ff9b::7f00:1",),
    "nat64-local.example": ("64:ff9b:1::7f00:1",),
    "6to4.example": ("2002:7f00:1::",),
    "teredo.example": ("2001:0:7f00:1::",),
    "link.example": ("fe80::1%eth0",),
    "unique.example": ("fd00:ec2::254",),
    "site.example": ("fec0::1",),
    "multicast.example": ("224.0.0.1",),
    "reserved.example": ("240.0.0.1",),
    "host-agent.example": ("168.63.129.16",),
    "protocol.example": ("192.0.0.192",),
    "documentation.example": ("2001:db8::1",),
    "0x7f.0x0.0x0.0x1": ("127.0.0.1",),  # what the system's resolver makes of these spellings
    "0x7f000001": ("127.0.0.1",),
    "0x7f.1": ("127.0.0.1",),
    "xn--tst-qla.example": ("127.0.0.1",),
}

# Spellings of addresses and names; each must be blocked without a single attempt to connect.
HOSTS = [
    "127.0.0.1",
    "127.0.0.1:80",
    "127.1",
    "127.0.1",
    "127.127.127.127",
    "127.0.0.1.",
    "127.000.000.001",
    "2130706433",
    "4294967295",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "0x7f000001",
    "0x7f.0x0.0x0.0x1",
    "0x7f.1",
    "0",
    "0.0.0.0",
    "0.0.0.0:443",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::1]:443",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:169.254.169.254]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[100::1]",
    "[2001:0:7f00:1::]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[fec0::1]",
    "[ff02::1]",
    *(name for name in NAMES if name not in ("images.example", "both.example")),
    "LOCALHOST",
    "localhost..",
    "LoCaLhOsT.",
    "does-not-exist.example",
    "user@127.0.0.1",
    "images.example@127.0.0.1",
    "images.example:80@127.0.0.1:80",
    "127.0.0.1@images.example",
    "127.0.0.1%2f@images.example",
    "images.example%2f@127.0.0.1",
    "127.0.0.1\\@images.example",
    "images.example\\@127.0.0.1",
    "127.0.0.1#@images.example",
    "127.0.0.1?@images.example",
    "127.0.0.1\t",
    "127.0.0.1\r\nHost: images.example",
    "127.0.0.1%00.images.example",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "tést.example",
    "images.example:22",
    "images.example:6379",
    "images.example:8080",
    "images.example:0",
    "images.example:65616",
    "images.example:８０",
]
URLS = [
    *(f"http://{host}/latest/meta-data" for host in dict.fromkeys(HOSTS)),
    "https://127.0.0.1/",
    "https://localhost/",
    "https://metadata.example/",
    "ftp://images.example/a.png",
    "ftp://127.0.0.1/a.png",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stats",
    "ldap://127.0.0.1/",
    "ws://127.0.0.1/",
    "unix:///var/run/docker.sock",
    "data:image/png;base64,iVBORw0KGgo=",
    "javascript:alert(1)",
    "jar:http://127.0.0.1!/",
    "http:127.0.0.1/",
    "http:/127.0.0.1/",
    "http:///127.0.0.1/",
    "http:\\\\127.0.0.1\\",
    "http://",
    "//127.0.0.1/",
    "",
]


@dataclass
class Fence:
    """Every attempt to connect; those to a fake public address go to the server, all others fail here."""

    port: int = 0
    escapes: list[str] = field(default_factory=list)
    passed: int = 0


Answer = Callable[[str], bytes]


@asynccontextmanager
async def fenced(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fence]:
    """`answer` gives the whole HTTP answer for a request's path."""
    fence = Fence()
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def sock_connect(sock: socket.socket, address: Sequence[object]) -> None:
        if address[0] not in (PUBLIC, PUBLIC_V6):
            fence.escapes.append(str(address[0]))
            raise ConnectionRefusedError(111, "Connection refused")
        fence.passed += 1
        if sock.family is socket.AF_INET6:
            raise OSError(101, "Network is unreachable")
        await connect(sock, ("127.0.0.1", fence.port))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(head.split(b" ", 2)[1].decode()))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    fence.port = server.sockets[0].getsockname()[1]
    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    try:
        yield fence
    finally:
        server.close()


async def resolve(host: str, port: int) -> tuple[str, ...]:
    if host not in NAMES:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return NAMES[host]


def image(path: str) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG


def redirect(location: str) -> bytes:
    return b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location.encode() + b"\r\n\r\n"


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[Scope]:
    spool = Spool(tmp_path, Budget(1 << 30))
    yield spool.scope()
    spool.close()


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(resolve=resolve)
    yield transport
    await transport.close()


async def test_the_corpus_is_large_and_without_repetition() -> None:
    assert len(URLS) == len(set(URLS)) >= 60


@pytest.mark.parametrize("host", ["images.example", "both.example", PUBLIC])
async def test_a_public_address_is_fetched(
    transport: Transport, scope: Scope, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """The control of the other direction: the guard is not simply shut."""
    async with fenced(image, monkeypatch) as fence:
        got = await transport.fetch(f"http://{host}/a.png", scope, deadline_s=5, max_bytes=1 << 20)
        assert await read_decoded(got.blob, limit_bytes=1 << 20) == PNG
    assert fence.escapes == []


@pytest.mark.parametrize("url", URLS)
async def test_a_hostile_url_is_refused_before_anything_is_connected(
    transport: Transport, scope: Scope, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    async with fenced(image, monkeypatch) as fence:
        with pytest.raises(FetchRefused) as refused:
            await transport.fetch(url, scope, deadline_s=5, max_bytes=1 << 20)
    assert fence.escapes == []
    assert fence.passed == 0
    assert refused.value.code in ("invalid_image_url", UNREACHABLE[0])


@pytest.mark.parametrize("url", URLS)
async def test_nobody_is_told_anything_at_a_hostile_url(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Webhooks go by the same rules."""
    async with fenced(image, monkeypatch) as fence:
        with pytest.raises((FetchRefused, TransportFailed)) as refused:
            await transport.notify(url, {}, b"{}", deadline_s=5)
    assert (fence.escapes, fence.passed) == ([], 0)
    if isinstance(refused.value, TransportFailed):  # a name that does not exist is the operator's business to know
        assert refused.value.kind is FailureKind.NEVER_SENT


async def test_a_public_address_is_told(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control; and a redirect from there to anywhere is an answer like any other."""
    async with fenced(lambda path: redirect("http://127.0.0.1/"), monkeypatch) as fence:
        answer = await transport.notify("http://images.example/hook", {}, b"{}", deadline_s=5)
    assert answer.status == 302
    assert (fence.escapes, fence.passed) == ([], 1)


@pytest.mark.parametrize("url", [url for url in URLS if urlsplit(url).netloc and "\n" not in url])
async def test_a_redirect_to_a_hostile_url_is_refused(
    transport: Transport, scope: Scope, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    async with fenced(lambda path: redirect(url) if path == "/a.png" else image(path), monkeypatch) as fence:
        with pytest.raises(FetchRefused) as refused:
            await transport.fetch("http://images.example/a.png", scope, deadline_s=5, max_bytes=1 << 20)
    assert fence.escapes == []
    assert fence.passed == 1
    assert refused.value.code in ("invalid_image_url", UNREACHABLE[0], "not_an_image", "image_url_status")


@pytest.mark.parametrize("url", ["http://loop.example/", "http://127.0.0.1/", "http://[::1]/", "http://mixed.example/"])
async def test_a_link_out_of_a_reply_is_guarded_as_well(
    transport: Transport, scope: Scope, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Also where the provider's row would give it the credential: the address is checked first."""
    upstream = Upstream(
        id="one",
        provider="p",
        base_url="https://api.example",
        auth="bearer",
        secrets={"key": "sk-test-1"},
        credential_origins=(url.rstrip("/"),),
    )
    async with fenced(image, monkeypatch) as fence:
        with pytest.raises(FetchRefused):
            await transport.download(upstream, url, scope, deadline_s=5, max_bytes=1 << 20)
    assert fence.escapes == []


async def test_a_name_that_changes_its_mind_gains_nothing(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: the address that was checked is the address that is connected; the next hop asks again, and is checked
    again."""
    asked = 0

    async def rebinding(host: str, port: int) -> tuple[str, ...]:
        nonlocal asked
        asked += 1
        return (PUBLIC,) if asked == 1 else ("127.0.0.1",)

    transport = Transport(resolve=rebinding)
    async with fenced(lambda path: redirect("/b.png") if path == "/a.png" else image(path), monkeypatch) as fence:
        await transport.fetch("http://rebind.example/b.png", scope, deadline_s=5, max_bytes=1 << 20)
        assert (asked, fence.passed) == (1, 1), "one question, one connection to its answer"
        asked = 0
        with pytest.raises(FetchRefused):
            await transport.fetch("http://rebind.example/a.png", scope, deadline_s=5, max_bytes=1 << 20)
    assert asked == 2
    assert fence.escapes == []
    await transport.close()


async def test_refusals_do_not_tell_what_stands_behind_the_wall(
    transport: Transport, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that does not exist, one that leads inside and one that refuses connections all read the same."""
    NAMES["refusing.example"] = (PUBLIC_V6,)
    told = set()
    async with fenced(image, monkeypatch):
        for host in ("does-not-exist.example", "private.example", "10.0.0.1", "refusing.example"):
            with pytest.raises(FetchRefused) as refused:
                await transport.fetch(f"http://{host}/", scope, deadline_s=5, max_bytes=1000)
            told.add((refused.value.code, refused.value.message))
    assert told == {UNREACHABLE}


async def test_an_operator_may_open_a_door(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name and port, and for nothing else on the same address."""
    transport = Transport(resolve=resolve, allowed_hosts=("loop.example:9000", "10.0.0.9"))
    async with fenced(image, monkeypatch) as fence:
        for url in ("http://loop.example:9000/", "http://10.0.0.9/", "https://10.0.0.9/"):
            with pytest.raises(FetchRefused):
                await transport.fetch(url, scope, deadline_s=5, max_bytes=1000)
        assert fence.escapes == ["127.0.0.1", "10.0.0.9", "10.0.0.9"]
        fence.escapes.clear()
        for url in ("http://loop.example/", "http://127.0.0.1:9000/", "http://10.0.0.9:9000/", "http://10.0.0.8/"):
            with pytest.raises(FetchRefused):
                await transport.fetch(url, scope, deadline_s=5, max_bytes=1000)
        assert fence.escapes == []
    await transport.close()


async def plainly(wire: HttpWire, url: str) -> None:
    """What a client without a guard does with a URL."""
    try:
        async with wire.exchange(Outgoing("GET", url, {})):
            pass
    except (TransportFailed, FetchRefused, ValueError, AssertionError):
        pass


async def test_a_plain_client_would_have_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same URLs through the same client with the guard off. Were this number small, the corpus would
    prove nothing."""
    plain = HttpWire(resolve=resolve, guarded=False, keepalive_s=1, connect_timeout_s=5)
    guarded = HttpWire(resolve=resolve, guarded=True, keepalive_s=1, connect_timeout_s=5)
    escaped = 0
    async with fenced(image, monkeypatch) as fence:
        for url in URLS:
            fence.escapes.clear()
            await plainly(plain, url)
            escaped += bool(fence.escapes)
        fence.escapes.clear()
        for url in URLS:
            await plainly(guarded, url)
        assert fence.escapes == [], "the guard at the socket holds even without the strict reading of URLs"
    await plain.close()
    await guarded.close()
    assert escaped >= 70


async def test_a_canary_on_loopback_stays_silent(scope: Scope) -> None:
    """Without a fence, over real sockets: what a plain client reaches on loopback, the guard does not."""
    visits = 0

    async def canary(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(image(""))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(canary, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    spellings = ["127.0.0.1", "127.1.2.3", "0.0.0.0", "[::ffff:127.0.0.1]", "loop.example", "localhost", "0x7f.1"]
    reached: dict[bool, int] = {}
    for guarded in (False, True):
        wire = HttpWire(resolve=resolve, guarded=guarded, keepalive_s=1, connect_timeout_s=5)
        for host in spellings:
            await plainly(wire, f"http://{host}:{port}/")
        await wire.close()
        reached[guarded], visits = visits, 0
    server.close()
    assert reached[False] >= 4
    assert reached[True] == 0
