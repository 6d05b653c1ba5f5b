"""Catalog and sandbox were written apart, from the same pages: what both hold as data is the same, fact by fact. A
difference is a mistake in one of them, and is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from imageway.catalog import load
from imageway.catalog.schema import Model
from tests.unit.sandbox.agreement import TWINS, ark, dashscope, differences, google, openai, twin_of

CATALOG = load()


def changed(name: str, path: str, value: Any) -> Model:
    """A model of the catalog with one value replaced: `geometry.max_ratio`, `parameters.quality.values`."""

    def within(row: Any, keys: list[str]) -> Any:
        if not keys:
            return value
        if isinstance(row, dict):
            return {**row, keys[0]: within(row.get(keys[0]), keys[1:])}
        if isinstance(row, tuple):
            return (within(row[0], keys[1:]), *row[1:])
        return msgspec.structs.replace(row, **{keys[0]: within(getattr(row, keys[0]), keys[1:])})

    model: Model = within(CATALOG.models[name], path.split("."))
    return model


def test_every_offering_is_known_and_described_alike() -> None:
    assert differences(CATALOG.models.values()) == []


def test_every_provider_is_compared() -> None:
    assert {twin_of(provider) for provider in CATALOG.providers} <= set(TWINS)


@pytest.mark.parametrize(
    ("name", "path", "value", "said"),
    [
        ("gpt-image-1", "offerings.0.upstream_name", "gpt-image-9", 'the sandbox does not know "gpt-image-9"'),
        ("gpt-image-1", "offerings.0.max_n", 4, "images a call: the catalog says 4, the sandbox 10"),
        ("gpt-image-1", "geometry.sizes", ("1024x1024",), "sizes: the catalog says ['1024x1024']"),
        ("gpt-image-1", "parameters.quality.values", ("low",), "qualities: the catalog says ['low']"),
        ("gpt-image-1", "tokens.0.sizes", {"1024x1024": 271}, "tokens of low: the catalog says {'1024x1024': 271}"),
        ("gpt-image-2", "geometry.max_pixels", 9_000_000, "size max_pixels: the catalog says 9000000"),
        ("gpt-image-2", "parameters.background.values", ("transparent",), "transparent background"),
        ("gemini-3-pro-image", "geometry.pixels.4K.16:9", "5504x3096", "pixels of 16:9 4K"),
        ("gemini-3-pro-image", "inputs.maximum", 20, "input images: the catalog says (0, 20), the sandbox (0, 14)"),
        ("gemini-3.1-flash-image", "parameters.thinking.values", ("minimal", "low"), "thinking"),
        ("gemini-3.1-flash-image", "tokens.0.sizes", {"1024x1024": 1120}, "tokens: the catalog says"),
        ("doubao-seedream-4-0-250828", "group_max_images", 14, "groups: the catalog says 14, the sandbox 15"),
        ("doubao-seedream-4-5-251128", "geometry.min_pixels", 921_600, "pixels: the catalog says [921600, 16777216]"),
        ("doubao-seedream-4-5-251128", "geometry.words", ("1K", "2K", "4K"), "size words"),
        ("doubao-seededit-3-0-i2i-250628", "parameters.guidance.maximum", 20, "guidance"),
        ("qwen-image-plus", "offerings.0.options.path", "image-generation", "way of calling"),
        ("qwen-image-plus", "prompt_max_chars", 801, "prompt characters: the catalog says 801, the sandbox 800"),
        ("qwen-image-3.0", "geometry.max_ratio", 16.0, "ratio of sizes: the catalog says 16.0, the sandbox 8"),
        ("qwen-image-edit-plus", "geometry.multiple", 8, "steps of sides: the catalog says 8, the sandbox 16"),
    ],
)
def test_a_difference_in_the_catalog_is_named(name: str, path: str, value: Any, said: str) -> None:
    found = differences([changed(name, path, value)])
    assert found
    assert all(line.startswith(f"{name} at ") for line in found)
    assert any(said in line for line in found), found


def test_a_difference_in_the_sandbox_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for models, name, change in (
        (openai.MODELS, "gpt-image-1", {"text_output": True, "fidelity": []}),
        (ark.MODELS, "doubao-seedream-4-0-250828", {"pixels": [1, 2]}),
        (dashscope.MODELS, "qwen-image-2.0", {"count": 4}),
    ):
        known: Any = models[name]
        part = "generation" if models is openai.MODELS else "family"
        monkeypatch.setitem(models, name, replace(known, **{part: replace(getattr(known, part), **change)}))
    monkeypatch.setitem(
        google.MODELS, "gemini-2.5-flash-image", replace(google.MODELS["gemini-2.5-flash-image"], format="jpeg")
    )
    lines = "\n".join(differences(CATALOG.models.values()))
    assert "gpt-image-1 at openai, input fidelity" in lines
    assert "doubao-seedream-4-0-250828 at volcengine, pixels" in lines
    assert "qwen-image-2.0 at dashscope, images a call: the catalog says 6, the sandbox 4" in lines
    assert "gemini-2.5-flash-image at google, output format" in lines
