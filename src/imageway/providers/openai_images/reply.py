"""What is answered: images in one piece, or event by event, and the tokens they took
(openai-openapi: ImagesResponse, ImageGenCompletedEvent)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.steps import Call, Done, Failed, FailureKind, JsonReply, More, Produced, Reply, Settled, Step, Usage
from imageway.core.streams import StreamEnd, StreamEvent
from imageway.providers.fields import at, count_at, cut_stream, list_at, picture_at, reported, text_at, unreadable
from imageway.providers.openai_images.errors import failed, failed_event

_NO_PICTURE: Final = Failed(FailureKind.SPOILED, "completed", "a completed event without an image", empty=True)


def decode(call: Call, memo: Mapping[str, str], reply: Reply) -> Step:
    """Done with what `data` holds, or Failed; of a stream More until its last picture."""
    tree = None
    if isinstance(reply.body, JsonReply):
        tree = reply.body.tree
    elif isinstance(reply.body, StreamEvent):
        return _event(call, reply, reply.body)
    elif isinstance(reply.body, StreamEnd):
        return cut_stream()
    if isinstance(error := at(tree, "error"), dict):
        return failed(reply, error)
    images: list[Produced] = []
    missing: list[Failed] = []
    for item in list_at(tree, "data") if reply.status < 300 else ():
        if (produced := _produced(item)) is not None:
            images.append(produced)
        if isinstance(error := at(item, "error"), dict):
            missing.append(failed(reply, error))
    if not images:
        return missing[0] if missing else unreadable(reply)
    return Done(tuple(images), usage=_usage(at(tree, "usage")), missing=tuple(missing), settled=_settled(tree))


def _event(call: Call, reply: Reply, event: StreamEvent) -> Step:
    """`image_generation.` and `image_edit.` alike. Of several pictures none says that it is the last: the end does, or
    a "[DONE]" of those who write one."""
    tree = event.data
    if isinstance(error := at(tree, "error"), dict):
        return failed_event(reply, error)
    if reply.status >= 300:
        return unreadable(reply)
    if tree == "[DONE]":
        return Done(())
    kind = (text_at(tree, "type") or event.name or "").rpartition(".")[2]
    produced = _produced(tree)
    if kind == "partial_image":
        return More(partials=(produced,) if produced else ())
    if kind != "completed":
        return More()
    usage, settled = _usage(at(tree, "usage")), _settled(tree)
    if call.count > 1:
        return More((produced,), usage=usage, settled=settled) if produced else More(missing=(_NO_PICTURE,))
    return Done((produced,), usage=usage, settled=settled) if produced else _NO_PICTURE


def _produced(item: Tree) -> Produced | None:
    picture = picture_at(item, base64="b64_json", link="url")
    return None if picture is None else Produced(picture, text_at(item, "revised_prompt") or None)


def _settled(tree: Tree) -> Settled | None:
    quality, background = text_at(tree, "quality"), text_at(tree, "background")
    return Settled(quality or None, background or None) if quality or background else None


def _usage(usage: Tree) -> Usage | None:
    """The totals are binding; what their details leave over is prompt text on the way in, image on the way out."""
    if usage is None:
        return None
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
