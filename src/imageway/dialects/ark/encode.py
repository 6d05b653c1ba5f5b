"""Outcomes as Ark writes them: images each with its size or its error, usage counted in images and tokens."""

from __future__ import annotations

from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import Answer, Generate, Generated, Intent, ModelCard, ModelList, Outcome, Picture
from imageway.dialects.ark.errors import item_error
from imageway.dialects.shared.answers import in_place, told

PIXELS_A_TOKEN: Final = 256  # what the vendor counts its output tokens by
STATES: Final = {"retiring": "Retiring", "retired": "Shutdown"}
TASKS: Final = {"generate": "TextToImage", "edit": "ImageToImage"}


def encode(intent: Intent, outcome: Outcome) -> Answer:
    """The 200 for an outcome; warnings go into a header."""
    match intent, outcome:
        case Generate(), Generated():
            return Answer(200, _images(intent, outcome), told(outcome))
        case _, ModelList():
            return Answer(200, {"object": "list", "data": [_card(card) for card in outcome.cards]})
    raise TypeError(f"{type(outcome).__name__} is no outcome of this dialect's intents")


def _images(intent: Generate, generated: Generated) -> dict[str, Tree]:
    lost: list[tuple[int | None, Tree]] = [(each.place, {"error": item_error(each)}) for each in generated.missing]
    data = in_place([item_of(picture) for picture in generated.pictures], lost)
    return {
        "model": generated.model,
        "created": generated.created_s,
        "data": data,
        "usage": usage_of(intent, generated),
    }


def item_of(picture: Picture) -> dict[str, Tree]:
    """Only the key that was asked for. `output_format` is there on every model: what is drawn need not be a JPEG."""
    item: dict[str, Tree] = {"url": picture.url} if picture.blob is None else {"b64_json": picture.blob}
    size = f"{picture.width}x{picture.height}"
    return item | {"size": size, "output_format": picture.media_type.removeprefix("image/")}


def usage_of(intent: Generate, generated: Generated) -> dict[str, Tree]:
    """What the provider reported; where it reported nothing, the vendor's own formula."""
    drawn = sum(picture.width * picture.height for picture in generated.pictures)
    output = generated.usage.output if generated.usage else round(drawn / PIXELS_A_TOKEN)
    given: dict[str, Tree] = {"input_images": len(intent.request.images)} if intent.request.images else {}
    return given | {
        "generated_images": len(generated.pictures),
        "output_tokens": output,
        "total_tokens": output + (generated.usage.input if generated.usage else 0),
    }


def _card(card: ModelCard) -> dict[str, Tree]:
    """As the vendor's list has it: the end of an id that is a date is its version."""
    name, _, version = card.id.rpartition("-")
    dated = version.isdigit() and len(version) >= 6
    operations = card.capabilities.get("operations")
    known: list[Tree] = [each for each in operations if isinstance(each, str)] if isinstance(operations, list) else []
    takes_images: list[Tree] = ["image"] if set(known) - {"generate"} else []
    state = STATES.get(str(card.capabilities.get("state")))
    return {
        "id": card.id,
        "object": "model",
        "created": card.created_s,
        "name": name if dated else card.id,
        "version": version if dated else "",
        "domain": "ImageGeneration",
        "task_type": [TASKS[each] for each in known if isinstance(each, str) and each in TASKS],
        "modalities": {"input_modalities": ["text", *takes_images], "output_modalities": ["image"]},
        "token_limits": {},
        **({"status": state} if state else {}),
    }
