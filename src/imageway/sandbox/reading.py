"""JSON and numbers as strangers write them: read leniently, but never into what cannot be written out again."""

from __future__ import annotations

import json
import re
from typing import Any

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NATURAL = re.compile(r"[0-9]{1,9}")


class NotJson(ValueError):
    """The message says where."""


def read_json(content: bytes) -> Any:
    """Any JSON value in UTF-8 (RFC 8259). Raises NotJson, also for an escape that spells half a surrogate pair: no text
    has it, and whoever draws, hashes or repeats it would break."""
    try:
        text = content.decode()
        tree = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(tree, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error
    return tree


def read_object(content: bytes) -> dict[str, Any] | None:
    """The JSON object that this is; None for everything else."""
    try:
        tree = read_json(content)
    except NotJson:
        return None
    return tree if isinstance(tree, dict) else None


def natural(text: str | None) -> int | None:
    """The number that these digits write; None for everything else, and for more than nine of them."""
    return int(text) if text and _NATURAL.fullmatch(text) else None
