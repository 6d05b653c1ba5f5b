"""What each model of this provider takes: the table read into types, and keywords turned into pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from imageway.sandbox.tables import load_table

TABLE: dict[str, Any] = load_table("ark")
LIMITS: dict[str, Any] = TABLE["limits"]
Pixels = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What models of one family take; the table explains each word."""

    tiers: list[str]
    default: str
    pixels: list[int]
    ratio: int
    images: list[int]
    formats: list[str]
    modes: list[str]
    takes: list[str]
    named_format: bool
    before: bool

    @property
    def file_bytes(self) -> int:
        return int(LIMITS["file_bytes_before" if self.before else "file_bytes"])

    @property
    def image_formats(self) -> list[str]:
        formats: list[str] = LIMITS["image_formats_before" if self.before else "image_formats"]
        return formats


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    family: Family
    status: str


def _models() -> dict[str, Model]:
    families = {name: Family(**row) for name, row in TABLE["families"].items()}
    return {name: Model(name, families[family], status) for name, (family, status) in TABLE["models"].items()}


MODELS = _models()


def tier_pixels(model: Model, tier: str, wanted_ratio: float) -> Pixels:
    """The recommended pixels of a tier that come nearest to a ratio of width to height."""
    rows = TABLE["tiers"] | (TABLE["tiers_pro"] if model.family.named_format else {})
    sizes = [_pixels(size) for size in rows[tier]]
    return min(sizes, key=lambda size: abs(math.log(size[0] / size[1] / wanted_ratio)))


def ratio_of_words(prompt: str) -> float:
    """What ratio the model would read out of a prompt."""
    words = set(prompt.lower().replace(",", " ").split())
    if words & {"landscape", "panorama", "wide", "banner"} or "横" in prompt:
        return 16 / 9
    return 9 / 16 if words & {"portrait", "poster", "tall"} or "竖" in prompt else 1.0


def _pixels(size: str) -> Pixels:
    width, _, height = size.partition("x")
    return (int(width), int(height))
