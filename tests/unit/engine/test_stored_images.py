"""Stored images by key: only their own workspace sees them, only as long as they are kept, and what was deleted is gone
for good, whatever else happens at the same moment."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image

from imageway.core.errors import GatewayError
from imageway.core.intents import DeleteImage, ImageDeleted, ShowImage
from imageway.core.objects import ObjectStore, StoredObject
from imageway.core.ops import Committed, Op, Store
from imageway.core.requests import Caller
from imageway.engine.ports import Tools, one_chunk
from imageway.engine.results import KeptPicture, KeptResult, pack_result, view_of
from imageway.engine.stored_images import StoredImages
from imageway.ledger.ops import CreateKey, CreateWorkspace
from imageway.media.conversion import thumbnail
from imageway.storage.files import FileStore
from imageway.storage.memory import MemoryStore
from imageway.tasks.ops import CreateTask, FinishTask
from imageway.tasks.queries import ShowTask

T = TypeVar("T")
NOW_MS = 1_760_000_000_000
DAY_MS = 86_400_000
OWNER, STRANGER = Caller("key_1", "ws_1"), Caller("key_2", "ws_2")
NAMES = ("req_1-0.png", "req_1-1.webp")


@dataclass
class Clock:
    at_ms: int = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms


@dataclass
class Workers:
    """Counts what it was given. `meanwhile` happens while it works."""

    done: int = 0
    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def run(self, work: Callable[[], T]) -> T:
        self.done += 1
        await asyncio.sleep(0)
        made = work()
        if self.meanwhile is not None:
            await self.meanwhile()
        return made


@dataclass
class Desk:
    """The images of a finished task of workspace `ws_1`: the first with pixels, the second text in place of them."""

    images: StoredImages
    objects: ObjectStore
    store: Store
    clock: Clock
    workers: Workers

    async def find(self, image_id: str, caller: Caller = OWNER, *, small: bool = False) -> StoredObject:
        return await self.images.find(ShowImage(image_id, thumbnail=small), caller)

    async def delete(self, image_id: str, caller: Caller = OWNER) -> ImageDeleted:
        return await self.images.delete(DeleteImage(image_id), caller)

    async def read(self, name: str) -> bytes:
        return b"".join([chunk async for chunk in self.objects.open(name, 0, 1 << 30)])

    async def listed(self) -> list[str]:
        """The names in the links that the task shows."""
        task = await self.store.read(ShowTask("req_1", "ws_1"))
        assert task is not None
        view = view_of(task, self.images.tools.signer, self.clock.at_ms)
        return [str(picture.url).partition("/media/")[2].partition("?")[0] for picture in view.pictures]


def drawn(width: int = 1600, height: int = 900) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(out, "PNG")
    return out.getvalue()


@pytest.fixture
async def desk(tools: Tools, tmp_path: Path) -> Desk:
    store, objects, clock, workers = MemoryStore(), FileStore(tmp_path / "images"), Clock(), Workers()
    for number in (1, 2):
        made = CreateWorkspace(f"ws_{number}", f"w{number}", 1)
        key = CreateKey(f"key_{number}", f"ws_{number}", "", bytes(31) + bytes([number]), "", (), 1)
        assert await store.commit(made, key) == Committed()
    expires_ms = NOW_MS + DAY_MS
    pictures = tuple(KeptPicture(f"image/{name[8:]}", 1600, 900, name) for name in NAMES)
    result = KeptResult(pictures=(*pictures, KeptPicture("image/png", 1, 1)), expires_ms=expires_ms)
    await store.commit(created("req_1"), FinishTask("req_1", "succeeded", pack_result(result), NOW_MS))
    await store.commit(created("req_2"))
    for name, content in zip(NAMES, (drawn(), b"no image"), strict=True):
        await objects.put(name, one_chunk(content), media_type="image/png", expires_ms=expires_ms)
    own = replace(tools, store=store, objects=objects, clock=clock, workers=workers)  # type: ignore[arg-type]
    return Desk(StoredImages(own), objects, store, clock, workers)


def created(task_id: str) -> CreateTask:
    return CreateTask(
        id=task_id,
        workspace_id="ws_1",
        key_id="key_1",
        model="m",
        owner="proc_1",
        request=b"",
        created_ms=NOW_MS,
        deadline_ms=NOW_MS,
    )


async def told(asked: Awaitable[object]) -> tuple[int, str]:
    with pytest.raises(GatewayError) as raised:
        await asked
    return raised.value.kind.status, raised.value.code


@pytest.mark.parametrize("image_id", ["req_1-0", "req_1-0.png"])
async def test_an_image_is_found_by_its_name_with_and_without_its_ending(desk: Desk, image_id: str) -> None:
    stored = await desk.find(image_id)
    assert stored == await desk.objects.find("req_1-0.png")


@pytest.mark.parametrize(
    "image_id",
    [
        "req_1-2",
        "req_1-0.webp",
        "req_1-00",
        "req_1",
        "req_1-",
        "-0",
        "",
        ".",
        "req_2-0",
        "req_9-0",
        "../req_1-0",
        "ä-\0",
    ],
)
async def test_what_is_not_there_is_404(desk: Desk, image_id: str) -> None:
    assert await told(desk.find(image_id)) == (404, "not_found")
    assert await told(desk.find(image_id, small=True)) == (404, "not_found")
    assert await told(desk.delete(image_id)) == (404, "not_found")


async def test_another_workspaces_images_are_not_there_at_all(desk: Desk) -> None:
    """Not told apart from what never was, before and after their time, deleted or not."""
    for moment_ms in (NOW_MS, NOW_MS + DAY_MS):
        desk.clock.at_ms = moment_ms
        for asked in (
            desk.find("req_1-0", STRANGER),
            desk.find("req_1-0", STRANGER, small=True),
            desk.delete("req_1-0", STRANGER),
        ):
            with pytest.raises(GatewayError) as raised:
                await asked
            never = await told(desk.find("req_9-0", STRANGER))
            assert (raised.value.kind.status, raised.value.code) == never
            assert raised.value.message == 'there is no image "req_1-0"'
    assert await desk.objects.find("req_1-0.png") is not None


async def test_an_expired_image_is_410_and_says_when_it_went(desk: Desk) -> None:
    desk.clock.at_ms = NOW_MS + DAY_MS - 1
    await desk.find("req_1-0")
    desk.clock.at_ms = NOW_MS + DAY_MS
    for small in (False, True):
        with pytest.raises(GatewayError, match="expired at 2025-10-10T08:53:20Z") as raised:
            await desk.find("req_1-0", small=small)
        assert raised.value.kind.status == 410


async def test_an_image_that_the_store_lost_is_404(desk: Desk) -> None:
    await desk.objects.delete("req_1-0.png")
    assert await told(desk.find("req_1-0")) == (404, "not_found")


# Deleting


async def test_a_deleted_image_is_gone_from_the_store_and_from_its_task(desk: Desk) -> None:
    await desk.find("req_1-0", small=True)
    assert await desk.delete("req_1-0") == ImageDeleted("req_1-0")
    assert await desk.listed() == ["req_1-1.webp"]
    assert await desk.objects.sweep(1 << 60) == 1  # only the other one is left, and no thumbnail
    for small in (False, True):
        assert await told(desk.find("req_1-0", small=small)) == (404, "not_found")


async def test_deleting_twice_is_deleting_once(desk: Desk) -> None:
    assert await desk.delete("req_1-0.png") == ImageDeleted("req_1-0.png")
    assert await desk.delete("req_1-0.png") == ImageDeleted("req_1-0.png")
    assert await desk.delete("req_1-0") == ImageDeleted("req_1-0")
    assert await desk.listed() == ["req_1-1.webp"]


async def test_a_deleted_image_stays_404_when_its_time_is_over(desk: Desk) -> None:
    await desk.delete("req_1-0")
    desk.clock.at_ms = NOW_MS + DAY_MS
    assert await told(desk.find("req_1-0")) == (404, "not_found")
    assert await desk.delete("req_1-1") == ImageDeleted("req_1-1")  # expired and not swept yet: gone now
    assert await desk.objects.find("req_1-1.webp") is None


async def test_a_deletion_that_was_cut_short_is_finished_by_the_next(desk: Desk) -> None:
    """A store that does not answer has changed nothing. One that forgot the image before its task could: the image is
    gone, and its task shows it no more once somebody says so again."""
    broken = StoredImages(replace(desk.images.tools, objects=Broken()))  # type: ignore[arg-type]
    assert await told(broken.delete(DeleteImage("req_1-0"), OWNER)) == (503, "overloaded")
    assert await desk.listed() == list(NAMES)
    await desk.find("req_1-0")
    await desk.objects.delete("req_1-0.png")
    assert await desk.delete("req_1-0") == ImageDeleted("req_1-0")
    assert await desk.listed() == ["req_1-1.webp"]


class Broken:
    async def find(self, name: str) -> StoredObject | None:
        raise OSError("the bucket is on fire")

    async def delete(self, name: str) -> bool:
        raise OSError("the bucket is on fire")


@dataclass
class Interleaved:
    """A store where somebody else deletes an image between every look at the task and the change that follows."""

    store: Store
    others: list[Callable[[], Awaitable[object]]] = field(default_factory=list)

    async def read(self, query: Any) -> Any:
        return await self.store.read(query)

    async def commit(self, *ops: Op) -> Any:
        if self.others:
            await self.others.pop()()
        return await self.store.commit(*ops)


async def test_two_images_deleted_at_one_moment_are_both_gone(desk: Desk) -> None:
    between = Interleaved(desk.store, [lambda: desk.delete("req_1-1")])
    await StoredImages(replace(desk.images.tools, store=between)).delete(DeleteImage("req_1-0"), OWNER)  # type: ignore[arg-type]
    assert await desk.listed() == []
    assert await desk.objects.sweep(1 << 60) == 0


# Thumbnails


async def test_a_thumbnail_is_a_small_webp_that_lives_as_long_as_its_image(desk: Desk) -> None:
    small = await desk.find("req_1-0", small=True)
    whole = await desk.find("req_1-0")
    assert (small.media_type, small.expires_ms) == ("image/webp", whole.expires_ms)
    with Image.open(io.BytesIO(await desk.read(small.name))) as image:
        assert (image.format, image.size) == ("WEBP", (512, 288))


async def test_a_thumbnail_is_made_once_however_many_ask_for_it(desk: Desk) -> None:
    found = await asyncio.gather(*(desk.find("req_1-0", small=True) for _ in range(5)))
    assert set(found) == {await desk.find("req_1-0", small=True)}
    assert desk.workers.done == 1


async def test_no_thumbnail_is_an_image_of_its_own(desk: Desk) -> None:
    small = await desk.find("req_1-0", small=True)
    assert await told(desk.find(small.name)) == (404, "not_found")
    assert await desk.listed() == list(NAMES)


async def test_an_image_deleted_while_its_thumbnail_is_made_leaves_none(desk: Desk) -> None:
    desk.workers.meanwhile = lambda: desk.delete("req_1-0")
    assert await told(desk.find("req_1-0", small=True)) == (404, "not_found")
    assert await desk.objects.sweep(1 << 60) == 1  # the other image


async def test_an_image_deleted_before_its_thumbnail_is_begun_is_404(desk: Desk) -> None:
    class Late(FileStore):
        async def open(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
            await desk.delete("req_1-0")
            async for chunk in super().open(name, start, end):
                yield chunk

    images = StoredImages(replace(desk.images.tools, objects=Late(desk.objects._directory)))  # type: ignore[attr-defined]
    assert await told(images.find(ShowImage("req_1-0", thumbnail=True), OWNER)) == (404, "not_found")
    assert await desk.objects.sweep(1 << 60) == 1


async def test_what_does_not_decode_has_no_thumbnail(desk: Desk) -> None:
    assert await told(desk.find("req_1-1", small=True)) == (400, "invalid_image")


async def test_a_boundless_image_is_not_taken_into_memory(desk: Desk) -> None:
    tools = replace(desk.images.tools, settings=replace(desk.images.tools.settings, convert_bytes=100))
    images = StoredImages(tools)
    assert await told(images.find(ShowImage("req_1-0", thumbnail=True), OWNER)) == (400, "image_too_large")
    assert desk.workers.done == 0


async def test_a_store_that_fails_is_503(desk: Desk) -> None:
    images = StoredImages(replace(desk.images.tools, objects=Broken()))  # type: ignore[arg-type]
    assert await told(images.find(ShowImage("req_1-0"), OWNER)) == (503, "overloaded")


async def test_a_store_that_breaks_off_while_a_thumbnail_is_made_is_503(desk: Desk) -> None:
    class Cut(FileStore):
        async def open(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
            yield b"half"
            raise EOFError("cut")

    images = StoredImages(replace(desk.images.tools, objects=Cut(desk.objects._directory)))  # type: ignore[attr-defined]
    assert await told(images.find(ShowImage("req_1-0", thumbnail=True), OWNER)) == (503, "overloaded")


def test_the_thumbnail_of_a_small_picture_is_not_larger() -> None:
    with Image.open(io.BytesIO(thumbnail(drawn(100, 50)))) as image:
        assert image.size == (100, 50)
