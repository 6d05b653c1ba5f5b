"""One picture in this format, and what there is beside it."""

from __future__ import annotations

from imageway.core.blobs import Tree
from imageway.core.intents import Generate, Generated, Intent, Picture, TaskView
from imageway.dialects.openai_images.fields import IDENTIFIER


def item_of(picture: Picture) -> dict[str, Tree]:
    """Only the key that was asked for: clients take the mere presence of the other for content."""
    item: dict[str, Tree] = {"url": picture.url} if picture.blob is None else {"b64_json": picture.blob}
    return item if picture.revised_prompt is None else item | {"revised_prompt": picture.revised_prompt}


def metadata_of(outcome: Generated | TaskView) -> dict[str, Tree]:
    """What there is beside the images: what the model said, and the seed of each."""
    metadata: dict[str, Tree] = {"text": outcome.text} if outcome.text else {}
    if outcome.seeds:
        metadata["seeds"] = list(outcome.seeds)
    return metadata


def identifier_of(intent: Intent, outcome: Generated) -> str | None:
    """Who asked, as the caller wrote it; None where nobody was told, or where he used the older field."""
    request = intent.request if isinstance(intent, Generate) else None
    if request is None or request.user is None or request.param("user") != IDENTIFIER:
        return None
    return None if any(warning.param == IDENTIFIER for warning in outcome.warnings) else request.user
