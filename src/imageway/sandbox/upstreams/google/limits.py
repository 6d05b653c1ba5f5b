"""What each model of this provider takes and counts: the table read into types."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from imageway.sandbox.upstreams.google.messages import TABLE

Pixels = tuple[int, int]
LIMITS: dict[str, Any] = TABLE["limits"]
DEFAULT_SIZE = "1K"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model; the table explains each word."""

    id: str
    display: str
    pixels: str
    ratios: str
    sizes: list[str]
    references: int
    limits: list[int]
    format: str
    text: bool
    thinking: list[str]
    always_thinks: bool
    thoughts: int
    gap: int
    image_in: int
    tokens: dict[str, int]
    both: bool

    @property
    def ratio_names(self) -> list[str]:
        names: list[str] = TABLE["ratios"][self.ratios]
        return names

    @property
    def signs(self) -> bool:
        """Whether its parts carry a thoughtSignature."""
        return self.format == "jpeg"

    def pixels_of(self, ratio: str, size: str) -> Pixels:
        width, _, height = TABLE["pixels"][self.pixels][size][ratio].partition("x")
        return (int(width), int(height))

    def nearest_ratio(self, width: int, height: int) -> str:
        """The ratio an edit takes over from its input."""

        def distance(name: str) -> float:
            across, _, down = name.partition(":")
            return abs(math.log(width / height * int(down) / int(across)))

        return min(self.ratio_names, key=distance)


MODELS = {name: Model(id=name, **row) for name, row in TABLE["models"].items()}


def text_tokens(text: str) -> int:
    return math.ceil(len(text.encode("utf-8", "replace")) / 4)
