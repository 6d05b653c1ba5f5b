"""Volcengine Ark's image endpoint: one JSON call for pictures, edits and groups. Knows its fields and error codes;
which model takes which of them is the catalog's. Options: `answer` "url" (default) or "b64_json"; `groups` "true" where
a single picture is asked for by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from imageway.core.blobs import Tree
from imageway.core.steps import (
    Adapter,
    Call,
    Done,
    Failed,
    FailureKind,
    HttpRequest,
    JsonBody,
    JsonReply,
    More,
    Produced,
    Reply,
    Send,
    Step,
    Usage,
)
from imageway.core.streams import StreamEnd, StreamEvent
from imageway.providers.fields import (
    at,
    count_at,
    cut_stream,
    failure,
    forward,
    given,
    kind_of_status,
    link_or_data_url,
    list_at,
    picture_at,
    reported,
    size_text,
    text_at,
    unreadable,
)

KINDS: Final[dict[str, FailureKind]] = {
    "AuthenticationError": FailureKind.DENIED,
    "InvalidAccountStatus": FailureKind.DENIED,
    "AccountOverdueError": FailureKind.DENIED,
    "AccessDenied": FailureKind.DENIED,
    "OperationDenied": FailureKind.DENIED,
    "InvalidEndpoint": FailureKind.DENIED,
    "InvalidEndpointOrModel": FailureKind.DENIED,
    "ModelNotOpen": FailureKind.DENIED,
    "UnsupportedModel": FailureKind.DENIED,
    "QuotaExceeded": FailureKind.DENIED,
    "SetLimitExceeded": FailureKind.DENIED,
    "ServerOverloaded": FailureKind.BUSY,
    "RateLimitExceeded": FailureKind.BUSY,
    "RequestBurstTooFast": FailureKind.BUSY,
    "InflightBatchsizeExceeded": FailureKind.BUSY,
    "MissingParameter": FailureKind.INVALID,
    "InvalidParameter": FailureKind.INVALID,
    "InvalidImageURL": FailureKind.INVALID,
    "BadRequest": FailureKind.INVALID,
    "RequestCanceled": FailureKind.FAILED,
    "InternalServiceError": FailureKind.FAILED,
}
"""The code up to its first dot → kind (volcengine.com/docs/82379/1299023)."""

MARKS: Final[dict[str, FailureKind]] = {
    "SensitiveContentDetected": FailureKind.REFUSED,
    "RateLimitExceeded": FailureKind.BUSY,
}
"""Words inside a code that settle it, whatever stands around them: `ModelAccountIpmRateLimitExceeded`."""


def encode(call: Call) -> Send:
    """One picture, or one group of up to `max_images`."""
    request = call.request
    body = given(
        {
            "model": call.model,
            "prompt": request.prompt,
            "image": _image(call),
            "size": size_text(call),
            "seed": request.seed,
            "guidance_scale": request.guidance,
            "background": request.background,
            "output_format": request.output_format,
            "optimize_prompt_options": {"mode": request.enhance_mode} if request.enhance_mode else None,
            "watermark": request.watermark,
            "response_format": call.options.get("answer", "url"),
            "stream": request.stream,
        }
    )
    return Send(HttpRequest("POST", "/images/generations", JsonBody(forward(body | _group(call), call.request.extras))))


def decode(call: Call, memo: Mapping[str, str], reply: Reply) -> Step:
    """Done with the pictures that came, the others in `missing`; Failed when none did. Of a stream More, picture by
    picture."""
    if isinstance(reply.body, StreamEvent):
        return _event(reply, reply.body)
    if isinstance(reply.body, StreamEnd):
        return cut_stream()
    tree = reply.body.tree if isinstance(reply.body, JsonReply) else None
    if isinstance(error := at(tree, "error"), dict):
        return _failed(reply, error, otherwise=kind_of_status(reply.status))
    items = list_at(tree, "data") if reply.status < 300 else []
    pictures = [picture for item in items if (picture := picture_at(item, base64="b64_json", link="url")) is not None]
    missing = tuple(
        replace(_failed(reply, error, otherwise=FailureKind.FAILED), place=place)
        for place, item in enumerate(items)
        if isinstance(error := at(item, "error"), dict)
    )
    if not pictures:
        return missing[0] if missing else unreadable(reply)
    return Done(tuple(map(Produced, pictures)), usage=_usage(tree), missing=missing)


def _event(reply: Reply, event: StreamEvent) -> Step:
    """Every picture, or its failure, has an event of its own; the last one brings the usage. Some servers leave that
    out and say "[DONE]" alone."""
    tree = event.data
    kind = (text_at(tree, "type") or event.name or "").rpartition(".")[2]
    if isinstance(error := at(tree, "error"), dict):
        status = reply.status if reply.status >= 400 else 500
        failed = _failed(reply, error, otherwise=kind_of_status(status))
        return More(missing=(replace(failed, place=_place(tree)),)) if kind == "partial_failed" else failed
    if reply.status >= 300:
        return unreadable(reply)
    picture = picture_at(tree, base64="b64_json", link="url")
    if kind == "completed" or tree == "[DONE]":
        return Done((), usage=_usage(tree))
    if picture is None:
        return More()
    if kind == "partial_image":
        return More(partials=(Produced(picture),))
    return More((Produced(picture),)) if kind == "partial_succeeded" else More()


def _place(tree: Tree) -> int | None:
    place = at(tree, "image_index")
    return place if isinstance(place, int) and not isinstance(place, bool) and place >= 0 else None


def _image(call: Call) -> Tree:
    images = [link_or_data_url(image) for image in call.request.images]
    if len(images) <= 1:
        return images[0] if images else None
    return images


def _group(call: Call) -> dict[str, Tree]:
    group = call.request.group
    if group is not None:
        limit: dict[str, Tree] = {"max_images": group.max_images or call.count}
        return {"sequential_image_generation": "auto", "sequential_image_generation_options": limit}
    return {"sequential_image_generation": "disabled"} if call.options.get("groups") == "true" else {}


def _usage(tree: Tree) -> Usage | None:
    return reported(Usage(output_image=count_at(tree, "usage", "output_tokens")))


def _failed(reply: Reply, error: Tree, *, otherwise: FailureKind) -> Failed:
    code = text_at(error, "code")
    marked = (kind for mark, kind in MARKS.items() if mark in code)
    kind = next(marked, KINDS.get(code.partition(".")[0], otherwise))
    found = failure(kind, code or f"http_{reply.status}", text_at(error, "message"), reply.headers)
    return replace(found, drawn=True) if kind is FailureKind.REFUSED and code.startswith("Output") else found


ADAPTER: Final = Adapter("ark_images", encode, decode)
