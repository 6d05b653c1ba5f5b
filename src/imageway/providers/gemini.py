"""Google's generateContent as AI Studio serves it, one image a call. Knows contents, configuration, usage, blocks and
error details of that format; never sends what AI Studio rejects (`personGeneration`, output formats)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from imageway.core.blobs import Blob, Tree
from imageway.core.requests import ImageInput, ImageLink, ImageRequest
from imageway.core.steps import (
    Adapter,
    Call,
    Done,
    Failed,
    FailureKind,
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
    blob_at,
    clipped,
    count_at,
    duration_s,
    failure,
    forward,
    given,
    kind_of_status,
    list_at,
    media_type,
    reported,
    text_at,
    unreadable,
)

BLOCKS: Final = frozenset(
    {
        "SAFETY",
        "IMAGE_SAFETY",
        "PROHIBITED_CONTENT",
        "IMAGE_PROHIBITED_CONTENT",
        "RECITATION",
        "IMAGE_RECITATION",
        "BLOCKLIST",
        "SPII",
        "MODEL_ARMOR",
    }
)
"""Finish reasons that are the provider's refusal; every other one without an image is an answer that went wrong."""

DENIALS: Final = frozenset(
    {
        "API_KEY_INVALID",
        "API_KEY_EXPIRED",
        "API_KEY_SERVICE_BLOCKED",
        "SERVICE_DISABLED",
        "BILLING_DISABLED",
        "CONSUMER_INVALID",
        "CONSUMER_SUSPENDED",
    }
)
"""`google.rpc.ErrorInfo` reasons that concern the credential, whatever the HTTP status (a bad key is a 400)."""

_NO_QUOTA: Final = re.compile(r"limit: 0\b")
_BAD_KEY: Final = re.compile(r"API key (?:not valid|expired)")


def encode(call: Call) -> Send:
    """One call for one image; `upstream["api_version"]` replaces v1beta."""
    config = given(
        {
            "responseModalities": ["TEXT", "IMAGE"] if call.request.want_text else ["IMAGE"],
            "imageConfig": given({"aspectRatio": call.size.ratio, "imageSize": call.size.tier}) or None,
            "temperature": call.request.temperature,
            "topP": call.request.top_p,
            "seed": call.request.seed,
            "thinkingConfig": {"thinkingLevel": call.request.thinking.upper()} if call.request.thinking else None,
        }
    )
    body = forward({"contents": _contents(call.request), "generationConfig": config}, call.request.extras)
    version = call.upstream.get("api_version", "v1beta")
    return Send(HttpRequest("POST", f"/{version}/models/{call.model}:generateContent", JsonBody(body)))


def decode(call: Call, memo: Mapping[str, str], reply: Reply) -> Step:
    """Done with the last image that is not a thought (a first one may be of the wrong size), or Failed."""
    tree = reply.body.tree if isinstance(reply.body, JsonReply) else None
    if isinstance(tree, list):
        tree = at(tree, 0)  # errors may come wrapped in a list of one
    if isinstance(error := at(tree, "error"), dict):
        return _failed(reply, error)
    parts = [part for part in _parts(tree) if at(part, "thought") is not True]
    images = [blob for part in parts if (blob := _image(part)) is not None]
    if reply.status >= 300 or not images:
        return _imageless(reply, tree, parts)
    text = "".join(text_at(part, "text") for part in parts)
    kept = images[-call.count :]
    return Done(tuple(map(Produced, kept)), usage=_usage(at(tree, "usageMetadata")), text=text or None)


def _contents(request: ImageRequest) -> list[Tree]:
    """The conversation as it was; without one, a single turn: the images, then the text."""
    if request.turns:
        return [{"role": turn.role, "parts": [_part(part) for part in turn.parts]} for turn in request.turns]
    parts = [_part(image) for image in request.images]
    if request.prompt is not None:
        parts.append(_part(request.prompt))
    return [{"role": "user", "parts": parts}]


def _part(part: str | ImageInput) -> Tree:
    if isinstance(part, str):
        return {"text": part}
    if isinstance(part, ImageLink):
        return {"fileData": {"fileUri": part.url}}
    return {"inlineData": {"mimeType": media_type(part.blob), "data": part.blob}}


def _parts(tree: Tree) -> Iterator[Tree]:
    for candidate in list_at(tree, "candidates"):
        yield from list_at(candidate, "content", "parts")


def _image(part: Tree) -> Blob | None:
    return blob_at(part, "inlineData", "data")


def _imageless(reply: Reply, tree: Tree, parts: list[Tree]) -> Failed:
    """Why a 200 carries no image. A model's own words are not repeated: they may repeat the prompt."""
    if reply.status >= 300:
        return unreadable(reply)
    if blocked := text_at(tree, "promptFeedback", "blockReason"):
        detail = text_at(tree, "promptFeedback", "blockReasonMessage") or "the prompt was blocked"
        return Failed(FailureKind.REFUSED, blocked, clipped(detail))
    reason = text_at(tree, "candidates", 0, "finishReason")
    detail = clipped(text_at(tree, "candidates", 0, "finishMessage"))
    if reason in BLOCKS:
        return Failed(FailureKind.REFUSED, reason, detail)
    spoken = sum(len(text_at(part, "text")) for part in parts)
    if spoken and reason in ("", "STOP"):
        said = detail or f"{spoken} characters of text and no image"
        return Failed(FailureKind.SPOILED, "text_only", said, empty=True)
    return Failed(FailureKind.SPOILED, reason, detail, empty=True) if reason else unreadable(reply)


def _usage(usage: Tree) -> Usage | None:
    """Thoughts and the tokens no detail accounts for are text, as they are billed."""
    input_image = _of_images(list_at(usage, "promptTokensDetails"))
    output_image = _of_images(list_at(usage, "candidatesTokensDetails"))
    entered = count_at(usage, "promptTokenCount") + count_at(usage, "toolUsePromptTokenCount")
    answered = count_at(usage, "candidatesTokenCount")
    return reported(
        Usage(
            input_text=max(0, entered - input_image),
            input_image=input_image,
            output_text=max(0, answered - output_image) + count_at(usage, "thoughtsTokenCount"),
            output_image=output_image,
        )
    )


def _of_images(details: list[Tree]) -> int:
    return sum(count_at(detail, "tokenCount") for detail in details if text_at(detail, "modality") == "IMAGE")


def _failed(reply: Reply, error: Tree) -> Failed:
    details = list_at(error, "details")
    message = text_at(error, "message")
    reason = next(filter(None, (text_at(detail, "reason") for detail in details)), "")
    code = reason or text_at(error, "status") or f"http_{reply.status}"
    failed = failure(_kind(reply.status, error, reason), code, message, reply.headers)
    if failed.kind is not FailureKind.BUSY or failed.retry_after_s is not None:
        return failed
    delays = (duration_s(text_at(detail, "retryDelay")) for detail in details)
    return Failed(failed.kind, code, failed.detail, next((delay for delay in delays if delay is not None), None))


def _kind(status: int, error: Tree, reason: str) -> FailureKind:
    message = text_at(error, "message")
    if reason in DENIALS or _BAD_KEY.match(message) or text_at(error, "status") == "FAILED_PRECONDITION":
        return FailureKind.DENIED  # the last: a region or an account without billing
    if status == 429 and (_NO_QUOTA.search(message) or any(map(_is_sold_out, list_at(error, "details")))):
        return FailureKind.DENIED
    return kind_of_status(status)


def _is_sold_out(detail: Tree) -> bool:
    """A quota that waiting does not refill: the free tier has none for images."""
    return any(
        text_at(violation, "quotaId").endswith("FreeTier") or text_at(violation, "quotaValue") == "0"
        for violation in list_at(detail, "violations")
    )


ADAPTER: Final = Adapter("gemini", encode, decode)
