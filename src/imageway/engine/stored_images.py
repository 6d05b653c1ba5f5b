"""Stored images for whoever holds a key of their workspace: shown, shown small, deleted. Whose an image is says the
task whose id its name begins with; the store itself knows nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakValueDictionary

from msgspec.structs import replace

from imageway.core.errors import GatewayError
from imageway.core.intents import DeleteImage, ImageDeleted, ShowImage
from imageway.core.objects import StoredObject
from imageway.core.ops import Committed
from imageway.core.requests import Caller
from imageway.core.wording import moment, printable
from imageway.engine.ports import Tools, one_chunk
from imageway.engine.results import KeptPicture, KeptResult, pack_result, unpack_result
from imageway.media.conversion import CannotConvert, thumbnail
from imageway.tasks.ops import ReplaceResult
from imageway.tasks.queries import ShowTask, Task
from imageway.telemetry import events, logger


@dataclass(frozen=True, slots=True)
class StoredImages:
    """Every method raises GatewayError: 404 for what is not there and for what is another workspace's, 503 when the
    store fails."""

    tools: Tools
    _making: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def find(self, intent: ShowImage, caller: Caller) -> StoredObject:
        """The object whose bytes are asked for; a small picture is made when it is first wanted. Raises GatewayError:
        410 with when it expired, 400 for an image of which no small picture can be made."""
        task = await self._task(intent.id, caller)
        kept, picture = _named(task, intent.id)
        if picture is None or picture.deleted:
            raise _not_found(intent.id)
        now_ms = self.tools.clock.now_ms()
        if kept.expires_ms <= now_ms:
            raise GatewayError("link_expired", f"this image expired at {moment(kept.expires_ms)}", param="id")
        with _plain_errors():
            stored = await self._stored(picture.name)
            if stored is None:
                raise _not_found(intent.id)
            return await self._small(stored) if intent.thumbnail else stored

    async def delete(self, intent: DeleteImage, caller: Caller) -> ImageDeleted:
        """Its task forgets the image first, then the store does: who repeats this finishes what was cut short."""
        name = await self._forget(intent.id, caller)
        with _plain_errors():
            for each in (name, _small_name(name)):
                await self.tools.objects.delete(each)
        return ImageDeleted(intent.id)

    async def _forget(self, image_id: str, caller: Caller) -> str:
        """Returns the image's name in the store. Another image of the task may be deleted at the same moment: then it
        is read again."""
        while True:
            task = await self._task(image_id, caller)
            kept, picture = _named(task, image_id)
            if picture is None:
                raise _not_found(image_id)
            if picture.deleted:
                return picture.name
            pictures = tuple(replace(one, deleted=True) if one is picture else one for one in kept.pictures)
            left = pack_result(replace(kept, pictures=pictures))
            if isinstance(await self.tools.store.commit(ReplaceResult(task.id, left, task.result)), Committed):
                return picture.name

    async def _task(self, image_id: str, caller: Caller) -> Task:
        task_id = image_id.partition(".")[0].rpartition("-")[0]
        task = await self.tools.store.read(ShowTask(task_id, caller.workspace_id))
        if task is None:
            raise _not_found(image_id)
        return task

    async def _stored(self, name: str) -> StoredObject | None:
        """What lies there and has not expired."""
        found = await self.tools.objects.find(name)
        return found if found is not None and found.expires_ms > self.tools.clock.now_ms() else None

    async def _small(self, stored: StoredObject) -> StoredObject:
        tools, name = self.tools, _small_name(stored.name)
        if (known := await self._stored(name)) is not None:
            return known
        making = self._making.setdefault(name, asyncio.Lock())
        async with making, tools.converting:  # the whole image lies in memory meanwhile
            if (known := await self._stored(name)) is not None:  # made while this waited its turn
                return known
            made = one_chunk(await self._made_small(stored))
            small = await tools.objects.put(name, made, media_type="image/webp", expires_ms=stored.expires_ms)
        if await self._stored(stored.name) is None:  # deleted since; its small picture was not there to be deleted too
            await tools.objects.delete(name)
            raise _not_found(stored.name)
        return small

    async def _made_small(self, stored: StoredObject) -> bytes:
        tools, most_bytes = self.tools, self.tools.settings.convert_bytes
        if stored.size_bytes > most_bytes:
            message = f"no thumbnail is made of more than {most_bytes:,} bytes; this image has {stored.size_bytes:,}"
            raise GatewayError("image_too_large", message, param="id")
        content = b"".join([chunk async for chunk in tools.objects.open(stored.name, 0, stored.size_bytes)])
        try:
            return await tools.workers.run(partial(thumbnail, content))
        except CannotConvert as error:
            raise GatewayError("invalid_image", f"no thumbnail can be made: {error}", param="id") from error


def _named(task: Task, image_id: str) -> tuple[KeptResult, KeptPicture | None]:
    kept = unpack_result(task.result)
    names = (picture for picture in kept.pictures if picture.name)
    return kept, next((one for one in names if image_id in (one.name, one.name.partition(".")[0])), None)


def _small_name(name: str) -> str:
    return f"{name.partition('.')[0]}.thumbnail.webp"


def _not_found(image_id: str) -> GatewayError:
    return GatewayError("not_found", f'there is no image "{printable(image_id)}"', param="id")


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError) as error:
        logger().error(events.MEDIA_FAILED, detail=str(error))
        raise GatewayError("overloaded", "the media store does not answer just now", retry_after_s=1) from error
