"""Blobs live in memory or in files of their scope, cost the budget what they take on disk, and leave nothing behind."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import threading
from pathlib import Path

import pytest

from imageway.bodies import Budget, InvalidBase64, Scope, Spool, SpoolFull, digest, read_decoded
from imageway.bodies.writer import MEMORY_BYTES, _File
from imageway.core.blobs import Blob, Encoding
from tests.unit.bodies.conftest import gather, picture, until

LARGE = os.urandom(3_000_001)


async def write(scope: Scope, content: bytes, size: int = 65536, encoding: Encoding = Encoding.BINARY) -> Blob:
    writer = scope.writer(encoding=encoding, declared_type="image/png")
    for at in range(0, len(content), size):
        writer.write(content[at : at + size])
        await writer.drain()
    return await writer.finish()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def files(spool: Spool) -> list[Path]:
    return list(spool.folder.iterdir())


def test_a_budget_reserves_or_refuses_and_never_goes_below_zero() -> None:
    budget = Budget(100)
    assert budget.reserve(60)
    assert not budget.reserve(41)
    assert budget.used_bytes == 60
    assert budget.reserve(40)
    budget.release(100)
    assert budget.used_bytes == 0
    with pytest.raises(RuntimeError):
        budget.release(1)


@pytest.mark.parametrize("size", [1, 4095, 4096, MEMORY_BYTES - 1, MEMORY_BYTES])
async def test_up_to_256_kib_stay_in_memory(spool: Spool, scope: Scope, size: int) -> None:
    blob = await write(scope, LARGE[:size])
    assert await gather(blob.open()) == LARGE[:size]
    assert (blob.stored_bytes, blob.decoded_bytes) == (size, size)
    assert not files(spool)
    assert spool.budget.used_bytes == 0


@pytest.mark.parametrize("size", [7, 4096, 65536, 1 << 20, len(LARGE)])
async def test_more_goes_to_a_file_in_any_chunks_and_comes_back(spool: Spool, scope: Scope, size: int) -> None:
    content = LARGE[: MEMORY_BYTES + 1] if size == 7 else LARGE
    blob = await write(scope, content, size)
    assert len(files(spool)) == 1
    assert spool.budget.used_bytes == len(content) == blob.stored_bytes
    assert await gather(blob.open()) == content
    assert (blob.head, blob.tail) == (content[:4096], content[-4096:])
    assert blob.declared_type == "image/png"


async def test_crumbs_and_large_pieces_stay_in_order(scope: Scope) -> None:
    writer = scope.writer(encoding=Encoding.BINARY)
    chance = random.Random(2)
    written = 0
    while written < 1_500_000:
        size = chance.choice((1, 100, 4095, 4096, 5000, 70_000))
        writer.write(LARGE[written : written + size])
        written += size
        await writer.drain()
    assert await gather((await writer.finish()).open()) == LARGE[:written]


async def test_a_blob_is_read_by_many_at_once(scope: Scope) -> None:
    blob = await write(scope, LARGE)
    assert all(content == LARGE for content in await asyncio.gather(*(gather(blob.open()) for _ in range(8))))


async def test_base64_stays_base64_and_tells_about_its_content(scope: Scope) -> None:
    content = picture("PNG", (400, 300))
    text = base64.b64encode(content)
    assert len(text) > MEMORY_BYTES
    blob = await write(scope, text.rstrip(b"="), 1001, Encoding.BASE64)
    assert await gather(blob.open()) == text
    assert (blob.encoding, blob.stored_bytes, blob.decoded_bytes) == (Encoding.BASE64, len(text), len(content))
    assert (blob.head, blob.tail) == (content[:4096], content[-4096:])
    assert blob.facts is not None
    assert (blob.facts.format, blob.facts.width, blob.facts.height) == ("png", 400, 300)


async def test_a_text_that_is_not_base64_is_refused_when_it_is_written_or_sealed(scope: Scope) -> None:
    writer = scope.writer(encoding=Encoding.BASE64)
    with pytest.raises(InvalidBase64):
        writer.write(b"<html>nothing here</html>")
    writer = scope.writer(encoding=Encoding.BASE64)
    writer.write(b"AAAAA")
    with pytest.raises(InvalidBase64):
        await writer.finish()


async def test_the_last_user_of_a_scope_takes_files_and_room_with_him(spool: Spool, scope: Scope) -> None:
    blob = await write(scope, LARGE)
    scope.hold()
    scope.release()
    assert await gather(blob.open()) == LARGE
    scope.release()
    assert scope.closed
    assert spool.budget.used_bytes == 0
    await until(lambda: not files(spool))
    with pytest.raises(FileNotFoundError):
        blob.open()
    for act in (scope.hold, scope.release, lambda: scope.writer(encoding=Encoding.BINARY)):
        with pytest.raises(RuntimeError):
            act()


async def test_a_reader_that_had_begun_reads_to_the_end_of_a_closed_scope(spool: Spool, scope: Scope) -> None:
    blob = await write(scope, LARGE)
    reader = blob.open()
    first = await anext(reader)
    scope.release()
    await until(lambda: not files(spool))
    assert first + await gather(reader) == LARGE


async def test_readers_that_stop_early_leave_no_descriptor_open(scope: Scope) -> None:
    blob = await write(scope, LARGE)
    before = open_files()
    for _ in range(20):
        await anext(blob.open())
    assert open_files() == before


async def test_room_reserved_ahead_is_used_first_and_given_back_whole(spool: Spool, scope: Scope) -> None:
    assert scope.reserve(4_000_000)
    await write(scope, LARGE)
    assert spool.budget.used_bytes == 4_000_000
    await write(scope, LARGE)
    assert spool.budget.used_bytes == 2 * len(LARGE)
    assert not scope.reserve(1 << 30)
    scope.release()
    assert spool.budget.used_bytes == 0


async def test_room_that_nobody_needs_is_given_back(spool: Spool, scope: Scope) -> None:
    """What was written to stays taken; what comes then takes room of its own."""
    assert scope.reserve(4_000_000)
    await write(scope, LARGE)
    scope.give_back()
    scope.give_back()
    assert spool.budget.used_bytes == len(LARGE)
    await write(scope, LARGE)
    assert spool.budget.used_bytes == 2 * len(LARGE)
    scope.release()
    assert spool.budget.used_bytes == 0


async def test_no_room_is_spool_full_and_takes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Budget(1_000_000))
    scope = spool.scope()
    with pytest.raises(SpoolFull):
        await write(scope, LARGE)
    assert spool.budget.used_bytes <= 1_000_000
    scope.release()
    assert spool.budget.used_bytes == 0
    spool.close()
    assert not list(tmp_path.iterdir())


async def test_a_full_disk_is_spool_full_and_any_other_fault_is_an_error(
    scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = OSError(28, "No space left on device")

    def fail(*_: object) -> int:
        raise fault

    monkeypatch.setattr(os, "writev", fail)
    with pytest.raises(SpoolFull):
        await write(scope, LARGE)
    fault = OSError(5, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        await write(scope, LARGE)


async def test_a_write_that_the_kernel_cut_short_is_continued(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.writev
    monkeypatch.setattr(os, "writev", lambda file, pieces: whole(file, [pieces[0][:1000]]))
    blob = await write(scope, LARGE[:600_000])
    assert await gather(blob.open()) == LARGE[:600_000]


async def test_memory_stays_bounded_while_the_disk_stalls(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    """drain waits as long as more than 640 KiB are unwritten."""
    gate = threading.Event()
    append = _File.append

    def stall(self: _File, pieces: list[bytes], *, last: bool) -> None:
        gate.wait(5)
        append(self, pieces, last=last)

    monkeypatch.setattr(_File, "append", stall)
    writer = scope.writer(encoding=Encoding.BINARY)
    written = 0

    async def flood() -> None:
        nonlocal written
        while True:
            writer.write(LARGE[written : written + 65536])
            written += 65536
            await writer.drain()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flood(), 0.2)
    assert written <= (640 << 10) + 65536
    gate.set()
    await writer.drain()
    blob = await writer.finish()
    assert await gather(blob.open()) == LARGE[:written]


async def test_a_scope_closed_while_a_thread_writes_leaves_no_file(
    spool: Spool, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    append = _File.append

    def stall(self: _File, pieces: list[bytes], *, last: bool) -> None:
        gate.wait(5)
        append(self, pieces, last=last)

    monkeypatch.setattr(_File, "append", stall)
    writer = scope.writer(encoding=Encoding.BINARY)
    writer.write(LARGE)
    descriptors = open_files()
    scope.release()
    gate.set()
    spool.executor.shutdown(wait=True)
    assert not files(spool)
    assert open_files() == descriptors
    with pytest.raises(RuntimeError):
        writer.write(b"more")


async def test_many_small_blobs_do_not_add_up_in_memory(spool: Spool, scope: Scope) -> None:
    """A scope keeps 1 MiB of small blobs in memory; the others go to files."""
    blobs = [await write(scope, LARGE[:200_000]) for _ in range(8)]
    assert len(files(spool)) == 3
    assert [await gather(blob.open()) for blob in blobs] == [LARGE[:200_000]] * 8


async def test_a_file_that_something_cut_is_an_error_and_not_a_short_answer(spool: Spool, scope: Scope) -> None:
    blob = await write(scope, LARGE)
    os.truncate(files(spool)[0], 1_000_000)
    with pytest.raises(OSError, match="ends at byte 1000000"):
        await gather(blob.open())


async def test_what_is_not_in_the_page_cache_is_read_in_a_thread(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = await write(scope, LARGE)
    readers: set[str] = set()
    pread = os.pread

    def watch(file: int, size: int, at: int) -> bytes:
        readers.add(threading.current_thread().name.split("_")[0])
        return pread(file, size, at)

    monkeypatch.setattr(os, "pread", watch)

    def uncached(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", uncached)
    assert await gather(blob.open()) == LARGE
    assert readers == {"spool"}


async def test_spools_of_two_processes_share_a_directory_and_delete_only_their_own(tmp_path: Path) -> None:
    one, two = Spool(tmp_path, Budget(1 << 30)), Spool(tmp_path, Budget(1 << 30))
    scope = two.scope()
    blob = await write(scope, LARGE)
    one.close()
    assert await digest(blob)
    assert await read_decoded(blob, limit_bytes=len(LARGE)) == LARGE
    assert two.folder.name.startswith(f"{os.getpid()}-")
    two.close()
    scope.release()
    assert not list(tmp_path.iterdir())
