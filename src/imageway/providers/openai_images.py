"""OpenAI's Images API: JSON to /images/generations; to /images/edits a form with the files, or JSON where a form cannot
say it. Knows bodies, usage and error codes of that format; which model takes what is the catalog's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from imageway.core.blobs import Blob, Embed, Tree
from imageway.core.requests import ImageData, ImageInput, ImageLink, ImageRequest
from imageway.core.steps import (
    Adapter,
    Call,
    Done,
    Failed,
    FailureKind,
    FormBody,
    FormFile,
    HttpRequest,
    JsonBody,
    JsonReply,
    Produced,
    Reply,
    Send,
    Step,
    Usage,
)
from imageway.providers.fields import (
    at,
    count_at,
    failure,
    forward,
    given,
    kind_of_status,
    link_or_data_url,
    list_at,
    media_type,
    picture_at,
    reported,
    text_at,
    unreadable,
)

KINDS: Final[dict[str, FailureKind]] = {
    "invalid_api_key": FailureKind.DENIED,
    "insufficient_quota": FailureKind.DENIED,
    "billing_hard_limit_reached": FailureKind.DENIED,
    "billing_not_active": FailureKind.DENIED,
    "organization_not_verified": FailureKind.DENIED,
    "model_not_found": FailureKind.DENIED,
    "DeploymentNotFound": FailureKind.DENIED,
    "rate_limit_exceeded": FailureKind.BUSY,
    "RateLimitReached": FailureKind.BUSY,
    "moderation_blocked": FailureKind.REFUSED,
    "content_policy_violation": FailureKind.REFUSED,
    "content_filter": FailureKind.REFUSED,
    "contentFilter": FailureKind.REFUSED,
}
"""`error.code`, else `error.type` → kind; what is not here goes by the HTTP status (wire page 1.9, 1.14)."""

_KEY_IN_WORDS: Final = re.compile(r"(?<=provided: )\S+")


def encode(call: Call) -> Send:
    """One call for `call.count` images. Input images make it an edit."""
    request = call.request
    if not request.images:
        return Send(HttpRequest("POST", "/images/generations", JsonBody(_parameters(call))))
    if _needs_json(request):
        return Send(HttpRequest("POST", "/images/edits", JsonBody(_edit(call))))
    return Send(HttpRequest("POST", "/images/edits", FormBody(tuple(_form(call)))))


def decode(call: Call, memo: Mapping[str, str], reply: Reply) -> Step:
    """Done with what `data` holds, or Failed."""
    tree = reply.body.tree if isinstance(reply.body, JsonReply) else None
    if isinstance(error := at(tree, "error"), dict):
        return _failed(reply, error)
    items = list_at(tree, "data") if reply.status < 300 else []
    images = tuple(
        Produced(picture, text_at(item, "revised_prompt") or None)
        for item in items
        if (picture := picture_at(item, base64="b64_json", link="url")) is not None
    )
    errors = (at(item, "error") for item in items)
    missing = tuple(_failed(reply, error) for error in errors if isinstance(error, dict))
    if not images:
        return missing[0] if missing else unreadable(reply)
    return Done(images, usage=_usage(at(tree, "usage")), missing=missing)


def _parameters(call: Call) -> dict[str, Tree]:
    request = call.request
    known = given(
        {
            "model": call.model,
            "prompt": request.prompt,
            "n": call.count,
            "size": _size(call),
            "quality": request.quality,
            "style": request.style,
            "background": request.background,
            "moderation": request.moderation,
            "input_fidelity": request.input_fidelity if request.images else None,
            "output_format": request.output_format,
            "output_compression": request.output_compression,
            "response_format": call.options.get("answer"),
            "user": request.user,
        }
    )
    return forward(known, request.extras)


def _size(call: Call) -> str | None:
    if call.size.word is not None:
        return call.size.word
    return f"{call.size.width}x{call.size.height}" if call.size.pixels else None


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


def _usage(usage: Tree) -> Usage | None:
    """The totals are binding; what their details leave over is prompt text on the way in, image on the way out."""
    input_image = count_at(usage, "input_tokens_details", "image_tokens")
    output_text = count_at(usage, "output_tokens_details", "text_tokens")
    return reported(
        Usage(
            input_text=max(0, count_at(usage, "input_tokens") - input_image),
            input_image=input_image,
            output_text=output_text,
            output_image=max(0, count_at(usage, "output_tokens") - output_text),
        )
    )


def _failed(reply: Reply, error: Tree) -> Failed:
    code, kind_word = text_at(error, "code"), text_at(error, "type")
    message = text_at(error, "message")
    kind = KINDS.get(code) or KINDS.get(kind_word) or _kind(reply.status, error, message)
    if kind is FailureKind.DENIED:
        message = _KEY_IN_WORDS.sub("…", message)  # the vendor repeats the key it was shown
    return failure(kind, code or kind_word or f"http_{reply.status}", message, reply.headers)


def _kind(status: int, error: Tree, message: str) -> FailureKind:
    if status in (502, 504):
        return FailureKind.UNKNOWN  # relays of this format say so when they lost their own upstream
    if status == 404 and text_at(error, "param"):
        return FailureKind.INVALID  # a file the request named, not the model
    if status == 400 and "safety system" in message:
        return FailureKind.REFUSED
    return kind_of_status(status)


ADAPTER: Final = Adapter("openai_images", encode, decode)
