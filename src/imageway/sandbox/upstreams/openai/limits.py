"""What each model of this provider takes and counts: the table read into types, sizes resolved, tokens counted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from imageway.sandbox.drawing import Reference
from imageway.sandbox.tables import load_table

TABLE: dict[str, Any] = load_table("openai")
LIMITS: dict[str, int] = TABLE["limits"]
FIXED_SIZES: tuple[str, ...] = tuple(TABLE["fixed"]["sizes"])
DEFAULT_MODEL = "gpt-image-2.6-sunburst"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What all models of one generation share."""

    sizes: str
    qualities: list[str]
    quality_auto: str
    fidelity: list[str]
    transparent: bool
    complexity: bool
    text_output: bool
    edit_text_tokens: int


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    generation: Generation
    created_s: int
    shutdown: str | None


def _models() -> dict[str, Model]:
    generations = {name: Generation(**row) for name, row in TABLE["generations"].items()}
    return {
        name: Model(name, generations[generation], created_s, shutdown or None)
        for name, (generation, created_s, shutdown) in TABLE["models"].items()
    }


MODELS = _models()


def size_fault(width: int, height: int) -> str | None:
    """Why a free size is refused, in the provider's words; None when it is taken."""
    rule = TABLE["free"]
    asked = f"Invalid size '{width}x{height}'."
    if width % rule["multiple"] or height % rule["multiple"]:
        return f"{asked} Width and height must both be divisible by {rule['multiple']}."
    if max(width, height) > rule["max_edge"]:
        return f"{asked} The longest edge must be at most {rule['max_edge']} pixels."
    if width * height < rule["min_pixels"]:
        return f"{asked} Requested resolution is below the current minimum pixel budget."
    if width * height > rule["max_pixels"]:
        return f"{asked} Requested resolution exceeds the current maximum pixel budget."
    if max(width, height) > rule["max_ratio"] * min(width, height):
        return f"{asked} The ratio of the long edge to the short edge must not exceed {rule['max_ratio']}:1."
    return None


def resolve_auto(prompt: str, first: Reference | None) -> tuple[int, int]:
    """Which of the three sizes `auto` becomes: nearest to the first input, else what the prompt says."""
    if first is not None:
        ratio = first.width / first.height
        sizes = [(int(w), int(h)) for w, h in (size.split("x") for size in FIXED_SIZES)]
        return min(sizes, key=lambda size: abs(math.log(size[0] / size[1] / ratio)))
    words = set(prompt.lower().replace(",", " ").split())
    if words & {"landscape", "panorama", "wide", "banner"}:
        return (1536, 1024)
    return (1024, 1536) if words & {"portrait", "poster", "tall"} else (1024, 1024)


def text_tokens(prompt: str) -> int:
    return math.ceil(len(prompt.encode("utf-8", "replace")) / 4) + int(TABLE["tokens"]["input"]["text_overhead"])


def input_image_tokens(model: Model, reference: Reference, fidelity: str | None) -> int:
    row = TABLE["tokens"]["input"]
    edge = int(row["tile_edge"])
    short, long = sorted((reference.width, reference.height))
    tiles = math.ceil(min(long / short, long / edge))
    if model.generation.sizes == "free":
        return tiles * int(row["later_tile"])
    extra = 0
    if fidelity == "high":
        extra = row["fidelity_square"] if reference.width == reference.height else row["fidelity_other"]
    return int(row["first_base"] + row["first_tile"] * tiles + extra)


def partial_tokens(partials: int) -> int:
    """What the earlier states of one streamed picture cost on top."""
    return partials * int(TABLE["tokens"]["partial"])


def output_image_tokens(model: Model, quality: str, size: tuple[int, int]) -> int:
    """Tokens of one finished picture."""
    width, height = size
    if model.generation.sizes == "fixed":
        column = FIXED_SIZES.index(f"{width}x{height}")
        return int(TABLE["tokens"]["fixed"][quality][column])
    row = TABLE["tokens"]["free"]
    area: float = (width * height / 1_048_576) ** float(row["pixels_exponent"])
    ratio: float = (max(size) / min(size)) ** float(row["ratio_exponent"])
    return round(float(row["base"]) * area * ratio * float(row[quality]))
