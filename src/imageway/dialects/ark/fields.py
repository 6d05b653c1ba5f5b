"""The fields of Ark's image call (volcengine.com/docs/82379/1541523), and those of other families that can mean but one
thing here. Type checks, unknown fields, error texts and documents come from this table."""

from __future__ import annotations

from typing import Final

from imageway.core.blobs import Tree
from imageway.dialects.shared import kinds
from imageway.dialects.shared.kinds import Kind
from imageway.dialects.shared.table import TOP, Field, Table

FAMILY: Final = "ark"
MOST_IN_A_GROUP: Final = 15
GROUP, PROMPT = ("sequential_image_generation_options",), ("optimize_prompt_options",)

MEANINGS: Final = {
    "form": "whether images come back as base64 or as URLs",
    "grouped": "opens a group; `max_images` says how large",
    "max_images": "the size of a group",
    "inputs": "input images",
    "layers": "another kind of answer altogether: refused",
    "container": "holds other fields of this table",
    "ignored": "known to one family, offered by none here: reported",
}
NO_COUNT: Final = "this API draws one image, or a group by sequential_image_generation"
NO_FIELD: Final = "it is no field of this API; /v1/images/generations has it"


def _not_one(value: Tree) -> bool:
    """Nothing needs to be said of `n: 1`, which happens anyway."""
    return isinstance(value, bool) or value not in (1, "1")


def _ignored(why: str, *names: str) -> tuple[Field, ...]:
    return tuple(Field(name, "ignored", kinds.ANYTHING, f"Not sent: {why}.", why=why) for name in names)


FIELDS: Final[tuple[Field, ...]] = (
    # What is asked for
    Field("model", "model", kinds.TEXT, "The model's id."),
    Field("prompt", "prompt", kinds.TEXT, "What the image should show."),
    Field("image", "inputs", kinds.IMAGES, "One input image or a list: http(s) URL or data URL."),
    Field(
        "sequential_image_generation",
        "grouped",
        kinds.words("disabled", "auto"),
        "`auto`: a group of related images, as many as the model finds right.",
    ),
    Field("sequential_image_generation_options", "container", kinds.OBJECT, "`{max_images}`."),
    Field("max_images", "max_images", kinds.integers(1, MOST_IN_A_GROUP), "At most this many images.", GROUP),
    # How large, and how it is made
    Field("size", "geometry", kinds.SIZE, "Pixels, a tier, or `adaptive`."),
    Field("seed", "seed", kinds.INTEGER, "The same seed draws alike; −1 is chance."),
    Field("guidance_scale", "guidance", kinds.NUMBER, "How closely the image follows the prompt."),
    Field("watermark", "watermark", kinds.BOOLEAN, "A visible mark; absent: the provider's default."),
    Field("background", "background", kinds.TEXT, "opaque or transparent."),
    Field("optimize_prompt_options", "container", kinds.OBJECT, "`{mode}`."),
    Field("mode", "enhance_mode", kinds.words("standard", "fast"), "How thoroughly the prompt is optimised.", PROMPT),
    Field(
        "thinking", "ignored", kinds.ANYTHING, "Undocumented by the vendor.", PROMPT, why="its values are not public"
    ),
    Field("optimize_prompt", "enhance_prompt", kinds.BOOLEAN, "Let the model enrich the prompt first."),
    # What comes back
    Field("response_format", "form", kinds.words("url", "b64_json"), "URLs valid for 24 h (default), or base64."),
    Field("output_format", "output_format", kinds.words("png", "jpeg", "webp", jpg="jpeg"), "The file format."),
    Field("stream", "stream", kinds.BOOLEAN, "Answer with server-sent events, one for each image."),
    # Offered by nobody here
    *_ignored("images are made without tools here", "tools"),
    Field("layer_decomposition", "layers", kinds.BOOLEAN, "Refused when true: no image is taken apart here."),
    # Of other families; a model that has them takes them
    Field("negative_prompt", "negative_prompt", kinds.TEXT, "What the image should not show."),
    Field("quality", "quality", kinds.TEXT, "low, medium, high, auto."),
    Field("style", "style", kinds.TEXT, "vivid or natural."),
    Field("input_fidelity", "input_fidelity", kinds.TEXT, "How closely an edit keeps to its input."),
    Field("moderation", "moderation", kinds.TEXT, "low or auto."),
    Field("output_compression", "output_compression", kinds.integers(0, 100), "Of JPEG and WebP, in percent."),
    Field("temperature", "temperature", kinds.NUMBER, "How freely the model chooses."),
    Field("top_p", "top_p", kinds.NUMBER, "The share of likelihood it chooses from."),
    Field("prompt_extend", "enhance_prompt", kinds.BOOLEAN, "The same as `optimize_prompt`."),
    Field("user", "user", kinds.TEXT, "Your own id of the person who asks."),
    Field("n", "ignored", Kind("integer", ("1",), _not_one), f"Not sent: {NO_COUNT}.", why=NO_COUNT),
    *_ignored(NO_FIELD, "images", "mask", "contents", "messages", "input", "parameters", "input_images"),
    *_ignored(NO_FIELD, "aspect_ratio", "image_size", "resolution", "partial_images", "response_modalities"),
    *_ignored(NO_FIELD, "generationConfig", "person_generation", "reasoning_effort", "mime_type"),
)
TABLE: Final = Table(FIELDS, open_places=(TOP, *GROUP, *PROMPT), synonyms=(("group", "grouped"), ("images", "inputs")))
