"""What a workspace has set for all of its requests: other names for models, and values where a request says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from imageway.catalog.parameters import as_text
from imageway.catalog.schema import Model, Parameter
from imageway.core.access import WorkspaceSettings
from imageway.core.intents import Form, Generate
from imageway.core.requests import Caller, ImageRequest

_FORMS: Final[dict[str | None, Form]] = {"b64": "b64_json", "url": "url"}


def meant(caller: Caller, name: str) -> str:
    """The model's name that the caller's workspace has set for the one he wrote. It counts before any other."""
    return caller.settings.aliases.get(name, name)


def form_of(intent: Generate, settings: WorkspaceSettings, model: Model) -> Form:
    return intent.form or _FORMS.get(settings.form) or model.form


def as_set(model: Model, settings: WorkspaceSettings, request: ImageRequest) -> ImageRequest:
    """With the workspace's own values where the request has none, as far as the model takes them beside what the
    request does say."""
    mark = settings.watermark
    if mark is None or request.watermark is not None or "watermark" not in model.parameters:
        return request
    needed = {row.needs["watermark"] for row in _asked(model, request) if "watermark" in row.needs}
    return replace(request, watermark=mark) if needed <= {as_text(mark)} else request


def _asked(model: Model, request: ImageRequest) -> Iterator[Parameter]:
    """The model's rows of what the request says."""
    return (row for name, row in model.parameters.items() if getattr(request, name, None) is not None)
