"""Golden conversations with providers: reading the text files, playing one against an adapter, naming what differs.

    # What this conversation shows.
    == request                          an ImageRequest as JSON, and the Call's own size, count, options, upstream
    == same request                     instead: the one before
    == send [read] [after N] [memo {}]  method and path, header lines, a JSON body or "form" and its parts
    == reply 200                        header lines, a JSON body
    == reply 502 page [: why]           header lines, a blank line, the text of a page
    == reply 200 image <png cat>        a body that is itself an image
    == reply 200 stream                 server-sent events as they stand on the wire, up to the end of the stream
    == reply 200 stream cut             the last of them without its blank line: the connection died there
    == more                             what one event brought: as done, and {"partials"}
    == done                             {"images", "usage", "text", "missing", "settled"}
    == failed busy                      {"code", "detail", "retry_after_s", "drawn", "place"}
    == resume memo {}                   a restart: the next reply answers a read that went on from this memo
    == cancel memo {}                   what the adapter sends to cancel
    == cut                              nothing more came, and transport says so

`<png cat>` is a blob whose header says PNG and whose name is cat. What is absent is None, empty or zero. After a stream
stand the steps of its events in order, without those that bring nothing; what follows a last word is not read."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from imageway.bodies import LiftError, read_events
from imageway.core.blobs import Blob, Embed, Encoding, ImageFacts, Tree
from imageway.core.requests import Group, ImageData, ImageInput, ImageLink, ImageRequest, Operation, Size, Turn
from imageway.core.steps import (
    Adapter,
    BlobReply,
    Call,
    Done,
    Failed,
    FormBody,
    FormFile,
    HttpRequest,
    JsonBody,
    JsonReply,
    More,
    Page,
    Produced,
    Reply,
    Send,
    Usage,
)
from imageway.core.streams import StreamEnd, StreamEvent

_BLOB = re.compile(r"<(\w+) (\w+)>")
_HEADER = re.compile(r"([A-Za-z0-9-]+): (.*)")
CUT = object()
_CALL_FIELDS = ("size", "count", "options", "upstream")


@dataclass(frozen=True)
class NamedBlob:
    """A blob that is nothing but its name and its header."""

    name: str
    format: str

    encoding = Encoding.BASE64
    stored_bytes = 12_000
    decoded_bytes = 9_000
    declared_type = None
    head = b""
    tail = b""

    @property
    def facts(self) -> ImageFacts:
        return ImageFacts(self.format, 1024, 1024)

    async def open(self) -> AsyncIterator[bytes]:
        raise AssertionError("translation never reads a blob")
        yield b""


@dataclass(frozen=True)
class Section:
    """`head` is the line after `== `; `line` its number in the file."""

    head: str
    text: str
    line: int


@dataclass(frozen=True)
class Conversation:
    title: str
    call: Call
    sections: tuple[Section, ...]


def conversations(path: Path) -> list[Conversation]:
    """Every conversation of a file, in order."""
    found: list[Conversation] = []
    title = ""
    for title, sections in _blocks(path.read_text()):
        first, *rest = sections
        call = found[-1].call if first.head == "same request" else _call(json.loads(first.text))
        found.append(Conversation(title, call, tuple(rest)))
    return found


def _blocks(text: str) -> Iterator[tuple[str, list[Section]]]:
    comment: list[str] = []
    block: tuple[str, list[Section]] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("# "):
            comment.append(line[2:])
        elif line.startswith("== "):
            section = Section(line[3:].strip(), "", number)
            if section.head in ("request", "same request"):
                if block:
                    yield block
                block, comment = (" ".join(comment), []), []
            assert block, f"line {number}: a conversation begins with `== request`"
            block[1].append(section)
        elif block and block[1]:
            last = block[1].pop()
            block[1].append(Section(last.head, f"{last.text}{line}\n", last.line))
    if block:
        yield block


def play(adapter: Adapter, conversation: Conversation) -> None:
    """Every step twice, because an adapter may be asked again; raises AssertionError at the section that differs."""
    call, memo = conversation.call, {}
    steps: list[object] = [_twice(lambda: adapter.encode(call))]
    for section in conversation.sections:
        word = section.head.split()[0]
        if word == "reply":
            _assert_shown(steps)
            steps = list(_decoded(adapter, call, memo, section))
        elif word == "resume":
            memo, steps = _memo(section.head), []
        elif word == "cancel":
            memo = _memo(section.head)
            steps = [adapter.cancel(call, memo) if adapter.cancel else None]
        else:
            step = steps.pop(0) if steps else None
            if isinstance(step, Send):
                memo = dict(step.memo)
            assert show(step) == _expected(section), f"line {section.line}, `== {section.head}`"
    _assert_shown(steps)


def _assert_shown(left: list[object]) -> None:
    """Only the first request may go without saying."""
    assert not left or isinstance(left[0], Send), f"what came is not shown: {[show(step) for step in left]}"


def _decoded(adapter: Adapter, call: Call, memo: Mapping[str, str], section: Section) -> Iterator[object]:
    """One step; of a stream one for each event that brings something, up to the last word or the cut."""
    for reply in _replies(section):
        step = _twice(lambda r=reply: adapter.decode(call, memo, r))  # type: ignore[misc]
        if step != More():
            yield step
        if not isinstance(step, More):
            return
    if section.head.endswith("cut"):
        yield CUT


def _twice(act: Any) -> object:
    first = act()
    assert show(first) == show(act())
    return first


def show(step: object) -> tuple[str, Any]:
    """A step as it stands in a golden file: (head, content)."""
    if isinstance(step, Send):
        return _send_head(step), _shown_request(step.request)
    if isinstance(step, Done):
        return "done", _shown_step(step)
    if isinstance(step, More):
        partials = [_shown_image(partial) for partial in step.partials]
        return "more", _present(partials=partials, **_shown_step(step))
    if isinstance(step, Failed):
        return f"failed {step.kind}", _shown_failure(step)
    if step is CUT:
        return "cut", None
    return str(step).lower(), None


def _shown_step(step: Done | More) -> dict[str, Any]:
    return _present(
        images=[_shown_image(image) for image in step.images],
        usage=_shown_usage(step.usage),
        text=step.text,
        missing=[{"kind": str(m.kind), **_shown_failure(m)} for m in step.missing],
        settled=_present(**msgspec.structs.asdict(step.settled)) if step.settled else None,
    )


def _shown_usage(usage: Usage | None) -> dict[str, Any] | None:
    return _present(**msgspec.structs.asdict(usage)) if usage else None


def _send_head(step: Send) -> str:
    head = "send" if step.effect == "submit" else "send read"
    if step.after_s:
        head += f" after {step.after_s:g}"
    return head + (f" memo {json.dumps(dict(step.memo))}" if step.memo else "")


def _shown_request(request: HttpRequest) -> list[Any]:
    assert all(isinstance(value, str) for value in request.query.values())
    query = "&".join(f"{name}={value}" for name, value in request.query.items())
    target = f"{request.path}?{query}" if query else request.path
    lines: list[Any] = [f"{request.method} {target}", *(f"{k}: {v}" for k, v in request.headers.items())]
    if isinstance(request.body, JsonBody):
        lines.append(shown_tree(request.body.tree))
    elif isinstance(request.body, FormBody):
        lines.append("form")
        lines += [f"{name}: {_shown_part(part)}" for name, part in request.body.parts]
    return lines


def _shown_part(part: str | FormFile) -> str:
    return part if isinstance(part, str) else f"{_shown_blob(part.blob)} as {part.filename} {part.media_type}"


def shown_tree(tree: Tree) -> Any:
    """A tree as plain JSON, blobs by name."""
    if isinstance(tree, dict):
        return {name: shown_tree(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [shown_tree(value) for value in tree]
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if isinstance(tree, Embed):
        return f"{tree.prefix}{_shown_blob(tree.blob)}"
    return _shown_blob(tree)


def _shown_blob(blob: Blob) -> str:
    return f"<{blob.format} {blob.name}>" if isinstance(blob, NamedBlob) else f"<{blob.decoded_bytes} bytes>"


def _shown_image(produced: Produced) -> Any:
    image = produced.image if isinstance(produced.image, str) else _shown_blob(produced.image)
    signature = produced.signature
    signature = signature if signature is None or isinstance(signature, str) else _shown_blob(signature)
    more = _present(revised_prompt=produced.revised_prompt, signature=signature)
    return {"image": image, **more} if more else image


def _shown_failure(failed: Failed) -> dict[str, Any]:
    told = _present(code=failed.code, detail=failed.detail, empty=failed.empty, drawn=failed.drawn)
    known = {"retry_after_s": failed.retry_after_s, "place": failed.place}
    return told | {name: value for name, value in known.items() if value is not None}


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, "", [], 0, False)}


def _expected(section: Section) -> tuple[str, Any]:
    if not section.head.startswith("send"):
        return section.head, json.loads(section.text) if section.text.strip() else None
    lines: list[Any] = section.text.strip().splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("{")), None)
    if start is not None:
        lines[start:] = [json.loads("\n".join(lines[start:]))]
    return section.head, lines


def _memo(head: str) -> Mapping[str, str]:
    memo: dict[str, str] = json.loads(head.partition(" memo ")[2])
    return memo


def replies(conversation: Conversation) -> Iterator[Reply]:
    """Everything the provider said in it, each event by itself."""
    for section in conversation.sections:
        if section.head.startswith("reply"):
            yield from _replies(section)


def _replies(section: Section) -> Iterator[Reply]:
    status, _, kind = section.head.removeprefix("reply ").partition(" ")
    if not kind.startswith("stream"):
        yield _reply(section)
        return
    headers = {"content-type": "text/event-stream"}
    for event in asyncio.run(_events(section)):
        yield Reply(int(status), headers, StreamEvent(_lifted(event.data), event.name))
    if kind == "stream":
        yield Reply(int(status), headers, StreamEnd())


async def _events(section: Section) -> list[StreamEvent]:
    """Read as transport reads them. Nothing in a golden file is long enough to need a scope."""

    async def chunks() -> AsyncIterator[bytes]:
        yield (section.text.strip() + ("" if section.head.endswith("cut") else "\n\n")).encode()

    events: list[StreamEvent] = []
    end = "stream"
    try:
        async for event in read_events(chunks(), cast("Any", None)):
            events.append(event)  # noqa: PERF401  # those before a cut count
    except LiftError as error:
        end = "cut" if error.code == "stream_cut" else error.message
    if not section.head.endswith(end):
        raise ValueError(f"line {section.line}, `== {section.head}`: it ended with {end}")
    return events


def _reply(section: Section) -> Reply:
    status, _, kind = section.head.removeprefix("reply ").partition(" ")
    headers: dict[str, str] = {}
    lines = section.text.splitlines()
    while lines and (header := _HEADER.fullmatch(lines[0])):
        headers[header.group(1).lower()] = header.group(2)
        lines.pop(0)
    text = "\n".join(lines).strip()
    if kind.startswith("page"):
        why = kind.partition(": ")[2] or "not JSON"
        return Reply(int(status), headers, Page(text.encode(), why))
    if kind.startswith("image"):
        return Reply(int(status), headers, BlobReply(_blob(kind.removeprefix("image ")), "image/png"))
    return Reply(int(status), headers, JsonReply(_lifted(json.loads(text))))


def _lifted(value: Any) -> Tree:
    if isinstance(value, dict):
        return {name: _lifted(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_lifted(inner) for inner in value]
    if isinstance(value, str) and _BLOB.fullmatch(value):
        return _blob(value)
    tree: Tree = value
    return tree


def _blob(text: str) -> NamedBlob:
    match = _BLOB.fullmatch(text)
    assert match, f"{text} is not like <png cat>"
    return NamedBlob(match.group(2), match.group(1))


def _call(asked: dict[str, Any]) -> Call:
    own = {name: asked.pop(name) for name in _CALL_FIELDS if name in asked}
    if "size" in own:
        own["size"] = Size(**own["size"])
    return Call(model=asked["model"], request=request_of(asked), **{"size": Size(), **own})


def request_of(asked: dict[str, Any]) -> ImageRequest:
    """An ImageRequest out of JSON; images are `<png cat>` or URLs."""
    readers = {
        "operation": Operation,
        "images": lambda images: tuple(_input(image, f"image[{i}]") for i, image in enumerate(images)),
        "mask": lambda image: _input(image, "mask"),
        "group": lambda group: Group(**group),
        "turns": lambda turns: tuple(_turn(turn) for turn in turns),
        "extras": _lifted,
    }
    return ImageRequest(**{name: readers.get(name, lambda same: same)(value) for name, value in asked.items()})


def _turn(turn: dict[str, Any]) -> Turn:
    parts = (p if isinstance(p, str) else _input(p["image"], "contents") for p in turn["parts"])
    signatures = {int(index): _lifted(signature) for index, signature in turn.get("signatures", {}).items()}
    return Turn(turn["role"], tuple(parts), cast("Mapping[int, Blob | str]", signatures))


def _input(text: str, param: str) -> ImageInput:
    return ImageLink(text, param) if text.startswith("http") else ImageData(_blob(text), param)
