"""Google's generateContent as AI Studio and Vertex AI serve it, and their lists of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import Dialect, Route
from imageway.dialects.gemini.decode import decode
from imageway.dialects.gemini.encode import encode, encode_error, encode_event
from imageway.dialects.gemini.fields import TABLE
from imageway.dialects.shared.cloud import HOUSES, credential

CARRIERS: Final = ("x-goog-api-key", "?key")  # without one, a shared path is another dialect's
PREFIXES: Final = ("/v1beta/", "/v1beta1/", "/v1/projects/", "/v1/publishers/", "/upload/v1beta/", "/upload/v1/")


def _routes(house: str, place: str) -> tuple[Route, ...]:
    """The list that comes without `alt=sse` is the same stream in one piece."""
    model = f"{place}/models/{{model}}"
    carriers = CARRIERS if house == "v1" else ()
    return (
        Route(f"{house}.generate", "POST", f"{model}:generateContent", "Images from a conversation."),
        Route(f"{house}.stream", "POST", f"{model}:streamGenerateContent", "The same as events.", ("?alt",)),
        Route(f"{house}.count", "POST", f"{model}:countTokens", "Refused: no tokens are counted here."),
        Route(f"{house}.list", "POST", f"{model}:streamGenerateContent", "The same as a list."),
        Route(f"{house}.models", "GET", f"{place}/models", "The models served here.", carriers),
        Route(f"{house}.model", "GET", model, "One model.", carriers),
    )


def schema(route: str) -> Mapping[str, Tree] | None:
    return None if route.endswith((".models", ".model", ".count")) else TABLE.schema()


DIALECT: Final = Dialect(
    name="gemini",
    routes=tuple(route for house, place in HOUSES.items() for route in _routes(house, place)),
    credential=credential,
    decode=decode,
    encode=encode,
    encode_error=encode_error,
    encode_event=encode_event,
    heartbeat=b"\r\n\r\n",  # the official client library takes a comment for JSON
    line_end=b"\r\n",
    prefixes=PREFIXES,
    schema=schema,
)
