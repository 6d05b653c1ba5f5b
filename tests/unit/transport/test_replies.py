"""Answers become JSON, an image or a page by what they are; a cut one becomes none; limits hold while they stream."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from imageway.bodies import Budget, Scope, Spool, read_decoded
from imageway.core.blobs import Blob
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import BlobReply, FailureKind, JsonReply, Page, Reply
from imageway.transport.replies import read_image, read_reply
from imageway.transport.wire import Incoming

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0" + b"\x1f\x15\xc4\x89" + b"x" * 500
LIMIT = 1 << 20


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[Scope]:
    spool = Spool(tmp_path, Budget(1 << 30))
    yield spool.scope()
    spool.close()


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def cut(content: bytes) -> AsyncIterator[bytes]:
    yield content
    raise TransportFailed(FailureKind.UNKNOWN, "the reply was cut")


def incoming(content: bytes, kind: str = "", *, status: int = 200, size: int = 1 << 16, **headers: str) -> Incoming:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Incoming(status, {"content-type": kind, "content-length": str(len(content))} | named, pieces(content, size))


async def read(answer: Incoming, scope: Scope, max_bytes: int = LIMIT) -> Reply:
    return await read_reply(answer, scope, max_bytes=max_bytes)


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
@pytest.mark.parametrize("kind", ["application/json", "application/problem+json; charset=utf-8", "text/plain", ""])
async def test_json_is_json_by_its_type_or_by_its_look(scope: Scope, kind: str, size: int) -> None:
    reply = await read(incoming(b' {"data": [1, "two"]}', kind, status=429, size=size, retry_after="3"), scope)
    assert reply.status == 429
    assert reply.headers["retry-after"] == "3"
    assert reply.body == JsonReply({"data": [1, "two"]})


async def test_nothing_is_asked_for_behind_the_announced_end(scope: Scope) -> None:
    """Of a body that announced more, or was compressed, the end is waited for, and so is what is wrong there."""
    body = b'{"data": [1, 2]}'.ljust(300)
    announced = {"content-type": "application/json", "content-length": str(len(body))}
    assert (await read(Incoming(200, announced, cut(body)), scope)).body == JsonReply({"data": [1, 2]})
    packed = gzip.compress(body.ljust(400), mtime=0)
    for headers, content in (
        (announced | {"content-length": str(len(body) + 1)}, body),
        (announced | {"content-length": "400", "content-encoding": "gzip"}, packed),
    ):
        with pytest.raises(TransportFailed):
            await read(Incoming(200, headers, cut(content)), scope)


async def test_a_long_base64_string_becomes_a_blob(scope: Scope) -> None:
    body = json.dumps({"data": [{"b64_json": "QUJD" * 100_000}]}).encode()
    reply = await read(incoming(body, "application/json"), scope)
    assert isinstance(reply.body, JsonReply)
    image = reply.body.tree["data"][0]["b64_json"]  # type: ignore[call-overload, index]
    assert isinstance(image, Blob)
    assert image.decoded_bytes == 300_000


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "text/html", "", "application/json"])
async def test_an_image_is_an_image_whatever_it_is_called(scope: Scope, kind: str, size: int) -> None:
    reply = await read(incoming(PNG, kind, size=size), scope)
    assert isinstance(reply.body, BlobReply)
    assert reply.body.media_type == "image/png"
    assert await read_decoded(reply.body.blob, limit_bytes=LIMIT) == PNG


async def test_everything_else_is_a_page_of_which_the_beginning_is_kept(scope: Scope) -> None:
    html = b"<html>" + b"x" * 10_000
    reply = await read(incoming(html, "text/html", status=502), scope)
    assert reply.body == Page(html[:4096])
    assert (await read(incoming(b"", ""), scope)).body == Page(b"")


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b'{"a": ', b'{"a": 1}}', b'{"a": "\xff"}', b"[" * 100])
async def test_json_that_cannot_be_read_is_a_page_that_says_why(scope: Scope, body: bytes) -> None:
    reply = await read(incoming(body, "application/json"), scope)
    assert isinstance(reply.body, Page)
    assert reply.body.head == body
    assert reply.body.why != Page(b"").why


@pytest.mark.parametrize(
    "beginning",
    [b'{"a": "' + b"x " * 300, b'{"a": "' + b"x " * 200_000, b"<html>" * 300, PNG, b'{"a" 1}' * 300, b""],
    ids=["json", "too long a text", "page", "image", "not json", "nothing"],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
async def test_a_cut_answer_is_no_answer_whatever_it_began_as(scope: Scope, beginning: bytes, kind: str) -> None:
    with pytest.raises(TransportFailed) as failed:
        await read(Incoming(200, {"content-type": kind}, cut(beginning)), scope)
    assert failed.value.kind is FailureKind.UNKNOWN


@pytest.mark.parametrize("body", [b"", b'{"data": ["'])
async def test_without_a_length_an_unfinished_answer_counts_as_cut(scope: Scope, body: bytes) -> None:
    """Only the end of the connection said that it was over, and a broken connection says the same."""
    kind = {"content-type": "application/json"}
    with pytest.raises(TransportFailed) as failed:
        await read(Incoming(200, kind, pieces(body, 100), delimited=False), scope)
    assert failed.value.kind is FailureKind.UNKNOWN
    whole = await read(Incoming(200, kind, pieces(b'{"data": []}', 100), delimited=False), scope)
    assert whole.body == JsonReply({"data": []})


@pytest.mark.parametrize("body", [b'{"a": "' + b"x " * 5000 + b'"}', b"<html>" + b"x" * 10_000, PNG + b"x" * 10_000])
async def test_more_than_allowed_is_spoiled_while_it_streams(scope: Scope, body: bytes) -> None:
    read_bytes = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal read_bytes
        async for chunk in pieces(body, 100):
            read_bytes += len(chunk)
            yield chunk

    with pytest.raises(TransportFailed, match="larger than the 2,000 bytes allowed") as failed:
        await read(Incoming(200, {}, counted()), scope, 2000)
    assert failed.value.kind is FailureKind.SPOILED
    assert read_bytes == 2100


async def test_exactly_as_much_as_allowed_passes(scope: Scope) -> None:
    body = b'{"a": 1}'
    assert (await read(incoming(body), scope, len(body))).body == JsonReply({"a": 1})


async def test_a_length_over_the_limit_is_refused_unread(scope: Scope) -> None:
    async def unread() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    with pytest.raises(TransportFailed) as failed:
        await read(Incoming(200, {"content-length": "2001"}, unread()), scope, 2000)
    assert failed.value.kind is FailureKind.SPOILED


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "GZIP"])
async def test_what_was_compressed_against_our_wish_is_read(scope: Scope, encoding: str) -> None:
    squeezed = zlib.compress(b'{"a": 1}') if encoding == "deflate" else gzip.compress(b'{"a": 1}')
    reply = await read(incoming(squeezed, "application/json", size=5, content_encoding=encoding), scope)
    assert reply.body == JsonReply({"a": 1})


async def test_a_compressed_bomb_stops_at_the_limit(scope: Scope) -> None:
    bomb = gzip.compress(b"[" + b" " * (64 << 20) + b"]")
    assert len(bomb) < LIMIT
    with pytest.raises(TransportFailed) as failed:
        await read(incoming(bomb, "application/json", content_encoding="gzip"), scope)
    assert failed.value.kind is FailureKind.SPOILED


async def test_a_cut_or_false_compression_is_no_answer(scope: Scope) -> None:
    squeezed = gzip.compress(b'{"a": "' + bytes(range(256)) * 20 + b'"}')
    with pytest.raises(TransportFailed) as failed:
        await read(incoming(squeezed[:-20], content_encoding="gzip"), scope)
    assert failed.value.kind is FailureKind.UNKNOWN
    with pytest.raises(TransportFailed) as failed:
        await read(incoming(b'{"a": 1}', content_encoding="gzip"), scope)
    assert failed.value.kind is FailureKind.SPOILED


async def test_an_image_that_was_not_finished_leaves_no_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Budget(1 << 30))
    scope = spool.scope()

    async def long_then_cut() -> AsyncIterator[bytes]:
        yield PNG
        for _ in range(40):
            yield b"x" * (1 << 16)
        raise TransportFailed(FailureKind.UNKNOWN, "the reply was cut")

    with pytest.raises(TransportFailed):
        await read(Incoming(200, {}, long_then_cut()), scope, 1 << 30)
    spool.executor.shutdown(wait=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [], "it goes at once, not with its scope"
    spool.close()


async def test_an_image_is_what_a_link_must_give(scope: Scope) -> None:
    got = await read_image(incoming(PNG, "text/plain"), scope, max_bytes=LIMIT)
    assert got.media_type == "image/png"
    assert got.blob.facts is not None
    assert (got.blob.facts.width, got.blob.facts.height) == (1, 1)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"<html>", 200, "not_an_image"),
        (b'{"secret": 1}', 200, "not_an_image"),
        (b"", 200, "not_an_image"),
        (PNG, 404, "image_url_status"),
        (PNG, 403, "image_url_status"),
        (PNG, 206, "image_url_status"),
        (b"", 204, "image_url_status"),
        (b"", 304, "image_url_status"),
    ],
)
async def test_anything_else_behind_a_link_is_refused_for_good(
    scope: Scope, body: bytes, status: int, code: str
) -> None:
    with pytest.raises(FetchRefused) as refused:
        await read_image(incoming(body, "image/png", status=status), scope, max_bytes=LIMIT)
    assert refused.value.code == code
    assert "secret" not in refused.value.message


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
async def test_a_host_in_trouble_may_be_asked_again(scope: Scope, status: int) -> None:
    with pytest.raises(TransportFailed) as failed:
        await read_image(incoming(PNG, status=status), scope, max_bytes=LIMIT)
    assert failed.value.kind is FailureKind.UNKNOWN
