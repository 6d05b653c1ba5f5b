"""What every media store promises, whatever it is made of: what is there is whole, what was never finished is nothing,
and a sweep takes what has expired and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator

import pytest

from imageway.core.objects import ObjectStore
from tests.store.objects.contents import HOUR_MS, NEVER_MS, chunks, put, read

LARGE_BYTES = 12_000_017  # three parts of an upload to S3


async def test_what_was_put_is_found_and_read_back(objects: ObjectStore) -> None:
    before_ms = time.time_ns() // 1_000_000
    stored = await objects.put("img_1.png", chunks(b"ab", b"", b"cde"), media_type="image/png", expires_ms=NEVER_MS)
    assert await objects.find("img_1.png") == stored
    assert (stored.name, stored.size_bytes, stored.media_type) == ("img_1.png", 5, "image/png")
    assert stored.etag == hashlib.sha256(b"abcde").hexdigest()
    assert stored.expires_ms == NEVER_MS
    assert before_ms - 50 <= stored.created_ms <= time.time_ns() // 1_000_000
    assert await read(objects, "img_1.png") == b"abcde"


async def test_an_empty_object_is_an_object(objects: ObjectStore) -> None:
    await put(objects, "empty")
    found = await objects.find("empty")
    assert found is not None
    assert found.size_bytes == 0
    assert await read(objects, "empty") == b""


async def test_what_is_not_there_is_none(objects: ObjectStore) -> None:
    assert await objects.find("nothing") is None
    assert not await objects.delete("nothing")
    with pytest.raises(FileNotFoundError):
        await read(objects, "nothing")
    with pytest.raises(FileNotFoundError):
        await read(objects, "nothing", 5, 5)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 10, b"0123456789"),
        (0, 1, b"0"),
        (3, 7, b"3456"),
        (9, 10, b"9"),
        (10, 10, b""),
        (7, 3, b""),
        (-3, 2, b"01"),
        (5, 1 << 40, b"56789"),
        (0, 12, b"0123456789"),
        (10, 11, b""),
        (50, 60, b""),
    ],
)
async def test_a_range_is_half_open_and_never_reaches_past_the_content(
    objects: ObjectStore, start: int, end: int, expected: bytes
) -> None:
    await put(objects, "digits", b"0123456789")
    assert await read(objects, "digits", start, end) == expected


async def test_a_large_object_goes_in_pieces_and_comes_back_whole(objects: ObjectStore) -> None:
    content = os.urandom(LARGE_BYTES)
    pieces = [content[at : at + 70_000] for at in range(0, len(content), 70_000)]
    stored = await put(objects, "large", *pieces)
    assert (stored.size_bytes, stored.etag) == (LARGE_BYTES, hashlib.sha256(content).hexdigest())
    assert await objects.find("large") == stored
    assert await read(objects, "large", 11) == content[11:]
    assert await read(objects, "large", 5 << 20, (5 << 20) + 9) == content[5 << 20 : (5 << 20) + 9]


async def test_putting_again_replaces_the_whole(objects: ObjectStore) -> None:
    await put(objects, "a", b"first, and longer")
    second = await objects.put("a", chunks(b"second"), media_type="image/webp", expires_ms=NEVER_MS + 1)
    assert await objects.find("a") == second
    assert await read(objects, "a") == b"second"


async def test_a_reader_is_not_disturbed_by_a_replacement_or_a_deletion(objects: ObjectStore) -> None:
    old = os.urandom(2 << 20)
    await put(objects, "a", old)
    reader = aiter(objects.open("a", 0, len(old)))
    first = await anext(reader)
    await put(objects, "a", b"new")
    assert await objects.delete("a")
    assert first + b"".join([chunk async for chunk in reader]) == old


async def test_a_deleted_object_is_gone(objects: ObjectStore) -> None:
    await put(objects, "a", b"content")
    await put(objects, "ab", b"another")
    assert await objects.delete("a")
    assert await objects.find("a") is None
    assert not await objects.delete("a")
    assert await read(objects, "ab") == b"another"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "/etc/passwd", "a/b", "a\\b", ".hidden", "a\0b", "a b", "ä", "-flag", "a\n", "x" * 129],
)
async def test_a_name_is_never_a_path(objects: ObjectStore, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name an object"):
        await put(objects, name, b"content")
    assert await objects.find(name) is None
    assert not await objects.delete(name)
    with pytest.raises(ValueError, match="cannot name an object"):
        await read(objects, name)


async def test_names_and_media_types_may_be_long_and_not_longer(objects: ObjectStore) -> None:
    longest = "image/" + "x" * 121
    for impossible in (longest + "x", "", "image/png\r\nx-evil: 1", "image/\u00e4"):
        with pytest.raises(ValueError, match="is not a media type"):
            await objects.put("a", chunks(b"x"), media_type=impossible, expires_ms=NEVER_MS)
    await objects.put("a" * 128, chunks(b"x"), media_type=longest, expires_ms=NEVER_MS)
    found = await objects.find("a" * 128)
    assert found is not None
    assert found.media_type == longest


@pytest.mark.parametrize("begun_bytes", [1, 7 << 20])
async def test_a_source_that_breaks_off_changes_nothing(objects: ObjectStore, begun_bytes: int) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * begun_bytes
        raise ConnectionResetError

    for before in (None, await put(objects, "there", b"old")):
        name = before.name if before else "a"
        with pytest.raises(ConnectionResetError):
            await objects.put(name, broken(), media_type="image/png", expires_ms=NEVER_MS)
        assert await objects.find(name) == before


async def test_a_cancelled_put_leaves_nothing(objects: ObjectStore) -> None:
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * (7 << 20)
        reached.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(objects.put("a", endless(), media_type="image/png", expires_ms=NEVER_MS))
    await asyncio.wait_for(reached.wait(), 5)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await objects.find("a") is None


async def test_a_sweep_removes_what_has_expired_and_nothing_else(objects: ObjectStore) -> None:
    now_ms = NEVER_MS
    await put(objects, "old", b"1", expires_ms=now_ms - 5 * HOUR_MS)
    await put(objects, "due", b"2", expires_ms=now_ms)
    await put(objects, "young", b"3", expires_ms=now_ms + 1)
    await put(objects, "later", b"4", expires_ms=now_ms + HOUR_MS)
    assert await objects.sweep(now_ms - 5 * HOUR_MS - 1) == 0
    assert await objects.sweep(now_ms) == 2
    assert await objects.find("old") is None
    assert await objects.find("due") is None
    assert await read(objects, "young") == b"3"
    assert await objects.sweep(now_ms) == 0
    assert await objects.sweep(now_ms + HOUR_MS) == 2
    assert await objects.find("later") is None


@pytest.mark.parametrize(("first", "second"), [(1, 9), (9, 1)])
async def test_what_was_put_again_goes_when_it_says_last(objects: ObjectStore, first: int, second: int) -> None:
    await put(objects, "a", b"1", expires_ms=NEVER_MS + first * HOUR_MS)
    await put(objects, "a", b"2", expires_ms=NEVER_MS + second * HOUR_MS)
    assert await objects.sweep(NEVER_MS + second * HOUR_MS - 1) == 0
    assert await read(objects, "a") == b"2"
    assert await objects.sweep(NEVER_MS + second * HOUR_MS) == 1
    assert await objects.find("a") is None
    assert await objects.sweep(NEVER_MS + 10 * HOUR_MS) == 0


async def test_what_was_deleted_is_not_swept_again(objects: ObjectStore) -> None:
    await put(objects, "a", b"1", expires_ms=1_000_000)
    await objects.delete("a")
    assert await objects.sweep(NEVER_MS) == 0


async def test_many_at_once_do_not_get_into_each_others_way(objects: ObjectStore) -> None:
    await asyncio.gather(*(put(objects, f"n{n}", b"%d" % n, expires_ms=1_000_000 + n % 2) for n in range(70)))
    assert await asyncio.gather(*(read(objects, f"n{n}") for n in range(70))) == [b"%d" % n for n in range(70)]
    assert await objects.sweep(1_000_000) == 35
    assert await objects.find("n68") is None
    assert await read(objects, "n69") == b"69"
    assert await objects.sweep(1_000_001) == 35
