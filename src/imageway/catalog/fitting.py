"""A checked request fitted to one offering: in the model's own sizes, without what this seller does not take."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from imageway.catalog.checking import images_of
from imageway.catalog.geometry import Impossible, Resolved, nearest_tier, resolve, served_tier, spelled, tier_edge
from imageway.catalog.parameters import CONVERTED, asked_in, dropped, spelled_in
from imageway.catalog.schema import Geometry as Rules
from imageway.catalog.schema import Model, Offering
from imageway.core.errors import Problem
from imageway.core.requests import Geometry, ImageData, ImageRequest, RequestWarning, Size
from imageway.core.wording import quoted


class Fitted(Struct, frozen=True):
    """`request` holds only what this offering must be sent; `size` stands for its geometry, which is None there, and
    formats it cannot be asked for are left to the gateway. `problems` non-empty: this offering cannot serve it."""

    request: ImageRequest
    size: Size
    warnings: tuple[RequestWarning, ...]
    problems: tuple[Problem, ...]


def fit(model: Model, offering: Offering, request: ImageRequest) -> Fitted:
    """What one offering would be asked for. `request` comes from `check`. Never raises."""
    request, asked, about_quality = _quality_as_tier(model, request)
    size, warnings, problems = _size(model, request, asked)
    request, about_fields, refused = _taken(model, offering, request)
    told = (*about_quality, *warnings, *about_fields)
    return Fitted(request, size, told, (*problems, *refused, *too_large(offering, request)))


def foreseen(model: Model, request: ImageRequest, fitted: Fitted) -> tuple[RequestWarning, ...]:
    """What will be told of the answer, as far as that is certain before it comes: a format that never comes, or a
    quality that nobody there can be asked for, and is converted to here."""
    asked, sent = request.output_format, fitted.request.output_format
    if asked is None:
        return ()
    own = model.output_formats[:1] if "output_format" in model.parameters else model.output_formats
    coming = (sent,) if sent else own
    compressed = request.output_compression in (None, 100, fitted.request.output_compression)
    if asked in coming and compressed:
        return ()
    name = "output_format" if asked not in coming else "output_compression"
    param = request.param(name)
    message = f"{param} {request.said(name)} would be converted to: {model.id} answers {', '.join(coming)}"
    return (RequestWarning("transcoded", param, message),)


def too_large(offering: Offering, request: ImageRequest) -> Iterator[Problem]:
    """Images that other sellers would take. Those that are only linked are not weighed before they are here."""
    most = offering.max_input_bytes
    if most is None:
        return
    for image in (*images_of(request), request.mask):
        if isinstance(image, ImageData) and image.blob.decoded_bytes > most:
            message = f"{image.param} has {image.blob.decoded_bytes:,} bytes; at most {most:,} are taken"
            yield Problem(image.param, "image_too_large", message, (f"at most {most} bytes",))


# Geometry


def _quality_as_tier(
    model: Model, request: ImageRequest
) -> tuple[ImageRequest, Geometry | None, tuple[RequestWarning, ...]]:
    """A quality that means a tier here is spent on it, unless the caller named a tier himself."""
    row = model.parameters.get("quality")
    asked = request.geometry
    word = spelled_in(row.tiers, request.quality) if row and row.tiers and request.quality is not None else None
    if row is None or word is None:
        return request, asked, ()
    param = request.param("quality")
    if asked is not None and asked.tier is not None:
        other, tier = _tier_as_asked(request)
        message = f"{param} {request.said('quality')} was not used: {other} {tier} was asked for"
        warning = RequestWarning("parameter_ignored", param, message)
    else:
        tier = nearest_tier(model.geometry.tiers, row.tiers[word])
        asked = replace(asked or Geometry(), tier=tier)
        message = f'{param} {request.said("quality")} was taken as image size "{tier}"'
        warning = RequestWarning("parameter_replaced", param, message)
    return replace(request, quality=None), asked, (warning,)


def _size(
    model: Model, request: ImageRequest, asked: Geometry | None
) -> tuple[Size, tuple[RequestWarning, ...], tuple[Problem, ...]]:
    try:
        resolved = resolve(model.geometry, asked, has_images=bool(images_of(request)))
    except Impossible:
        accepted = (*accepted_sizes(model.geometry), *_foreign_forms(model.geometry))
        message = f"{_shape_as_asked(request, asked)} cannot be made; accepted: {', '.join(accepted)}"
        return Size(), (), (Problem(request.param("geometry"), "invalid_size", message, accepted),)
    return resolved.size, () if resolved.exact else tuple(_adjustments(model, request, asked, resolved)), ()


def _adjustments(
    model: Model, request: ImageRequest, asked: Geometry | None, resolved: Resolved
) -> Iterator[RequestWarning]:
    """What became of each field that was not taken as it was written."""
    apart = asked is not None and asked.tier is not None and "tier" in request.spelled
    if not resolved.shape_kept or (not resolved.tier_kept and not apart):
        given = _given(resolved.size, _tier_for(model, asked))
        message = f"{_shape_as_asked(request, asked)} became {given}: {_why(model)}"
        yield RequestWarning("size_adjusted", request.param("geometry"), message)
    if asked is None or asked.tier is None or resolved.tier_kept or not apart:
        return
    param, text = _tier_as_asked(request)
    if model.geometry.kind == "none":
        message = f"{param} {text} was not used: {_why(model)}"
    elif asked.width is not None:
        message = f"{param} {text} was not used: {_shape_as_asked(request, asked)} says how many pixels"
    else:
        served = served_tier(model.geometry, asked.tier)
        became = quoted(served) if served != asked.tier else _given(resolved.size)
        message = f"{param} {text} became {became}: {_why(model)}"
    yield RequestWarning("size_adjusted", param, message)


def _tier_for(model: Model, asked: Geometry | None) -> str | None:
    """The one that stands in for a tier that was asked for alone."""
    if asked is None or asked.tier is None or asked.width is not None or asked.ratio is not None:
        return None
    return served_tier(model.geometry, asked.tier)


def _shape_as_asked(request: ImageRequest, asked: Geometry | None) -> str:
    """`size "16:9"`: the field and its value as written, the tier with it where the caller named no field for that."""
    geometry = request.geometry or asked or Geometry()
    if "tier" in request.spelled and geometry.tier and (geometry.width is not None or geometry.ratio):
        geometry = replace(geometry, tier=None)
    return f"{request.param('geometry')} {request.written.get('geometry') or quoted(spelled(geometry))}"


def _tier_as_asked(request: ImageRequest) -> tuple[str, str]:
    """The field that names the tier, and its value as written."""
    field = "tier" if "tier" in request.spelled else "geometry"
    tier = quoted(request.geometry.tier if request.geometry else None)
    return request.param(field), request.written.get(field) or tier


def _given(size: Size, tier: str | None = None) -> str:
    """`"16:9 2K" (2752x1536)`, `"2048x2048"`, or in words what the provider will do by itself. `tier`: where a model
    has one alone, it is never sent."""
    pixels = f"{size.width}x{size.height}" if size.pixels else ""
    if size.word:
        return f'"{size.word}"'
    if size.ratio or size.tier:
        own = " ".join(filter(None, (size.ratio, size.tier or tier)))
        return f'"{own}" ({pixels})' if pixels else f'"{own}"'
    return f'"{pixels}"' if pixels else "what the model chooses by itself"


def _why(model: Model) -> str:
    match model.geometry.kind:
        case "none":
            return f"{model.id} takes no size"
        case "ratios":
            ratios, tiers = ", ".join(model.geometry.ratios), ", ".join(model.geometry.tiers)
            return f"the nearest that {model.id} makes, of {ratios} in {tiers}"
    return f"the nearest that {model.id} makes, of {', '.join(accepted_sizes(model.geometry))}"


def accepted_sizes(rules: Rules) -> tuple[str, ...]:
    """The sizes that a model is sent as they were written."""
    match rules.kind:
        case "none":
            return rules.words or ("no size",)
        case "ratios":
            return (*rules.ratios, *rules.tiers)
        case "list":
            return (*rules.words, *rules.sizes)
    return (*rules.words, *_limits(rules))


def _foreign_forms(rules: Rules) -> Iterator[str]:
    """What else is understood, and translated, where any pixels can be had."""
    if rules.kind == "free":
        yield 'a ratio like "16:9"'
        if not any(map(tier_edge, rules.words)):
            yield 'a tier like "2K"'


def _limits(rules: Rules) -> tuple[str, ...]:
    """`WIDTHxHEIGHT (multiples of 16, 655360 to 8294400 pixels)`"""
    limits = [
        f"multiples of {rules.multiple}" if rules.multiple > 1 else "",
        f"sides of at least {rules.min_edge}" if rules.min_edge else "",
        f"sides of at most {rules.max_edge}" if rules.max_edge else "",
        f"at most {rules.max_ratio:g}:1" if rules.max_ratio else "",
        f"{rules.min_pixels or 1} to {rules.max_pixels} pixels" if rules.max_pixels else "",
    ]
    return (f"WIDTHxHEIGHT ({', '.join(filter(None, limits))})",)


# Fields


def _taken(
    model: Model, offering: Offering, request: ImageRequest
) -> tuple[ImageRequest, tuple[RequestWarning, ...], tuple[Problem, ...]]:
    """The request without what this offering does not take."""
    changes: dict[str, Any] = {"geometry": None}
    warnings: list[RequestWarning] = []
    problems: list[Problem] = []
    for asked in asked_in(request):
        if _takes(model, offering, asked.name, asked.value):
            continue
        changes[asked.name] = None
        if asked.name not in CONVERTED:
            judgement = dropped(model, asked)
            warnings += judgement.warnings
            problems += judgement.problems
    if request.extras and offering.forwards != request.family:
        changes["extras"] = MappingProxyType({})
        for name, place in request.unknown.items():
            why = f"its place is {place}" if place else "nobody knows this field here"
            warnings.append(RequestWarning("parameter_ignored", name, f"{quoted(name)} was not sent: {why}"))
    taken = replace(request, **changes)
    if (
        taken.background == "transparent"
        and taken.output_format is None
        and _takes(model, offering, "output_format", "png")
    ):
        taken = replace(taken, output_format="png")  # what came is converted to what was asked for
    return taken, tuple(warnings), tuple(problems)


def _takes(model: Model, offering: Offering, name: str, value: object) -> bool:
    if offering.parameters is not None and name not in offering.parameters:
        return False
    row = model.parameters.get(name)
    if name not in CONVERTED:
        return row is not None or (name == "negative_prompt" and model.negative_prompt_max_chars is not None)
    if row is None:
        return False
    if row.values:
        return spelled_in(row.values, value) is not None
    return isinstance(value, int) and (row.minimum or 0) <= value <= (100 if row.maximum is None else row.maximum)
