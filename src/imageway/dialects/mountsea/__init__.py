"""MountSea's task gateway: a generation is submitted, and polled until it is there. Two families of paths, an older one
for three models and a newer one for any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import Dialect, Route
from imageway.dialects.mountsea.decode import decode
from imageway.dialects.mountsea.encode import encode
from imageway.dialects.mountsea.errors import encode_error
from imageway.dialects.mountsea.fields import GENERATION, HUB
from imageway.dialects.shared.headers import bearer

ROUTES: Final = (
    Route("generate", "POST", "/gemini/image/generate", "Submit an image, or an edit of those that are linked."),
    Route("result", "GET", "/gemini/task/result", "What became of a task."),
    Route("hub", "POST", "/hub/v1/image", "Submit images of any model."),
    Route("task", "GET", "/hub/v1/tasks/{task_id}", "What became of a task."),
)
TABLES: Final = {"generate": GENERATION, "hub": HUB}


def credential(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """`Authorization: Bearer …`"""
    return bearer(headers)


def schema(route: str) -> Mapping[str, Tree] | None:
    return TABLES[route].schema() if route in TABLES else None


DIALECT: Final = Dialect(
    name="mountsea",
    routes=ROUTES,
    credential=credential,
    decode=decode,
    encode=encode,
    encode_error=encode_error,
    prefixes=("/gemini/", "/hub/v1/"),
    schema=schema,
)
