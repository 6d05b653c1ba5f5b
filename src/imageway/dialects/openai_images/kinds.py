"""How single JSON values are read: the type that documents name, what is accepted in words, and the reading function.

Decimal strings pass for numbers ("4" → 4); nothing else is converted. Readers answer None for what they cannot read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from imageway.catalog import parse_size
from imageway.core.blobs import Tree
from imageway.core.requests import Geometry

_INTEGER = re.compile(r"-?[0-9]{1,18}")
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


@dataclass(frozen=True, slots=True)
class Kind:
    """`accepted` speaks to callers, in errors and documents; `read` answers the value, or None for a wrong one."""

    type: Type
    accepted: tuple[str, ...]
    read: Callable[[Tree], object]

    def code(self, value: Tree) -> str:
        """How a value that `read` refused is wrong: its type, or only itself."""
        decimal = isinstance(value, str) and float in _PYTHON[self.type] and _NUMBER.fullmatch(value)
        return "invalid_value" if decimal or type(value) in _PYTHON[self.type] else "invalid_type"


def _text(value: Tree) -> str | None:
    return value if isinstance(value, str) else None


def _boolean(value: Tree) -> bool | None:
    return value if isinstance(value, bool) else None


def _integer(value: Tree) -> int | None:
    match value:
        case bool():
            return None
        case int() if -_LARGEST < value < _LARGEST:
            return value
        case float() if value.is_integer() and abs(value) < _LARGEST:
            return int(value)
        case str() if _INTEGER.fullmatch(value):
            return int(value)
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

    return Kind("integer", (f"an integer from {low} to {high}",), read)


def words(*accepted: str, **same: str) -> Kind:
    """One of `accepted`, in any case; `same` are further spellings of one of them."""
    meaning = {word: word for word in accepted} | same

    def read(value: Tree) -> str | None:
        return meaning.get(value.lower()) if isinstance(value, str) else None

    return Kind("string", accepted, read)


def media_types(*formats: str) -> Kind:
    """`image/png` → "png"."""
    meaning = {f"image/{name}": name for name in formats}

    def read(value: Tree) -> str | None:
        return meaning.get(value.lower()) if isinstance(value, str) else None

    return Kind("string", tuple(meaning), read)


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


def _image(value: Tree) -> Tree:
    return None if isinstance(value, bool | int | float | list) else value


def _images(value: Tree) -> Tree:
    return value if isinstance(value, list) else _image(value)


def _list(value: Tree) -> list[Tree] | None:
    return value if isinstance(value, list) else None


def _object(value: Tree) -> dict[str, Tree] | None:
    return value if isinstance(value, dict) else None


TEXT = Kind("string", ("a string",), _text)
BOOLEAN = Kind("boolean", ("true", "false"), _boolean)
INTEGER = Kind("integer", ("an integer",), _integer)
NUMBER = Kind("number", ("a number",), _number)
LIST = Kind("array", ("a list",), _list)
OBJECT = Kind("object", ("an object",), _object)
ANYTHING = Kind("any", ("anything",), lambda value: value)
SIZE = Kind(
    "string",
    ('pixels like "1024x1024" or "1024*1024"', 'a ratio like "16:9"', 'a tier like "2K"', '"auto"', '"adaptive"'),
    _size,
)
TIER = Kind("string", ('a tier like "1K", "2K" or "4K"', '"512"'), _tier)
MODALITIES = Kind("strings", ('"image"', '["text", "image"]'), _want_text)
IMAGE_FORMS = ("an http(s) URL", "a data URL", "base64")
IMAGE = Kind("image", IMAGE_FORMS, _image)
IMAGES = Kind("image", (*IMAGE_FORMS, "a list of these"), _images)
