"""The input pictures of an edit: files of a form, or references in JSON; their kinds, counts, sizes, mask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from imageway.sandbox.drawing import Reference, Unreadable
from imageway.sandbox.multipart import Part
from imageway.sandbox.orders import Refusal
from imageway.sandbox.studio import NotFetched, Studio, split_data_url
from imageway.sandbox.upstreams.openai.limits import LIMITS
from imageway.sandbox.upstreams.openai.words import USER_ERROR, Complaint

ACCEPTED = ("image/jpeg", "image/png", "image/webp")


@dataclass(frozen=True, slots=True)
class Inputs:
    images: tuple[Reference, ...]
    mask: Reference | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One picture before it is decoded. `param` is its place in the provider's errors."""

    param: str
    content: bytes
    media_type: str


class InputReader:
    def __init__(self, studio: Studio, complaint: Complaint) -> None:
        self._studio = studio
        self._complaint = complaint

    async def from_form(self, parts: list[Part]) -> Inputs:
        """Files may be named `image` or `image[]`, once or often; `mask` and `markup` once, never both."""
        files = [part for part in parts if re.fullmatch(r"image(\[\d*\])?", part.name)]
        overlays = [part for part in parts if part.name in ("mask", "markup")]
        images = [self._file(part, f"image[{i}]" if len(files) > 1 else "image") for i, part in enumerate(files)]
        return await self._all(images, [self._file(part, part.name) for part in overlays])

    async def from_json(self, body: Mapping[str, object]) -> Inputs:
        images = body.get("images")
        if not isinstance(images, list):
            raise self._complaint.missing("images")
        sources = [await self._linked(item, f"images[{i}]") for i, item in enumerate(images)]
        overlays = [await self._linked(body[name], name) for name in ("mask", "markup") if body.get(name) is not None]
        return await self._all(sources, overlays)

    async def _all(self, images: list[Source], overlays: list[Source]) -> Inputs:
        if not images:
            raise self._complaint.missing("image")
        if len(images) > LIMITS["edit_images"]:
            message = (
                f"Invalid 'image': array too long. Expected an array with maximum length {LIMITS['edit_images']}, but "
                f"got an array with length {len(images)} instead."
            )
            raise self._complaint.of(message, param="image", code="array_above_max_length")
        if len(overlays) > 1:
            raise self._complaint.of("'mask' and 'markup' cannot be combined.", param="markup", code="invalid_value")
        references = tuple([await self._decode(source) for source in images])
        overlay = await self._overlay(overlays[0], references[0]) if overlays else None
        if overlay is not None and overlays[0].param == "markup":
            return Inputs((*references, overlay))
        return Inputs(references, overlay)

    def _file(self, part: Part, param: str) -> Source:
        media_type = part.media_type or "application/octet-stream"
        if media_type not in ACCEPTED:
            raise self._unsupported(param, media_type)
        if len(part.content) >= LIMITS["edit_file_bytes"]:
            message = f"Invalid file '{param}': file too large. The maximum file size is 50MB."
            raise self._complaint.of(message, param=param, code="file_too_large")
        return Source(param, part.content, media_type)

    def _unsupported(self, param: str, media_type: str) -> Refusal:
        message = (
            f"Invalid file '{param}': unsupported mimetype ('{media_type}'). Supported file formats are 'image/jpeg', "
            "'image/png', and 'image/webp'."
        )
        return self._complaint.of(message, param=param, code="unsupported_file_mimetype")

    async def _linked(self, item: object, param: str) -> Source:
        """Exactly one of image_url and file_id; no file was ever uploaded here."""
        if not isinstance(item, dict) or not item:
            raise self._complaint.wrong_type(param, wanted="an object", got="something else")
        if unknown := next((key for key in item if key not in ("image_url", "file_id")), None):
            raise self._complaint.unknown(f"{param}.{unknown}")
        if len(item) != 1:
            message = f"Exactly one of '{param}.image_url' and '{param}.file_id' must be given."
            raise self._complaint.of(message, param=param, code="invalid_value")
        if "file_id" in item:
            message = f"No such File object: {item['file_id']}"
            raise self._complaint.of(message, param=f"{param}.file_id", code="invalid_value")
        url = item["image_url"]
        if not isinstance(url, str) or len(url) > LIMITS["image_url_chars"]:
            message = f"Invalid '{param}.image_url': expected a URL of at most {LIMITS['image_url_chars']} characters."
            raise self._complaint.of(message, param=f"{param}.image_url", code="invalid_value")
        return await self._follow(url, f"{param}.image_url")

    async def _follow(self, url: str, param: str) -> Source:
        if url[:5].lower() == "data:":
            split = split_data_url(url)
            if split is None:
                raise self._invalid(param)
            media_type, content = split
            if media_type.lower() not in ACCEPTED:
                raise self._unsupported(param, media_type)
            return Source(param, content, media_type.lower())
        try:
            return Source(param, await self._studio.fetch(url), "image/png")
        except NotFetched as error:
            message = f"Error while downloading file. Upstream status code: {error.status}."
            raise self._complaint.of(message, param="url", code="invalid_value") from error

    async def _decode(self, source: Source) -> Reference:
        try:
            reference = await self._studio.read(source.content)
        except Unreadable as error:
            raise self._invalid(source.param) from error
        if f"image/{reference.format}" not in ACCEPTED:
            raise self._unsupported(source.param, f"image/{reference.format}")
        return reference

    async def _overlay(self, source: Source, first: Reference) -> Reference:
        """Masks are PNGs with an alpha channel, as large as the first picture."""
        overlay = await self._decode(source)
        if (overlay.width, overlay.height) != (first.width, first.height):
            raise self._bad_mask("mask size does not match image size", source.param)
        if overlay.format != "png" or not overlay.has_alpha:
            raise self._bad_mask("mask must be a PNG with an alpha channel", source.param)
        return overlay

    def _bad_mask(self, why: str, param: str) -> Refusal:
        message = f"Invalid mask image format - {why}"
        return self._complaint.of(message, param=param, code="invalid_mask_image_format", kind=USER_ERROR)

    def _invalid(self, param: str) -> Refusal:
        return self._complaint.of("Invalid image data.", param=param, code="invalid_image_file", kind=USER_ERROR)
