"""The two tables of fields, one for each family of paths (docs.mountsea.ai: gemini/image, hub/image): the pages' own
fields, and those of other dialects under the names that they have at the unified endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from imageway.catalog import parse_size
from imageway.core.blobs import Tree
from imageway.core.requests import MAX_IMAGES, Geometry
from imageway.dialects.mountsea.models import USUAL
from imageway.dialects.shared import kinds
from imageway.dialects.shared.kinds import Kind
from imageway.dialects.shared.table import TOP, Field, Table

FAMILY: Final = "mountsea"
RATIOS: Final = ("21:9", "1:1", "4:3", "3:2", "2:3", "5:4", "4:5", "3:4", "16:9", "9:16")
EXTREME: Final = ("1:4", "4:1", "1:8", "8:1")
PRESETS: Final = {
    "square_hd": "1024x1024",
    "square": "512x512",
    "portrait_4_3": "768x1024",
    "portrait_16_9": "576x1024",
    "landscape_4_3": "1024x768",
    "landscape_16_9": "1024x576",
}
IN: Final = "input"


def _among(words: tuple[str, ...], read: Callable[[str], object]) -> Kind:
    def found(value: Tree) -> object:
        return read(value) if isinstance(value, str) and value in words else None

    return Kind("string", words, found, limits={"enum": [*words]})


def _ratio(text: str) -> Geometry:
    return Geometry(auto=True) if text == "auto" else Geometry(ratio=text)


def _tier(text: str) -> str | None:
    size = parse_size(text)
    return size.tier if size else None


def _size(value: Tree) -> Geometry | None:
    """Pixels as text or as an object, or a word for them."""
    if isinstance(value, dict):
        value = f"{value.get('width')}x{value.get('height')}"
    size = parse_size(PRESETS.get(value, value)) if isinstance(value, str) else None
    return size if size and (size.auto or size.width) else None


ALONE: Final = replace(kinds.integers(1, 1), accepted=("1",))
_URL: Final[dict[str, Tree]] = {"type": "string", "format": "uri"}
LINK: Final = replace(kinds.ANYTHING, accepted=("an http(s) URL",), limits=_URL)
LINKS: Final = replace(kinds.ANYTHING, accepted=("a list of http(s) URLs",), limits={"type": "array", "items": _URL})
_TEXT_OR_OBJECT: Final[dict[str, Tree]] = {"type": ["string", "object"]}
SIZE: Final = Kind("string", ("auto", "pixels", *PRESETS), _size, "invalid_size", _TEXT_OR_OBJECT)
RATIO: Final = _among((*RATIOS, *EXTREME), _ratio)


def _others(place: str) -> tuple[Field, ...]:
    """Of other dialects, for models of other families."""
    where = (place,)
    return (
        Field("negative_prompt", "negative_prompt", kinds.TEXT, "What the image should not show.", where),
        Field("quality", "quality", kinds.TEXT, "low, medium, high; some models know more.", where),
        Field("background", "background", kinds.TEXT, "transparent, opaque or auto.", where),
        Field("input_fidelity", "input_fidelity", kinds.TEXT, "How closely an edit keeps to its input.", where),
        Field("output_compression", "output_compression", kinds.integers(0, 100), "In percent.", where),
        Field("guidance_scale", "guidance", kinds.NUMBER, "How closely the image follows the prompt.", where),
        Field("temperature", "temperature", kinds.NUMBER, "How freely the model chooses.", where),
        Field("top_p", "top_p", kinds.NUMBER, "The share of likelihood it chooses from.", where),
        Field("watermark", "watermark", kinds.BOOLEAN, "A visible mark.", where),
        Field("user", "user", kinds.TEXT, "Your own id of the person who asks.", where),
    )


PROMPT: Final = Field("prompt", "prompt", kinds.TEXT, "What the image should show, or how to edit.")
URLS: Final = Field("image_urls", "links", LINKS, "Images to edit or to go by, of at most 10 MiB each.")
SEED: Final = Field("seed", "seed", kinds.INTEGER, "The same seed draws alike.")
FORMAT: Final = Field("output_format", "output_format", kinds.words("jpeg", "png", "webp", jpg="jpeg"), "The file's.")

GENERATION: Final = Table(
    (
        PROMPT,
        Field("action", "action", kinds.words("edit", "generate"), "Whether an input image is required."),
        Field("num_images", "n", ALONE, "One image a task."),
        URLS,
        Field("aspect_ratio", "geometry", RATIO, "Width to height; the last four on nano-banana-2 alone."),
        Field("model", "model", kinds.TEXT, f"Absent: {USUAL}."),
        Field("resolution", "tier", _among(("1K", "2K", "4K"), _tier), "On nano-banana-pro and nano-banana-2."),
        SEED,
        FORMAT,
        *_others(TOP),
    ),
    synonyms=(("images", "links"), ("operation", "action")),
)
HUB: Final = Table(
    (
        Field("model", "model", kinds.TEXT, "With -edit behind its name an input image is required."),
        Field("input", "container", kinds.OBJECT, "What to draw, and how."),
        *(replace(each, where=(IN,)) for each in (PROMPT, URLS, SEED, FORMAT)),
        Field("mask_url", "mask", LINK, "Where to edit: its white pixels.", (IN,), ("mask_image_url",)),
        Field("num_images", "n", kinds.integers(1, MAX_IMAGES), "How many images.", (IN,)),
        Field("aspect_ratio", "geometry", _among((*RATIOS, *EXTREME, "auto"), _ratio), "Width to height.", (IN,)),
        Field("image_size", "geometry", SIZE, "Pixels, for models that are asked by them.", (IN,)),
        Field("resolution", "tier", _among(("0.5K", "1K", "2K", "4K"), _tier), "Where the model has several.", (IN,)),
        Field("safety_tolerance", "ignored", kinds.ANYTHING, "Nothing: told in a warning.", (IN,)),
        Field("sync_mode", "ignored", kinds.BOOLEAN, "Nothing: images are links.", (IN,), why="images are links here"),
        Field("limit_generations", "ignored", kinds.BOOLEAN, "Nothing: told in a warning.", (IN,)),
        Field("enable_web_search", "ignored", kinds.BOOLEAN, "Nothing: told in a warning.", (IN,)),
        *_others(IN),
    ),
    open_places=(TOP, IN),
    synonyms=(("images", "links"),),
)
ANY: Final = Table((*GENERATION.fields, *HUB.fields))
"""Every name that means something at one of the paths."""
