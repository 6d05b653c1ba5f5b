"""Images of a task that is followed, as they come: made ready at once, put into the media store where links are wanted,
and told. What is done here is not done again when the task is settled."""

from __future__ import annotations

from dataclasses import dataclass, replace

from imageway.bodies import Scope
from imageway.core.blobs import Blob
from imageway.core.intents import Arrived, Picture, Preview
from imageway.engine.facts import TaskFacts
from imageway.engine.feeds import Feed
from imageway.engine.images import Proved
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

    async def bring(self, image: Proved) -> Proved:
        """The image as it will be delivered, told to whoever follows. What cannot be kept just now is not told:
        settling the task tries again."""
        number, self._begun = self._begun, self._begun + 1
        ready, as_url = None, self.facts.form == "url"
        try:
            ready = await make_ready(self.tools, self.facts, self.scope, image)
            if as_url:
                ready = await put_picture(self.tools, f"{self.facts.task_id}-{number}", ready, self._expiry_ms())
        except OSError as error:
            logger().warning(events.MEDIA_FAILED, detail=str(error))
        else:
            url = self.tools.signer.sign(ready.name, ready.expires_ms) if as_url else None
            self.feed.tell(
                Arrived(
                    image=number,
                    picture=ready.picture(url),
                    model=self.facts.model.id,
                    created_s=self.facts.created_ms // 1000,
                )
            )
        return replace(image, ready=ready)

    def preview(self, blob: Blob, index: int) -> None:
        """A partial of the image that is expected next. What is no image is not shown: nobody pays for it."""
        seen = prove(blob)
        if isinstance(seen, str):
            return
        picture = Picture(media_type=MEDIA_TYPES[seen.format], width=seen.width, height=seen.height, blob=blob)
        self.feed.tell(Preview(image=self._begun, index=index, picture=picture))

    def _expiry_ms(self) -> int:
        """One for all images of a task: what is kept with it knows one."""
        self.expires_ms = self.expires_ms or self.tools.keep_until_ms()
        return self.expires_ms
