"""What is answered: images in one piece, or event by event, and the tokens they took
(openai-openapi: ImagesResponse, ImageGenCompletedEvent)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.steps import Call, Done, Failed, FailureKind, JsonReply, More, Produced, Reply, Settled, Step, Usage
from imageway.core.streams import StreamEnd, StreamEvent
from imageway.providers.fields import count_of, cut_stream, members_of, picture_at, reported, text_of, unreadable
from imageway.providers.openai_images.errors import failed, failed_event

_NO_PICTURE: Final = Failed(FailureKind.SPOILED, "completed", "a completed event without an image", empty=True)


def decode(call: Call, memo: Mapping[str, str], reply: Reply) -> Step:
    """Done with what `data` holds, or Failed; of a stream More until its last picture."""
    tree: dict[str, Tree] = {}
    if isinstance(reply.body, JsonReply):
        tree = members_of(reply.body.tree)
    elif isinstance(reply.body, StreamEvent):
        return _event(call, reply, reply.body)
    elif isinstance(reply.body, StreamEnd):
        return cut_stream()
    if isinstance(error := tree.get("error"), dict):
        return failed(reply, error)
    images: list[Produced] = []
    missing: list[Failed] = []
    data = tree.get("data")
    for item in map(members_of, data) if isinstance(data, list) and reply.status < 300 else ():
        if (produced := _produced(item)) is not None:
            images.append(produced)
        if isinstance(error := item.get("error"), dict):
            missing.append(failed(reply, error))
    if not images:
        return missing[0] if missing else unreadable(reply)
    return Done(tuple(images), usage=_usage(tree.get("usage")), missing=tuple(missing), settled=_settled(tree))


def _event(call: Call, reply: Reply, event: StreamEvent) -> Step:
    """`image_generation.` and `image_edit.` alike. Of several pictures none says that it is the last: the end does, or
    a "[DONE]" of those who write one."""
    tree = members_of(event.data)
    if isinstance(error := tree.get("error"), dict):
        return failed_event(reply, error)
    if reply.status >= 300:
        return unreadable(reply)
    if event.data == "[DONE]":
        return Done(())
    kind = (text_of(tree.get("type")) or event.name or "").rpartition(".")[2]
    produced = _produced(tree)
    if kind == "partial_image":
        return More(partials=(produced,) if produced else ())
    if kind != "completed":
        return More()
    usage, settled = _usage(tree.get("usage")), _settled(tree)
    if call.count > 1:
        return More((produced,), usage=usage, settled=settled) if produced else More(missing=(_NO_PICTURE,))
    return Done((produced,), usage=usage, settled=settled) if produced else _NO_PICTURE


def _produced(item: dict[str, Tree]) -> Produced | None:
    picture = picture_at(item, base64="b64_json", link="url")
    return None if picture is None else Produced(picture, text_of(item.get("revised_prompt")) or None)


def _settled(tree: dict[str, Tree]) -> Settled | None:
    quality, background = text_of(tree.get("quality")), text_of(tree.get("background"))
    return Settled(quality or None, background or None) if quality or background else None


def _usage(usage: Tree) -> Usage | None:
    """The totals are binding; what their details leave over is prompt text on the way in, image on the way out."""
    if usage is None:
        return None
    told = members_of(usage)
    input_image = count_of(members_of(told.get("input_tokens_details")).get("image_tokens"))
    output_text = count_of(members_of(told.get("output_tokens_details")).get("text_tokens"))
    return reported(
        Usage(
            input_text=max(0, count_of(told.get("input_tokens")) - input_image),
            input_image=input_image,
            output_text=output_text,
            output_image=max(0, count_of(told.get("output_tokens")) - output_text),
        )
    )
