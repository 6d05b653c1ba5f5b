"""How single JSON values are read: the type that documents name, what is accepted in words, and the reading function.

Decimal strings pass for numbers ("4.0" → 4), nothing else is converted. Readers answer None for what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from imageway.catalog import parse_size
from imageway.core.blobs import Tree
from imageway.core.requests import Geometry

_INTEGER = re.compile(r"(-?[0-9]{1,18})(\.0{1,18})?")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_LARGEST = 10**18

Type = Literal["string", "integer", "number", "boolean", "array", "strings", "object", "image", "any"]
_PYTHON: Final[dict[Type, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "strings": (str, list),  # one, or a list of them
    "object": (dict,),
    "image": (str,),
    "any": (),
}
_SCHEMAS: Final[dict[Type, dict[str, Tree]]] = {
    "strings": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    "image": {},
    "any": {},
}


@dataclass(frozen=True, slots=True)
class Kind:
    """`accepted` speaks to callers, in errors and documents; `read` answers the value, or None for a wrong one.
    `wrong` is the error code of a value that has the right type and is none of those accepted. `limits` are further
    JSON Schema keywords."""

    type: Type
    accepted: tuple[str, ...]
    read: Callable[[Tree], object]
    wrong: str = "invalid_value"
    limits: Mapping[str, Tree] = field(default_factory=dict)

    def schema(self) -> dict[str, Tree]:
        """Its JSON Schema (2020-12): what clients should send, not all that is read."""
        return {**_SCHEMAS.get(self.type, {"type": self.type}), **self.limits}

    def code(self, value: Tree) -> str:
        """How a value that `read` refused is wrong: its type, or only itself."""
        decimal = isinstance(value, str) and float in _PYTHON[self.type] and _NUMBER.fullmatch(value)
        return self.wrong if decimal or type(value) in _PYTHON[self.type] else "invalid_type"


def _of(type_: type) -> Callable[[Tree], object]:
    """Reads values of one type as they are."""
    return lambda value: value if isinstance(value, type_) else None


def _integer(value: Tree) -> int | None:
    if type(value) is int:
        return value if -_LARGEST < value < _LARGEST else None
    match value:
        case float() if value.is_integer() and abs(value) < _LARGEST:
            return int(value)
        case str() if match := _INTEGER.fullmatch(value):
            return int(match[1])
    return None


def _number(value: Tree) -> float | None:
    match value:
        case bool():
            return None
        case int() | float() if -_LARGEST < value < _LARGEST:
            return float(value)
        case str() if _NUMBER.fullmatch(value):
            return float(value)
    return None


def integers(low: int, high: int) -> Kind:
    def read(value: Tree) -> int | None:
        number = _integer(value)
        return number if number is not None and low <= number <= high else None

    limits: dict[str, Tree] = {"minimum": low, "maximum": high}
    return Kind("integer", (f"an integer from {low} to {high}",), read, limits=limits)


def words(*accepted: str, **same: str) -> Kind:
    """One of `accepted`, in any case; `same` are further spellings of one of them."""
    return _one_of(accepted, {word: word for word in accepted} | same)


def media_types(*formats: str) -> Kind:
    """`image/png` → "png"."""
    meaning = {f"image/{name}": name for name in formats}
    return _one_of(tuple(meaning), meaning)


def _one_of(accepted: tuple[str, ...], meaning: dict[str, str]) -> Kind:
    def read(value: Tree) -> str | None:
        return meaning.get(value.lower()) if isinstance(value, str) else None

    return Kind("string", accepted, read, limits={"enum": list(accepted)})


def _size(value: Tree) -> Geometry | None:
    return parse_size(value) if isinstance(value, str) else None


def _tier(value: Tree) -> str | None:
    size = _size(value)
    return size.tier if size and not size.ratio and not size.width else None


def _want_text(value: Tree) -> bool | None:
    """Whether text was asked for beside the image: `"image"` → False, `["TEXT", "IMAGE"]` → True."""
    asked = value.split(",") if isinstance(value, str) else value
    if not isinstance(asked, list):
        return None
    modalities = {item.strip().lower() if isinstance(item, str) else "" for item in asked}
    return "text" in modalities if {"image"} <= modalities <= {"image", "text"} else None


TEXT = Kind("string", ("a string",), _of(str))
BOOLEAN = Kind("boolean", ("true", "false"), _of(bool))
INTEGER = Kind("integer", ("an integer",), _integer)
NUMBER = Kind("number", ("a number",), _number)
LIST = Kind("array", ("a list",), _of(list))
OBJECT = Kind("object", ("an object",), _of(dict))
ANYTHING = Kind("any", ("anything",), _of(object))
SIZE = Kind(
    "string",
    ('pixels like "1024x1024" or "1024*1024"', 'a ratio like "16:9"', 'a tier like "2K"', '"auto"', '"adaptive"'),
    _size,
    "invalid_size",
)
TIER = Kind("string", ('a tier like "1K", "2K" or "4K"', '"512"'), _tier, "invalid_size")
MODALITIES = Kind("strings", ('"image"', '["text", "image"]'), _want_text)
# What is wrong with an image is found where images are read.
IMAGE_FORMS = ("an http(s) URL", "a data URL", "base64")
IMAGE = Kind("image", IMAGE_FORMS, _of(object))
IMAGES = Kind("image", (*IMAGE_FORMS, "a list of these"), _of(object))
