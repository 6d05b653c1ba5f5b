"""Streams as Ark sends them: an event for every image as it comes, one for each that did not, then usage and [DONE].

Finished carries all images again; those have had their events when they arrived."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import Arrived, Broken, Event, Finished, Generate, Generated, Preview
from imageway.core.streams import StreamEvent
from imageway.dialects.ark.encode import item_of, usage_of
from imageway.dialects.ark.errors import error_of, item_error
from imageway.dialects.shared.answers import in_place, warnings_list

SUCCEEDED: Final = "image_generation.partial_succeeded"
FAILED: Final = "image_generation.partial_failed"
COMPLETED: Final = "image_generation.completed"
DONE: Final = StreamEvent("[DONE]")


def encode_event(intent: Generate, event: Event) -> tuple[StreamEvent, ...]:
    """Previews have no place here. A stream that broke ends with `{"error"}`, an event without a name."""
    match event:
        case Arrived():
            return (_succeeded(event),)
        case Finished(generated=generated):
            return (*_all_failed(generated), _completed(intent, generated), DONE)
        case Broken():
            return (StreamEvent({"error": error_of(event.error, event.request_id)}),)
        case Preview():
            return ()


def _succeeded(event: Arrived) -> StreamEvent:
    body: dict[str, Tree] = {
        "type": SUCCEEDED,
        "model": event.model,
        "created": event.created_s,
        "image_index": event.image if event.place is None else event.place,
        **item_of(event.picture),
    }
    return StreamEvent(body, SUCCEEDED)


def _all_failed(generated: Generated) -> Iterator[StreamEvent]:
    """Each under the number it would have had."""
    lost: list[tuple[int | None, Tree]] = [(each.place, item_error(each)) for each in generated.missing]
    for index, error in enumerate(in_place([None] * len(generated.pictures), lost)):
        if error is not None:
            yield _failed(generated, index, error)


def _failed(generated: Generated, index: int, error: Tree) -> StreamEvent:
    body: dict[str, Tree] = {
        "type": FAILED,
        "model": generated.model,
        "created": generated.created_s,
        "image_index": index,
        "error": error,
    }
    return StreamEvent(body, FAILED)


def _completed(intent: Generate, generated: Generated) -> StreamEvent:
    body: dict[str, Tree] = {
        "type": COMPLETED,
        "model": generated.model,
        "created": generated.created_s,
        "usage": usage_of(intent, generated),
    }
    if generated.warnings:  # some are known only now, when the headers have left
        body["warnings"] = warnings_list(generated.warnings)
    return StreamEvent(body, COMPLETED)
