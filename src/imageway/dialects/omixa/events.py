"""Streams of the resale gateway: OpenAI's events of generated images, the last with what was paid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import Broken, Event, Finished, Generate, Generated, Picture, Preview
from imageway.core.money import format_usd
from imageway.core.steps import Settled
from imageway.core.streams import StreamEvent
from imageway.dialects.omixa.encode import error_of
from imageway.dialects.shared.answers import warnings_list

PARTIAL: Final = "image_generation.partial_image"
COMPLETED: Final = "image_generation.completed"


def encode_event(intent: Generate, event: Event) -> tuple[StreamEvent, ...]:
    """An image leaves when it is paid for. `error` for a stream that broke."""
    match event:
        case Finished(generated=generated):
            return tuple(_completed(intent, generated))
        case Broken():
            return (StreamEvent({"type": "error", "error": error_of(event.error, event.request_id)}, "error"),)
        case Preview():
            counted: dict[str, Tree] = {"created_at": event.created_s, "partial_image_index": event.index}
            body = {"type": PARTIAL, **counted, **_shown(intent, event.picture, None)}
            return (StreamEvent(body, PARTIAL),)
    return ()


def _completed(intent: Generate, generated: Generated) -> Iterator[StreamEvent]:
    """One event for each image. Clients add up: the whole amount stands in the last, nothing in those before it."""
    last = len(generated.pictures) - 1
    for index, picture in enumerate(generated.pictures):
        paid = generated.price_usd_micros if index == last else 0
        body: dict[str, Tree] = {
            "type": COMPLETED,
            **_shown(intent, picture, generated.settled),
            "created_at": generated.created_s,
            "usage": {"billed_amount": format_usd(paid)},
        }
        if index == last and generated.warnings:  # some are known only now, when the headers have left
            body["warnings"] = warnings_list(generated.warnings)
        yield StreamEvent(body, COMPLETED)


def _shown(intent: Generate, picture: Picture, settled: Settled | None) -> dict[str, Tree]:
    """What the provider chose, or what it was asked for where it does not say."""
    return {
        "b64_json": picture.blob,
        "size": f"{picture.width}x{picture.height}",
        "quality": (settled and settled.quality) or intent.request.quality or "auto",
        "background": (settled and settled.background) or intent.request.background or "auto",
        "output_format": picture.media_type.removeprefix("image/"),
    }
