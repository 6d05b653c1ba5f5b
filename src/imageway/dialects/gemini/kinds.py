"""How single values are read here: ratios and tiers also by their names in enumerations, media types also without a
slash, and lists that may be a single object, as the vendor's own JSON reader has it."""

from __future__ import annotations

import re
from typing import Final

from imageway.catalog import parse_size
from imageway.core.blobs import Tree
from imageway.core.requests import Geometry
from imageway.dialects.shared.kinds import TIER, Kind, media_types, words

_RATIO_NAME: Final = re.compile(r"ASPECT_RATIO_([A-Z_]+)_BY_([A-Z_]+)")
_TIER_NAME: Final = re.compile(r"IMAGE_SIZE_([A-Z_]+)")
_NUMBERS: Final = {
    "ONE": 1,
    "TWO": 2,
    "THREE": 3,
    "FOUR": 4,
    "FIVE": 5,
    "EIGHT": 8,
    "NINE": 9,
    "SIXTEEN": 16,
    "TWENTY_ONE": 21,
}
_MEDIA_TYPES: Final = media_types("png", "jpeg", "webp")
_TIERS: Final = {"FIVE_TWELVE": "512", "ONE_K": "1K", "TWO_K": "2K", "FOUR_K": "4K"}


def _ratio(value: Tree) -> Geometry | None:
    if not isinstance(value, str):
        return None
    if match := _RATIO_NAME.fullmatch(value):
        width, height = _NUMBERS.get(match[1]), _NUMBERS.get(match[2])
        return Geometry(ratio=f"{width}:{height}") if width and height else None
    size = parse_size(value)
    return size if size and size.ratio else None


def _tier(value: Tree) -> object:
    match = _TIER_NAME.fullmatch(value) if isinstance(value, str) else None
    return _TIERS.get(match[1]) if match else TIER.read(value)


def _one_or_more(value: Tree) -> list[Tree] | None:
    if isinstance(value, dict):
        return [value]
    return value if isinstance(value, list) else None


def _content(value: Tree) -> dict[str, Tree] | None:
    if isinstance(value, str):
        return {"parts": [{"text": value}]}
    return value if isinstance(value, dict) else None


def _media_type(value: Tree) -> object:
    """`image/jpeg`, `IMAGE_JPEG` → "jpeg"."""
    return _MEDIA_TYPES.read(value.replace("_", "/")) if isinstance(value, str) else None


def harmless(kind: str, *values: Tree) -> Kind:
    """Anything; of `values` nothing needs to be reported, since they ask for what happens anyway."""
    return Kind("any", (kind,), lambda value: False if value in values else value)


RATIO: Final = Kind("string", ('a ratio like "16:9"',), _ratio, "invalid_size")
SIZE_TIER: Final = Kind("string", TIER.accepted, _tier, "invalid_size")
ONE_OR_MORE: Final = Kind("array", ("a list of objects",), _one_or_more)
CONTENT: Final = Kind("object", ("an object with parts", "a string"), _content)
MEDIA_TYPE: Final = Kind("string", _MEDIA_TYPES.accepted, _media_type, limits=_MEDIA_TYPES.limits)
PERSON: Final = words("allow_all", "allow_adult", "dont_allow", allow_none="dont_allow")
