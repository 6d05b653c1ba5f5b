"""DashScope's image endpoints: multimodal generation at once, and tasks that are submitted, polled, listed and
cancelled; uploads of local files. Any model of any family answers behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import Dialect, Route
from imageway.dialects.dashscope.decode import EDIT, SLASHED, decode
from imageway.dialects.dashscope.encode import encode
from imageway.dialects.dashscope.errors import encode_error
from imageway.dialects.dashscope.fields import TABLE
from imageway.dialects.dashscope.uploads import PATH
from imageway.dialects.shared.headers import bearer

SERVICES: Final = "/api/v1/services/aigc"
TASKS: Final = "/api/v1/tasks"
GENERATIONS: Final = {
    "generate": f"{SERVICES}/multimodal-generation/generation",
    "submit": f"{SERVICES}/image-generation/generation",
    "text": f"{SERVICES}/text2image/image-synthesis",
    EDIT: f"{SERVICES}/image2image/image-synthesis",
}
ENDS: Final = (("", ""), (SLASHED, "/"))  # one of the official clients puts a slash behind every path of a task
ROUTES: Final = (
    *(Route(name, "POST", path, "Generate or edit images.") for name, path in GENERATIONS.items()),
    *(Route(f"{word}tasks", "GET", TASKS + end, "The workspace's tasks, newest first.") for word, end in ENDS),
    *(Route(f"{word}task", "GET", f"{TASKS}/{{id}}{end}", "One task, with its images.") for word, end in ENDS),
    *(Route(f"{word}cancel", "POST", f"{TASKS}/{{id}}/cancel{end}", "Cancel a waiting task.") for word, end in ENDS),
    Route("grant", "GET", PATH, "A form for a file that requests may name."),
    Route("upload", "POST", PATH, "The form with the file.", form=True, public=True),
)


def credential(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """`Authorization: Bearer …`; never out of the query, which ends up in logs."""
    return bearer(headers)


def schema(route: str) -> Mapping[str, Tree] | None:
    return TABLE.schema() if route in GENERATIONS else None


DIALECT: Final = Dialect(
    name="dashscope",
    routes=ROUTES,
    credential=credential,
    decode=decode,
    encode=encode,
    encode_error=encode_error,
    prefixes=("/api/v1/services/", TASKS, PATH),
    schema=schema,
)
