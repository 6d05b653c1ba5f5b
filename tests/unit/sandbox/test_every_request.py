"""For every offering: whatever the catalog says may be sent, the pretend provider takes; what comes back is what was
fitted, and never costs more than was held."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from imageway.bodies import blob_of
from imageway.catalog import check, fit, load, parse_size, quote
from imageway.catalog.geometry import legal
from imageway.catalog.schema import Geometry as Rules
from imageway.catalog.schema import Model, Parameter
from imageway.core.requests import Geometry, Group, ImageData, ImageRequest, Operation, Size, Turn
from imageway.core.steps import Call, Send
from imageway.providers import ADAPTERS
from imageway.sandbox.upstreams.ark import limits as ark
from imageway.sandbox.upstreams.dashscope import tasks
from imageway.sandbox.upstreams.openai import limits as openai
from tests.unit.sandbox import driving
from tests.unit.sandbox.driving import open_street
from tests.unit.sandbox.test_agreement import changed
from tests.values import replace

CATALOG = load()
WRITTEN = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "bmp": "BMP", "tiff": "TIFF", "gif": "GIF"}
FEWEST = dict.fromkeys(CATALOG.providers, 50) | {"vertex": 30}  # there are few ways to enlarge a picture
Change = tuple[str, dict[str, Any]]
DUMMY_SIGNATURE = "skip_thought_signature_validator"  # documented for what another model said


@lru_cache
def image(format_name: str = "png", width: int = 96, height: int = 64) -> ImageData:
    """A picture with transparent pixels, where the format has them."""
    out = io.BytesIO()
    mode = "RGBA" if format_name == "png" else "RGB"
    Image.new(mode, (width, height)).save(out, WRITTEN[format_name])
    return ImageData(blob_of(out.getvalue()), "image")


def plain_requests(model: Model) -> Iterator[ImageRequest]:
    """Without input images where the model generates, with the fewest where it edits, with one where it enlarges."""
    plain = ImageRequest(model=model.id, prompt="a cat")
    if "generate" in model.operations:
        yield plain
    if "edit" in model.operations:
        images = (image(),) * max(1, model.inputs.minimum)
        yield replace(plain, operation=Operation.EDIT, images=images)
    if model.operations == ("upscale",):
        yield replace(plain, operation=Operation.UPSCALE, images=(image(),), prompt=None)


def changes(model: Model) -> Iterator[Change]:
    """Every size, every value of every parameter, every count, one at a time."""
    yield "nothing", {}
    yield "longest prompt", {"prompt": "x" * model.prompt_max_chars}
    yield from ((f"size {label}", {"geometry": geometry}) for label, geometry in sizes(model.geometry))
    for name, row in model.parameters.items():
        if any(offering.parameters is None or name in offering.parameters for offering in model.offerings):
            yield from ((f"{name} {str(value)[:20]}", {name: value}) for value in values(name, row))
    for format_name in ("png", "jpeg", "webp"):
        yield f"format {format_name}", {"output_format": format_name}
    for quality in (0, 50, 100):
        yield f"compression {quality}", {"output_format": "jpeg", "output_compression": quality}
    for offering in model.offerings:
        yield from ((f"n {count}", {"n": count}) for count in {1, 2, offering.max_n})
    if "partial_images" in model.parameters:
        yield "stream of two with previews", {"stream": True, "partial_images": 2, "n": 2}
    if model.group_max_images:
        yield from ((f"group {count}", {"group": Group(count)}) for count in (None, 1, model.group_max_images))
        yield "stream of a group", {"stream": True, "group": Group(3)}
    yield from inputs(model)


def inputs(model: Model) -> Iterator[Change]:
    rules = model.inputs
    edit = {"operation": Operation.EDIT if "edit" in model.operations else Operation.UPSCALE}
    if not rules.maximum:
        return
    for format_name in set(rules.formats) & set(WRITTEN):
        yield f"input {format_name}", {**edit, "images": (image(format_name),)}
    for count in {max(1, rules.minimum), min(2, rules.maximum), rules.maximum}:
        yield f"{count} inputs", {**edit, "images": (image(),) * count}
    edge, ratio = rules.min_edge or 16, int(rules.max_ratio or 3)
    for width, height in ((edge * ratio, edge), (edge, edge * ratio), (1600, 1600)):
        yield f"input {width}x{height}", {**edit, "images": (image("png", width, height),)}
    if rules.mask:
        yield "mask", {**edit, "images": (image(),), "mask": image()}
    if rules.total_with_outputs:
        yield "inputs and group", {**edit, "images": (image(),) * 5, "group": Group(rules.total_with_outputs - 5)}
    if model.turns:
        drawn = Turn("model", (image(),), {0: DUMMY_SIGNATURE})
        spoken = (Turn("user", ("a cat",)), drawn, Turn("user", ("redder", image())))
        yield "turns", {**edit, "prompt": None, "images": (), "turns": spoken}


def sizes(rules: Rules) -> Iterator[tuple[str, Geometry | None]]:
    texts = {*rules.words, *rules.sizes, *(size for row in rules.size_tiers.values() for size in row), "auto"}
    texts |= {*rules.size_tiers, *rules.ratios, *rules.tiers, "16:9", "1:1", "2:3", "2K", "1024x1024"}
    yield from ((text, parse_size(text)) for text in sorted(texts))
    yield from ((f"{ratio} {tier}", Geometry(ratio=ratio, tier=tier)) for ratio in rules.ratios for tier in rules.tiers)
    yield from ((f"{width}x{height}", Geometry(width=width, height=height)) for width, height in edges(rules))


def edges(rules: Rules) -> Iterator[tuple[int, int]]:
    """For widths from the least to the most, the flattest and the tallest size that the catalog calls legal."""
    if rules.kind != "free":
        return
    step = rules.multiple
    every = range(step * -(-(rules.min_edge or 64) // step), (rules.max_edge or 16_384) + 1, step)
    for width in every[:: max(1, len(every) // 16)]:
        heights = [height for height in every if legal(rules, (width, height))]
        yield from ((width, height) for height in {*heights[:1], *heights[-1:]})


def values(name: str, row: Parameter) -> list[Any]:
    if row.type == "boolean":
        return [True, False]
    if row.minimum is not None and row.maximum is not None:
        middle = (row.minimum + row.maximum) / 2
        return [int(v) if row.type == "integer" else v for v in (row.minimum, middle, row.maximum)]
    if row.values or row.tiers:
        return [*row.values, *row.replace, *row.omit, *row.tiers]
    return ["x" * (row.max_chars or 20)]


async def disagreements(models: list[Model], folder: Path) -> tuple[list[str], int]:
    """What did not go through, named; and how many requests did. A change that no seller takes is named too."""
    found, count = [], 0
    async with open_street(CATALOG, folder) as street:
        for model in models:
            every = dict(changes(model))
            refused = set(every)
            for offering, plain, label in product(model.offerings, list(plain_requests(model)), every):
                said = await street.drive(model, offering, replace(plain, **every[label]))
                if said == "refused":
                    continue
                refused.discard(label)
                count += said is None
                if said is not None:
                    found.append(f"{model.id}, {plain.operation}, {label}: {said}")
            found += [f"{model.id}, {label}: the catalog refuses it itself" for label in every if label in refused]
    return found, count


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "PENDING_S", 0.0)
    monkeypatch.setattr(tasks, "RUNNING_S", 0.0)


@pytest.mark.parametrize("provider", CATALOG.providers)
async def test_whatever_may_be_sent_is_taken_and_gives_what_was_fitted(provider: str, tmp_path: Path) -> None:
    models = [model for model in CATALOG.models.values() if model.offerings[0].provider == provider]
    found, count = await disagreements(models, tmp_path)
    assert found == []
    assert count > FEWEST[provider] * len(models)


async def test_a_wrong_row_of_the_catalog_is_named(tmp_path: Path) -> None:
    """Sizes, pixels, values, counts and tokens, each planted in one model."""
    planted = {
        "size 1024x1024": changed("qwen-image-plus", "geometry.sizes", ("1024x1024", "1664x928")),
        "quality ultra": changed("gpt-image-1-mini", "parameters.quality.values", ("low", "ultra")),
        "n 7": changed("qwen-image-edit-plus", "offerings.0.max_n", 7),
        "size 16:9 4K: 5504x3072 came, 5504x3096 was fitted": changed(
            "gemini-3-pro-image", "geometry.pixels.4K.16:9", "5504x3096"
        ),
        "size 1024x1024: 4160 output image tokens were reported, 4159 held": changed(
            "gpt-image-1",
            "tokens",
            tuple(
                msgspec.structs.replace(row, sizes={"1024x1024": 4159}) for row in CATALOG.models["gpt-image-1"].tokens
            ),
        ),
        "16 inputs": changed("doubao-seedream-4-0-250828", "inputs.maximum", 16),
    }
    for said, model in planted.items():
        found, _ = await disagreements([model], tmp_path)
        assert any(line.startswith(f"{model.id}, ") and said in line for line in found), (said, found)


async def test_a_wrong_row_of_the_sandbox_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = ark.MODELS["doubao-seedream-5-0-pro-260628"]
    monkeypatch.setitem(ark.MODELS, known.id, replace(known, family=replace(known.family, modes=["standard"])))
    found, _ = await disagreements([CATALOG.models[known.id]], tmp_path)
    assert [line.partition(": ")[0] for line in found] == [
        f"{known.id}, {mode}, enhance_mode fast" for mode in ("generate", "edit")
    ]


async def test_an_adapter_that_turns_a_size_around_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = ADAPTERS["dashscope"]

    def encode(call: Call) -> Send:
        return adapter.encode(replace(call, size=Size(call.size.height, call.size.width)))

    monkeypatch.setattr(driving, "ADAPTERS", {**ADAPTERS, "dashscope": replace(adapter, encode=encode)})
    found, _ = await disagreements([CATALOG.models["qwen-image-plus"]], tmp_path)
    assert "qwen-image-plus, generate, size 1664x928: 928x1664 came, 1664x928 was fitted" in found


@pytest.mark.parametrize(
    "model",
    [m for m in CATALOG.models.values() if m.tokens and "quality" in m.parameters and m.parameters["quality"].values],
    ids=lambda m: m.id,
)
def test_no_picture_has_more_tokens_than_were_held_for_it(model: Model) -> None:
    """Every size and quality, also those left to the provider, against the sandbox's own count."""
    offering = model.offerings[0]
    pretend = openai.MODELS[offering.upstream_name]
    short = []
    for quality in model.parameters["quality"].values:
        for label, geometry in sizes(model.geometry):
            request = replace(next(plain_requests(model)), quality=quality, geometry=geometry)
            fitted = fit(model, offering, check(model, request).request)
            lines = quote(CATALOG.on(0), model, fitted.request, fitted.size, images=1).lines
            held = next(int(line.quantity) for line in lines if line.what == "output image tokens")
            painted = fitted.size.pixels or (1024, 1536)
            own = pretend.generation.quality_auto if quality == "auto" else quality
            if (counted := openai.output_image_tokens(pretend, own, painted)) > held:
                short.append(f"{quality} {label}: {counted} tokens, {held} held")
    assert short == []
