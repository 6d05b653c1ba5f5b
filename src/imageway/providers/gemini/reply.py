"""What is answered: one response or its pieces, why there is no image in it, and the tokens it took
(ai.google.dev/api/generate-content)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from imageway.core.blobs import Blob, Embed, Tree
from imageway.core.steps import Call, Done, Failed, FailureKind, JsonReply, More, Produced, Reply, Step, Usage
from imageway.core.streams import StreamEnd, StreamEvent
from imageway.providers.fields import at, blob_at, clipped, count_at, cut_stream, list_at, reported, text_at, unreadable
from imageway.providers.shared.status import failed

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


def decode(call: Call, memo: Mapping[str, str], reply: Reply) -> Step:
    """Done with the last image that is not a thought (a first one may be of the wrong size), or Failed. Of a stream
    More, until a piece says why it is the last."""
    body = reply.body
    if isinstance(body, StreamEnd):
        return cut_stream()
    tree = body.data if isinstance(body, StreamEvent) else body.tree if isinstance(body, JsonReply) else None
    if isinstance(tree, list):
        tree = at(tree, 0)  # errors may come wrapped in a list of one
    if isinstance(error := at(tree, "error"), dict):
        return failed(reply, error)
    parts = [part for part in _parts(tree) if at(part, "thought") is not True]
    images = tuple(produced for part in parts if (produced := _produced(part)) is not None)
    text = "".join(text_at(part, "text") for part in parts) or None
    if isinstance(body, StreamEvent) and reply.status < 300:
        return _piece(tree, images, text)
    if reply.status >= 300:
        return unreadable(reply)
    if not images:
        return _imageless(tree, text) or unreadable(reply)
    return Done(images[-call.count :], usage=_usage(at(tree, "usageMetadata")), text=text)


def _piece(tree: Tree, images: tuple[Produced, ...], text: str | None) -> Step:
    """The image may have come before the piece that says why it is the last. Usage is counted up from piece to piece:
    the last one has it all."""
    reason = text_at(tree, "candidates", 0, "finishReason")
    blocked = text_at(tree, "promptFeedback", "blockReason")
    if not (reason or blocked):
        return More(images, text=text)
    if not images and reason != "STOP" and (why := _imageless(tree, text)):
        return why
    return Done(images, usage=_usage(at(tree, "usageMetadata")), text=text)


def _parts(tree: Tree) -> Iterator[Tree]:
    for candidate in list_at(tree, "candidates"):
        yield from list_at(candidate, "content", "parts")


def _produced(part: Tree) -> Produced | None:
    image = blob_at(part, "inlineData", "data")
    return None if image is None else Produced(image, signature=_signature(part))


def _signature(part: Tree) -> Blob | str | None:
    signature = at(part, "thoughtSignature")
    if signature is None or isinstance(signature, bool | int | float | list | dict | Embed):
        return None
    return signature


def _imageless(tree: Tree, text: str | None) -> Failed | None:
    """Why an answer carries no image; None: it does not say. A model's own words are not repeated: they may repeat the
    prompt."""
    if blocked := text_at(tree, "promptFeedback", "blockReason"):
        detail = text_at(tree, "promptFeedback", "blockReasonMessage") or "the prompt was blocked"
        return Failed(FailureKind.REFUSED, blocked, clipped(detail))
    reason = text_at(tree, "candidates", 0, "finishReason")
    detail = clipped(text_at(tree, "candidates", 0, "finishMessage"))
    if reason in BLOCKS:
        return Failed(FailureKind.REFUSED, reason, detail, drawn=True)
    if text and reason in ("", "STOP"):
        said = detail or f"{len(text)} characters of text and no image"
        return Failed(FailureKind.SPOILED, "text_only", said, empty=True)
    return Failed(FailureKind.SPOILED, reason, detail, empty=True) if reason else None


def _usage(usage: Tree) -> Usage | None:
    """Thoughts and the tokens no detail accounts for are text, as they are billed."""
    input_image = _of_images(list_at(usage, "promptTokensDetails"))
    output_image = _of_images(list_at(usage, "candidatesTokensDetails"))
    entered = count_at(usage, "promptTokenCount") + count_at(usage, "toolUsePromptTokenCount")
    answered, thinking = count_at(usage, "candidatesTokenCount"), count_at(usage, "thoughtsTokenCount")
    return reported(
        Usage(
            input_text=max(0, entered - input_image),
            input_image=input_image,
            output_text=max(0, answered - output_image) + thinking,
            output_image=output_image,
            thinking=thinking,
        )
    )


def _of_images(details: list[Tree]) -> int:
    return sum(count_at(detail, "tokenCount") for detail in details if text_at(detail, "modality") == "IMAGE")
