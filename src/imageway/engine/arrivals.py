"""Images of a task that is followed, as they come: made ready at once, put into the media store where links are wanted,
and told. What is done here is not done again when the task is settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from imageway.bodies import Scope
from imageway.core.blobs import Blob
from imageway.core.errors import GatewayError
from imageway.core.intents import Arrived, Generated, Picture, Preview
from imageway.engine.facts import TaskFacts
from imageway.engine.feeds import Feed
from imageway.engine.images import Proved, Ready
from imageway.engine.pictures import make_ready, put_picture
from imageway.engine.ports import Tools
from imageway.media.proofs import MEDIA_TYPES, prove
from imageway.telemetry import events, logger


@dataclass(slots=True)
class Arrivals:
    """Of one task, all its parts. `expires_ms`: when the stored ones go, all at once; 0 before the first."""

    tools: Tools
    facts: TaskFacts
    scope: Scope
    feed: Feed
    expires_ms: int = 0
    _begun: int = 0
    _told: int = 0

    async def bring(self, image: Proved, place: int) -> Proved:
        """The image as it will be delivered, told to whoever follows. What cannot be kept just now is not told:
        settling the task tries again."""
        name, ready = f"{self.facts.task_id}-{self._begun}", None
        self._begun += 1
        try:
            ready = await make_ready(self.tools, self.facts, self.scope, image)
            if self.facts.form == "url":
                ready = await put_picture(self.tools, name, ready, self._expiry_ms())
        except OSError as error:
            logger().warning(events.MEDIA_FAILED, detail=str(error))
            return replace(image, ready=ready)
        url = self.tools.signer.sign(ready.name, ready.expires_ms) if ready.name else None
        self._tell(ready.picture(url), place)
        return replace(image, ready=replace(ready, told=True))

    def finish(self, pictures: Sequence[Ready], answer: Generated | GatewayError) -> None:
        """The end, before which every image of the answer is told: those that were settled without having been."""
        if isinstance(answer, Generated):
            for ready, picture in zip(pictures, answer.pictures, strict=True):
                if not ready.told:
                    self._tell(picture, None)
        self.feed.end()

    def preview(self, blob: Blob, index: int) -> None:
        """A partial of the image that is expected next. What is no image is not shown: nobody pays for it."""
        seen = prove(blob)
        if isinstance(seen, str):
            return
        picture = Picture(media_type=MEDIA_TYPES[seen.format], width=seen.width, height=seen.height, blob=blob)
        created_s = self.facts.created_ms // 1000
        self.feed.tell(Preview(image=self._told, index=index, picture=picture, created_s=created_s))

    def _tell(self, picture: Picture, place: int | None) -> None:
        facts, created_s = self.facts, self.facts.created_ms // 1000
        event = Arrived(image=self._told, picture=picture, model=facts.model.id, created_s=created_s, place=place)
        self._told += 1
        self.feed.tell(event)

    def _expiry_ms(self) -> int:
        """One for all images of a task: what is kept with it knows one."""
        self.expires_ms = self.expires_ms or self.tools.keep_until_ms(self.facts.keep_images_s)
        return self.expires_ms
