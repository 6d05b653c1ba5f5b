"""What is sent: one instance and its parameters (google-genai, models.py)."""

from __future__ import annotations

from typing import Final

from imageway.core.blobs import Tree
from imageway.core.requests import ImageInput, ImageLink, ImageRequest, Operation
from imageway.core.steps import Call, HttpRequest, JsonBody, Send
from imageway.providers.fields import forward, given, media_type
from imageway.providers.shared.output import output_options
from imageway.providers.shared.places import path_of

USUAL_FACTOR: Final = 2
"""The vendor has no default, and refuses an enlargement without a factor."""


def encode(call: Call) -> Send:
    """One call for `call.count` pictures. Reasons are always asked for: without them, what was filtered out is just not
    there."""
    request = call.request
    larger = request.operation is Operation.UPSCALE
    parameters = given(
        {
            "sampleCount": call.count,
            "aspectRatio": call.size.ratio,
            "sampleImageSize": call.size.tier,
            "mode": "upscale" if larger else None,
            "upscaleConfig": {"upscaleFactor": f"x{request.scale or USUAL_FACTOR}"} if larger else None,
            "editMode": _edit_mode(request) if request.images and not larger else None,
            "personGeneration": request.person,
            "enhancePrompt": request.enhance_prompt,
            "addWatermark": request.watermark,
            "seed": request.seed,
            "outputOptions": output_options(request),
            "includeRaiReason": True,
        }
    )
    body = forward({"instances": [_instance(request, larger=larger)], "parameters": parameters}, request.extras)
    return Send(HttpRequest("POST", path_of(call, "predict"), JsonBody(body)))


def _instance(request: ImageRequest, *, larger: bool) -> Tree:
    if larger:
        return {"image": _picture(request.images[0])} if request.images else {}
    references: list[Tree] = [_reference(number, "RAW", image) for number, image in enumerate(request.images, start=1)]
    if request.mask is not None:
        mask = _reference(len(references) + 1, "MASK", request.mask)
        references.append(mask | {"maskImageConfig": {"maskMode": "MASK_MODE_USER_PROVIDED"}})
    return given({"prompt": request.prompt, "referenceImages": references or None})


def _reference(number: int, kind: str, image: ImageInput) -> dict[str, Tree]:
    return {"referenceId": number, "referenceType": f"REFERENCE_TYPE_{kind}", "referenceImage": _picture(image)}


def _picture(image: ImageInput) -> Tree:
    """Bytes, or the name of a file in the vendor's own storage."""
    if isinstance(image, ImageLink):
        return {"gcsUri": image.url}
    return {"bytesBase64Encoded": image.blob, "mimeType": media_type(image.blob)}


def _edit_mode(request: ImageRequest) -> str:
    """With a mask the prompt says what comes into it; without one the model finds by itself what to change."""
    return "EDIT_MODE_DEFAULT" if request.mask is None else "EDIT_MODE_INPAINT_INSERTION"
