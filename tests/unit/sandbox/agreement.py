"""What the catalog and the sandbox each say about one offering, side by side: (fact, catalog, sandbox) for every fact
that both hold as data. Read from the tables of either, without running anything of theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from imageway.catalog import load
from imageway.catalog.schema import Model, Offering
from imageway.sandbox.upstreams.ark import limits as ark
from imageway.sandbox.upstreams.dashscope import limits as dashscope
from imageway.sandbox.upstreams.google import imagen
from imageway.sandbox.upstreams.google import limits as google
from imageway.sandbox.upstreams.openai import limits as openai

CATALOG = load()
Fact = tuple[str, Any, Any]
BASE64_GROWTH = 4 / 3


def differences(models: Iterable[Model]) -> list[str]:
    """A line for every offering and fact on which the two do not agree."""
    return [line for model in models for offering in model.offerings for line in _of_offering(model, offering)]


def _of_offering(model: Model, offering: Offering) -> Iterator[str]:
    place = f"{model.id} at {offering.provider}"
    facts, known = TWINS[twin_of(offering.provider)]
    if offering.upstream_name not in known:
        yield f'{place}: the sandbox does not know "{offering.upstream_name}"'
        return
    for fact, catalog, sandbox in facts(model, offering):
        if catalog != sandbox:
            yield f"{place}, {fact}: the catalog says {_shown(catalog)}, the sandbox {_shown(sandbox)}"


def twin_of(provider: str) -> str:
    """The first part of the path of its pretend twin: "azure" of "/azure/openai"."""
    return CATALOG.providers[provider].sandbox.split("/")[1]


def _shown(value: object) -> object:
    return sorted(value) if isinstance(value, set | frozenset) else value


def words(model: Model, name: str) -> set[str]:
    """The values of one parameter as they are sent; empty when the model does not take it."""
    row = model.parameters.get(name)
    return set(row.values) if row else set()


def span(model: Model, name: str) -> tuple[float | None, float | None] | None:
    row = model.parameters.get(name)
    return (row.minimum, row.maximum) if row and not row.ignored else None


def openai_facts(model: Model, offering: Offering) -> Iterator[Fact]:
    generation = openai.MODELS[offering.upstream_name].generation
    rules = model.geometry
    yield "prompt characters", model.prompt_max_chars, openai.LIMITS["prompt_chars"]
    yield "images a call", offering.max_n, openai.LIMITS["images_per_request"]
    yield "input images", (model.inputs.minimum, model.inputs.maximum), (0, openai.LIMITS["edit_images"])
    yield "bytes of an input image", model.inputs.max_bytes, openai.LIMITS["edit_file_bytes"]
    yield "qualities", words(model, "quality"), set(generation.qualities)
    yield "input fidelity", words(model, "input_fidelity"), set(generation.fidelity)
    yield "transparent background", "transparent" in words(model, "background"), generation.transparent
    yield "free sizes", rules.kind == "free", generation.sizes == "free"
    if rules.kind == "list":
        yield "sizes", set(rules.sizes), set(openai.FIXED_SIZES)
        for quality, column in openai.TABLE["tokens"]["fixed"].items():
            row = next((row.sizes for row in model.tokens if row.quality == quality), {})
            yield f"tokens of {quality}", row, dict(zip(openai.FIXED_SIZES, column, strict=True))
    else:
        for name, value in openai.TABLE["free"].items():
            yield f"size {name}", getattr(rules, name), value


def google_facts(model: Model, offering: Offering) -> Iterator[Fact]:
    if offering.upstream_name in imagen.IMAGEN:
        yield from imagen_facts(model, offering)
        return
    pretend = google.MODELS[offering.upstream_name]
    rules = model.geometry
    yield "ratios", set(rules.ratios), set(pretend.ratio_names)
    yield "tiers that are sent", set(rules.tiers) if rules.send_tier else set(), set(pretend.sizes)
    for tier in rules.tiers:
        for ratio in rules.ratios:
            table = google.TABLE["pixels"][pretend.pixels]
            yield f"pixels of {ratio} {tier}", rules.pixels[tier][ratio], table.get(tier, {}).get(ratio)
    yield "input images", (model.inputs.minimum, model.inputs.maximum), (0, pretend.references)
    yield "formats of input images", types(model) - set(google.LIMITS["image_types"]), set()
    inline = (model.inputs.max_total_bytes or model.inputs.max_bytes) * BASE64_GROWTH
    yield "bytes of a request", inline <= google.LIMITS["payload_bytes"], True
    levels = set(pretend.thinking) if len(pretend.thinking) > 1 else set()  # one level is no choice
    yield "thinking", {word.upper() for word in words(model, "thinking")}, levels
    yield "output format", model.output_formats[0], pretend.format
    yield "tokens of an input image", model.input_image_tokens, pretend.image_in
    squares = {tier: google.TABLE["pixels"][pretend.pixels][tier]["1:1"] for tier in pretend.tokens}
    counted = {squares[tier]: tokens for tier, tokens in pretend.tokens.items()}
    yield "tokens", dict(model.tokens[0].sizes), counted
    if model.id == offering.upstream_name:  # a model that another one serves keeps its seller's figures
        yield "context window and output", [model.context_window, model.max_output], pretend.limits


def imagen_facts(model: Model, offering: Offering) -> Iterator[Fact]:
    pretend, rules = imagen.IMAGEN[offering.upstream_name], model.geometry
    yield "images a call", offering.max_n, pretend.most
    yield "output formats", types_of(model.output_formats) - set(imagen.LIMITS["formats"]), set()
    if pretend.mode == "generate":
        yield "ratios", set(rules.ratios), set(imagen.LIMITS["ratios"])
        yield "tiers", set(rules.tiers) or {"1K"}, set(pretend.sizes)
        for tier in rules.pixels:
            yield f"pixels of {tier}", dict(rules.pixels[tier]), imagen.TABLE["pixels"].get(tier)


def types(model: Model) -> set[str]:
    return types_of(model.inputs.formats)


def types_of(formats: Iterable[str]) -> set[str]:
    return {f"image/{name}" for name in formats}


def ark_facts(model: Model, offering: Offering) -> Iterator[Fact]:
    pretend = ark.MODELS[offering.upstream_name]
    family, rules = pretend.family, model.geometry
    yield "size words", set(rules.words), set(family.tiers)
    yield "default size", rules.default, family.default
    if family.pixels:
        yield "pixels", [rules.min_pixels, rules.max_pixels], family.pixels
        yield "ratio of sizes", rules.max_ratio, family.ratio
    tables = ark.TABLE["tiers"] | (ark.TABLE["tiers_pro"] if family.named_format else {})
    for tier in set(family.tiers) - {"adaptive"}:
        yield f"sizes of {tier}", set(rules.size_tiers.get(tier, ())), set(tables[tier])
    yield "input images", [model.inputs.minimum, model.inputs.maximum], family.images
    if model.inputs.maximum:
        yield "bytes of an input image", model.inputs.max_bytes, family.file_bytes
        yield "formats of input images", set(model.inputs.formats), set(family.image_formats)
        yield "pixels of an input image", model.inputs.max_pixels, ark.LIMITS["image_pixels"]
        yield "least edge of an input image", model.inputs.min_edge, ark.LIMITS["image_min_edge"]
        yield "ratio of an input image", model.inputs.max_ratio, family.ratio
    yield "output formats", set(model.output_formats), set(family.formats)
    yield "enhancement", words(model, "enhance_mode") or {"standard"}, set(family.modes)
    grouped = "sequential_image_generation" in family.takes
    yield "groups", model.group_max_images, ark.LIMITS["group_total"] if grouped else None
    if grouped:
        yield "inputs and outputs of a group", model.inputs.total_with_outputs, ark.LIMITS["group_total"]
    yield "guidance", span(model, "guidance"), (1, 10) if "guidance_scale" in family.takes else None
    yield "a seed that counts", span(model, "seed"), (-1, 2**31 - 1) if "seed" in family.takes else None
    yield "background", "background" in model.parameters, "background" in family.takes


def dashscope_facts(model: Model, offering: Offering) -> Iterator[Fact]:
    family, rules = dashscope.MODELS[offering.upstream_name].family, model.geometry
    limits = dashscope.LIMITS
    ways = {"multimodal": "sync", "text2image": "legacy", "image-generation": "task"}
    yield "way of calling", ways[offering.options["path"]] in family.ways, True
    yield "operations", set(model.operations), set(family.modes)
    yield "prompt characters", model.prompt_max_chars, family.text_chars
    yield "images a call", offering.max_n, family.count
    most = limits["edit_images"] if "edit" in family.modes else 0
    yield "input images", (model.inputs.minimum, model.inputs.maximum), (int("generate" not in family.modes), most)
    if most:
        yield "formats of input images", set(model.inputs.formats), set(limits["image_formats"])
        yield "bytes of an input image", model.inputs.max_bytes, limits["file_bytes"]
    yield "negative prompt", model.parameters["negative_prompt"].max_chars, limits["negative_chars"]
    yield "seeds", span(model, "seed"), (0, limits["seed_max"])
    kinds = {"list": "list", "area": "free", "sides": "free", "none": "none"}
    yield "kind of sizes", rules.kind, kinds[family.size_kind]
    match family.size_kind:
        case "list":
            yield "sizes", set(rules.sizes), {size.replace("*", "x") for size in family.sizes}
            yield "default size", rules.default, family.default.replace("*", "x")
        case "area":
            yield "pixels", [rules.min_pixels, rules.max_pixels], family.bounds
            yield "ratio of sizes", rules.max_ratio or 0, family.ratio
        case "sides":
            yield "sides", [rules.min_edge, rules.max_edge], family.bounds
            yield "steps of sides", rules.multiple, dashscope.STEP


GOOGLE = google.MODELS | imagen.IMAGEN
TWINS: dict[str, tuple[Callable[[Model, Offering], Iterator[Fact]], Mapping[str, Any]]] = {
    "openai": (openai_facts, openai.MODELS),
    "azure": (openai_facts, openai.MODELS),
    "google": (google_facts, GOOGLE),
    "vertex": (google_facts, GOOGLE),
    "ark": (ark_facts, ark.MODELS),
    "dashscope": (dashscope_facts, dashscope.MODELS),
}
