"""What an error in a google.rpc.Status means: by its details, its words and its status (google/rpc/status.proto,
error_details.proto)."""

from __future__ import annotations

import re
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.steps import Failed, FailureKind, Reply
from imageway.providers.fields import count_at, duration_s, failure, kind_of_status, list_at, text_at

DENIALS: Final = frozenset(
    {
        "API_KEY_INVALID",
        "API_KEY_EXPIRED",
        "API_KEY_SERVICE_BLOCKED",
        "SERVICE_DISABLED",
        "BILLING_DISABLED",
        "CONSUMER_INVALID",
        "CONSUMER_SUSPENDED",
    }
)
"""`google.rpc.ErrorInfo` reasons that concern the credential, whatever the HTTP status (a bad key is a 400)."""

_NO_QUOTA: Final = re.compile(r"limit: 0\b")
_BAD_KEY: Final = re.compile(r"API key (?:not valid|expired)")


def failed(reply: Reply, error: Tree) -> Failed:
    details = list_at(error, "details")
    message = text_at(error, "message")
    reason = next(filter(None, (text_at(detail, "reason") for detail in details)), "")
    code = reason or text_at(error, "status") or f"http_{reply.status}"
    status = reply.status if reply.status >= 400 else count_at(error, "code")  # in a stream it comes too late
    found = failure(_kind(status or reply.status, error, reason), code, message, reply.headers)
    if found.kind is not FailureKind.BUSY or found.retry_after_s is not None:
        return found
    delays = (duration_s(text_at(detail, "retryDelay")) for detail in details)
    return Failed(found.kind, code, found.detail, next((delay for delay in delays if delay is not None), None))


def _kind(status: int, error: Tree, reason: str) -> FailureKind:
    message = text_at(error, "message")
    if reason in DENIALS or _BAD_KEY.match(message) or text_at(error, "status") == "FAILED_PRECONDITION":
        return FailureKind.DENIED  # the last: a region or an account without billing
    if status == 429 and (_NO_QUOTA.search(message) or any(map(_is_sold_out, list_at(error, "details")))):
        return FailureKind.DENIED
    return kind_of_status(status)


def _is_sold_out(detail: Tree) -> bool:
    """A quota that waiting does not refill: the free tier has none for images."""
    return any(
        text_at(violation, "quotaId").endswith("FreeTier") or text_at(violation, "quotaValue") == "0"
        for violation in list_at(detail, "violations")
    )
