"""Checks a generations or edits body field by field, in the order and with the sentences of the real service, and
gives back what is to be drawn."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from imageway.sandbox.drawing import Reference
from imageway.sandbox.upstreams.openai.limits import (
    FIXED_SIZES,
    LIMITS,
    Model,
    resolve_auto,
    size_fault,
)
from imageway.sandbox.upstreams.openai.words import USER_ERROR, Complaint

Operation = Literal["generate", "edit"]
OPERATIONS: dict[str, Operation] = {"/images/generations": "generate", "/images/edits": "edit"}
COMMON = {
    "prompt", "model", "n", "size", "quality", "background", "moderation", "output_format", "output_compression",
    "partial_images", "stream", "user", "safety_identifier", "complexity", "frame_count", "frame_duration_ms", "svg",
}  # fmt: skip
EDIT_FORM = {"input_fidelity", "image", "mask", "markup"}
EDIT_JSON = {"input_fidelity", "images", "mask", "markup"}
TYPE_NAMES = {
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    str: "a string",
    list: "an array",
    dict: "an object",
}
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A body that holds, everything but the pictures read: what was resolved, and what has to be echoed."""

    model: Model
    prompt: str
    count: int
    size: tuple[int, int] | None  # None: auto
    quality: str
    background: str
    format: str
    compression: int
    fidelity: str | None
    safety_identifier: str | None
    moderation: str
    streams: bool
    partials: int

    def resolved_size(self, first: Reference | None) -> tuple[int, int]:
        return self.size or resolve_auto(self.prompt, first)


class Fields:
    """Typed reading of a body. `null` counts as not given; form values are text and are converted where they can be."""

    def __init__(self, body: Mapping[str, object], complaint: Complaint, *, form: bool = False) -> None:
        self._body = body
        self.is_form = form
        self.complaint = complaint

    def text(self, name: str) -> str | None:
        value = self._body.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self.complaint.wrong_type(name, wanted="a string", got=self._name(value))

    def choice(self, name: str, accepted: tuple[str, ...]) -> str | None:
        value = self.text(name)
        if value is None or value in accepted:
            return value
        raise self.complaint.wrong_value(name, value, accepted)

    def integer(self, name: str, *, low: int, high: int) -> int | None:
        value = self._body.get(name)
        if self.is_form and isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value):
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.complaint.wrong_type(name, wanted="an integer", got=self._name(value))
        if not low <= value <= high:
            raise self.complaint.out_of_range(name, value, low=low, high=high)
        return value

    def flag(self, name: str) -> bool:
        value = self._body.get(name)
        if self.is_form and value in ("true", "false"):
            return value == "true"
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.complaint.wrong_type(name, wanted="a boolean", got=self._name(value))

    def _name(self, value: object) -> str:
        return TYPE_NAMES.get(type(value), "null")


def check_body(fields: Fields, body: Mapping[str, object], operation: Operation, model: Model) -> Draft:
    """Raises Refusal."""
    _check_names(fields, body, operation)
    prompt = _check_prompt(fields)
    count = fields.integer("n", low=1, high=LIMITS["images_per_request"]) or 1
    quality = fields.choice("quality", tuple(model.generation.qualities)) or "auto"
    partials = fields.integer("partial_images", low=0, high=LIMITS["partial_images"]) or 0
    format_name = _check_format(fields)
    background = _check_background(fields, model, format_name)
    return Draft(
        model=model,
        prompt=prompt,
        count=count,
        size=_check_size(fields, model),
        quality=model.generation.quality_auto if quality == "auto" else quality,
        background=background,
        format=format_name,
        compression=_check_compression(fields, format_name),
        fidelity=_check_later_fields(fields, model),
        safety_identifier=fields.text("safety_identifier") or fields.text("user") or None,
        moderation=fields.choice("moderation", ("low", "auto")) or "auto",
        streams=fields.flag("stream"),
        partials=partials,
    )


def _check_names(fields: Fields, body: Mapping[str, object], operation: Operation) -> None:
    known = COMMON if operation == "generate" else COMMON | (EDIT_FORM if fields.is_form else EDIT_JSON)
    for name in body:
        if name.partition("[")[0] not in known:
            raise fields.complaint.unknown(name)


def _check_prompt(fields: Fields) -> str:
    prompt = fields.text("prompt")
    if prompt is None:
        raise fields.complaint.missing("prompt")
    limit = LIMITS["prompt_chars"]
    if not prompt:
        message = (
            "Invalid 'prompt': empty string. Expected a string with minimum length 1, but got an empty string instead."
        )
        raise fields.complaint.of(message, param="prompt", code="empty_string")
    if len(prompt) > limit:
        message = (
            f"Invalid 'prompt': string too long. Expected a string with maximum length {limit}, but got a string with "
            f"length {len(prompt)} instead."
        )
        raise fields.complaint.of(message, param="prompt", code="string_above_max_length")
    return prompt


def _check_format(fields: Fields) -> str:
    """gif and svg are gated previews: an account without access is told so."""
    format_name = fields.choice("output_format", ("png", "webp", "jpeg", "gif", "svg")) or "png"
    if format_name in ("gif", "svg"):
        message = f"Output format '{format_name}' is a preview that this organization has no access to."
        raise fields.complaint.of(message, param="output_format", code="unsupported_value")
    for name in ("frame_count", "frame_duration_ms"):
        if fields.integer(name, low=2, high=655_350) is not None:
            message = f"'{name}' is only supported with output_format 'gif'."
            raise fields.complaint.of(message, param=name, code="unsupported_value")
    return format_name


def _check_background(fields: Fields, model: Model, format_name: str) -> str:
    background = fields.choice("background", ("transparent", "opaque", "auto")) or "auto"
    if background == "transparent" and not model.generation.transparent:
        message = "Transparent background is not supported for this model"
        raise fields.complaint.of(message, param="background", code="invalid_value", kind=USER_ERROR)
    if background == "transparent" and format_name == "jpeg":
        message = "Transparent background is not supported for JPEG output format"
        raise fields.complaint.of(message, param="background", code="invalid_value", kind=USER_ERROR)
    return "opaque" if background == "auto" else background


def _check_compression(fields: Fields, format_name: str) -> int:
    compression = fields.integer("output_compression", low=0, high=100)
    if compression is not None and compression < 100 and format_name == "png":
        message = "Compression less than 100 is not supported for PNG output format"
        raise fields.complaint.of(message, param="output_compression", code="invalid_value", kind=USER_ERROR)
    return 100 if compression is None else compression


def _check_later_fields(fields: Fields, model: Model) -> str | None:
    """`complexity` came with the latest generation, `input_fidelity` went with the second."""
    if fields.choice("complexity", ("low", "medium", "high")) is not None and not model.generation.complexity:
        raise fields.complaint.unknown("complexity")
    fidelity = fields.choice("input_fidelity", ("high", "low"))
    if fidelity is not None and fidelity not in model.generation.fidelity:
        message = f"The model '{model.id}' does not support the 'input_fidelity' parameter."
        if model.generation.fidelity:
            message = f"Invalid value: '{fidelity}'. Supported values are: 'low'."
        raise fields.complaint.of(message, param="input_fidelity", code="invalid_value")
    return fidelity


def _check_size(fields: Fields, model: Model) -> tuple[int, int] | None:
    size = fields.text("size")
    if size is None or size == "auto":
        return None
    found = _SIZE.fullmatch(size)
    if model.generation.sizes == "fixed" or found is None:
        if size not in FIXED_SIZES:
            raise fields.complaint.wrong_value("size", size, (*FIXED_SIZES, "auto"))
        width, height = map(int, size.split("x"))
        return (width, height)
    width, height = int(found[1]), int(found[2])
    if fault := size_fault(width, height):
        raise fields.complaint.of(fault, param="size", code="invalid_value", kind=USER_ERROR)
    return (width, height)
