"""Masks: in the form that a model reads, or told as an instruction to one that takes none."""

from __future__ import annotations

from msgspec.structs import replace

from imageway.catalog.schema import Model
from imageway.core.requests import ImageInput, ImageRequest, MaskForm, RequestWarning, Turn

USER = "user"


def marks_of(mask: ImageInput) -> MaskForm:
    return mask.marks or MaskForm.ALPHA


def as_read(model: Model, request: ImageRequest) -> tuple[ImageRequest, tuple[RequestWarning, ...]]:
    """The request with its mask as the model reads masks: to be turned into that form where it has another. A model
    that takes none, but instructions for a part of an image, gets it as its last image with a word about that, and the
    caller a warning. Else as it is."""
    mask, limits = request.mask, model.inputs
    if mask is None:
        return request, ()
    if limits.mask:
        wanted = MaskForm(limits.mask_marks)
        return (request if marks_of(mask) is wanted else replace(request, mask=replace(mask, wanted=wanted))), ()
    if not limits.mask_instruction or not (request.images or request.turns):
        return request, ()
    message = f"{mask.param} became an instruction: {model.id} takes no mask, and may change more than it marks"
    warning = RequestWarning("mask_as_instruction", mask.param, message)
    last = replace(mask, marks=marks_of(mask), wanted=MaskForm.LIGHT)
    return _told(request, last, limits.mask_instruction), (warning,)


def _told(request: ImageRequest, mask: ImageInput, instruction: str) -> ImageRequest:
    """In a conversation the user says it last."""
    prompt = f"{request.prompt}\n{instruction}" if request.prompt else instruction
    flat = replace(request, prompt=prompt, images=(*request.images, mask), mask=None)
    if not request.turns:
        return flat
    *before, last = request.turns
    if last.role != USER:
        return replace(flat, turns=(*request.turns, Turn(USER, (mask, instruction))))
    return replace(flat, turns=(*before, replace(last, parts=(*last.parts, mask, instruction))))
