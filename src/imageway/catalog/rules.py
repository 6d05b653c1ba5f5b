"""What must hold for catalog rows whose types are already right: each mistake as (key, what is wrong)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import date

from imageway.catalog.geometry import legal, pixels_of, ratio_of, tier_edge
from imageway.catalog.parameters import CONVERTED, NAMES, as_text, spelled_in
from imageway.catalog.schema import Geometry, Model, Offering, Parameter, Price, Rate, Row, Tokens
from imageway.core.money import parse_usd

Mistake = tuple[str, str]

MASK_AND_MASKED = 2
_LEAST = {
    Model: {
        "prompt_max_chars": 1,
        "group_max_images": 1,
        "input_image_tokens": 0,
        "high_fidelity_tokens": 0,
        "output_text_tokens": 0,
        "partial_image_tokens": 0,
    },
    Offering: {
        "max_n": 1,
        "max_input_bytes": 1,
        "max_answer_bytes": 1,
        "attempt_deadline_s": 1,
        "task_deadline_s": 1,
    },
    Price: {"max_pixels": 1, "free_first": 0},
    Tokens: {"axis": 1, "area_offset": 0, "area_scale": 1},
}
_AMOUNT = re.compile(r"\d{1,9}(\.\d{1,9})?", re.A)


def model_problems(model: Model, *, known: Collection[str], providers: Collection[str]) -> Iterator[Mistake]:
    """Everything wrong with one model's row, alone and against the ids of all models and providers."""
    yield from _too_small(model)
    yield from _reference_problems(model, known)
    yield from _input_problems(model)
    yield from (("geometry." + key, why) for key, why in geometry_problems(model.geometry))
    for name, row in model.parameters.items():
        yield from ((f"parameters.{name}{key}", why) for key, why in _parameter_problems(name, row))
        yield from _need_problems(model, name, row)
    yield from _tier_problems(model)
    if not sells_images(model, model.prices):
        yield "prices", "are missing: nothing is given away by accident"
    for index, price in enumerate(model.prices):
        yield from ((f"prices[{index}].{key}", why) for key, why in price_problems(price))
    for index, tokens in enumerate(model.tokens):
        yield from ((f"tokens[{index}].{key}", why) for key, why in _too_small(tokens))
    try:
        parse_usd(model.minimum_hold)
    except ValueError as error:
        yield "minimum_hold", str(error)
    for index, offering in enumerate(model.offerings):
        yield from ((f"offerings[{index}].{key}", why) for key, why in _offering_problems(offering, providers))


def names_problems(models: Iterable[Model]) -> Iterator[tuple[Model, str, str]]:
    """Every id, alias and former id names one model."""
    owners: dict[str, Model] = {}
    for model in models:
        aliases = (("aliases", alias) for alias in model.aliases)
        renames = (("renames", rename.id) for rename in model.renames)
        gone = (("succeeds", old.id) for old in model.succeeds)
        for key, name in (("id", model.id), *aliases, *renames, *gone):
            if name in owners:
                yield model, key, f'"{name}" already names {owners[name].id}'
            owners.setdefault(name, model)


def rate_problems(rate: Rate) -> Iterator[Mistake]:
    """What costs something in that currency must cost something here."""
    if not _AMOUNT.fullmatch(rate.usd) or not rate.usd.strip("0."):
        yield "usd", f'"{rate.usd}" is not a decimal number above 0, like 0.14'
    yield from _day_problems(rate.effective)


def _day_problems(effective: str) -> Iterator[Mistake]:
    try:
        date.fromisoformat(effective)
    except ValueError:
        yield "effective", f'"{effective}" is not a day like 2025-12-31'


def _too_small(row: Row) -> Iterator[Mistake]:
    for name, least in _LEAST[type(row)].items():
        value = getattr(row, name)
        if value is not None and value < least:
            yield name, f"is {value}, which is less than {least}"


def _reference_problems(model: Model, known: Collection[str]) -> Iterator[Mistake]:
    references = (
        ("lifecycle.successor", model.lifecycle.successor),
        ("edit_model", model.edit_model),
        ("text_model", model.text_model),
    )
    for key, other in references:
        if other and other not in known:
            yield key, f'"{other}" is no model of this catalog'
    try:
        date.fromisoformat(model.created)
    except ValueError:
        yield "created", f'"{model.created}" is not a day like 2025-12-31'


def _input_problems(model: Model) -> Iterator[Mistake]:
    inputs = model.inputs
    for operation in model.instructions:
        if operation not in model.operations or "edit" not in model.operations:
            yield "instructions", f'"{operation}" is told as an edit: both stand in operations'
    if inputs.minimum > inputs.maximum:
        yield "inputs.minimum", f"{inputs.minimum} is more than the maximum, {inputs.maximum}"
    takes_images = any(operation != "generate" for operation in model.operations)
    if takes_images != (inputs.maximum > 0):
        yield "inputs.maximum", f"{inputs.maximum} does not go with the operations {', '.join(model.operations)}"
    if inputs.mask and not inputs.maximum:
        yield "inputs.mask", "masks nothing: inputs.maximum is 0"
    if (inputs.mask_formats or inputs.mask_like_first) and not inputs.mask:
        yield "inputs.mask_formats", "and mask_like_first say nothing where no mask is taken"
    if inputs.mask_instruction and (inputs.mask or inputs.maximum < MASK_AND_MASKED):
        yield "inputs.mask_instruction", "is for a model that takes two images and no mask"


def geometry_problems(rules: Geometry) -> Iterator[Mistake]:
    for key, sizes in (("sizes", rules.sizes), *((f"size_tiers.{t}", s) for t, s in rules.size_tiers.items())):
        for size in sizes:
            pixels = pixels_of(size)
            if pixels is None or not all(pixels):
                yield key, f'"{size}" is not WIDTHxHEIGHT'
            elif rules.kind == "free" and not legal(rules, pixels):
                yield key, f'"{size}" is not within the limits of this very row'
    for tier in (*rules.tiers, *rules.size_tiers):
        if not tier_edge(tier):
            yield "tiers", f'"{tier}" is not a tier like 512, 1K or 1.5K'
    yield from (_ratio_problems(rules) if rules.kind == "ratios" else _pixel_problems(rules))
    for key, default in (("default", rules.default), ("default_edit", rules.default_edit or "")):
        if default not in ("", "input", *rules.words, *rules.ratios) and not _is_size(rules, default):
            yield key, f'"{default}" is not something this model can be sent'


def _is_size(rules: Geometry, text: str) -> bool:
    pixels = pixels_of(text)
    return pixels is not None and rules.kind in ("list", "free") and all(pixels) and legal(rules, pixels)


def _ratio_problems(rules: Geometry) -> Iterator[Mistake]:
    if not rules.ratios or not rules.tiers:
        yield "ratios", "and tiers are needed by this kind"
    if rules.default_tier and rules.default_tier not in rules.tiers:
        yield "default_tier", f'"{rules.default_tier}" is not one of the tiers'
    for ratio in rules.ratios:
        if ratio_of(ratio) is None:
            yield "ratios", f'"{ratio}" is not a ratio like 16:9'
        for tier in rules.tiers:
            size = rules.pixels.get(tier, {}).get(ratio)
            pixels = pixels_of(size) if size else None
            if pixels is None or not all(pixels):
                yield f"pixels.{tier}", f'"{ratio}" has no WIDTHxHEIGHT'


def _pixel_problems(rules: Geometry) -> Iterator[Mistake]:
    if rules.kind == "list" and not rules.sizes:
        yield "sizes", "are needed by this kind"
    if rules.kind == "free":
        if not rules.sizes and not rules.size_tiers:
            yield "sizes", "or size_tiers are needed by this kind, to translate ratios to"
        if not (rules.min_pixels or rules.min_edge) or not (rules.max_pixels or rules.max_edge):
            yield "max_pixels", "is needed by this kind, and min_pixels (or limits of edges)"


def _parameter_problems(name: str, row: Parameter) -> Iterator[Mistake]:
    if name not in NAMES:
        yield "", f"is not a field of a request; those are {', '.join(NAMES)}"
        return
    if row.type != NAMES[name]:
        yield ".type", f'is "{row.type}", but the field holds a {NAMES[name]}'
    if row.minimum is not None and row.maximum is not None and row.minimum > row.maximum:
        yield ".minimum", f"{as_text(row.minimum)} is more than the maximum"
    for old, new in row.replace.items():
        if row.values and spelled_in(row.values, new) is None:
            yield ".replace", f'"{old}" becomes "{new}", which is not one of the values'
    if row.default is not None and row.values and spelled_in((*row.values, *row.omit), row.default) is None:
        yield ".default", f'"{row.default}" is not one of the values'
    if name in CONVERTED and (row.replace or row.omit):
        yield ".replace", "and omit do nothing here: the gateway converts"


def _need_problems(model: Model, name: str, row: Parameter) -> Iterator[Mistake]:
    for other, word in row.needs.items():
        needed = model.parameters.get(other)
        if needed is None:
            yield f"parameters.{name}.needs", f'"{other}" is no parameter of this model'
        elif needed.values and spelled_in(needed.values, word) is None:
            yield f"parameters.{name}.needs", f'"{word}" is not one of the values of {other}'


def _tier_problems(model: Model) -> Iterator[Mistake]:
    for name, row in model.parameters.items():
        if row.tiers and (name != "quality" or model.geometry.kind != "ratios"):
            yield f"parameters.{name}.tiers", "go with the quality of ratio-based models only"
        for tier in row.tiers.values():
            if not tier_edge(tier):
                yield f"parameters.{name}.tiers", f'"{tier}" is not a tier like 512, 1K or 1.5K'
    for index, price in enumerate(model.prices):
        for tier in price.tiers:
            if tier not in tiers_of(model):
                yield f"prices[{index}].tiers", f'"{tier}" is not a tier of this model'


def tiers_of(model: Model) -> tuple[str, ...]:
    """What `tiers` of its price rows may name."""
    return tuple(dict.fromkeys((*model.geometry.tiers, *model.geometry.size_tiers, *model.geometry.words)))


def sells_images(model: Model, prices: Iterable[Price]) -> bool:
    """Whether an image of the model has a price by these rows. Those of its input alone, or of tokens that nobody could
    count where none are reported, would give it away."""
    return any(
        price.per == "image" or (price.tokens == "output_image" and bool(model.tokens))
        for price in prices
        if not price.shown_only
    )


def price_problems(price: Price) -> Iterator[Mistake]:
    if not _AMOUNT.fullmatch(price.amount):
        yield "amount", f'"{price.amount}" is not a decimal number like 0.039'
    if (price.per == "token") != (price.tokens is not None):
        yield "tokens", "is needed by prices per token, and by no other"
    for size in price.sizes:
        if pixels_of(size) is None:
            yield "sizes", f'"{size}" is not WIDTHxHEIGHT'
    yield from _day_problems(price.effective)
    yield from _too_small(price)


def _offering_problems(offering: Offering, providers: Collection[str]) -> Iterator[Mistake]:
    if offering.provider not in providers:
        yield "provider", f'"{offering.provider}" is no provider of this catalog'
    yield from _too_small(offering)
    for name in offering.parameters or ():
        if name not in NAMES:
            yield "parameters", f'"{name}" is not a field of a request'
    for index, price in enumerate(offering.cost):
        yield from ((f"cost[{index}].{key}", why) for key, why in price_problems(price))
