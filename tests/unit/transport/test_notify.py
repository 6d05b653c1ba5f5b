"""Word to those whom callers want told: the rules of a stranger's URL, and nothing of the answer but its head."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import FailureKind, Page
from imageway.transport import Transport
from imageway.transport.addresses import is_certainly_inside
from imageway.transport.wire import UNREACHABLE, Incoming, Outgoing

SIGNED = {"webhook-id": "msg_1", "webhook-signature": "v1,abc="}


async def unread() -> AsyncIterator[bytes]:
    raise AssertionError("somebody read the answer's body")
    yield b""


class Ear:
    """A wire that notes what it is given."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.heard: list[Outgoing] = []

    @asynccontextmanager
    async def exchange(self, outgoing: Outgoing) -> AsyncIterator[Incoming]:
        self.heard.append(outgoing)
        yield Incoming(self.status, {"location": "http://10.0.0.5/", "retry-after": "7"}, unread())

    async def close(self) -> None: ...


@pytest.fixture
def guarded() -> Ear:
    return Ear()


@pytest.fixture
def free() -> Ear:
    return Ear()


@pytest.fixture
def transport(guarded: Ear, free: Ear) -> Transport:
    made = Transport(allowed_hosts=("images.internal",), told_hosts=("10.0.0.5:9000", "hooks.internal"))
    made._wires = {True: guarded, False: free}
    return made


async def tell(transport: Transport, url: str, content: bytes = b'{"a":1}') -> int:
    answer = await transport.notify(url, SIGNED, content, deadline_s=5)
    assert answer.body == Page(b"")
    return answer.status


async def test_what_is_sent_is_what_was_signed(transport: Transport, guarded: Ear) -> None:
    """Byte for byte, with its own headers, without a credential."""
    assert await tell(transport, "https://caller.example/hook?token=a%20b", b'{"a": "\xc3\xa4"}') == 200
    (sent,) = guarded.heard
    assert (sent.method, sent.url) == ("POST", "https://caller.example/hook?token=a%20b")
    assert sent.headers == {
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "imageway",
        "content-type": "application/json",
        "content-length": "11",
        **SIGNED,
    }
    assert sent.payload is not None
    assert sent.payload.content == b'{"a": "\xc3\xa4"}'


@pytest.mark.parametrize("status", [200, 204, 301, 307, 400, 410, 503])
async def test_any_status_is_an_answer_and_no_redirect_is_followed(
    transport: Transport, guarded: Ear, free: Ear, status: int
) -> None:
    guarded.status = status
    assert await tell(transport, "https://caller.example/") == status
    assert (len(guarded.heard), free.heard) == (1, [])


async def test_hosts_that_an_operator_named_are_told_and_those_for_images_are_not(
    transport: Transport, guarded: Ear, free: Ear
) -> None:
    for url in ("http://10.0.0.5:9000/", "http://hooks.internal/", "https://hooks.internal/"):
        await tell(transport, url)
    assert (len(free.heard), guarded.heard) == (3, [])
    await tell(transport, "http://images.internal/")
    assert [sent.url for sent in guarded.heard] == ["http://images.internal/"]


REFUSED = [
    "http://127.0.0.1/",
    "http://127.1.2.3/hook",
    "https://169.254.169.254/latest/meta-data",
    "http://10.0.0.5/",
    "http://192.168.1.1/",
    "http://172.16.0.1/",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[fd00::1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://foo.localhost/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://user@caller.example/",
    "http://user:secret@caller.example/",
    "http://caller.example:8080/",
    "https://caller.example:22/",
    "http://10.0.0.5:9001/",
    "http://caller.example:0/",
    "ftp://caller.example/",
    "file:///etc/passwd",
    "caller.example",
    "//caller.example/",
    "",
    "http://caller.example/a b",
    "http://caller.example/\r\nx: y",
]


@pytest.mark.parametrize("url", REFUSED)
def test_what_can_be_seen_to_be_wrong_is_refused_before_anything_happens(transport: Transport, url: str) -> None:
    with pytest.raises(FetchRefused) as refused:
        transport.check_told(url)
    assert refused.value.code in ("invalid_image_url", UNREACHABLE[0])
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    "url",
    [
        "https://caller.example/hook",
        "http://caller.example:443/",
        "https://93.184.216.34/",
        "https://[2606:2800:220:1::1]/",
        "http://10.0.0.5:9000/",
        "http://localhost.example/",
    ],
)
def test_what_may_be_right_is_let_through(transport: Transport, url: str) -> None:
    transport.check_told(url)


async def test_an_answer_that_takes_too_long_is_none(guarded: Ear, transport: Transport) -> None:
    class Deaf(Ear):
        @asynccontextmanager
        async def exchange(self, outgoing: Outgoing) -> AsyncIterator[Incoming]:
            import asyncio

            outgoing.left = True
            await asyncio.sleep(60)
            yield Incoming(200, {}, unread())

    transport._wires = {True: Deaf(), False: Deaf()}
    with pytest.raises(TransportFailed) as failed:
        await transport.notify("https://caller.example/", {}, b"{}", deadline_s=0.01)
    assert failed.value.kind is FailureKind.UNKNOWN


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "10.0.0.1", "localhost", "a.localhost", "localhost."])
def test_hosts_that_are_certainly_inside(host: str) -> None:
    assert is_certainly_inside(host)


@pytest.mark.parametrize(
    "host", ["93.184.216.34", "2606:2800:220:1::1", "caller.example", "mylocalhost", "localhost.x"]
)
def test_hosts_that_may_be_outside(host: str) -> None:
    assert not is_certainly_inside(host)
