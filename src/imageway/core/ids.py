"""Identifiers: a prefix that says what the thing is, then 125 bits of chance that sort nowhere and mean nothing."""

from __future__ import annotations

from imageway.core.ports import Random

_ALPHABET = b"0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u to misread
_DIGITS = _ALPHABET * 8  # a digit for every byte, each for eight of them


def new_id(prefix: str, random: Random) -> str:
    """`new_id("req", random)` → `"req_7k2m…"`: 25 characters after the underscore."""
    return f"{prefix}_{random.token_bytes(25).translate(_DIGITS).decode()}"
