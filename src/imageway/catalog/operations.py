"""Operations that a model performs by being told to: an upscale, a cut-out or a variation as the edit nearest to it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from imageway.catalog.schema import Model
from imageway.core.requests import Geometry, ImageData, ImageRequest, Operation, RequestWarning
from imageway.core.wording import quoted

USUAL_SCALE: Final = 2
INSTRUCTIONS: Final = MappingProxyType(
    {
        Operation.UPSCALE: "Reproduce this image exactly as it is at a higher resolution: the same content, colours and"
        " composition, with finer detail and nothing added.",
        Operation.REMOVE_BACKGROUND: "Remove the background: keep the main subject exactly as it is, on plain white.",
        Operation.VARIATION: "Make a variation of this image: the same subject and style, composed anew.",
    }
)
"""For models whose row has no instruction of its own."""


def as_edit(model: Model, request: ImageRequest) -> tuple[ImageRequest, tuple[RequestWarning, ...]]:
    """The request as an edit, where the model's row says by which instruction it performs the operation, or where it
    only takes instructions: then with a warning. Else as it is: the model has the operation itself, or nothing like
    it."""
    operation = request.operation
    if operation not in INSTRUCTIONS or "edit" not in model.operations:
        return request, ()
    own = model.instructions.get(operation.value)
    if own is None and operation.value in model.operations:
        return request, ()
    told = "\n".join(text for text in (own or INSTRUCTIONS[operation], request.prompt) if text)
    edit = replace(request, operation=Operation.EDIT, prompt=told)
    about_size: tuple[RequestWarning, ...] = ()
    if operation is Operation.UPSCALE:
        edit, about_size = _enlarged(edit)
    elif operation is Operation.REMOVE_BACKGROUND and edit.background is None and _cuts_out(model):
        edit = replace(edit, background="transparent")
    if own is not None:
        return edit, about_size
    message = f"{model.id} has no operation {quoted(operation.value)}: it was told to, as an edit"
    return edit, (RequestWarning("operation_as_edit", request.param("operation"), message), *about_size)


def _cuts_out(model: Model) -> bool:
    row = model.parameters.get("background")
    return row is not None and "transparent" in row.values


def _enlarged(request: ImageRequest) -> tuple[ImageRequest, tuple[RequestWarning, ...]]:
    """The size that the factor makes of the first image, where the caller named none and that image is here."""
    factor, first = request.scale or USUAL_SCALE, next(iter(request.images), None)
    facts = first.blob.facts if isinstance(first, ImageData) else None
    plain = replace(request, scale=None)
    if request.geometry is None and facts is not None:
        spelled = {"geometry": request.param("scale"), **request.spelled}
        return replace(plain, geometry=Geometry(facts.width * factor, facts.height * factor), spelled=spelled), ()
    if request.scale is None:
        return plain, ()
    param = request.param("scale")
    why = (
        "the size was named as well" if request.geometry else "the size of the image is not known before it is fetched"
    )
    return plain, (RequestWarning("parameter_ignored", param, f"{param} was not used: {why}"),)
