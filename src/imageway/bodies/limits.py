"""How large a JSON body may be in each of its dimensions, and how one that is too large or not JSON is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Members whose strings people write: they stay text even where every letter of them could be base64.
TEXT_KEYS: Final = frozenset({"prompt", "negative_prompt", "text"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftLimits:
    """`blob_bytes`: a longer base64 string becomes a blob. `text_bytes`: the longest other string, in UTF-8.
    `tree_bytes`: all of the JSON without its blobs, as it is written. `text_keys`: members whose strings never become
    blobs."""

    blob_bytes: int = 8 << 10
    text_bytes: int = 256 << 10
    tree_bytes: int = 1 << 20
    depth: int = 64
    text_keys: frozenset[str] = TEXT_KEYS


class LiftError(Exception):
    """A body that cannot be lifted. Codes of JSON: body_empty, malformed_json, invalid_utf8, invalid_base64,
    duplicate_key, number_too_large, too_deep, text_too_large, tree_too_large; forms and streams have some of their own.
    `path` is where: `contents[0].parts[1].text`; "" for the whole body."""

    def __init__(self, code: str, path: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.path = path
        self.message = message
