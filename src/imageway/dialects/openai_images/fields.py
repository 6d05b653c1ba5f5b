"""The one table of fields that callers may write at this endpoint: OpenAI's own (openai-openapi), those of the unified
endpoint's four families, and where each may stand. Type checks, unknown fields, error texts and documents all come from
it."""

from __future__ import annotations

from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import TASK_EVENTS
from imageway.core.requests import MAX_IMAGES, Operation
from imageway.dialects.shared import kinds
from imageway.dialects.shared.table import TOP, Field, Table

FACTORS: Final[dict[Tree, int]] = {2: 2, 3: 3, 4: 4, "x2": 2, "x3": 3, "x4": 4, "2": 2, "3": 3, "4": 4}


def _factor(value: Tree) -> int | None:
    return FACTORS.get(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _events(value: Tree) -> tuple[str, ...] | None:
    """One, or a list of them; each once, in the order written."""
    named = [value] if isinstance(value, str) else value
    if not isinstance(named, list) or len(named) > MOST_EVENTS:
        return None
    known = [name for name in named if isinstance(name, str) and name in TASK_EVENTS]
    return tuple(dict.fromkeys(known)) if len(known) == len(named) else None


MOST_EVENTS: Final = 16
EVENTS: Final = kinds.Kind(
    "strings",
    TASK_EVENTS,
    _events,
    limits={"anyOf": [{"enum": list(TASK_EVENTS)}, {"type": "array", "items": {"enum": list(TASK_EVENTS)}}]},
)
FACTOR: Final = kinds.Kind("integer", ("2", "3", "4"), _factor, limits={"enum": [2, 3, 4]})
FAMILY: Final = "openai"
IDENTIFIER: Final = "safety_identifier"
BOTH: Final = (TOP, "parameters")  # nested bodies carry the same fields one level down

MEANINGS: Final = {
    "asked_operation": "says what the path leaves open",
    "form": "whether images come back as base64 or as URLs",
    "tier": "joins `size` in the request's geometry",
    "grouped": "opens a group; `max_images` says how large",
    "max_images": "the size of a group",
    "identifier": "stands for `user`, and wins over it",
    "contents": "conversation: turns, prompt and images",
    "images_top": "input images",
    "images_listed": "input images",
    "webhook_url": "whom to tell of the task's end",
    "webhook_events": "of which ends",
    "asynchronous": "answers with the task, at once",
    "container": "holds other fields of this table",
    "ignored": "known to one family, offered by none here: reported",
}

FIELDS: Final[tuple[Field, ...]] = (
    # What is asked for
    Field("model", "model", kinds.TEXT, "The model's id.", (TOP,)),
    Field("prompt", "prompt", kinds.TEXT, "What the image should show.", (TOP, "input")),
    Field("negative_prompt", "negative_prompt", kinds.TEXT, "What it should not show.", (*BOTH, "input")),
    Field("contents", "contents", kinds.LIST, "A conversation: `[{role, parts: [{text} | {image} | …]}]`.", (TOP,)),
    Field("messages", "contents", kinds.LIST, "A conversation: `[{role, content: [{text} | {image}]}]`.", ("input",)),
    Field("image", "images_top", kinds.IMAGES, "One input image or a list: data URL, http(s) URL or base64.", (TOP,)),
    Field("image[]", "images_top", kinds.IMAGES, "The same as `image`, as forms spell it.", (TOP,)),
    Field("images", "images_listed", kinds.IMAGES, "Input images as `[{image_url}]`.", (TOP,)),
    Field("mask", "mask", kinds.IMAGE, "Where to edit: transparent pixels of a PNG; or `{image_url}`.", (TOP,)),
    Field("n", "n", kinds.integers(1, MAX_IMAGES), "How many images.", BOTH),
    Field(
        "sequential_image_generation", "grouped", kinds.words("disabled", "auto"), "`auto`: a group of images.", BOTH
    ),
    Field(
        "max_images",
        "max_images",
        kinds.integers(1, 15),
        "At most this many images in the group.",
        ("sequential_image_generation_options",),
    ),
    Field(
        "operation",
        "asked_operation",
        kinds.words(*(each.value for each in Operation)),
        "What is done; absent: an edit where images came, else a generation.",
        (TOP,),
    ),
    Field("upscale_factor", "scale", FACTOR, "By how much both edges grow in an upscale.", (TOP,)),
    # How large and how good
    Field("size", "geometry", kinds.SIZE, "Pixels, an aspect ratio, a tier, or `auto`.", BOTH),
    Field("image_size", "tier", kinds.TIER, "The tier that goes with an aspect ratio: 1K, 2K, 4K.", BOTH),
    Field("quality", "quality", kinds.TEXT, "low, medium, high, auto; some models know more.", BOTH),
    Field("style", "style", kinds.TEXT, "vivid or natural, for models that know it.", BOTH),
    Field("background", "background", kinds.TEXT, "transparent, opaque or auto.", BOTH),
    Field(
        "input_fidelity", "input_fidelity", kinds.TEXT, "How closely an edit keeps to its input: low, high, auto.", BOTH
    ),
    # How it is made
    Field("seed", "seed", kinds.INTEGER, "The same seed draws alike; −1 is chance where a model knows it.", BOTH),
    Field("guidance_scale", "guidance", kinds.NUMBER, "How closely the image follows the prompt.", BOTH),
    Field("temperature", "temperature", kinds.NUMBER, "How freely the model chooses.", BOTH),
    Field("top_p", "top_p", kinds.NUMBER, "The share of likelihood it chooses from.", BOTH),
    Field("prompt_extend", "enhance_prompt", kinds.BOOLEAN, "Let the model enrich the prompt first.", BOTH),
    Field(
        "mode",
        "enhance_mode",
        kinds.words("standard", "fast"),
        "How thoroughly the prompt is optimised.",
        ("optimize_prompt_options",),
    ),
    Field("watermark", "watermark", kinds.BOOLEAN, "A visible mark; absent: the provider's default.", BOTH),
    Field("moderation", "moderation", kinds.TEXT, "low or auto.", BOTH),
    # What comes back
    Field(
        "response_format", "form", kinds.words("b64_json", "url"), "Base64 in the answer, or URLs valid for 24 h.", BOTH
    ),
    Field("output_format", "output_format", kinds.words("png", "jpeg", "webp", jpg="jpeg"), "The file format.", BOTH),
    Field(
        "mime_type", "output_format", kinds.media_types("png", "jpeg", "webp"), "The file format as a media type.", BOTH
    ),
    Field(
        "output_compression",
        "output_compression",
        kinds.integers(0, 100),
        "Quality of a JPEG or WebP in percent.",
        BOTH,
    ),
    Field("response_modalities", "want_text", kinds.MODALITIES, "`image`, or text beside it as `metadata.text`.", BOTH),
    Field("stream", "stream", kinds.BOOLEAN, "Answer with server-sent events.", (TOP,)),
    Field("async", "asynchronous", kinds.BOOLEAN, "Answer with a task at once; its images are fetched later.", (TOP,)),
    Field("partial_images", "partial_images", kinds.integers(0, 3), "Previews in a stream.", (TOP,)),
    Field(IDENTIFIER, "identifier", kinds.TEXT, "Your own id of the person who asks, as a hash of it.", (TOP,)),
    Field("user", "user", kinds.TEXT, "The same, as it was called before.", (TOP,)),
    # Who is told
    Field("url", "webhook_url", kinds.TEXT, "The address that is told, once, when the task has ended.", ("webhook",)),
    Field("events", "webhook_events", EVENTS, "The ends that it wants to hear of; absent: all.", ("webhook",)),
    # Objects that hold fields
    Field("webhook", "container", kinds.OBJECT, "Whom to tell when the task has ended: `{url, events}`.", (TOP,)),
    Field("input", "container", kinds.OBJECT, "The nested body's prompt or messages.", (TOP,)),
    Field("parameters", "container", kinds.OBJECT, "The nested body's parameters.", (TOP,)),
    Field("optimize_prompt_options", "container", kinds.OBJECT, "`{mode}`.", BOTH),
    Field("sequential_image_generation_options", "container", kinds.OBJECT, "`{max_images}`.", BOTH),
    # One family's own, not offered by this gateway
    Field("tools", "ignored", kinds.ANYTHING, "Web search while drawing.", BOTH),
    Field("layer_decomposition", "ignored", kinds.ANYTHING, "An image as layers.", BOTH),
    Field("optimize_prompt", "ignored", kinds.ANYTHING, "Replaced by `optimize_prompt_options`.", BOTH),
    Field("prompt_extend_mode", "ignored", kinds.ANYTHING, "How `prompt_extend` works.", BOTH),
    Field("enable_thinking", "ignored", kinds.ANYTHING, "Think before drawing.", BOTH),
)

# Fields that decode works out of others: named after the first of these that the caller wrote.
SYNONYMS: Final = (
    ("operation", "asked_operation"),
    ("group", "grouped"),
    ("prompt", "contents"),
    ("turns", "contents"),
    ("images", "images_top"),
    ("images", "images_listed"),
    ("images", "contents"),
)
TABLE: Final = Table(FIELDS, synonyms=SYNONYMS)
