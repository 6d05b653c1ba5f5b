"""Omixa's resale gateway: one path for images with one table of fields for each kind of model, and prices that are told
with every answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import Dialect, Route
from imageway.dialects.omixa.decode import decode
from imageway.dialects.omixa.encode import encode, encode_error
from imageway.dialects.omixa.events import encode_event
from imageway.dialects.omixa.fields import ANY
from imageway.dialects.shared.headers import bearer

ROUTES: Final = (
    Route(
        "generate", "POST", "/api/v1/images/generations", "Images, or edits of those that come along, and their price."
    ),
    Route("models", "GET", "/api/v1/models", "Models this key may use, with their prices."),
)


def credential(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """`Authorization: Bearer …`"""
    return bearer(headers)


def schema(route: str) -> Mapping[str, Tree] | None:
    """Of all tables at once: a document cannot know the model."""
    return ANY.schema() if route == "generate" else None


DIALECT: Final = Dialect(
    name="omixa",
    routes=ROUTES,
    credential=credential,
    decode=decode,
    encode=encode,
    encode_error=encode_error,
    encode_event=encode_event,
    prefixes=("/api/v1/",),
    schema=schema,
)
