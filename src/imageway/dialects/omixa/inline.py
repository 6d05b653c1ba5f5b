"""Input images of the resale gateway: inline, and called what they are. No address is ever asked for an image in this
dialect."""

from __future__ import annotations

from typing import Final

from imageway.bodies import base64_blob
from imageway.core.blobs import Blob, Tree
from imageway.core.requests import ImageData, ImageInput
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.images import LINKS, unread

FORM: Final = '{"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}'
DATA_URL: Final = "a data URL like data:image/png;base64,…"
HOLDERS: Final = ("image_url", "url")
BESIDE: Final = ("type", "detail")
DEPTH: Final = 2


def read_inline(value: Tree, path: str, findings: Findings, depth: int = DEPTH) -> ImageInput:
    """The image at `path`, in the vendor's object or a data URL alone; after a problem was noted, a link to nowhere
    stands in for it."""
    if isinstance(value, dict) and depth:
        present = {name: inner for name, inner in value.items() if inner is not None}
        holder = next((name for name in HOLDERS if name in present), None)
        if holder is not None and not present.keys() - {holder, *BESIDE}:
            return read_inline(present[holder], f"{path}.{holder}", findings, depth - 1)
        findings.wrong(path, value, (FORM,), code="invalid_image")
        return unread(path)
    if isinstance(value, str) and value[:8].lower().startswith(LINKS):
        message = f"{path} is a remote address, and none are fetched here; accepted: {DATA_URL}"
        findings.problem("invalid_image_url", path, message, (DATA_URL,))
        return unread(path)
    found = (base64_blob(value) or value) if isinstance(value, str) and value else value
    if isinstance(found, Blob) and found.declared_type is not None:
        return ImageData(found, path)
    findings.wrong(path, found, (DATA_URL,), code="invalid_image")
    return unread(path)
