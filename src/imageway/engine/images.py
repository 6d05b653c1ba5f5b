"""An image on its way through the engine: looked at, then made ready for whoever asked."""

from __future__ import annotations

from msgspec import Struct

from imageway.core.blobs import Blob, ImageFacts
from imageway.core.intents import Picture
from imageway.core.requests import RequestWarning


class Ready(Struct, frozen=True):
    """A picture as it will be delivered. `name` in the media store until `expires_ms`; empty while it lies in the spool
    alone. `warning`: what became of the format that was asked for. `told`: whoever follows its task knows of it."""

    blob: Blob
    media_type: str
    width: int
    height: int
    revised_prompt: str | None
    signature: Blob | str | None = None
    warning: RequestWarning | None = None
    name: str = ""
    expires_ms: int = 0
    told: bool = False

    def picture(self, url: str | None) -> Picture:
        """What its caller gets: the link, where there is one, else the bytes."""
        return Picture(
            media_type=self.media_type,
            width=self.width,
            height=self.height,
            blob=self.blob if url is None else None,
            url=url,
            revised_prompt=self.revised_prompt,
            signature=self.signature,
        )


class Proved(Struct, frozen=True):
    """An image that was looked at. `ready`: it was made ready at once, for somebody who follows its task. `compressed`:
    its provider was told to what quality."""

    blob: Blob
    facts: ImageFacts
    revised_prompt: str | None = None
    signature: Blob | str | None = None
    ready: Ready | None = None
    compressed: bool = False
