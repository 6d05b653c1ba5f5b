"""Volcengine Ark's image API as its own client libraries speak it: one path for pictures, edits and groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import Dialect, Route
from imageway.dialects.ark.decode import decode
from imageway.dialects.ark.encode import encode
from imageway.dialects.ark.errors import encode_error
from imageway.dialects.ark.events import encode_event
from imageway.dialects.ark.fields import TABLE
from imageway.dialects.shared.headers import bearer

ROUTES: Final = (
    Route(
        "generate", "POST", "/api/v3/images/generations", "Pictures, edits and groups of pictures, as Ark makes them."
    ),
    Route("models", "GET", "/api/v3/models", "Models this key may use, as Ark lists its own."),
)


HEARTBEAT: Final = b"event:\n"
"""The vendor's Java library takes no comments (its ResponseBodyCallback). An event's empty name stands for none at all
(WHATWG HTML, section 9.2.6), and the next one's own name takes its place."""


def credential(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """`Authorization: Bearer …`. Requests signed with an access key are of the vendor's accounts, not of ours."""
    return bearer(headers)


def schema(route: str) -> Mapping[str, Tree] | None:
    return TABLE.schema() if route == "generate" else None


DIALECT: Final = Dialect(
    name="ark",
    routes=ROUTES,
    credential=credential,
    decode=decode,
    encode=encode,
    encode_error=encode_error,
    encode_event=encode_event,
    heartbeat=HEARTBEAT,
    prefixes=("/api/v3/",),
    schema=schema,
)
