"""Identifiers: a prefix that says what the thing is, then 125 bits of chance, or the moment it was made and 80 bits.

What is made for every request takes its moment along: what was made at one time then lies side by side in every index,
and a commit writes a few pages, where it would else write a page for each row in each of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from imageway.core.ports import Random

_ALPHABET: Final = b"0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u to misread
_DIGITS: Final = _ALPHABET * 8  # a digit for every byte, each for eight of them
_LENGTH: Final = 25
_MOMENT_DIGITS: Final = 9  # 45 bits of milliseconds: until the year 3084
_MOMENTS: Final = 64  # remembered; the present one is asked for again and again


def new_id(prefix: str, random: Random, at_ms: int | None = None) -> str:
    """`new_id("req", random)` → `"req_7k2m…"`: 25 characters after the underscore. With `at_ms`, epoch milliseconds,
    the first nine of them say when, and ids sort by it."""
    moment = "" if at_ms is None else _moment(at_ms)
    return f"{prefix}_{moment}{random.token_bytes(_LENGTH - len(moment)).translate(_DIGITS).decode()}"


@lru_cache(maxsize=_MOMENTS)
def _moment(at_ms: int) -> str:
    places = range(5 * (_MOMENT_DIGITS - 1), -1, -5)
    return bytes(_ALPHABET[at_ms >> place & 31] for place in places).decode()
