"""What a model's row says about one field of a request: sent, replaced, left out, reported or refused."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import astuple

from imageway.catalog.schema import Model, Parameter
from imageway.core.errors import Problem
from imageway.core.requests import ImageRequest, RequestWarning
from imageway.core.wording import quoted

Value = str | int | float | bool

_TYPES: Final = {
    "str | None": "string",
    "int | None": "integer",
    "float | None": "number",
    "bool | None": "boolean",
}
_ARTICLED: Final = {"string": "a string", "integer": "an integer", "number": "a number", "boolean": "true or false"}
_STRUCTURE: Final = ("prompt", "n")  # scalars that say what is asked for, not how it is made

NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        name: _TYPES[written]
        for name, written in ImageRequest.__annotations__.items()
        if written in _TYPES and name not in _STRUCTURE
    }
)
"""Every field of a request that a model may take or not, with the type its row must have."""

CONVERTED: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "output_format": Parameter(type="string", values=("png", "jpeg", "webp")),
        "output_compression": Parameter(type="integer", minimum=0, maximum=100),
        "stream": Parameter(type="boolean"),
    }
)
"""Fields the gateway honours itself, on any model: it converts what came, and streams what came at once."""

# What changes the meaning of an answer, or protects somebody, is refused where it cannot be had: never just left out.
_NEVER_DROPPED: Final = {("enhance_mode", "fast"), ("person", "dont_allow"), ("background", "transparent")}


_FIELDS: Final = ImageRequest.__struct_fields__
_PLACES: Final = tuple((_FIELDS.index(name), name) for name in NAMES)


class Asked(Struct, frozen=True):
    """What one field of a request says: our name for it and its value."""

    name: str
    value: Value
    request: ImageRequest

    @property
    def key(self) -> tuple[str, Value]:
        return (self.name, self.value)

    @property
    def param(self) -> str:
        """The caller's name for it."""
        return self.request.param(self.name)

    @property
    def text(self) -> str:
        """The value as he wrote it."""
        return self.request.said(self.name)

    def __str__(self) -> str:
        return f"{self.param} {self.text}"


class Judgement(Struct, frozen=True):
    """What becomes of one field. `value` None: it is not sent."""

    value: Value | None
    warnings: tuple[RequestWarning, ...] = ()
    problems: tuple[Problem, ...] = ()


def asked_in(request: ImageRequest) -> list[Asked]:
    """All that a request says about NAMES."""
    found, values = [], astuple(request)
    for place, name in _PLACES:
        if values[place] is not None:
            found.append(Asked(name, values[place], request))
    return found


def as_text(value: object) -> str:
    """A value as catalog rows spell it."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def spelled_in(words: Collection[str], value: object) -> str | None:
    """The row's own spelling of a value; case does not matter."""
    if not words:
        return None
    text = value if isinstance(value, str) else as_text(value)
    if text in words:
        return text
    folded = text.casefold()
    return next((word for word in words if word.casefold() == folded), None)


def dropped(model: Model, asked: Asked) -> Judgement:
    """A field that cannot be sent: a warning, or a refusal where leaving it out would change what is meant."""
    if asked.key in _NEVER_DROPPED:
        message = f"{asked} cannot be had with {model.id}"
        return Judgement(None, problems=(Problem(asked.param, "parameter_not_supported", message),))
    message = f"{asked} was not sent: {model.id} does not take it"
    return Judgement(None, (RequestWarning("parameter_ignored", asked.param, message),))


def judge(model: Model, asked: Asked) -> Judgement:
    """One field by the model's row for it (catalog/schema.py's Parameter says what each column means)."""
    name, value = asked.name, asked.value
    row = CONVERTED.get(name) or model.parameters.get(name)
    if row is None and name == "negative_prompt" and model.negative_prompt_max_chars:
        row = Parameter(type="string", max_chars=model.negative_prompt_max_chars)
    if not _is_of_type(NAMES[name], value):
        return _refused(asked, (_ARTICLED[NAMES[name]],), code="invalid_type")
    if row is None:
        return dropped(model, asked)
    if row.omit and spelled_in(row.omit, value):
        return Judgement(None)
    if row.replace and (old := spelled_in(row.replace, value)) is not None:
        new = row.replace[old]
        message = f"{asked} was sent as {quoted(typed(row, new))} to {model.id}"
        return Judgement(typed(row, new), (RequestWarning("parameter_replaced", asked.param, message),))
    if row.tiers and spelled_in(row.tiers, value) is not None:
        return Judgement(value)
    return _judge_content(model, row, asked)


def _judge_content(model: Model, row: Parameter, asked: Asked) -> Judgement:
    value, word = asked.value, spelled_in(row.values, asked.value)
    if (row.values or row.tiers) and word is None:
        if row.refuse_other or asked.key in _NEVER_DROPPED:
            return _refused(asked, accepted_values(row))
        return dropped(model, asked)
    if isinstance(value, int | float) and not _in_range(row, value):
        return _refused(asked, accepted_values(row))
    longest = row.max_chars or (model.negative_prompt_max_chars if asked.name == "negative_prompt" else None)
    if isinstance(value, str) and longest and len(value) > longest:
        message = f"{asked.param} has {len(value):,} characters; {model.id} takes at most {longest:,}"
        accepted = (f"at most {longest} characters",)
        return Judgement(None, problems=(Problem(asked.param, "invalid_value", message, accepted),))
    warnings = []
    if isinstance(value, str) and row.advice_chars and len(value) > row.advice_chars:
        message = f"{asked.param} has {len(value):,} characters; {model.id} is meant for at most {row.advice_chars:,}"
        warnings.append(RequestWarning("advice", asked.param, message))
    if row.ignored:
        message = f"{asked} was sent, but {model.id} does nothing with it"
        warnings.append(RequestWarning("parameter_ignored", asked.param, message))
    return Judgement(typed(row, word) if word is not None else value, tuple(warnings))


def accepted_values(row: Parameter) -> tuple[str, ...]:
    """What a caller may write, in words."""
    words = dict.fromkeys((*row.values, *row.omit, *row.replace, *row.tiers))
    if words:
        return tuple(words)
    low, high = (None if limit is None else f"{limit:.10g}" for limit in (row.minimum, row.maximum))
    if low is not None and high is not None:
        return (f"{low} to {high}",)
    if low is not None or high is not None:
        return (f"at least {low}" if low is not None else f"at most {high}",)
    return ("true", "false") if row.type == "boolean" else (_ARTICLED[row.type],)


def _refused(asked: Asked, accepted: tuple[str, ...], *, code: str = "invalid_value") -> Judgement:
    message = f"{asked.param} is {asked.text}; accepted: {', '.join(accepted)}"
    return Judgement(None, problems=(Problem(asked.param, code, message, accepted),))


def _in_range(row: Parameter, value: float) -> bool:
    return (row.minimum is None or value >= row.minimum) and (row.maximum is None or value <= row.maximum)


def _is_of_type(type_: str, value: object) -> bool:
    match type_:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def typed(row: Parameter, text: str) -> Value:
    """A row's word as the value it stands for."""
    match row.type:
        case "boolean":
            return text == "true"
        case "integer":
            return int(text)
        case "number":
            return float(text)
    return text
