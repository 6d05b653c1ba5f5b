"""DashScope's image endpoints: synchronous multimodal generation, and submit-and-poll with a task id. Knows their
bodies, task states and error codes. Option `path` picks the endpoint: "multimodal" (default), "text2image", or
"image-generation" (the multimodal body, submitted as a task)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

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
    Produced,
    Reply,
    Send,
    Step,
)
from imageway.providers.fields import (
    at,
    failure,
    forward,
    given,
    kind_of_status,
    link_or_data_url,
    list_at,
    picture_at,
    text_at,
    unreadable,
    wait_s,
)

PATHS: Final = {
    "multimodal": "/services/aigc/multimodal-generation/generation",
    "text2image": "/services/aigc/text2image/image-synthesis",
    "image-generation": "/services/aigc/image-generation/generation",
}
FIRST_POLL_S: Final = 1.0
POLL_S: Final = 2.0
POLL_AFTER_TROUBLE_S: Final = 5.0
"""Two seconds between polls, always: a growing pause needs a counter, the only place for one is the memo, and each
change of the memo is a durable write. A picture takes 10 s or more; an account may poll 20 times a second."""

KINDS: Final[dict[str, FailureKind]] = {
    "InvalidApiKey": FailureKind.DENIED,
    "AccessDenied": FailureKind.DENIED,
    "Workspace": FailureKind.DENIED,
    "Model": FailureKind.DENIED,
    "ModelNotFound": FailureKind.DENIED,
    "WorkSpaceNotFound": FailureKind.DENIED,
    "Arrearage": FailureKind.DENIED,
    "AllocationQuota": FailureKind.DENIED,
    "PrepaidBillOverdue": FailureKind.DENIED,
    "PostpaidBillOverdue": FailureKind.DENIED,
    "CommodityNotPurchased": FailureKind.DENIED,
    "Throttling": FailureKind.BUSY,
    "LimitRequests": FailureKind.BUSY,
    "ModelUnavailable": FailureKind.BUSY,
    "ModelServingError": FailureKind.BUSY,
    "DataInspectionFailed": FailureKind.REFUSED,
    "IPInfringementSuspect": FailureKind.REFUSED,
    "InvalidParameter": FailureKind.INVALID,
    "InvalidURL": FailureKind.INVALID,
    "BadRequest": FailureKind.INVALID,
    "UnsupportedFileFormat": FailureKind.INVALID,
    "UnsupportedOperation": FailureKind.INVALID,
    "InternalError": FailureKind.FAILED,
    "SystemError": FailureKind.FAILED,
    "RewriteFailed": FailureKind.FAILED,
    "RequestTimeOut": FailureKind.FAILED,
}
"""The whole code, else its part before the first dot → kind, in HTTP errors and in failed tasks alike (Model Studio:
error codes); what is not here goes by the HTTP status, a failed task without a known code is `failed`."""


def encode(call: Call) -> Send:
    """The one submit of a call; everything later is a read."""
    path = call.options.get("path", "multimodal")
    content = _prompted(call) if path == "text2image" else _messages(call)
    known: dict[str, Tree] = {"model": call.model, "input": content, "parameters": _parameters(call, path)}
    body = forward(known, call.request.extras)
    headers = {} if path == "multimodal" else {"X-DashScope-Async": "enable"}
    return Send(HttpRequest("POST", PATHS[path], JsonBody(body), headers))


def decode(call: Call, memo: Mapping[str, str], reply: Reply) -> Step:
    """With a task id in the memo the reply is a poll's; without one it is the submit's (or the whole answer)."""
    tree = reply.body.tree if isinstance(reply.body, JsonReply) else None
    if "task_id" in memo:
        return _polled(memo, reply, tree)
    code = text_at(tree, "code")
    if code or reply.status >= 300:
        return _told(code, kind_of_status(reply.status), tree, reply) if code else unreadable(reply)
    task_id = text_at(tree, "output", "task_id")
    if task_id and text_at(tree, "output", "task_status"):
        return _task_step({"task_id": task_id}, reply, tree, pause_s=FIRST_POLL_S)
    return _finished(reply, tree)


def cancel(call: Call, memo: Mapping[str, str]) -> Send | None:
    """Only a task that is still waiting can be cancelled; the answer to a late one is an error that changes nothing."""
    if "task_id" not in memo:
        return None
    return Send(HttpRequest("POST", f"{_task_path(memo)}/cancel"), memo=memo, effect="read")


def _messages(call: Call) -> dict[str, Tree]:
    """One message: the images, then the single text."""
    content: list[Tree] = [{"image": link_or_data_url(image)} for image in call.request.images]
    if call.request.prompt is not None:
        content.append({"text": call.request.prompt})
    return {"messages": [{"role": "user", "content": content}]}


def _prompted(call: Call) -> dict[str, Tree]:
    return given({"prompt": call.request.prompt, "negative_prompt": call.request.negative_prompt})


def _parameters(call: Call, path: str) -> dict[str, Tree]:
    request = call.request
    return given(
        {
            "size": _size(call),
            "n": call.count,
            "negative_prompt": None if path == "text2image" else request.negative_prompt,
            "prompt_extend": request.enhance_prompt,
            "watermark": request.watermark,
            "seed": request.seed,
        }
    )


def _size(call: Call) -> str | None:
    """`W*H`. "auto" is what the provider does when no size is sent; it does not know the word."""
    if call.size.word is not None:
        return None if call.size.word == "auto" else call.size.word
    return f"{call.size.width}*{call.size.height}" if call.size.pixels else None


def _task_path(memo: Mapping[str, str]) -> str:
    return f"/tasks/{quote(memo['task_id'], safe='')}"


def _poll(memo: Mapping[str, str], after_s: float) -> Send:
    return Send(HttpRequest("GET", _task_path(memo)), after_s=after_s, memo=memo, effect="read")


def _polled(memo: Mapping[str, str], reply: Reply, tree: Tree) -> Step:
    """A submitted task stays ours until it says how it ended. A poll that failed, however, says nothing about it."""
    if reply.status < 300 and text_at(tree, "output", "task_status"):
        return _task_step(memo, reply, tree, pause_s=POLL_S)
    return _poll(memo, wait_s(reply.headers) or POLL_AFTER_TROUBLE_S)


def _task_step(memo: Mapping[str, str], reply: Reply, tree: Tree, *, pause_s: float) -> Step:
    status = text_at(tree, "output", "task_status")
    if status == "SUCCEEDED":
        return _finished(reply, tree)
    if status == "FAILED":
        return _complaint(reply, at(tree, "output"))
    if status == "CANCELED":
        return Failed(FailureKind.FAILED, status, "the task was cancelled before it began")
    if status == "UNKNOWN":
        return Failed(FailureKind.UNKNOWN, status, "the provider no longer knows the task")
    return _poll(memo, pause_s)


def _finished(reply: Reply, tree: Tree) -> Step:
    output = at(tree, "output")
    items = [*_contents(output), *list_at(output, "results")]
    images = tuple(
        Produced(picture, text_at(item, "actual_prompt") or None)
        for item in items
        if (picture := picture_at(item, link="image") or picture_at(item, link="url")) is not None
    )
    missing = tuple(_complaint(reply, item) for item in items if text_at(item, "code"))
    if not images:
        return missing[0] if missing else unreadable(reply)
    return Done(images, missing=missing)


def _contents(output: Tree) -> Iterator[Tree]:
    for choice in list_at(output, "choices"):
        yield from list_at(choice, "message", "content")


def _complaint(reply: Reply, said: Tree) -> Failed:
    """`code` and `message` of a failed task, or of one image in it."""
    code = text_at(said, "code")
    return _told(code, FailureKind.FAILED, said, reply)


def _told(code: str, otherwise: FailureKind, said: Tree, reply: Reply) -> Failed:
    kind, message = _kind(code, otherwise), text_at(said, "message")
    found = failure(kind, code, message, reply.headers)
    return replace(found, drawn=True) if kind is FailureKind.REFUSED and message.startswith("Output") else found


def _kind(code: str, otherwise: FailureKind) -> FailureKind:
    return KINDS.get(code) or KINDS.get(code.partition(".")[0], otherwise)


ADAPTER: Final = Adapter("dashscope", encode, decode, cancel)
