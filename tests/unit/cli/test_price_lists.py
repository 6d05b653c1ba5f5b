"""Others' price lists, read as rows of one kind."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from imageway.catalog.drift import Listed
from imageway.cli.price_lists import genai_prices, model_map
from imageway.cli.printing import Stop

MAP = {
    "gemini/gemini-2.5-flash-image": {
        "litellm_provider": "gemini",
        "mode": "image_generation",
        "input_cost_per_token": 3e-07,
        "output_cost_per_image": 0.039,
        "output_cost_per_image_token": 3e-05,
    },
    "resold/gpt-image-1": {"litellm_provider": "aiml", "mode": "image_generation", "output_cost_per_image": 1},
    "gpt-5": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1},
    "low/1024-x-1024/gpt-image-1": {"litellm_provider": "openai", "mode": "image_generation", "deprecation_date": ""},
    "free": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_token": 0},
}


def test_the_map_is_read_exactly_and_only_of_vendors_image_models(tmp_path: Path) -> None:
    file = tmp_path / "map.json"
    file.write_text(json.dumps(MAP))
    row = {"source": "litellm", "model": "gemini-2.5-flash-image"}
    assert list(model_map(file, ("gemini", "openai"))) == [
        Listed(fact="input_text", usd=Decimal("0.3"), **row),
        Listed(fact="output_image", usd=Decimal(30), **row),
        Listed(fact="image", usd=Decimal("0.039"), **row),
    ]


@pytest.mark.parametrize("content", ["[", None])
def test_a_file_that_is_no_map_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "map.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Stop, match=r"map\.json"):
        list(model_map(file, ("gemini",)))


def test_the_package_lists_vendors_models_per_million_tokens() -> None:
    rows = {(row.model, row.fact): row.usd for row in genai_prices(("google", "openai"))}
    assert rows["gpt-image-1", "output_image"] == 40
    assert rows["gemini-2.5-flash-image", "output_image"] == 30
    assert rows["gemini-2.5-flash-image", "output_text"] == Decimal("2.5")
    assert not list(genai_prices(("nobody",)))
