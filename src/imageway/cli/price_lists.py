"""Others' price lists, read as rows of one kind: the genai-prices package, and LiteLLM's map of models."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from imageway.catalog.drift import Listed
from imageway.cli.printing import Stop

MILLION: Final = 1_000_000
MAP: Final = "litellm/model_prices_and_context_window_backup.json"
MAP_KINDS: Final = {
    "input_cost_per_token": "input_text",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
    "output_cost_per_token": "output_text",
    "output_cost_per_image": "image",
}


def genai_prices(vendors: Collection[str]) -> Iterator[Listed]:
    """Of the installed release, those of these vendors: whoever resells has prices of his own. Stops where it is not
    installed: it is needed for development alone."""
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        raise Stop("genai-prices is not installed; it comes with requirements/test.txt") from None
    for provider in get_snapshot().providers:
        if provider.id in vendors:
            for model in provider.models:
                if not isinstance(model.prices, list):
                    yield from _genai_rows(model.id, model.prices)


def _genai_rows(model: str, prices: Any) -> Iterator[Listed]:
    """Where there is one price for all output, that of an image model is its images'."""
    drawn = "output_image" if prices.output_image_mtok is None else "output_text"
    kinds = (
        ("input_text", prices.input_mtok),
        ("input_image", prices.input_image_mtok),
        (drawn, prices.output_mtok),
        ("output_image", prices.output_image_mtok),
    )
    for fact, usd in kinds:
        if isinstance(usd, Decimal):
            yield Listed(source="genai-prices", model=model, fact=fact, usd=usd)


def model_map(file: Path | None, vendors: Collection[str]) -> Iterator[Listed]:
    """The same, of that file, else of the installed distribution (which is not imported); nothing where there is
    none."""
    content = _map_content(file)
    if content is None:
        return
    try:
        rows = json.loads(content, parse_float=Decimal, parse_int=Decimal)
    except ValueError as error:
        raise Stop(f"{file} is not JSON: {error}") from None
    for name, row in rows.items() if isinstance(rows, dict) else ():
        vendor = str(row.get("litellm_provider", "")) if isinstance(row, dict) else ""
        if vendor.startswith(tuple(vendors)) and row.get("mode") in ("image_generation", "image_edit"):
            for key, fact in MAP_KINDS.items():
                if isinstance(usd := row.get(key), Decimal) and usd:
                    each = usd if fact == "image" else usd * MILLION
                    yield Listed(source="litellm", model=name.rpartition("/")[2], fact=fact, usd=each)


def _map_content(file: Path | None) -> str | None:
    if file is not None:
        try:
            return file.read_text()
        except OSError as error:
            raise Stop(f"{file} cannot be read: {error.strerror}") from None
    try:
        return metadata.distribution("litellm").read_text(f"../{MAP}")
    except metadata.PackageNotFoundError:
        return None
