"""What waits can be run by anybody: the request comes back out of the row and the object store as it was written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from imageway.bodies import Budget, Spool, blob_of, read_decoded
from imageway.core.blobs import Blob, Embed
from imageway.core.errors import GatewayError
from imageway.core.requests import ImageData, ImageLink, ImageRequest, MaskForm, Turn
from imageway.engine.keeping import drop_ask, put_ask, take_ask
from imageway.engine.memos import KeptTask, pack_task, plain_fields, unpack_task
from imageway.storage.files import FileStore
from tests.sim.pictures import picture


class Clock:
    async def sleep(self, seconds: float) -> None:
        """Nothing lasts."""


class Tools:
    """As much of them as keeping asks for."""

    def __init__(self, folder: Path) -> None:
        self.objects = FileStore(folder / "objects")
        self.clock = Clock()
        self.folder = folder


@pytest.fixture
def tools(tmp_path: Path) -> Any:
    return Tools(tmp_path)


SENT = ImageData(blob_of(picture("png", 3)), "image")
LINKED = ImageLink("https://pictures.example/a.png", "image[1]", max_bytes=10_000)
MASK = ImageData(blob_of(picture("png", 4)), "mask", MaskForm.LIGHT, MaskForm.ALPHA)
REQUEST = ImageRequest(
    model="painter-1",
    prompt="a cat",
    images=(SENT, LINKED),
    mask=MASK,
    turns=(Turn("user", ("hello", SENT, LINKED), {0: "signed", 1: blob_of(b"a thought" * 9)}),),
    extras={"deep": [1, {"raw": blob_of(b"raw" * 9), "data": Embed(SENT.blob, "data:image/png;base64,")}], "n": None},
    written={"n": "1.0"},
    n=2,
)


async def kept_and_taken(tools: Any, request: ImageRequest) -> ImageRequest:
    ask = await put_ask(tools, request, "req_1", strict=True, expires_ms=2**41)
    row = pack_task(KeptTask(plain_fields(request), (2,), "url", 5, ask=ask))
    kept = unpack_task(row)
    assert kept.ask == ask
    spool = Spool(tools.folder / "spool", Budget(1 << 30))
    return await take_ask(tools, kept, cast("Any", kept.ask), spool.scope())


async def content(blob: object) -> bytes:
    return await read_decoded(cast("Blob", blob), limit_bytes=1 << 20)


async def test_a_request_comes_back_as_it_was(tools: Any) -> None:
    back = await kept_and_taken(tools, REQUEST)
    assert (back.model, back.prompt, back.n, dict(back.written)) == ("painter-1", "a cat", 2, {"n": "1.0"})
    (sent, linked), mask, (turn,) = back.images, back.mask, back.turns
    assert isinstance(sent, ImageData)
    assert isinstance(mask, ImageData)
    assert (await content(sent.blob), sent.param) == (picture("png", 3), "image")
    assert sent.blob.facts == SENT.blob.facts
    assert linked == LINKED
    assert (await content(mask.blob), mask.marks, mask.wanted) == (picture("png", 4), MaskForm.LIGHT, MaskForm.ALPHA)
    assert (turn.role, turn.parts[0], turn.signatures[0]) == ("user", "hello", "signed")
    assert await content(turn.signatures[1]) == b"a thought" * 9
    extras = cast("Any", back.extras)
    assert (extras["n"], extras["deep"][0], await content(extras["deep"][1]["raw"])) == (None, 1, b"raw" * 9)
    assert extras["deep"][1]["data"].prefix == "data:image/png;base64,"
    assert await content(extras["deep"][1]["data"].blob) == picture("png", 3)


async def test_what_was_one_image_is_one_image_again(tools: Any) -> None:
    """In the conversation and beside it: what is fetched for the one is fetched for the other."""
    back = await kept_and_taken(tools, REQUEST)
    assert back.turns[0].parts[1] is back.images[0]
    assert back.turns[0].parts[2] is back.images[1]


async def test_a_text_that_looks_like_a_place_stays_a_text(tools: Any) -> None:
    back = await kept_and_taken(tools, ImageRequest(model="m", extras={"name": "input-req_1-0", "blob": {"name": "x"}}))
    assert back.extras == {"name": "input-req_1-0", "blob": {"name": "x"}}


async def test_no_image_lies_in_the_row_and_each_is_stored_once(tools: Any) -> None:
    ask = await put_ask(tools, REQUEST, "req_1", strict=False, expires_ms=2**41)
    row = pack_task(KeptTask(plain_fields(REQUEST), (2,), "url", 5, ask=ask))
    assert len(row) < 2000
    assert len(dict.fromkeys(ask.names)) == 4
    await drop_ask(tools, ask)
    assert [await tools.objects.find(name) for name in ask.names] == [None] * len(list(ask.names))


async def test_a_store_that_takes_no_input_keeps_none(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put = tools.objects.put

    async def full(name: str, chunks: AsyncIterator[bytes], **options: Any) -> Any:
        if name.endswith("-2"):
            raise OSError(28, "no space left")
        return await put(name, chunks, **options)

    monkeypatch.setattr(tools.objects, "put", full)
    with pytest.raises(OSError, match="no space"):
        await put_ask(tools, REQUEST, "req_1", strict=False, expires_ms=2**41)
    assert [await tools.objects.find(f"input-req_1-{number}") for number in range(4)] == [None] * 4


async def test_inputs_that_were_lost_are_told(tools: Any) -> None:
    ask = await put_ask(tools, REQUEST, "req_1", strict=False, expires_ms=2**41)
    await drop_ask(tools, ask)
    kept = KeptTask(plain_fields(REQUEST), (2,), "url", 5, ask=ask)
    with pytest.raises(GatewayError, match="were lost; nothing was charged"):
        await take_ask(tools, kept, ask, Spool(tools.folder / "spool", Budget(1 << 30)).scope())
