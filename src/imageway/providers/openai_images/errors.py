"""What an error means, by its code, else its type, else the HTTP status (openai-openapi; Azure's own codes beside)."""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from imageway.core.blobs import Tree
from imageway.core.steps import Failed, FailureKind, Reply
from imageway.providers.fields import failure, kind_of_status, text_at

KINDS: Final[dict[str, FailureKind]] = {
    "invalid_api_key": FailureKind.DENIED,
    "insufficient_quota": FailureKind.DENIED,
    "billing_hard_limit_reached": FailureKind.DENIED,
    "billing_not_active": FailureKind.DENIED,
    "organization_not_verified": FailureKind.DENIED,
    "model_not_found": FailureKind.DENIED,
    "DeploymentNotFound": FailureKind.DENIED,
    "rate_limit_exceeded": FailureKind.BUSY,
    "RateLimitReached": FailureKind.BUSY,
    "moderation_blocked": FailureKind.REFUSED,
    "content_policy_violation": FailureKind.REFUSED,
    "content_filter": FailureKind.REFUSED,
    "contentFilter": FailureKind.REFUSED,
}
"""`error.code`, else `error.type` → kind; what is not here goes by the HTTP status."""

OF_OUTPUT: Final = frozenset({"contentFilter"})  # of a picture that was there, at one of the vendor's houses

_ABOUT_THE_REQUEST: Final = frozenset({"invalid_request_error", "image_generation_user_error"})
_KEY_IN_WORDS: Final = re.compile(r"(?<=provided: )\S+")


def failed(reply: Reply, error: Tree, status: int | None = None) -> Failed:
    """`status`: what the answer's own would have been, where that was sent before anything went wrong."""
    code, kind_word = text_at(error, "code"), text_at(error, "type")
    message = text_at(error, "message")
    kind = KINDS.get(code) or KINDS.get(kind_word) or _kind(status or reply.status, error, message)
    if kind is FailureKind.DENIED:
        message = _KEY_IN_WORDS.sub("…", message)  # the vendor repeats the key it was shown
    found = failure(kind, code or kind_word or f"http_{reply.status}", message, reply.headers)
    drawn = text_at(error, "moderation_details", "moderation_stage") == "output" or code in OF_OUTPUT
    return replace(found, drawn=True) if drawn and kind is FailureKind.REFUSED else found


def failed_event(reply: Reply, error: Tree) -> Failed:
    """An error inside of a stream: its type says whose fault it is."""
    if reply.status >= 400:
        return failed(reply, error)
    return failed(reply, error, 400 if text_at(error, "type") in _ABOUT_THE_REQUEST else 500)


def _kind(status: int, error: Tree, message: str) -> FailureKind:
    if status in (502, 504):
        return FailureKind.UNKNOWN  # relays of this format say so when they lost their own upstream
    if status == 404 and text_at(error, "param"):
        return FailureKind.INVALID  # a file the request named, not the model
    if status == 400 and "safety system" in message:
        return FailureKind.REFUSED
    return kind_of_status(status)
