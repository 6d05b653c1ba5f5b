"""Where the catalog's list prices differ from others'."""

from __future__ import annotations

from decimal import Decimal

import pytest

from imageway.catalog import load
from imageway.catalog.drift import Drift, Listed, compared, drift

CATALOG = load()


def listed(model: str, fact: str, usd: str) -> Listed:
    return Listed(source="a list", model=model, fact=fact, usd=Decimal(usd))


def test_a_price_that_differs_is_named_with_both() -> None:
    (found,) = drift(CATALOG, [listed("gpt-image-1", "output_image", "41")])
    assert found == Drift(
        source="a list",
        model="gpt-image-1",
        listed_as="gpt-image-1",
        fact="output_image",
        ours=("40",),
        theirs="41",
    )


@pytest.mark.parametrize("usd", ["40", "40.0", "4E+1"])
def test_the_same_price_is_no_drift_however_it_is_written(usd: str) -> None:
    assert not list(drift(CATALOG, [listed("gpt-image-1", "output_image", usd)]))


def test_one_of_several_prices_of_a_model_is_enough() -> None:
    rows = [listed("gemini-3-pro-image", "image", usd) for usd in ("0.134", "0.24", "0.2")]
    assert [found.theirs for found in drift(CATALOG, rows)] == ["0.2"]


def test_only_what_both_have_is_compared() -> None:
    rows = [
        listed("nobody's", "image", "1"),
        listed("gpt-image-1", "image", "1"),
        listed("gpt-image-1", "input_text", "5"),
    ]
    assert not list(drift(CATALOG, rows))
    assert compared(CATALOG, rows) == 1


def test_a_model_is_found_by_the_names_it_had() -> None:
    (found,) = drift(CATALOG, [listed("gemini-3-pro-image-preview", "image", "9")])
    assert found.listed_as == "gemini-3-pro-image-preview"
