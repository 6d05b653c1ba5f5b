"""Where in a JSON text something stands, as a caller would write it: `contents[0].parts[1].text`. Runs only when a body
is refused, on text that may be cut or wrong anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

_WORD: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{},:]|[^\s"\[\]{},:]++', re.DOTALL)
_PATH_CHARACTERS: Final = 200
_WORDS: Final = 100_000  # what one refused body may cost: some 50 ms


class _Level:
    """One open array or object: the index, or the key last read."""

    __slots__ = ("at", "keys", "wants_key")

    def __init__(self, bracket: str) -> None:
        self.keys: set[str] | None = set() if bracket == "{" else None
        self.wants_key = bracket == "{"
        self.at: str | int | None = None if bracket == "{" else 0


def path_at(text: str, position: int) -> str:
    """The path of the value that is being written at that character."""
    levels: list[_Level] = []
    for start, current, _ in _walk(text):
        levels = current
        if start >= position:
            break
    return spell([level.at for level in levels if level.at is not None])


def path_of_repeated_key(text: str) -> str:
    for _, levels, repeated in _walk(text):
        if repeated:
            return spell([level.at for level in levels if level.at is not None])
    return ""


def spell(steps: Sequence[str | int]) -> str:
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else (f".{step}" if path else step)
    return path if len(path) <= _PATH_CHARACTERS else path[:_PATH_CHARACTERS] + "…"


def _walk(text: str) -> Iterator[tuple[int, list[_Level], bool]]:
    """Each word's start, the levels open before it took effect (keys: after), and whether it repeats a key."""
    levels: list[_Level] = []
    for count, match in enumerate(_WORD.finditer(text)):
        if count == _WORDS:
            return
        word = match[0]
        top = levels[-1] if levels else None
        repeated = False
        if word[0] == '"' and top is not None and top.wants_key and top.keys is not None:
            key = _unescape(word)
            repeated = key in top.keys
            top.keys.add(key)
            top.at = key
            top.wants_key = False
        yield match.start(), levels, repeated
        if word in "[{":
            levels.append(_Level(word))
        elif word in "]}" and levels:
            levels.pop()
        elif word == "," and top is not None:
            if isinstance(top.at, int):
                top.at += 1
            else:
                top.at, top.wants_key = None, True


def _unescape(word: str) -> str:
    try:
        return str(json.loads(word))
    except ValueError:
        return word.strip('"')
