"""The local object store beyond its contract: what lies in its directory, who dies, and what a sweep makes of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imageway.core.objects import ObjectStore
from imageway.storage import files
from imageway.storage.files import FileStore

NEVER_MS = 4_000_000_000_000
MINUTE_MS = 60_000


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "objects")


@pytest.fixture
def directory(store: FileStore, tmp_path: Path) -> Path:
    return tmp_path / "objects"


async def chunks(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        yield content


async def read(store: ObjectStore, name: str, start: int = 0, end: int = 1 << 40) -> bytes:
    return b"".join([chunk async for chunk in store.open(name, start, end)])


async def put(store: ObjectStore, name: str, *contents: bytes, expires_ms: int = NEVER_MS) -> None:
    await store.put(name, chunks(*contents), media_type="image/png", expires_ms=expires_ms)


async def test_objects_survive_the_store_that_wrote_them(store: FileStore, directory: Path) -> None:
    await put(store, "a", b"content")
    assert await read(FileStore(directory), "a") == b"content"


async def test_a_large_object_comes_back_in_pieces(store: FileStore) -> None:
    content = os.urandom(3 * (1 << 20) + 17)
    pieces = [content[at : at + 70_000] for at in range(0, len(content), 70_000)]
    await put(store, "large", *pieces)
    received = [chunk async for chunk in store.open("large", 11, len(content))]
    assert len(received) > 2
    assert b"".join(received) == content[11:]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "/etc/passwd", "a/b", "a\\b", ".hidden", "a\0b", "a b", "ä", "-flag", "a\n", "x" * 129],
)
async def test_a_name_is_never_a_path(store: FileStore, directory: Path, name: str) -> None:
    (directory.parent / "a").write_bytes(b"outside")
    with pytest.raises(ValueError, match="cannot name an object"):
        await put(store, name, b"content")
    assert await store.find(name) is None
    assert not await store.delete(name)
    with pytest.raises(ValueError, match="cannot name an object"):
        await read(store, name)
    assert (directory.parent / "a").read_bytes() == b"outside"


async def test_a_media_type_fits_the_trailer(store: FileStore) -> None:
    with pytest.raises(ValueError, match="is not a media type"):
        await store.put("a", chunks(b"x"), media_type="image/" + "x" * 500, expires_ms=NEVER_MS)
    longest = "image/" + "x" * 121
    await store.put("a" * 128, chunks(b"x"), media_type=longest, expires_ms=NEVER_MS)
    found = await store.find("a" * 128)
    assert found is not None
    assert found.media_type == longest


async def test_a_source_that_breaks_off_leaves_nothing(store: FileStore, directory: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (2 << 20)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.put("a", broken(), media_type="image/png", expires_ms=NEVER_MS)
    assert await store.find("a") is None
    assert list(directory.iterdir()) == []


async def test_a_cancelled_put_leaves_nothing(store: FileStore, directory: Path) -> None:
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * (2 << 20)
        reached.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(store.put("a", endless(), media_type="image/png", expires_ms=NEVER_MS))
    await asyncio.wait_for(reached.wait(), 5)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert list(directory.iterdir()) == []


async def test_a_failed_write_leaves_the_old_object(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(store, "a", b"old")

    def fail(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        await put(store, "a", b"new")
    monkeypatch.undo()
    assert await read(store, "a") == b"old"


async def test_bytes_are_safe_before_the_name_and_the_name_before_the_answer(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is write, fsync, rename, fsync of the directory: any other could lose or halve an object."""
    acts: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(file: int) -> None:
        acts.append("sync directory" if os.path.isdir(f"/proc/self/fd/{file}") else "sync file")  # noqa: PTH112
        fsync(file)

    def note_replace(path: Path, target: Path) -> Path:
        acts.append("rename")
        return replace(path, target)

    monkeypatch.setattr(files.os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    await put(store, "a", b"content")
    assert acts == ["sync file", "rename", "sync directory"]


async def test_a_copied_file_keeps_its_expiry(store: FileStore, directory: Path) -> None:
    """A backup restored without its times is not swept away; the description inside the file decides."""
    await put(store, "a", b"content", expires_ms=NEVER_MS)
    os.utime(directory / "a", (1, 1))
    assert await store.sweep(2_000_000) == 0
    assert await read(store, "a") == b"content"
    assert (directory / "a").stat().st_mtime_ns == NEVER_MS * 1_000_000


async def test_files_of_others_are_left_alone(store: FileStore, directory: Path) -> None:
    (directory / "README").write_bytes(b"not an object")
    (directory / "long").write_bytes(b"x" * 10_000)
    assert await store.find("README") is None
    assert await store.find("long") is None
    assert await store.sweep(NEVER_MS) == 0
    assert (directory / "README").exists()


@pytest.mark.parametrize("lost_bytes", [1, 511, 512, 513, 1000])
async def test_a_truncated_file_is_not_an_object(store: FileStore, directory: Path, lost_bytes: int) -> None:
    await put(store, "a", b"x" * 5000)
    whole = (directory / "a").read_bytes()
    (directory / "a").write_bytes(whole[:-lost_bytes])
    assert await store.find("a") is None
    (directory / "a").write_bytes(whole[lost_bytes:])
    assert await store.find("a") is None


async def test_a_temporary_file_is_never_found_and_a_living_one_never_swept(store: FileStore, directory: Path) -> None:
    draft = files._Draft(directory, "a")
    draft.write([b"half a picture"])
    (part,) = directory.iterdir()
    assert await store.find(part.name) is None
    assert await store.find("a") is None
    assert await store.sweep(NEVER_MS) == 0
    assert part.exists()
    draft.publish("image/png", NEVER_MS)
    draft.discard()
    assert await read(store, "a") == b"half a picture"


KILLED = """
import asyncio, sys
from pathlib import Path
from imageway.storage.files import FileStore

async def endless():
    yield b"x" * (4 << 20)
    print("writing", flush=True)
    await asyncio.sleep(60)

asyncio.run(FileStore(Path(sys.argv[1])).put("a", endless(), media_type="image/png", expires_ms=4_000_000_000_000))
"""


async def test_a_killed_writer_leaves_no_object_and_its_rest_is_swept(store: FileStore, directory: Path) -> None:
    """kill -9 in the middle of a put: nothing is found, and a sweep removes the temporary file once it has settled."""
    writer = subprocess.Popen([sys.executable, "-c", KILLED, str(directory)], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        now_ms = time.time_ns() // 1_000_000
        await store.sweep(now_ms + 2 * MINUTE_MS)
        assert len(list(directory.iterdir())) == 1, "a living writer's file was swept"
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=10)
    assert await store.find("a") is None
    await store.sweep(now_ms)
    assert len(list(directory.iterdir())) == 1, "a file younger than a minute may belong to a writer about to lock it"
    assert await store.sweep(now_ms + 2 * MINUTE_MS) == 0
    assert list(directory.iterdir()) == []
