"""Input images in every spelling callers use: data URL, http(s) URL, base64, and the objects that wrap one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from imageway.bodies import base64_blob
from imageway.core.blobs import Blob, Tree
from imageway.core.requests import ImageData, ImageInput, ImageLink, ImageRequest, MaskForm
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.kinds import IMAGE_FORMS

PARTS: Final = ("image", "image_url", "inlineData", "inline_data", "fileData", "file_data")  # may stand beside a text
HOLDERS: Final = (*PARTS, "url", "data", "fileUri", "file_uri")
# Keys beside an image that say nothing the bytes do not say better.
BESIDE: Final = ("type", "mimeType", "mime_type", "displayName", "display_name", "detail")
UPLOADS: Final = "oss://"  # before the name of what the caller uploaded
LINKS: Final = ("http://", "https://", UPLOADS)
DEPTH: Final = 3  # list item → image_url → url


def read_images(value: Tree, path: str, findings: Findings) -> tuple[ImageInput, ...]:
    """One image or a list of them, in the order written."""
    if value is None:
        return ()
    if not isinstance(value, list):
        return (read_image(value, path, findings),)
    present = ((index, item) for index, item in enumerate(value) if item is not None)
    return tuple(read_image(item, f"{path}[{index}]", findings) for index, item in present)


def uploads_in(request: ImageRequest) -> Iterator[ImageLink]:
    """The images that are named by what the caller uploaded."""
    for image in (*request.images, request.mask):
        if isinstance(image, ImageLink) and image.url.lower().startswith(UPLOADS):
            yield image


def read_image(value: Tree, path: str, findings: Findings, depth: int = DEPTH) -> ImageInput:
    """The image at `path`; after a problem was noted, a link to nowhere stands in for it."""
    match value:
        case str():
            return _spelled_out(value, path, findings)
        case dict() if depth:
            return _unwrapped(value, path, findings, depth)
        case Blob():
            return ImageData(value, path)
    findings.wrong(path, value, IMAGE_FORMS, code="invalid_type")
    return unread(path)


def unread(path: str) -> ImageLink:
    """Stands in for an image that could not be read, or was forgotten, in what is left of a request to be judged."""
    return ImageLink("", path)


def by_light(mask: ImageInput) -> ImageInput:
    """A mask whose light pixels say where to paint, as most formats have them."""
    return replace(mask, marks=MaskForm.LIGHT)


def _spelled_out(text: str, path: str, findings: Findings) -> ImageInput:
    if text[:8].lower().startswith(LINKS):
        return ImageLink(text, path)
    blob = base64_blob(text) if text else None
    if blob is None:
        findings.wrong(path, text, IMAGE_FORMS, code="invalid_image")
        return unread(path)
    return ImageData(blob, path)


def _unwrapped(value: dict[str, Tree], path: str, findings: Findings, depth: int) -> ImageInput:
    present = {name: inner for name, inner in value.items() if inner is not None}
    keys = [name for name in HOLDERS if name in present]
    if "file_id" in present:
        path = f"{path}.file_id"
        findings.problem("parameter_not_supported", path, f"{path} names a file, and none are kept here: use image_url")
    elif len(keys) != 1:
        message = f"{path} must hold exactly one image, like {{image_url}} with a URL or a data URL"
        findings.problem("invalid_image", path, message, IMAGE_FORMS)
    else:
        findings.unknown(present, (keys[0], *BESIDE), path)
        return read_image(present[keys[0]], f"{path}.{keys[0]}", findings, depth - 1)
    return unread(path)
