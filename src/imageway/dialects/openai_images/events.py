"""Streams in this format (openai-openapi: ImageGenPartialImageEvent and its like): previews while an image is drawn,
then every image whole. These leave once they are paid for; the last event carries the usage."""

from __future__ import annotations

from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import Arrived, Broken, Event, Finished, Generate, Generated, Picture, Preview
from imageway.core.requests import Operation
from imageway.core.steps import Settled, Usage
from imageway.core.streams import StreamEvent
from imageway.dialects.openai_images.encode import error_of, usage_of
from imageway.dialects.openai_images.items import identifier_of, item_of, metadata_of
from imageway.dialects.shared.answers import warnings_list

_NOTHING: Final = Usage()


def encode_event(intent: Generate, event: Event) -> tuple[StreamEvent, ...]:
    """`image_generation.*` or, where input images came, `image_edit.*`; `error` for a stream that broke."""
    prefix = "image_generation" if intent.request.operation is Operation.GENERATE else "image_edit"
    match event:
        case Preview():
            name = f"{prefix}.partial_image"
            counted: dict[str, Tree] = {"created_at": event.created_s, "partial_image_index": event.index}
            shown = _shown(intent, event.picture, None) | counted
            return (StreamEvent({"type": name, **item_of(event.picture), **shown}, name),)
        case Arrived():
            return ()
        case Finished():
            return _completed(intent, event.generated, f"{prefix}.completed")
        case Broken():
            return (StreamEvent({"type": "error", "error": error_of(event.error, event.request_id)}, "error"),)


def _completed(intent: Generate, generated: Generated, name: str) -> tuple[StreamEvent, ...]:
    """Clients add usage up over events: it is told once, with the last image."""
    last = len(generated.pictures) - 1
    return tuple(
        StreamEvent(
            {
                "type": name,
                **item_of(picture),
                **_shown(intent, picture, generated.settled),
                "created_at": generated.created_s,
                "usage": usage_of((generated.usage or _NOTHING) if index == last else _NOTHING),
                **(_about(intent, generated) if index == last else {}),
            },
            name,
        )
        for index, picture in enumerate(generated.pictures)
    )


def _shown(intent: Generate, picture: Picture, settled: Settled | None) -> dict[str, Tree]:
    """What the provider chose, or what it was asked for where it does not say."""
    return {
        "size": f"{picture.width}x{picture.height}",
        "quality": (settled and settled.quality) or intent.request.quality or "auto",
        "background": (settled and settled.background) or intent.request.background or "auto",
        "output_format": picture.media_type.removeprefix("image/"),
    }


def _about(intent: Generate, generated: Generated) -> dict[str, Tree]:
    told: dict[str, Tree] = {
        "metadata": metadata_of(generated),
        "safety_identifier": identifier_of(intent, generated),
        "warnings": warnings_list(generated.warnings),
    }
    about: dict[str, Tree] = {"request_id": generated.request_id}
    return about | {name: value for name, value in told.items() if value}
