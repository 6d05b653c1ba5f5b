"""Where the sandbox keeps files: in memory the ones in use stay, in a directory the next process finds them."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from imageway.sandbox.cabinets import BLOCK_BYTES, LIFETIME_S, FolderCabinet, MemoryCabinet, NotKept


async def test_memory_forgets_what_was_used_longest_ago() -> None:
    cabinet = MemoryCabinet(limit_bytes=10)
    await cabinet.put("a", b"1234")
    await cabinet.put("b", b"1234")
    assert await cabinet.get("a") == b"1234"
    await cabinet.put("c", b"1234")
    assert await cabinet.get("b") is None
    assert await cabinet.get("a") == b"1234"
    assert set(await cabinet.names()) == {"a", "c"}
    assert cabinet.used_bytes == 8


async def test_a_file_of_the_same_name_takes_the_place_of_the_first(tmp_path: Path) -> None:
    for cabinet in (MemoryCabinet(limit_bytes=10), FolderCabinet(tmp_path, 10 * BLOCK_BYTES)):
        await cabinet.put("a", b"1234")
        await cabinet.put("a", b"12")
        assert await cabinet.get("a") == b"12"
        assert await cabinet.names() == ("a",)


async def test_another_process_finds_a_file_whole_as_soon_as_it_was_put(tmp_path: Path) -> None:
    """Two objects on one directory know nothing of each other, as two processes would not."""
    first, second = (FolderCabinet(tmp_path / "made" / "here", 100 * BLOCK_BYTES) for _ in range(2))
    assert await second.get("a") is None
    assert await second.names() == ()
    content = os.urandom(3 * BLOCK_BYTES)
    await first.put("a", content)
    assert await second.get("a") == content
    assert [path.name for path in (tmp_path / "made" / "here").iterdir()] == ["a"]


async def test_files_are_gone_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cabinets = (MemoryCabinet(100 * BLOCK_BYTES), FolderCabinet(tmp_path, 100 * BLOCK_BYTES))
    for cabinet in cabinets:
        await cabinet.put("a", b"1")
    later_s = time.time() + LIFETIME_S + 1
    monkeypatch.setattr(time, "time", lambda: later_s)
    for cabinet in cabinets:
        assert await cabinet.get("a") is None
    assert (tmp_path / "a").exists()
    await FolderCabinet(tmp_path, 100 * BLOCK_BYTES).put("b", b"1")
    assert not (tmp_path / "a").exists()


async def test_the_oldest_files_go_and_the_directory_stays_small(tmp_path: Path) -> None:
    """A file counts in whole blocks: many small ones are bounded too."""
    cabinet = FolderCabinet(tmp_path, 8 * BLOCK_BYTES)
    for number in range(30):
        await cabinet.put(f"{number:02}", b"x")
        os.utime(tmp_path / f"{number:02}", (time.time() - 100 + number, time.time() - 100 + number))
    names = sorted(await cabinet.names())
    assert 6 <= len(names) <= 8
    assert names == [f"{number:02}" for number in range(30 - len(names), 30)]


async def test_the_newest_file_stays_however_large(tmp_path: Path) -> None:
    cabinet = FolderCabinet(tmp_path, BLOCK_BYTES)
    await cabinet.put("a", b"x")
    await cabinet.put("b", bytes(10 * BLOCK_BYTES))
    assert await cabinet.names() == ("b",)


@pytest.mark.parametrize("name", ["../b", "/etc/hostname", "", ".hidden", "a/b", "a\0b"])
async def test_no_name_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "b").write_bytes(b"secret")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ".hidden").write_bytes(b"secret")
    cabinet = FolderCabinet(tmp_path / "in", BLOCK_BYTES)
    assert await cabinet.get(name) is None
    with pytest.raises(ValueError, match="cannot name"):
        await cabinet.put(name, b"x")


async def test_a_disk_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cabinet = FolderCabinet(tmp_path / "file", BLOCK_BYTES)
    with pytest.raises(NotKept):
        await cabinet.put("a", b"x")
    assert await cabinet.get("a") is None


async def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    cabinet = FolderCabinet(tmp_path, 100 * BLOCK_BYTES)
    await asyncio.gather(*(cabinet.put(f"{number}", b"%d" % number) for number in range(20)))
    assert [await cabinet.get(f"{number}") for number in range(20)] == [b"%d" % number for number in range(20)]
