"""What only a store at the other end of a wire shows: a wrong secret, a bucket that is not there, a server that went
away, links signed by the store itself, and what lies in the bucket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import obstore
import pytest
from obstore.store import from_url

from imageway.core.objects import ObjectStore, Presigner
from imageway.storage.buckets import PART_BYTES, BucketStore, open_bucket
from tests.store.objects.contents import HOUR_MS, NEVER_MS, chunks, put, read
from tests.store.objects.server import BUCKET, SECRET, S3Server

Act = Callable[[ObjectStore], Coroutine[Any, Any, object]]
ACTS: dict[str, Act] = {
    "put": lambda store: put(store, "a", b"content"),
    "put in parts": lambda store: put(store, "a", bytes(PART_BYTES + 1)),
    "find": lambda store: store.find("a"),
    "open": lambda store: read(store, "a"),
    "delete": lambda store: store.delete("a"),
    "sweep": lambda store: store.sweep(NEVER_MS),
}


def bucket_at(server: S3Server, url: str) -> Any:
    """Without any store of ours before it."""
    return from_url(url, config=server.options, client_options={"allow_http": True})  # type: ignore[call-overload]


def listed(server: S3Server, url: str) -> list[str]:
    return sorted(row["path"] for row in obstore.list(bucket_at(server, url)).collect())


def fetched(url: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {}, error.read()


@pytest.mark.parametrize("act", ACTS)
async def test_a_wrong_secret_is_an_error_that_names_no_secret(
    server: S3Server, s3: BucketStore, s3_url: str, tmp_path: Path, act: str
) -> None:
    await put(s3, "a", b"content")
    options = {**server.options, "secret_access_key": "test-wrong-secret"}
    with pytest.raises(OSError, match="403 Forbidden") as raised:
        await ACTS[act](open_bucket(s3_url, options, tmp_path))
    text = f"{raised.value} {raised.value.__cause__}"
    assert not [secret for secret in (SECRET, "test-wrong-secret", "AWSAccessKeyId", "<", "\n") if secret in text]
    assert await read(s3, "a") == b"content"


async def test_a_bucket_that_is_not_there_is_an_error(server: S3Server, tmp_path: Path) -> None:
    nowhere = open_bucket("s3://nobodys-bucket/prefix", server.options, tmp_path)
    for act in ("put", "put in parts", "sweep"):
        with pytest.raises(OSError, match="NoSuchBucket"):
            await ACTS[act](nowhere)
    with pytest.raises(FileNotFoundError):
        await read(nowhere, "a")


@pytest.mark.parametrize("act", ACTS)
async def test_a_server_that_is_not_there_is_an_error_soon(s3_url: str, tmp_path: Path, act: str) -> None:
    nobody = {"endpoint": "http://127.0.0.1:9", "region": "x", "access_key_id": "x", "secret_access_key": "x"}
    begun_s = time.monotonic()
    with pytest.raises(OSError, match="error sending request"):
        await ACTS[act](open_bucket(s3_url, nobody, tmp_path))
    assert time.monotonic() - begun_s < 5


async def test_a_server_that_went_away_and_came_back_is_used_as_before(server: S3Server, s3: BucketStore) -> None:
    """Whoever is reading meanwhile is told: half an image is not passed off as a whole one."""
    content = os.urandom(20 << 20)
    await put(s3, "before", content)
    reader = aiter(s3.open("before", 0, len(content)))
    begun = await anext(reader)
    server.stop()
    try:
        with pytest.raises(OSError, match="error sending request"):
            await put(s3, "meanwhile", b"content")
        with pytest.raises((OSError, EOFError)):
            await drained(reader)
    finally:
        server.start()
    assert await read(s3, "before") == content
    assert content.startswith(begun)
    await put(s3, "after", b"content")
    assert await s3.sweep(NEVER_MS) == 2


async def drained(reader: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in reader])


async def test_content_comes_in_pieces_that_fit_anywhere(s3: BucketStore) -> None:
    content = os.urandom(3 << 20)
    await put(s3, "a", content)
    received = [chunk async for chunk in s3.open("a", 0, len(content))]
    assert b"".join(received) == content
    assert max(map(len, received)) < 1 << 20


async def test_a_reader_may_be_slower_than_every_time_limit(
    server: S3Server, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(8 << 20)
    await put(open_bucket(s3_url, server.options, tmp_path), "a", content)
    monkeypatch.setattr("imageway.storage.buckets.SILENCE_S", 0.5)
    store = open_bucket(s3_url, server.options, tmp_path)
    reader = aiter(store.open("a", 0, len(content)))
    received = await anext(reader)
    await asyncio.sleep(1.5)
    assert received + b"".join([chunk async for chunk in reader]) == content


async def test_a_server_that_says_nothing_is_given_up(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageway.storage.buckets.SILENCE_S", 0.3)
    mute = await asyncio.start_server(lambda reader, writer: asyncio.sleep(30), "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    options = {"endpoint": f"http://127.0.0.1:{port}", "region": "x", "access_key_id": "x", "secret_access_key": "x"}
    begun_s = time.monotonic()
    try:
        async with asyncio.timeout(20):
            with pytest.raises(OSError, match="error sending request"):
                await put(open_bucket(s3_url, options, tmp_path), "a", b"content")
    finally:
        mute.close()
    assert time.monotonic() - begun_s < 5


async def test_an_object_lies_beside_a_marker_of_its_hour(server: S3Server, s3: BucketStore, s3_url: str) -> None:
    await put(s3, "a.png", b"content", expires_ms=5 * HOUR_MS + 7)
    assert listed(server, s3_url) == [f"expiry/5/{5 * HOUR_MS + 7}-a.png", "objects/a.png"]
    await s3.delete("a.png")
    assert listed(server, s3_url) == []


async def test_the_marker_comes_first(s3: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever dies in between, no object is ever without one."""
    paths: list[str] = []
    put_async = obstore.put_async

    async def note(bucket: Any, path: str, *content: Any, **more: Any) -> Any:
        paths.append(path)
        return await put_async(bucket, path, *content, **more)

    monkeypatch.setattr("imageway.storage.buckets.obstore.put_async", note)
    await put(s3, "a", b"content", expires_ms=HOUR_MS)
    assert paths == [f"expiry/1/{HOUR_MS}-a", "objects/a"]


LARGE_PUT = """
import asyncio, json, os, resource, sys
from pathlib import Path
from imageway.storage.buckets import open_bucket

async def content(megabytes):
    for _ in range(megabytes):
        yield os.urandom(1 << 20)

async def main(url, options, scratch):
    store = open_bucket(url, json.loads(options), Path(scratch))
    for megabytes in (12, 100):
        await store.put("a", content(megabytes), media_type="image/png", expires_ms=4_000_000_000_000)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_large_object_is_never_whole_in_memory(server: S3Server, s3_url: str, tmp_path: Path) -> None:
    ran = [sys.executable, "-c", LARGE_PUT, s3_url, json.dumps(server.options), str(tmp_path)]
    done = subprocess.run(ran, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    small_kb, large_kb = map(int, done.stdout.split())
    assert large_kb - small_kb < 50 * 1024
    assert list(tmp_path.iterdir()) == []


async def test_a_sweep_leaves_no_markers_and_touches_nothing_of_others(
    server: S3Server, s3: BucketStore, s3_url: str
) -> None:
    bucket = bucket_at(server, s3_url)
    others = ["expiry/later/12-a", "expiry/1/nothing", "objects/theirs", "README"]
    for path in others:
        await obstore.put_async(bucket, path, b"not ours")
    await obstore.put_async(bucket, f"expiry/1/{HOUR_MS}-theirs", b"")
    await put(s3, "a", b"1", expires_ms=HOUR_MS)
    await put(s3, "a", b"2", expires_ms=HOUR_MS + 1)
    assert await s3.find("theirs") is None
    assert await s3.sweep(NEVER_MS) == 1
    assert listed(server, s3_url) == sorted(others)


async def test_a_marker_whose_object_is_still_on_its_way_stays(server: S3Server, s3: BucketStore, s3_url: str) -> None:
    """Its writer would leave an object behind that no sweep ever finds."""
    bucket = bucket_at(server, s3_url)
    now_ms = time.time_ns() // 1_000_000
    marker = f"expiry/{now_ms // HOUR_MS}/{now_ms}-a"
    await obstore.put_async(bucket, marker, b"")
    assert await s3.sweep(now_ms + 60_000) == 0
    assert listed(server, s3_url) == [marker]
    assert await s3.sweep(now_ms + 2 * HOUR_MS) == 0
    assert listed(server, s3_url) == []


async def test_a_sweep_takes_more_than_a_page(s3: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageway.storage.buckets._PAGE", 7)
    monkeypatch.setattr("imageway.storage.buckets._ASKED_AT_ONCE", 3)
    await asyncio.gather(*(put(s3, f"n{n}", b"x", expires_ms=HOUR_MS + n) for n in range(40)))
    assert await s3.sweep(HOUR_MS + 30) == 31
    assert await s3.sweep(NEVER_MS) == 9


async def test_two_replicas_may_sweep_at_once(server: S3Server, s3: BucketStore, s3_url: str, tmp_path: Path) -> None:
    await asyncio.gather(*(put(s3, f"n{n}", b"x", expires_ms=HOUR_MS) for n in range(50)))
    other = open_bucket(s3_url, server.options, tmp_path)
    assert sum(await asyncio.gather(s3.sweep(NEVER_MS), other.sweep(NEVER_MS))) >= 50
    assert listed(server, s3_url) == []


async def test_a_store_that_minds_what_is_gone_already_is_swept_all_the_same(
    server: S3Server, s3: BucketStore, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google's and Azure's stop at the first of several that is not there."""
    delete_async, bucket = obstore.delete_async, bucket_at(server, s3_url)

    async def mind(store: Any, paths: str | list[str]) -> None:
        for path in [paths] if isinstance(paths, str) else paths:
            await obstore.head_async(bucket, path)
            await delete_async(store, path)

    for n in range(3):
        await put(s3, f"n{n}", b"x", expires_ms=HOUR_MS)
    asked = s3.find

    async def find_and_lose(name: str) -> Any:
        found = await asked(name)
        if name == "n0":
            await delete_async(bucket, "objects/n0")
        return found

    monkeypatch.setattr(s3, "find", find_and_lose)
    monkeypatch.setattr("imageway.storage.buckets.obstore.delete_async", mind)
    assert await s3.sweep(NEVER_MS) == 3
    assert listed(server, s3_url) == []


async def test_a_cancelled_upload_leaves_no_object(server: S3Server, s3: BucketStore, s3_url: str) -> None:
    """Wherever it is cut: an object is there completely or not at all."""
    content = os.urandom(4 * PART_BYTES)
    for pause_s in (0.02, 0.05, 0.1):
        writing = asyncio.create_task(put(s3, "a", content))
        await asyncio.sleep(pause_s)
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        found = await s3.find("a")
        assert found is None or await read(s3, "a") == content
        await s3.delete("a")


# Links that the store signs itself


async def test_a_presigned_link_gives_the_object_with_its_type(server: S3Server, s3: BucketStore) -> None:
    assert isinstance(s3, Presigner)
    await s3.put("a.webp", chunks(b"content"), media_type="image/webp", expires_ms=NEVER_MS)
    url = await s3.presigned("a.webp", lives_s=60)
    status, headers, content = fetched(url)
    assert (status, content, headers["content-type"]) == (200, b"content", "image/webp")
    assert headers["content-disposition"] == 'inline; filename="a.webp"'
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}" == server.url
    assert parts.path.startswith(f"/{BUCKET}/some/test-")
    assert parts.path.endswith("/objects/a.webp")
    assert parse_qs(parts.query)["X-Amz-Expires"] == ["60"]
    assert SECRET not in url


async def test_a_presigned_link_that_was_changed_gives_nothing(s3: BucketStore) -> None:
    await put(s3, "a", b"content")
    await put(s3, "b", b"another's")
    url = await s3.presigned("a", lives_s=60)
    last = url[-1]
    for changed in (
        url.replace("/objects/a?", "/objects/b?"),
        url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        url[:-1] + ("0" if last != "0" else "1"),
        url.partition("?")[0],
    ):
        assert fetched(changed)[0] == 403, changed
    assert fetched(url, "DELETE")[0] == 403
    assert await read(s3, "a") == b"content"


async def test_a_presigned_link_ends_and_so_does_its_object(s3: BucketStore) -> None:
    await put(s3, "a", b"content")
    short, long = await s3.presigned("a", lives_s=1), await s3.presigned("a", lives_s=600)
    await asyncio.sleep(2.1)
    assert fetched(short)[0] == 403
    assert fetched(long)[0] == 200
    await s3.delete("a")
    assert fetched(long)[0] == 404


async def test_nothing_is_signed_for_an_impossible_name(s3: BucketStore) -> None:
    for name in ("../a", "a/b", ""):
        with pytest.raises(ValueError, match="cannot name an object"):
            await s3.presigned(name, lives_s=60)
