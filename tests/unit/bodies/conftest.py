"""A spool that dies with its test, and chunks cut as the test says."""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from imageway.bodies import Budget, Scope, Spool
from tests.turns import soon


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def gather(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def until(condition: Callable[[], bool]) -> None:
    """What threads do happens soon; five seconds at most."""
    await soon(condition, seconds=5)


def picture(form: str, size: tuple[int, int] = (67, 45), mode: str = "RGB", **options: object) -> bytes:
    """A real file with noise in it, so that nothing compresses to a handful of bytes."""
    noise = random.Random(5).randbytes(size[0] * size[1] * 3)
    target = io.BytesIO()
    Image.frombytes("RGB", size, noise).convert(mode).save(target, form, **options)
    return target.getvalue()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", Budget(1 << 30))
    yield spool
    spool.close()


@pytest.fixture
def scope(spool: Spool) -> Scope:
    return spool.scope()
