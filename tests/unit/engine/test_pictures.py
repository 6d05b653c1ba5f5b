"""Pictures on their way out: converted into the task's own room, few at a time, and never lost for want of it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from PIL import Image

from imageway.bodies import Budget, Spool, blob_of, decoded
from imageway.core.blobs import ImageFacts
from imageway.core.requests import ImageRequest
from imageway.engine.facts import TaskFacts
from imageway.engine.images import Proved, Ready
from imageway.engine.patience import STORING_PAUSES_S
from imageway.engine.pictures import ready_all, store_all
from imageway.engine.ports import CONVERSIONS_AT_ONCE, Tools
from tests.values import replace

T = TypeVar("T")
NOISE = Image.effect_noise((600, 600), 120)


def made(file_format: str) -> bytes:
    out = io.BytesIO()
    NOISE.save(out, file_format)
    return out.getvalue()


def proved(file_format: str) -> Proved:
    blob = blob_of(made(file_format))
    return Proved(blob, cast(ImageFacts, blob.facts), None)


@dataclass
class Bench:
    """Workers that say how many work at once."""

    now: int = 0
    most: int = 0

    async def run(self, work: Callable[[], T]) -> T:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01)
        self.now -= 1
        return work()


@dataclass
class Moody:
    """A media store that fails so often before it takes something."""

    failures: int
    names: list[str] = field(default_factory=list)
    tries: int = 0

    async def put(self, name: str, content: AsyncIterator[bytes], **about: Any) -> None:
        self.tries += 1
        body = b"".join([chunk async for chunk in content])
        if self.failures:
            self.failures -= 1
            raise OSError(28, "no space left")
        assert body
        self.names.append(name)


def facts(tools: Tools, output_format: str | None, quality: int | None = None) -> TaskFacts:
    request = ImageRequest(model="gpt-image-1", prompt="a cat", output_format=output_format, output_compression=quality)
    return TaskFacts(
        task_id="req_1",
        workspace_id="ws",
        key_id="key",
        model=tools.catalog.models["gpt-image-1"],
        request=request,
        form="b64_json",
        hold_usd_micros=1,
        images=1,
        created_ms=1,
        warnings=(),
    )


@pytest.fixture
def bench(tools: Tools) -> Tools:
    return replace(tools, workers=cast("Any", Bench()))


async def test_a_converted_image_lies_in_the_tasks_room(bench: Tools) -> None:
    """In its spool and on its budget, not beside it in memory; it goes with the task."""
    budget, scope = bench.spool.budget, bench.spool.scope()
    (ready,), (warning,) = await ready_all(bench, facts(bench, "png"), scope, [proved("WEBP")])
    assert (ready.media_type, warning.code) == ("image/png", "transcoded")
    facts_read = cast(ImageFacts, ready.blob.facts)
    assert (facts_read.format, facts_read.width, facts_read.height) == ("png", 600, 600)
    assert budget.used_bytes >= ready.blob.stored_bytes > 300_000
    content = b"".join([chunk async for chunk in decoded(ready.blob)])
    assert Image.open(io.BytesIO(content)).tobytes()
    scope.release()
    assert budget.used_bytes == 0


async def test_without_room_to_convert_the_image_is_delivered_as_it_came(bench: Tools, tmp_path: Path) -> None:
    tight = replace(bench, spool=Spool(tmp_path / "tight", Budget(1000)))
    scope = tight.spool.scope()
    image = proved("WEBP")
    (ready,), (warning,) = await ready_all(tight, facts(tight, "png"), scope, [image])
    assert (ready.blob, ready.media_type, warning.code) == (image.blob, "image/webp", "format_not_converted")
    assert warning.param == "output_format"
    scope.release()
    tight.spool.close()


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
async def test_a_quality_that_nobody_was_asked_for_is_had_here(bench: Tools, file_format: str) -> None:
    """Where the provider was asked, or nothing is to be lost, the image stays as it came."""
    image, wanted = proved(file_format), file_format.lower()
    sizes = []
    for quality in (90, 10):
        (ready,), (warning,) = await ready_all(bench, facts(bench, wanted, quality), bench.spool.scope(), [image])
        assert (ready.media_type, warning.code, warning.param) == (
            f"image/{wanted}",
            "transcoded",
            "output_compression",
        )
        assert warning.message.startswith(f"compressed to {quality} % here; provenance metadata")
        sizes.append(ready.blob.decoded_bytes)
    assert sizes[1] < sizes[0] / 2
    for as_it_came, quality in ((replace(image, compressed=True), 10), (image, 100), (image, None)):
        (ready,), none = await ready_all(bench, facts(bench, wanted, quality), bench.spool.scope(), [as_it_came])
        assert (ready.blob, none) == (image.blob, ())


async def test_what_fits_already_is_not_touched(bench: Tools) -> None:
    image = proved("PNG")
    for wanted in ("png", None):
        (ready,), warnings = await ready_all(bench, facts(bench, wanted), bench.spool.scope(), [image])
        assert (ready.blob, warnings) == (image.blob, ())


async def test_few_convert_at_once(bench: Tools) -> None:
    """However many tasks wait for it: each conversion takes its image into memory."""
    scope = bench.spool.scope()
    images = [proved("WEBP") for _ in range(6)]
    await asyncio.gather(*(ready_all(bench, facts(bench, "png"), scope, [image]) for image in images))
    assert cast("Bench", bench.workers).most == CONVERSIONS_AT_ONCE


async def test_a_media_store_is_asked_again(tools: Tools) -> None:
    moody = Moody(failures=len(STORING_PAUSES_S))
    picture = Ready(blob_of(made("PNG")), "image/png", 600, 600, None)
    names = await store_all(replace(tools, objects=cast("Any", moody)), "req_1", [picture, picture], 1)
    assert names == ("req_1-0.png", "req_1-1.png") == tuple(moody.names)


async def test_and_given_up_in_the_end(tools: Tools) -> None:
    moody = Moody(failures=100)
    picture = Ready(blob_of(made("PNG")), "image/png", 600, 600, None)
    with pytest.raises(OSError, match="no space"):
        await store_all(replace(tools, objects=cast("Any", moody)), "req_1", [picture], 1)
    assert moody.tries == len(STORING_PAUSES_S) + 1
