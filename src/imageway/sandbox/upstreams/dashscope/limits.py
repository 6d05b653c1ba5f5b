"""What each model of this provider takes: the table read into types, and sizes resolved to pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from imageway.sandbox.tables import load_table

TABLE: dict[str, Any] = load_table("dashscope")
LIMITS: dict[str, Any] = TABLE["limits"]
Pixels = tuple[int, int]
STEP = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What models of one family take; the table explains each word."""

    modes: list[str]
    ways: list[str]
    size_kind: str
    sizes: list[str]
    bounds: list[int]
    ratio: int
    default: str
    count: int
    text_chars: int
    usage: str


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    family: Family


def _models() -> dict[str, Model]:
    families = {name: Family(**row) for name, row in TABLE["families"].items()}
    return {name: Model(name, families[family]) for name, family in TABLE["models"].items()}


MODELS = _models()


def to_step(pixels: float) -> int:
    return max(round(pixels / STEP) * STEP, STEP)


def like(width: int, height: int) -> Pixels:
    """The default size of an edit: the ratio of the last input, about a megapixel."""
    scale = math.sqrt(LIMITS["default_edit_pixels"] / (width * height))
    return (to_step(width * scale), to_step(height * scale))


def size_fault(family: Family, width: int, height: int) -> str | None:
    """Why these pixels are refused; None when they are taken."""
    if family.size_kind == "list" and f"{width}*{height}" not in family.sizes:
        return f"The size is not match the allowed size {','.join(family.sizes)}"
    if family.size_kind == "area":
        least, most = family.bounds
        if not least <= width * height <= most:
            return f"Total pixels of size must be between {math.isqrt(least)}*{math.isqrt(least)} and " + (
                f"{math.isqrt(most)}*{math.isqrt(most)}"
            )
        if family.ratio and max(width, height) > family.ratio * min(width, height):
            return f"The aspect ratio of size must be between 1:{family.ratio} and {family.ratio}:1"
    if family.size_kind == "sides" and not all(
        family.bounds[0] <= side <= family.bounds[1] for side in (width, height)
    ):
        return f"The width and height must be in [{family.bounds[0]}, {family.bounds[1]}]"
    return None
