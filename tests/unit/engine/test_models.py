"""What a model's card tells a caller: enough to write a request that is taken as it is."""

from __future__ import annotations

from typing import Any

import pytest

from imageway.catalog import Catalog
from imageway.engine.models import card


def shown(catalog: Catalog, model: str) -> Any:
    return card(catalog.models[model]).capabilities


@pytest.mark.parametrize(
    ("model", "parameter", "default"),
    [
        ("doubao-seedream-4-0-250828", "watermark", True),
        ("doubao-seedream-3-0-t2i-250415", "seed", -1),
        ("doubao-seedream-3-0-t2i-250415", "guidance", 2.5),
        ("gpt-image-1", "quality", "auto"),
    ],
)
def test_defaults_have_the_type_of_their_parameter(catalog: Catalog, model: str, parameter: str, default: Any) -> None:
    found = shown(catalog, model)["parameters"][parameter]["default"]
    assert (found, type(found)) == (default, type(default))


def test_whatever_is_taken_without_a_word_or_for_what_it_means_is_listed(catalog: Catalog) -> None:
    assert shown(catalog, "gemini-3-pro-image")["parameters"]["quality"]["values"] == ["hd", "high", "2K"]
    assert shown(catalog, "gpt-image-1")["parameters"]["input_fidelity"]["values"] == ["low", "high", "auto"]


def test_free_sizes_come_with_their_limits(catalog: Catalog) -> None:
    assert shown(catalog, "gpt-image-2")["size"] | {"sizes": [], "words": []} == {
        "default": "auto",
        "sizes": [],
        "words": [],
        "ratios": [],
        "tiers": [],
        "multiple": 16,
        "max_edge": 3840,
        "max_ratio": 3,
        "min_pixels": 655_360,
        "max_pixels": 8_294_400,
    }
    assert "max_pixels" not in shown(catalog, "gpt-image-1")["size"]


def test_a_card_says_what_is_held_at_least(catalog: Catalog) -> None:
    assert card(catalog.models["gpt-image-1"]).minimum_hold_usd == catalog.models["gpt-image-1"].minimum_hold
