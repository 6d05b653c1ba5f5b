"""The unified image endpoint, in OpenAI's shape: one path and one field table for every model family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import Dialect, Route
from imageway.dialects.openai_images.decode import decode
from imageway.dialects.openai_images.encode import encode, encode_error
from imageway.dialects.openai_images.fields import TABLE
from imageway.dialects.shared.headers import bearer

ROUTES: Final = (
    Route("generate", "POST", "/v1/images/generations"),
    Route("edit", "POST", "/v1/images/edits"),
    Route("estimate", "POST", "/v1/images/estimate"),
    Route("models", "GET", "/v1/models"),
    Route("model", "GET", "/v1/models/{id}"),
    Route("task", "GET", "/v1/tasks/{id}"),
)


def credential(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """`Authorization: Bearer …`, else `x-api-key`, else `api-key`; never out of the query, which ends up in logs."""
    return bearer(headers) or headers.get("x-api-key", "").strip() or headers.get("api-key", "").strip() or None


def schema(route: str) -> Mapping[str, Tree] | None:
    """Every route with a body has the one table."""
    return TABLE.schema() if route in ("generate", "edit", "estimate") else None


DIALECT: Final = Dialect(
    name="openai_images",
    routes=ROUTES,
    credential=credential,
    decode=decode,
    encode=encode,
    encode_error=encode_error,
    schema=schema,
)
