"""What every adapter does with trees, headers, sizes and input images: typed looks into a reply that never raise, and
the reading of answers that are not the provider's own words. Knows no provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from msgspec.structs import replace

from imageway.bodies import base64_blob, sniff_format
from imageway.core.blobs import Blob, Embed, Tree
from imageway.core.requests import ImageInput, ImageLink
from imageway.core.steps import Call, Failed, FailureKind, JsonReply, Page, Reply, Usage

_NUMBER: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_DURATION_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|h|m|s)")
_WAIT: Final = re.compile(r"(?:try again|retry) in ((?:\d{1,9}(?:\.\d{1,9})?(?:ms|h|m|s))+)", re.IGNORECASE)
_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DETAIL_CHARACTERS: Final = 300


def at(tree: Tree, *path: str | int) -> Tree:
    """`at(tree, "error", "code")`; None where the path leads nowhere."""
    return _at(tree, path)


def _at(tree: Tree, path: tuple[Any, ...]) -> Tree:
    for key in path:
        if isinstance(tree, dict):
            tree = tree.get(key)
        elif isinstance(tree, list) and isinstance(key, int) and key < len(tree):
            tree = tree[key]
        else:
            return None
    return tree


def members_of(tree: Tree) -> dict[str, Tree]:
    """Of an object; anything else has none."""
    return tree if isinstance(tree, dict) else {}


def text_of(value: Tree) -> str:
    """Text, or a whole number written out (some send `"code": 401`); else ""."""
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else ""


def count_of(value: Tree) -> int:
    """A whole number from zero up; else 0."""
    return value if type(value) is int and value > 0 else 0


def text_at(tree: Tree, *path: str | int) -> str:
    """As of `text_of`."""
    return text_of(_at(tree, path))


def count_at(tree: Tree, *path: str | int) -> int:
    """As of `count_of`."""
    return count_of(_at(tree, path))


def list_at(tree: Tree, *path: str | int) -> list[Tree]:
    """A list; else an empty one."""
    value = _at(tree, path)
    return value if isinstance(value, list) else []


def blob_at(tree: Tree, *path: str | int) -> Blob | None:
    """A lifted blob, or one made of a base64 string that was too short to be lifted; else None."""
    value = _at(tree, path)
    if isinstance(value, str):
        return base64_blob(value) if value else None
    if value is None or isinstance(value, bool | int | float | list | dict | Embed):
        return None
    return value


def picture_at(item: Tree, *, link: str, base64: str | None = None) -> Blob | str | None:
    """An image under one of two names: base64, or an http(s) URL (data URLs pass for URLs). Other text is neither: the
    path "/files/1" would be base64 to the letter."""
    if base64 is not None and (blob := blob_at(item, base64)) is not None:
        return blob
    text = text_at(item, link)
    if not text:
        return blob_at(item, link)
    start = text[:8].lower()
    if start.startswith(("https://", "http://")):
        return text
    return base64_blob(text) if start.startswith("data:") else None


def given(tree: Mapping[str, Tree]) -> dict[str, Tree]:
    """Without the members that are None: what was not asked for is not sent."""
    return {name: value for name, value in tree.items() if value is not None}


def forward(body: Mapping[str, Tree], extras: Mapping[str, Tree]) -> dict[str, Tree]:
    """`body` with fields that nobody here knows, each in the object where the caller had it. What stands already is
    never overridden."""
    merged = dict(body)
    for name, value in extras.items():
        here = merged.get(name)
        if isinstance(here, dict) and isinstance(value, dict):
            merged[name] = forward(here, value)
        elif name not in merged:
            merged[name] = value
    return merged


def media_type(blob: Blob) -> str:
    """What an input image is, by its own header before anybody's word."""
    if blob.facts is not None:
        return f"image/{blob.facts.format}"
    if blob.declared_type is not None and blob.declared_type.startswith("image/"):
        return blob.declared_type
    return f"image/{sniff_format(blob.head) or 'png'}"


def size_text(call: Call) -> str | None:
    """The size as one word: the provider's own, or `1024x1536`; None: it is left to the model."""
    if call.size.word is not None:
        return call.size.word
    return f"{call.size.width}x{call.size.height}" if call.size.pixels else None


def link_or_data_url(image: ImageInput) -> Tree:
    """An input image as one JSON string: its URL as it is, or a data URL around the blob."""
    if isinstance(image, ImageLink):
        return image.url
    return Embed(image.blob, f"data:{media_type(image.blob)};base64,")


def wait_s(headers: Mapping[str, str], message: str = "") -> float | None:
    """How long to wait before asking again, in seconds: the longest of `retry-after-ms`, `retry-after` (seconds or an
    HTTP date, measured from the answer's own `date`), and "try again in 12s" in the message."""
    hints: list[float | None] = []
    milliseconds, after = headers.get("retry-after-ms", "").strip(), headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        hints.append(float(milliseconds) / 1000)
    if _NUMBER.fullmatch(after):
        hints.append(float(after))
    elif after:
        hints.append(_seconds_between(headers.get("date", ""), after))
    if told := _WAIT.search(message):
        hints.append(duration_s(told.group(1)))
    return max((hint for hint in hints if hint is not None), default=None)


def duration_s(text: str) -> float | None:
    """ "48s", "1m30.5s", "250ms" → seconds."""
    parts = _DURATION_PART.findall(text)
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts) if parts else None


def _seconds_between(earlier: str, later: str) -> float | None:
    try:
        return max(0.0, (parsedate_to_datetime(later) - parsedate_to_datetime(earlier)).total_seconds())
    except (TypeError, ValueError):
        return None


def reported(usage: Usage) -> Usage | None:
    """None when nothing was counted for the images that came: such a report must not pass for "they cost nothing"."""
    return usage if usage.output else None


def clipped(text: str) -> str:
    """One line that fits a log."""
    line = " ".join(text.split())
    return line if len(line) <= _DETAIL_CHARACTERS else line[: _DETAIL_CHARACTERS - 1] + "…"


def failure(kind: FailureKind, code: str, message: str, headers: Mapping[str, str]) -> Failed:
    """A failure in the provider's own words; only `busy` carries a wait."""
    wait = wait_s(headers, message) if kind is FailureKind.BUSY else None
    return Failed(kind, code, clipped(message), wait)


def kind_of_status(status: int) -> FailureKind:
    """What the status of an answer means when the provider's own error body said no more."""
    if status < 300:
        return FailureKind.SPOILED
    if status < 400 or status in (401, 402, 403, 404):
        return FailureKind.DENIED
    if status in (409, 429, 503, 529):
        return FailureKind.BUSY
    if status in (408, 499) or status >= 500:
        return FailureKind.FAILED
    return FailureKind.INVALID


def unreadable(reply: Reply) -> Failed:
    """An answer without the provider's own words: a proxy's page, JSON of somebody else's, a body that is no JSON.

    Whoever wrote a 5xx here need not know what became of the request: unknown, unless it says "unavailable"."""
    head = reply.body.head.decode("utf-8", "replace") if isinstance(reply.body, Page) else ""
    kind = kind_of_status(reply.status)
    if kind is FailureKind.FAILED or _was_cut_behind(reply.status, head):
        kind = FailureKind.UNKNOWN
    elif reply.status == 405:
        kind = FailureKind.DENIED  # no such endpoint: the base URL is wrong, not the request
    detail = head if reply.status >= 300 else ""
    failed = failure(kind, f"http_{reply.status}", detail or _what(reply), reply.headers)
    nothing = isinstance(reply.body, JsonReply) or (isinstance(reply.body, Page) and not reply.body.head)
    return replace(failed, empty=kind is FailureKind.SPOILED and nothing)


def cut_stream() -> Failed:
    """A stream whose end came before its last word: whatever more was made, nobody will hear of it."""
    return Failed(FailureKind.UNKNOWN, "stream_cut", "the stream ended before its last event")


def _was_cut_behind(status: int, head: str) -> bool:
    """Envoy answers 503 when the server behind it closed the connection, perhaps after it had read the request."""
    return status == 503 and "reset before headers" in head and "connection failure" not in head


def _what(reply: Reply) -> str:
    if isinstance(reply.body, Page):
        return reply.body.why
    return "JSON without an error or an image" if isinstance(reply.body, JsonReply) else "a body that is not JSON"
