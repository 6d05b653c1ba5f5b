"""A checked request fitted to one offering: in the model's own sizes, without what this seller does not take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from imageway.catalog.checking import images_of
from imageway.catalog.geometry import FORMS, Impossible, nearest_tier, resolve, spelled
from imageway.catalog.parameters import CONVERTED, NAMES, dropped, quoted, spelled_in
from imageway.catalog.schema import Geometry as Rules
from imageway.catalog.schema import Model, Offering
from imageway.core.errors import Problem
from imageway.core.requests import Geometry, ImageRequest, RequestWarning, Size


@dataclass(frozen=True, slots=True)
class Fitted:
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
    return Fitted(request, size, (*about_quality, *warnings, *about_fields), (*problems, *refused))


# Geometry


def _quality_as_tier(
    model: Model, request: ImageRequest
) -> tuple[ImageRequest, Geometry | None, tuple[RequestWarning, ...]]:
    """A quality that means a tier here is spent on it, unless the caller named a tier himself."""
    row = model.parameters.get("quality")
    asked = request.geometry
    word = spelled_in(row.tiers, request.quality) if row and request.quality is not None else None
    if row is None or word is None:
        return request, asked, ()
    param = request.param("quality")
    if asked is not None and asked.tier is not None:
        message = f"{param} {quoted(request.quality)} was not used: the size {quoted(asked.tier)} was asked for"
        warning = RequestWarning("parameter_ignored", param, message)
    else:
        tier = nearest_tier(model.geometry.tiers, row.tiers[word])
        asked = replace(asked or Geometry(), tier=tier)
        message = f'{param} {quoted(request.quality)} was taken as image size "{tier}"'
        warning = RequestWarning("parameter_replaced", param, message)
    return replace(request, quality=None), asked, (warning,)


def _size(
    model: Model, request: ImageRequest, asked: Geometry | None
) -> tuple[Size, tuple[RequestWarning, ...], tuple[Problem, ...]]:
    param = request.param("geometry")
    try:
        resolved = resolve(model.geometry, asked, has_images=bool(images_of(request)))
    except Impossible:
        accepted = accepted_sizes(model.geometry)
        message = f"{param} {quoted(_asked(request, asked))} cannot be made; accepted: {', '.join(accepted)}"
        return Size(), (), (Problem(param, "invalid_size", message, accepted),)
    if resolved.exact:
        return resolved.size, (), ()
    message = f"{param} {quoted(_asked(request, asked))} became {_given(resolved.size)}: {_why(model)}"
    return resolved.size, (RequestWarning("size_adjusted", param, message),), ()


def _asked(request: ImageRequest, asked: Geometry | None) -> str:
    return spelled(request.geometry or asked or Geometry())


def _given(size: Size) -> str:
    """`"16:9 2K" (2752x1536)`, `"2048x2048"`, or in words what the provider will do by itself."""
    pixels = f"{size.width}x{size.height}" if size.pixels else ""
    if size.word:
        return f'"{size.word}"'
    if size.ratio or size.tier:
        own = " ".join(filter(None, (size.ratio, size.tier)))
        return f'"{own}" ({pixels})' if pixels else f'"{own}"'
    return f'"{pixels}"' if pixels else "what the model chooses by itself"


def _why(model: Model) -> str:
    match model.geometry.kind:
        case "none":
            return f"{model.id} takes no size"
        case "ratios":
            return f"{model.id} makes aspect ratios in {', '.join(model.geometry.tiers)}"
    return f"{model.id} makes other sizes"


def accepted_sizes(rules: Rules) -> tuple[str, ...]:
    """How a size may be written for a model, in words for an error."""
    match rules.kind:
        case "none":
            return rules.words or ("no size",)
        case "ratios":
            return (*rules.ratios, *rules.tiers)
        case "list":
            return (*rules.words, *rules.sizes)
    return (*rules.words, *_limits(rules), *FORMS[1:3])


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
    for name in NAMES:
        value = getattr(request, name)
        if value is None or _takes(model, offering, name, value):
            continue
        changes[name] = None
        if name not in CONVERTED:
            judgement = dropped(model, name, value, param=request.param(name))
            warnings += judgement.warnings
            problems += judgement.problems
    if request.extras and not offering.takes_extras:
        changes["extras"] = MappingProxyType({})
        for name in request.extras:
            message = f"{quoted(name)} was not sent: nobody knows this field here"
            warnings.append(RequestWarning("parameter_ignored", name, message))
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
