"""What lies in a file is given unread where the kernel has it at hand, and read where it has not: the same bytes."""

from __future__ import annotations

import base64
import errno
import os
import random
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

import pytest

from imageway.bodies import Run, Scope, Spool, StoredBlob, files, json_payload
from imageway.core.blobs import Encoding
from tests.unit.bodies.conftest import gather

LARGE = random.Random(3).randbytes(3_000_000)
IS_CACHED = files._is_cached


@pytest.fixture(autouse=True)
def _at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was just written is cached; where the file system cannot tell, it is told so."""
    probe = tmp_path / "probe"
    probe.write_bytes(b"x")
    with probe.open("rb") as file:
        if not files._is_cached(file.fileno(), 0):
            monkeypatch.setattr(files, "_is_cached", lambda file, at: True)
    probe.unlink()


@pytest.mark.parametrize(("answer", "cached"), [(1, True), (OSError(errno.EAGAIN, ""), False), (0, False)])
def test_the_kernel_is_asked_without_waiting(
    monkeypatch: pytest.MonkeyPatch, answer: int | OSError, cached: bool
) -> None:
    """A read that would wait for the disk is none; nor is one behind the end, or on a file system that cannot tell."""
    asked: list[tuple[int, int, int]] = []

    def preadv(file: int, buffers: list[bytearray], at: int, flags: int) -> int:
        asked.append((file, at, flags))
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(os, "preadv", preadv)
    assert IS_CACHED(3, 7) is cached
    assert asked == [(3, 7, os.RWF_NOWAIT)]


async def stored(scope: Scope, content: bytes = LARGE, encoding: Encoding = Encoding.BINARY) -> StoredBlob:
    writer = scope.writer(encoding=encoding)
    writer.write(content)
    return await writer.finish()


async def pieces(blob: StoredBlob) -> list[bytes | tuple[int, bytes]]:
    """Runs with their descriptor, read as they come: they are good no longer."""
    return [piece if isinstance(piece, bytes) else (piece.descriptor, piece.read()) async for piece in blob.runs()]


async def test_what_is_cached_comes_in_runs_of_a_mebibyte(scope: Scope) -> None:
    found = await pieces(await stored(scope))
    assert [len(piece[1]) for piece in found if isinstance(piece, tuple)] == [1 << 20, 1 << 20, len(LARGE) - (2 << 20)]
    assert b"".join(piece[1] for piece in found if isinstance(piece, tuple)) == LARGE


async def test_what_is_not_cached_is_read_in_a_thread(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this file the kernel has only the end."""
    monkeypatch.setattr(files, "_is_cached", lambda file, at: at == len(LARGE) - 1)
    found = await pieces(await stored(scope))
    assert [type(piece) for piece in found] == [bytes] * 30 + [tuple]
    assert b"".join(piece if isinstance(piece, bytes) else piece[1] for piece in found) == LARGE


async def test_a_small_blob_comes_as_its_bytes(scope: Scope) -> None:
    assert await pieces(await stored(scope, LARGE[:1000])) == [LARGE[:1000]]


async def test_a_file_is_closed_when_it_was_given_whole_and_when_nobody_asks_any_more(scope: Scope) -> None:
    blob = await stored(scope)
    found = [piece for piece in await pieces(blob) if isinstance(piece, tuple)]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(found[0][0])
    left = cast("AsyncGenerator[bytes | Run]", blob.runs())
    run = await anext(left)
    assert isinstance(run, Run)
    assert os.fstat(run.descriptor).st_size == len(LARGE)
    await left.aclose()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(run.descriptor)


async def test_a_run_of_a_file_that_was_cut_is_an_error(scope: Scope, spool: Spool) -> None:
    blob = await stored(scope)
    (path,) = spool.folder.iterdir()
    run = await anext(unread := blob.runs())
    assert isinstance(run, Run)
    os.truncate(path, 1_000_000)
    with pytest.raises(OSError, match="something cut it"):
        run.read()
    with pytest.raises(OSError, match="something cut it"):
        await anext(unread)


async def test_json_is_the_same_in_runs_and_in_chunks(scope: Scope) -> None:
    """Only what lies as it is sent is given unread: base64url and bytes have to be written anew."""
    text = base64.b64encode(LARGE)
    blobs = [await stored(scope)]
    for encoding, written in (
        (Encoding.BASE64, text),
        (Encoding.BASE64, text.translate(bytes.maketrans(b"+/", b"-_"))),
    ):
        blobs.append(await stored(scope, written, encoding))
    for blob, unread in zip(blobs, (False, True, False), strict=True):
        payload = json_payload({"image": blob, "text": "ü"})
        assert payload.runs is not None
        kinds = set()
        whole = b""
        async for piece in payload.runs():
            kinds.add(type(piece))
            whole += piece if isinstance(piece, bytes) else piece.read()
        assert (Run in kinds) is unread
        assert whole == await gather(payload.chunks()) == b'{"image":"%b","text":"\xc3\xbc"}' % text
