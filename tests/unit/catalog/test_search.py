"""Names: ids, aliases and former ids find their model; others get the closest names."""

from __future__ import annotations

import pytest

from imageway.catalog import Catalog


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("gpt-image-1", "gpt-image-1"),
        ("seedream-4.0-base", "doubao-seedream-4-0-250828"),
        ("doubao-seedream-5-0-lite-260128", "doubao-seedream-5-0-260128"),
        ("dola-seedream-5-0-pro-260628", "doubao-seedream-5-0-pro-260628"),
    ],
)
def test_ids_and_aliases_are_served_without_a_word(catalog: Catalog, name: str, model: str) -> None:
    found = catalog.find(name)
    assert found is not None
    assert (found.model.id, found.warning) == (model, None)


@pytest.mark.parametrize(
    ("name", "model", "upstream"),
    [
        ("gemini-3-pro-image-preview", "gemini-3-pro-image", "gemini-3-pro-image"),
        ("gemini-3.1-flash-image-preview", "gemini-3.1-flash-image", "gemini-3.1-flash-image"),
        (
            "gemini-2.0-flash-preview-image-generation",
            "gemini-2.0-flash-preview-image-generation",
            "gemini-2.5-flash-image",
        ),
    ],
)
def test_former_ids_are_served_with_a_warning_that_says_by_what(
    catalog: Catalog, name: str, model: str, upstream: str
) -> None:
    found = catalog.find(name)
    assert found is not None
    assert found.warning is not None
    assert found.model.id == model
    assert found.model.offerings[0].upstream_name == upstream
    assert found.warning.code == "model_renamed"
    assert f'"{name}"' in found.warning.message
    assert upstream in found.warning.message


def test_the_resold_model_keeps_its_own_price_and_windows(catalog: Catalog) -> None:
    model = catalog.models["gemini-2.0-flash-preview-image-generation"]
    assert (model.context_window, model.max_output) == (32_768, 8_192)
    assert [(p.per, p.amount, p.shown_only) for p in model.prices] == [
        ("image", "0.040000", False),
        ("token", "0.150000", True),
        ("token", "0.600000", True),
    ]


def test_unknown_names_find_nothing_but_their_neighbours(catalog: Catalog) -> None:
    assert catalog.find("gpt-image-9") is None
    assert "gpt-image-2" in catalog.closest("gpt-image-9")
    assert catalog.closest("GPT-Image-1")[0] == "gpt-image-1"
    assert len(catalog.closest("gemini-flash-image")) == 3
    assert catalog.closest("zzz") == ()
    assert catalog.closest("x" * 100_000) == ()
