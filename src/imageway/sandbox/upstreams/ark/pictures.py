"""The references of a request: URLs or data URLs, their count, formats and pixels."""

from __future__ import annotations

import re

from imageway.sandbox.drawing import Reference, Unreadable
from imageway.sandbox.studio import NotFetched, Studio, split_data_url
from imageway.sandbox.upstreams.ark.checks import Draft
from imageway.sandbox.upstreams.ark.limits import LIMITS, Family
from imageway.sandbox.upstreams.ark.words import Speaker

_DATA_HEAD = re.compile(r"data:image/[a-z0-9.+-]+;base64,")  # an upper-case format is rejected, as documented


class InputReader:
    def __init__(self, studio: Studio, speaker: Speaker) -> None:
        self._studio = studio
        self._speaker = speaker

    async def read(self, value: object, draft: Draft) -> tuple[Reference, ...]:
        """All references of the body's `image`. Raises Refusal."""
        family = draft.model.family
        urls = self._urls(value)
        least, most = family.images
        if urls and not most:
            raise self._speaker.unsupported("image")
        if len(urls) < least:
            raise self._speaker.missing("image")
        if len(urls) > most:
            raise self._speaker.invalid("image", f"number of reference images cannot exceed {most}")
        references = tuple([await self._one(url, family) for url in urls])
        if draft.transparent:
            self._check_transparent(references)
        return references

    def _urls(self, value: object) -> list[str]:
        items = value if isinstance(value, list) else [] if value is None else [value]
        urls = [item for item in items if isinstance(item, str)]
        if len(urls) != len(items):
            raise self._speaker.invalid("image", "expected a string or an array of strings")
        if "" in urls:
            raise self._speaker.refusal("InvalidImageURL.EmptyURL", "The image URL is empty.", "image")
        return urls

    async def _one(self, url: str, family: Family) -> Reference:
        content = await self._content(url)
        if len(content) > family.file_bytes:
            raise self._speaker.invalid("image", f"image size exceeds the limit of {family.file_bytes >> 20}MB")
        try:
            reference = await self._studio.read(content)
        except Unreadable as error:
            raise self._speaker.invalid("image", "the image cannot be decoded") from error
        if reference.format not in family.image_formats:
            raise self._speaker.invalid("image", f"image format {reference.format} is not supported")
        self._check_pixels(reference, family)
        return reference

    async def _content(self, url: str) -> bytes:
        if url[:5].lower() == "data:":
            split = split_data_url(url) if _DATA_HEAD.match(url) else None
            if split is None:
                message = "The image data URL is not valid: expected data:image/<lowercase format>;base64,<content>."
                raise self._speaker.refusal("InvalidImageURL.InvalidFormat", message, "image")
            return split[1]
        if not url.startswith(("http://", "https://")):
            raise self._speaker.refusal("InvalidImageURL.InvalidFormat", "The image URL is not valid.", "image")
        try:
            return await self._studio.fetch(url)
        except NotFetched as error:
            why = f"error while downloading: {url[:200]}, status code: {error.status}"
            raise self._speaker.invalid("image", why) from error

    def _check_pixels(self, reference: Reference, family: Family) -> None:
        width, height = reference.width, reference.height
        ratio = 3 if family.ratio == 3 else 16
        if min(width, height) < LIMITS["image_min_edge"]:
            raise self._speaker.invalid("image", "image width and height must be greater than 14 pixels")
        if width * height > LIMITS["image_pixels"]:
            raise self._speaker.invalid("image", f"image must have at most {LIMITS['image_pixels']} pixels")
        if max(width, height) > ratio * min(width, height):
            raise self._speaker.invalid("image", f"image aspect ratio must be between 1/{ratio} and {ratio}")

    def _check_transparent(self, references: tuple[Reference, ...]) -> None:
        if len(references) != 1:
            raise self._speaker.invalid("background", "transparent background requires exactly one input image")
        if references[0].format != "png" or not references[0].transparent:
            why = "transparent background requires a PNG input with at least one transparent pixel"
            raise self._speaker.invalid("image", why)
