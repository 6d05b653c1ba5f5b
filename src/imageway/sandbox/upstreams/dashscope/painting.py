"""Reads the inputs of an accepted body and draws its pictures; how they are wrapped is not decided here."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from imageway.sandbox.drawing import Reference, Sketch, Unreadable
from imageway.sandbox.studio import NotFetched, Studio, split_data_url
from imageway.sandbox.upstreams.dashscope.checks import Draft
from imageway.sandbox.upstreams.dashscope.limits import LIMITS, Pixels
from imageway.sandbox.upstreams.dashscope.uploads import SCHEME, UploadDesk
from imageway.sandbox.upstreams.dashscope.words import Speaker

WATERMARK = "Qwen-Image"
NOT_DOWNLOADED = "Failed to download the input file."


@dataclass(frozen=True, slots=True)
class Ticket:
    """An accepted request: what to draw from what, in which pixels, and where answers by URL point."""

    draft: Draft
    references: tuple[Reference, ...]
    origin: str

    @property
    def pixels(self) -> Pixels:
        return self.draft.pixels(self.references)

    def without_pixels(self) -> Ticket:
        """What answers tell of it."""
        return replace(self, references=tuple(reference.without_pixels() for reference in self.references))


class Painter:
    def __init__(self, studio: Studio, speaker: Speaker, uploads: UploadDesk) -> None:
        self._studio = studio
        self._speaker = speaker
        self._uploads = uploads

    async def read(self, urls: tuple[str, ...], owner: str) -> tuple[Reference, ...]:
        """`owner`: whose uploads may be named; "": nobody's. Raises Refusal."""
        return tuple([await self._reference(url, owner) for url in urls])

    async def _reference(self, url: str, owner: str) -> Reference:
        content = await self._content(url, owner)
        if len(content) > LIMITS["file_bytes"]:
            raise self._speaker.invalid("The size of the input image must not exceed 10MB.")
        try:
            reference = await self._studio.read(content)
        except Unreadable as error:
            raise self._speaker.invalid("The image format is illegal and cannot be opened.") from error
        if reference.format not in LIMITS["image_formats"]:
            raise self._speaker.refusal(415, "UnsupportedFileFormat", "The file format is not supported.")
        return reference

    async def _content(self, url: str, owner: str) -> bytes:
        if url[:5].lower() == "data:":
            split = split_data_url(url)
            if split is None:
                raise self._speaker.refusal(400, "InvalidURL", "The data URL of the input image is not valid.")
            return split[1]
        if url.startswith(SCHEME) and owner:
            uploaded = await self._uploads.content(url, owner)
            if uploaded is None:
                raise self._speaker.refusal(415, "BadRequest.InputDownloadFailed", NOT_DOWNLOADED)
            return uploaded
        if not url.startswith(("http://", "https://")):
            raise self._speaker.refusal(
                400, "InvalidURL", "Required URL is missing or invalid, please check the request URL."
            )
        try:
            return await self._studio.fetch(url)
        except NotFetched as error:
            raise self._speaker.refusal(415, "BadRequest.InputDownloadFailed", NOT_DOWNLOADED) from error

    async def draw(self, ticket: Ticket, lost: int = 0) -> list[str]:
        """The URLs of all pictures but the last ones that are lost."""
        return await asyncio.gather(*(self._one(ticket, number) for number in range(ticket.draft.count - lost)))

    async def _one(self, ticket: Ticket, number: int) -> str:
        draft, (width, height) = ticket.draft, ticket.pixels
        seed = self._studio.pick_seed() if draft.seed is None else draft.seed + number
        sketch = Sketch(
            prompt=draft.prompt,
            width=width,
            height=height,
            seed=seed,
            references=ticket.references,
            watermark=WATERMARK if draft.watermark else None,
        )
        path = await self._studio.shelf.put(await self._studio.draw(sketch), "png")
        signature = {"Expires": int(time.time()) + 86_400, "OSSAccessKeyId": "sandbox"}
        return f"{ticket.origin}{path}?{urlencode(signature | {'Signature': self._studio.token(28)})}"
