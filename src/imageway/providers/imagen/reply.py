"""What is answered: predictions, those that were filtered out among them, or an error (google-genai, models.py)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.steps import Call, Done, Failed, FailureKind, JsonReply, Produced, Reply, Step
from imageway.providers.fields import at, blob_at, clipped, list_at, text_at, unreadable
from imageway.providers.shared.status import failed

_SUPPORT: Final = re.compile(r"(?:Support codes?|Error Code): (\d{8})")
_BLOCKED: Final = re.compile(r"response is blocked|violated? (?:our|the usage) (?:policies|guidelines)")


def decode(call: Call, memo: Mapping[str, str], reply: Reply) -> Step:
    """Done with the pictures that are there, the filtered ones in `missing`; Failed when there is none."""
    tree = reply.body.tree if isinstance(reply.body, JsonReply) else None
    if isinstance(tree, list):
        tree = at(tree, 0)  # errors may come wrapped in a list of one
    if isinstance(error := at(tree, "error"), dict):
        return _blocked(text_at(error, "message")) or failed(reply, error)
    predictions = list_at(tree, "predictions") if reply.status < 300 else []
    images = tuple(produced for row in predictions if (produced := _produced(row)) is not None)
    missing = tuple(
        _filtered(reason, drawn=True, place=place)
        for place, row in enumerate(predictions)
        if (reason := text_at(row, "raiFilteredReason"))
    )
    if not images:
        return missing[0] if missing else unreadable(reply)
    return Done(images, missing=missing)


def _produced(row: Tree) -> Produced | None:
    image = blob_at(row, "bytesBase64Encoded")
    return None if image is None else Produced(image, text_at(row, "prompt") or None)


def _blocked(message: str) -> Failed | None:
    """A prompt that the vendor refuses is a 400 like any other, but for its words."""
    return _filtered(message) if _BLOCKED.search(message) or _SUPPORT.search(message) else None


def _filtered(reason: str, *, drawn: bool = False, place: int | None = None) -> Failed:
    """By its support code, which names the category (the vendor's page on responsible AI)."""
    code = _SUPPORT.search(reason)
    kind, detail = FailureKind.REFUSED, clipped(reason)
    return Failed(kind, code[1] if code else "filtered", detail, drawn=drawn, place=place)
