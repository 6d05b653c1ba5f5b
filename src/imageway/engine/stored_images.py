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
        _, kept, picture = await self._owned(intent.id, caller)
        if picture.deleted:
            raise _not_found(intent.id)
        now_ms = self.tools.clock.now_ms()
        if kept.expires_ms <= now_ms:
            raise GatewayError("link_expired", f"this image expired at {moment(kept.expires_ms)}", param="id")
        with _plain_errors(intent.id):
            stored = await self._stored(picture.name)
            if stored is None:
                raise _not_found(intent.id)
            return await self._small(stored) if intent.thumbnail else stored

    async def delete(self, intent: DeleteImage, caller: Caller) -> ImageDeleted:
        """The store forgets the image first, then its task does: who repeats this finishes what was cut short."""
        _, _, picture = await self._owned(intent.id, caller)
        if not picture.deleted:
            with _plain_errors(intent.id):
                for name in (picture.name, _small_name(picture.name)):
                    await self.tools.objects.delete(name)
            while not await self._forget(intent.id, caller):
                continue  # another image of the task was deleted at this moment
        return ImageDeleted(intent.id)

    async def _forget(self, image_id: str, caller: Caller) -> bool:
        """False: the task has changed meanwhile."""
        task, kept, picture = await self._owned(image_id, caller)
        now_ms = self.tools.clock.now_ms()
        gone = replace(picture, deleted=True, deleted_ms=now_ms)
        pictures = tuple(gone if one is picture else one for one in kept.pictures)
        left = pack_result(replace(kept, pictures=pictures))
        return isinstance(await self.tools.store.commit(ReplaceResult(task.id, left, task.result)), Committed)

    async def _owned(self, image_id: str, caller: Caller) -> tuple[Task, KeptResult, KeptPicture]:
        """The task whose image it is, with what was kept of it. Raises GatewayError 404."""
        task_id = image_id.partition(".")[0].rpartition("-")[0]
        task = await self.tools.store.read(ShowTask(task_id, caller.workspace_id))
        kept = unpack_result(task.result if task else b"")
        names = (picture for picture in kept.pictures if picture.name)
        picture = next((one for one in names if image_id in (one.name, one.name.partition(".")[0])), None)
        if task is None or picture is None:
            raise _not_found(image_id)
        return task, kept, picture

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


def _small_name(name: str) -> str:
    return f"{name.partition('.')[0]}.thumbnail.webp"


def _not_found(image_id: str) -> GatewayError:
    return GatewayError("not_found", f'there is no image "{printable(image_id)}"', param="id")


@contextmanager
def _plain_errors(image_id: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:  # deleted while it was read
        raise _not_found(image_id) from error
    except (OSError, EOFError) as error:
        logger().error(events.MEDIA_FAILED, detail=str(error))
        raise GatewayError("overloaded", "the media store does not answer just now", retry_after_s=1) from error
