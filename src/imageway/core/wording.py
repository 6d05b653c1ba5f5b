"""How messages repeat what a caller wrote (as JSON, short, printable, and never the content of an image), and when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from imageway.core.blobs import Blob, Embed, Tree

QUOTED_CHARS: Final = 60
_MOST_BITS: Final = 128  # of a number that is written out


def quoted(value: Tree) -> str:
    """`"16:9"`, `7`, `true`, `null`, `["text"]`; of longer values the beginning and an ellipsis."""
    if not isinstance(value, list | dict):
        return _scalar(value)
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > QUOTED_CHARS:
            return text[: QUOTED_CHARS - 1] + "…"
    return text


def printable(text: str) -> str:
    """At most QUOTED_CHARS characters that any terminal and any UTF-8 encoder can take."""
    if len(text) <= QUOTED_CHARS and text.isprintable():
        return text
    short = text if len(text) <= QUOTED_CHARS else text[: QUOTED_CHARS - 1] + "…"
    return "".join(character if character.isprintable() else "�" for character in short)


def moment(at_ms: int) -> str:
    """Epoch milliseconds as `2026-11-20T08:44:13Z`; what no calendar has as the number itself."""
    try:
        return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(at_ms)


def _pieces(value: Tree) -> Iterator[str]:
    match value:
        case dict():
            for number, (key, inner) in enumerate(value.items()):
                yield ", " if number else "{"
                yield f"{_scalar(key)}: "
                yield from _pieces(inner)
            yield "}" if value else "{}"
        case list():
            for number, inner in enumerate(value):
                yield ", " if number else "["
                yield from _pieces(inner)
            yield "]" if value else "[]"
        case _:
            yield _scalar(value)


def _scalar(value: Tree) -> str:
    match value:
        case str():
            return json.dumps(printable(value), ensure_ascii=False)
        case Embed(blob=blob) | (Blob() as blob):
            return f"{blob.decoded_bytes} bytes of base64 data"
        case int() if value.bit_length() > _MOST_BITS:
            return "a number without end"
    return json.dumps(value)
