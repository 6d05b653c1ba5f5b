"""Answers in pieces: JSON whose base64 is spliced in as bytes, plain bytes, and what faults make of either."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Final

from imageway.sandbox.wire import SandboxAnswer

Json = None | bool | int | float | str | bytes | Sequence["Json"] | Mapping[str, "Json"]
"""A JSON value; `bytes` are ASCII (base64) and become a string without being copied or escaped."""
Headers = tuple[tuple[str, str], ...]
CHUNK_BYTES: Final = 65_536


def json_answer(
    status: int, tree: Json, headers: Headers = (), *, indent: int | None = None, tail: str = ""
) -> SandboxAnswer:
    """`headers` must name the content type. No content-length: real services send these answers chunked."""
    return SandboxAnswer(status, headers, in_chunks(spell(tree, indent=indent, tail=tail)))


def bytes_answer(status: int, content: bytes, headers: Headers) -> SandboxAnswer:
    """An answer that promises its length."""
    return SandboxAnswer(status, (*headers, ("content-length", str(len(content)))), in_chunks([content]))


def spell(tree: Json, *, indent: int | None = None, tail: str = "") -> list[bytes]:
    """The JSON text as a list of pieces, the spliced bytes standing between the written ones. No indent: compact."""
    mark = secrets.token_hex(16)
    blobs: list[bytes] = []

    def keep(value: object) -> str:
        if not isinstance(value, bytes):
            raise TypeError(f"{type(value).__name__} is not JSON")
        blobs.append(value)
        return mark

    separators = (",", ":") if indent is None else None
    text = json.dumps(tree, indent=indent, ensure_ascii=False, default=keep, separators=separators) + tail
    written = [piece.encode("utf-8", "replace") for piece in text.split(mark)]
    pieces = [written[0]]
    for blob, after in zip(blobs, written[1:], strict=True):
        pieces += [blob, after]
    return pieces


async def in_chunks(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), CHUNK_BYTES):
            yield piece[start : start + CHUNK_BYTES]


async def collect(answer: SandboxAnswer) -> bytes:
    return b"".join([chunk async for chunk in answer.chunks])
