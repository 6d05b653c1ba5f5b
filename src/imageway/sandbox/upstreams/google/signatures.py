"""Signatures of a model's parts: nobody can read them; one that comes back is known again, or known to be altered.
(https://ai.google.dev/gemini-api/docs/thought-signatures)"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, Final

from imageway.sandbox.studio import decode_base64

MARK_BYTES: Final = 16
DUMMIES: Final = frozenset(
    decode_base64(words) for words in ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
)
"""Documented for turns that another model wrote: they pass unchecked."""
_KEY: Final = b"Imageway sandbox"


def sign(chance: Random, size_bytes: int) -> bytes:
    content = chance.randbytes(max(size_bytes - MARK_BYTES, 1))
    return _mark(content) + content


def is_valid(signature: bytes) -> bool:
    return signature in DUMMIES or signature[:MARK_BYTES] == _mark(signature[MARK_BYTES:])


def _mark(content: bytes) -> bytes:
    return hashlib.blake2b(content, key=_KEY, digest_size=MARK_BYTES).digest()


def unsigned(turns: list[Mapping[str, Any]]) -> Iterator[tuple[str, int, int]]:
    """("Image" or "Text", position of the content, position of the part) of every part that has to be signed and is
    not: of what a model said, the first part that is no thought, and every picture. Positions count from 1. Turns of
    the model in a row are one: a stream's chunks come back like that."""
    is_first = True
    for content, turn in enumerate(turns, 1):
        if turn.get("role") != "model":
            is_first = True
            continue
        for position, part in enumerate(turn["parts"], 1):
            is_image = "inlineData" in part or "fileData" in part
            if part.get("thought") or not (is_image or part.get("text")):
                continue
            if not part.get("thoughtSignature") and (is_image or is_first):
                yield "Image" if is_image else "Text", content, position
            is_first = False
