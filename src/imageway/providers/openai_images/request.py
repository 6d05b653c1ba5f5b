"""What is sent: JSON to /images/generations; to /images/edits a form with the files, or JSON where a form cannot say
it. A stream is the same request with a word more."""

from __future__ import annotations

from collections.abc import Iterator

from imageway.core.blobs import Blob, Embed, Tree
from imageway.core.requests import ImageData, ImageInput, ImageLink, ImageRequest
from imageway.core.steps import Call, FormBody, FormFile, HttpRequest, JsonBody, Send
from imageway.providers.fields import forward, given, link_or_data_url, media_type, size_text


def encode(call: Call) -> Send:
    """One call for `call.count` images. Input images make it an edit."""
    request = call.request
    if not request.images:
        return Send(HttpRequest("POST", "/images/generations", JsonBody(_parameters(call))))
    if _needs_json(request):
        return Send(HttpRequest("POST", "/images/edits", JsonBody(_edit(call))))
    return Send(HttpRequest("POST", "/images/edits", FormBody(tuple(_form(call)))))


def _parameters(call: Call) -> dict[str, Tree]:
    request = call.request
    known = given(
        {
            "model": call.model,
            "prompt": request.prompt,
            "n": call.count,
            "size": size_text(call),
            "quality": request.quality,
            "style": request.style,
            "background": request.background,
            "moderation": request.moderation,
            "input_fidelity": request.input_fidelity if request.images else None,
            "output_format": request.output_format,
            "output_compression": request.output_compression,
            "response_format": call.options.get("answer"),
            "stream": request.stream,
            "partial_images": request.partial_images,
            _identifier(request): request.user,
        }
    )
    return forward(known, request.extras)


def _identifier(request: ImageRequest) -> str:
    """The older of two names, which every house of this format knows, unless the caller used the newer."""
    newer = request.user is not None and request.param("user") == "safety_identifier"
    return "safety_identifier" if newer else "user"


def _needs_json(request: ImageRequest) -> bool:
    """A form holds files, so no links; and only the JSON form documents `moderation`."""
    inputs = (*request.images, request.mask)
    return request.moderation is not None or any(isinstance(image, ImageLink) for image in inputs)


def _edit(call: Call) -> dict[str, Tree]:
    request = call.request
    body = _parameters(call)
    body["images"] = [{"image_url": link_or_data_url(image)} for image in request.images]
    if request.mask is not None:
        body["mask"] = {"image_url": link_or_data_url(request.mask)}
    return body


def _form(call: Call) -> Iterator[tuple[str, str | FormFile]]:
    """Texts first, then the files: `image` for one, `image[]` for several, as the vendor's SDK does."""
    request = call.request
    for name, value in _parameters(call).items():
        yield from _flat(name, value)
    name = "image" if len(request.images) == 1 else "image[]"
    for number, image in enumerate(request.images, start=1):
        yield from _file(name, f"image-{number}", image)
    if request.mask is not None:
        yield from _file("mask", "mask", request.mask)


def _file(name: str, stem: str, image: ImageInput) -> Iterator[tuple[str, FormFile]]:
    if isinstance(image, ImageData):
        yield name, _form_file(stem, image.blob)


def _form_file(stem: str, blob: Blob) -> FormFile:
    kind = media_type(blob)
    return FormFile(blob, f"{stem}.{kind.removeprefix('image/')}", kind)


def _flat(name: str, value: Tree) -> Iterator[tuple[str, str | FormFile]]:
    """A JSON value as form fields: `svg[model]`, `list[]`; null is absent."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}[{key}]", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _flat(f"{name}[]", inner)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif isinstance(value, str | int | float):
        yield name, str(value)
    elif isinstance(value, Embed):
        yield name, _form_file(name, value.blob)
    elif value is not None:
        yield name, _form_file(name, value)
