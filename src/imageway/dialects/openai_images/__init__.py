"""The unified image endpoint, in OpenAI's shape: one path and one field table for every model family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import Dialect, Route
from imageway.dialects.openai_images.decode import decode
from imageway.dialects.openai_images.encode import encode, encode_error
from imageway.dialects.openai_images.events import encode_event
from imageway.dialects.openai_images.fields import TABLE
from imageway.dialects.openai_images.tasks import encode_news
from imageway.dialects.shared.headers import bearer

BODILESS: Final = frozenset(
    {
        "models",
        "model",
        "task",
        "tasks",
        "cancel",
        "events",
        "image",
        "thumbnail",
        "delete_image",
        "azure_models",
        "azure_model",
    }
)
ROUTES: Final = (
    Route("generate", "POST", "/v1/images/generations", "Generate images, or edit those that come along."),
    Route("edit", "POST", "/v1/images/edits", "Edit images.", form=True),
    Route("variation", "POST", "/v1/images/variations", "Variations of an image.", form=True),
    Route("estimate", "POST", "/v1/images/estimate", "What a generation would cost."),
    Route("models", "GET", "/v1/models", "Models this key may use."),
    Route("model", "GET", "/v1/models/{id}", "One model, with its parameters and prices."),
    Route("task", "GET", "/v1/tasks/{id}", "What became of a request."),
    Route("tasks", "GET", "/v1/tasks", "The workspace's requests, newest first."),
    Route("cancel", "POST", "/v1/tasks/{id}/cancel", "Give a request up."),
    Route("events", "GET", "/v1/tasks/{id}/events", "What becomes of a request, as server-sent events."),
    Route("image", "GET", "/v1/images/{id}", "A stored image."),
    Route("thumbnail", "GET", "/v1/images/{id}/thumbnail", "A small picture of a stored image."),
    Route("delete_image", "DELETE", "/v1/images/{id}", "Delete a stored image."),
    # The same API as Azure serves it: a deployment's name is a model's
    Route("deployment_generate", "POST", "/openai/deployments/{deployment}/images/generations", "Generate images."),
    Route("deployment_edit", "POST", "/openai/deployments/{deployment}/images/edits", "Edit images.", form=True),
    Route("azure_generate", "POST", "/openai/v1/images/generations", "Generate images."),
    Route("azure_edit", "POST", "/openai/v1/images/edits", "Edit images.", form=True),
    Route("azure_models", "GET", "/openai/v1/models", "Models this key may use."),
    Route("azure_model", "GET", "/openai/v1/models/{id}", "One model."),
)


def credential(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """`Authorization: Bearer …`, else `x-api-key`, else `api-key`; never out of the query, which ends up in logs."""
    return bearer(headers) or headers.get("x-api-key", "").strip() or headers.get("api-key", "").strip() or None


def schema(route: str) -> Mapping[str, Tree] | None:
    """Every route with a body has the one table."""
    return None if route in BODILESS else TABLE.schema()


DIALECT: Final = Dialect(
    name="openai_images",
    routes=ROUTES,
    credential=credential,
    decode=decode,
    encode=encode,
    encode_error=encode_error,
    encode_event=encode_event,
    prefixes=("/v1/", "/openai/"),
    schema=schema,
    encode_news=encode_news,
)
