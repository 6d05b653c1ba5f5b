"""The one table of fields that callers may write at these endpoints: DashScope's own (Model Studio: qwen-image-api),
those of the other families under the names that they have elsewhere, and where each may stand."""

from __future__ import annotations

from typing import Final

from imageway.core.requests import MAX_IMAGES
from imageway.dialects.shared import kinds
from imageway.dialects.shared.table import TOP, Field, Table

FAMILY: Final = "dashscope"
BOTH: Final = ("parameters", TOP)  # at the top, beside `parameters`, is where they are put by mistake
UPSCALE: Final = "super_resolution"
DESCRIBED, MASKED = "description_edit", "description_edit_with_mask"
INSTRUCTIONS: Final = ("stylization_all", "stylization_local", "colorization", "doodle")  # said by the prompt as well

IMAGES: Final = ("images_listed", "image_base", "image_reference", "image_sketch")

NOT_OFFERED: Final = (
    *("prompt_extend_mode", "enable_thinking", "thinking_mode", "optimize_prompt_options", "bbox_list", "strength"),
    *("color_palette", "ref_strength", "ref_mode", "similarity", "is_sketch", "sketch_weight", "realisticness"),
    *("tools", "tool_choice", "top_k", "max_tokens", "stop", "enable_search", "presence_penalty"),
    *("repetition_penalty", "response_format", "response_modalities", "mime_type", "partial_images"),
    *("sequential_image_generation", "sequential_image_generation_options", "layer_decomposition"),
)

FIELDS: Final[tuple[Field, ...]] = (
    Field("model", "model", kinds.TEXT, "The model's id: of any family.", (TOP,)),
    Field("input", "container", kinds.OBJECT, "What to draw: `messages`, or `prompt` with images.", (TOP,)),
    Field("parameters", "container", kinds.OBJECT, "How to draw it.", (TOP,)),
    # input
    Field("messages", "contents", kinds.LIST, "`[{role, content: [{image} | {text}]}]`.", ("input",)),
    Field("prompt", "prompt", kinds.TEXT, "What the image should show.", ("input",)),
    Field("images", "images_listed", kinds.IMAGES, "Input images.", ("input",), ("image_urls",)),
    Field("base_image_url", "image_base", kinds.IMAGE, "The image to edit.", ("input",)),
    Field("ref_img", "image_reference", kinds.IMAGE, "A reference image.", ("input",), ("ref_image_url",)),
    Field("sketch_image_url", "image_sketch", kinds.IMAGE, "A sketch to go by.", ("input",)),
    Field("mask_image_url", "mask", kinds.IMAGE, "Where to edit: its white pixels.", ("input",)),
    Field("function", "function", kinds.words(DESCRIBED, MASKED, *INSTRUCTIONS, UPSCALE), "What to do.", ("input",)),
    Field("negative_prompt", "negative_prompt", kinds.TEXT, "What it should not show.", (*BOTH, "input")),
    # parameters
    Field("n", "n", kinds.integers(1, MAX_IMAGES), "How many images.", BOTH),
    Field("size", "geometry", kinds.SIZE, "`W*H`, an aspect ratio, or a tier.", BOTH),
    Field("seed", "seed", kinds.INTEGER, "The same seed draws alike.", BOTH),
    Field("prompt_extend", "enhance_prompt", kinds.BOOLEAN, "Let the model enrich the prompt first.", BOTH),
    Field("watermark", "watermark", kinds.BOOLEAN, "A visible mark; absent: the provider's default.", BOTH),
    Field("enable_sequential", "grouped", kinds.BOOLEAN, "A group of at most `n` related images.", BOTH),
    Field("upscale_factor", "scale", kinds.integers(1, 4), "By how much both edges grow in an upscale.", BOTH),
    Field("style", "style", kinds.TEXT, "A style by name, for models that know it.", BOTH),
    # of other families
    Field("image_size", "tier", kinds.TIER, "The tier that goes with an aspect ratio: 1K, 2K, 4K.", BOTH),
    Field("quality", "quality", kinds.TEXT, "low, medium, high, auto; some models know more.", BOTH),
    Field("background", "background", kinds.TEXT, "transparent, opaque or auto.", BOTH),
    Field("input_fidelity", "input_fidelity", kinds.TEXT, "How closely an edit keeps to its input.", BOTH),
    Field("output_format", "output_format", kinds.words("png", "jpeg", "webp", jpg="jpeg"), "The file format.", BOTH),
    Field("output_compression", "output_compression", kinds.integers(0, 100), "Of JPEG or WebP, in percent.", BOTH),
    Field("guidance_scale", "guidance", kinds.NUMBER, "How closely the image follows the prompt.", BOTH),
    Field("temperature", "temperature", kinds.NUMBER, "How freely the model chooses.", BOTH),
    Field("top_p", "top_p", kinds.NUMBER, "The share of likelihood it chooses from.", BOTH),
    Field("moderation", "moderation", kinds.TEXT, "low or auto.", BOTH),
    Field("person_generation", "person", kinds.words("allow_all", "allow_adult", "dont_allow"), "Who is shown.", BOTH),
    Field("reasoning_effort", "thinking", kinds.words("minimal", "low", "medium", "high"), "How long to think.", BOTH),
    Field("user", "user", kinds.TEXT, "Your own id of the person who asks.", BOTH),
    *(Field(name, "ignored", kinds.ANYTHING, "Known elsewhere, not offered here.", BOTH) for name in NOT_OFFERED),
    # what the SDK sends besides, meant for itself
    Field("result_format", "silent", kinds.ANYTHING, "Nothing.", BOTH, ("is_async", "stream", "incremental_output")),
)

# Fields that decode works out of others: named after the first of these that the caller wrote.
SYNONYMS: Final = (
    ("group", "grouped"),
    ("prompt", "contents"),
    ("turns", "contents"),
    ("images", "image_base"),
    ("images", "images_listed"),
    ("images", "image_reference"),
    ("images", "image_sketch"),
    ("images", "contents"),
    ("operation", "function"),
)
TABLE: Final = Table(FIELDS, open_places=(TOP, "input", "parameters"), synonyms=SYNONYMS)
