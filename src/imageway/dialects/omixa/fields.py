"""The two tables of fields that Omixa's model pages print (omixa.cloud/docs/models): that of GPT Image, and that of all
other image models. A field that the page of a model does not list is refused, and so is a value it does not list."""

from __future__ import annotations

from typing import Final

from imageway.catalog import parse_size
from imageway.core.blobs import Tree
from imageway.core.requests import MAX_IMAGES, Geometry
from imageway.dialects.omixa.inline import FORM
from imageway.dialects.shared import kinds
from imageway.dialects.shared.kinds import Kind
from imageway.dialects.shared.table import Field, Table

FAMILY: Final = "omixa"
RATIOS: Final = ("1:1", "16:9", "9:16", "4:3", "3:4")
TIERS: Final = ("0.5K", "1K", "2K", "4K")

MEANINGS: Final = {
    "tier": "joins `aspect_ratio` in the request's geometry",
    "inputs": "input images",
}


def _ratio(value: Tree) -> Geometry | None:
    return Geometry(ratio=value) if isinstance(value, str) and value in RATIOS else None


def _tier(value: Tree) -> str | None:
    size = parse_size(value) if isinstance(value, str) and value.upper() in TIERS else None
    return size.tier if size else None


def _pixels(value: Tree) -> Geometry | None:
    size = parse_size(value) if isinstance(value, str) else None
    return size if size and (size.auto or size.width) else None


ASPECT: Final = Kind("string", RATIOS, _ratio, limits={"enum": [*RATIOS]})
TIER: Final = Kind("string", TIERS, _tier, limits={"enum": [*TIERS]})
PIXELS: Final = Kind("string", ("auto", 'pixels like "1024x1024"'), _pixels, "invalid_size")
PARTS: Final = Kind("array", (f"a list of {FORM}",), kinds.LIST.read)

COMMON: Final[tuple[Field, ...]] = (
    Field("model", "model", kinds.TEXT, "The model's id."),
    Field("prompt", "prompt", kinds.TEXT, "What the image should show, or how to edit."),
    Field("n", "n", kinds.integers(1, MAX_IMAGES), "How many images."),
    Field("output_format", "output_format", kinds.words("png", "jpeg", "webp"), "The file format."),
    Field("input_images", "inputs", PARTS, "Images to edit or to merge, inline."),
    Field("stream", "stream", kinds.BOOLEAN, "Answer with server-sent events."),
)
BY_RATIO: Final[tuple[Field, ...]] = (
    Field("aspect_ratio", "geometry", ASPECT, "Width to height."),
    Field("size", "tier", TIER, "How large, where the model has it."),
    Field(
        "person_generation",
        "person",
        kinds.words("allow_adult", "allow_all", "dont_allow"),
        "Which people may be drawn.",
    ),
    Field("enhance_prompt", "enhance_prompt", kinds.BOOLEAN, "Let the provider enrich the prompt first."),
    Field("add_watermark", "watermark", kinds.BOOLEAN, "The provider's visible mark."),
    Field("reasoning_effort", "thinking", kinds.words("minimal", "high"), "How long the model thinks first."),
)
BY_PIXELS: Final[tuple[Field, ...]] = (
    Field("size", "geometry", PIXELS, "`auto`, or pixels."),
    Field("quality", "quality", kinds.words("auto", "low", "medium", "high"), "Higher costs more."),
    Field("background", "background", kinds.words("auto", "transparent", "opaque"), "What is behind the picture."),
    Field("moderation", "moderation", kinds.words("auto", "low"), "How strictly the provider moderates."),
    Field(
        "input_fidelity",
        "input_fidelity",
        kinds.words("auto", "low", "high"),
        "How closely an edit keeps to its input.",
    ),
    Field("mask", "mask", kinds.IMAGE, "Where to edit: transparent pixels of a PNG, inline."),
)
SYNONYMS: Final = (("images", "inputs"),)
EITHER_SIZE: Final = Field(
    "size", "silent", kinds.TEXT, f"{', '.join(TIERS)}; or auto, or pixels: as the model has it."
)

OTHERS: Final = Table((*COMMON, *BY_RATIO), strict=True, synonyms=SYNONYMS)
TABLES: Final = {"gpt_image": Table((*COMMON, *BY_PIXELS), strict=True, synonyms=SYNONYMS)}
ANY: Final = Table(
    (*COMMON, EITHER_SIZE, *(each for each in (*BY_RATIO, *BY_PIXELS) if each.name != "size")),
    strict=True,
    synonyms=SYNONYMS,
)
"""For a model that nobody has: there is no saying which fields it would take."""


def table_of(family: str | None) -> Table:
    """The fields of a family of the catalog; None: the model is unknown."""
    return ANY if family is None else TABLES.get(family, OTHERS)
