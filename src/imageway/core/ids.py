"""Identifiers: a prefix that says what the thing is, then 125 bits of chance that sort nowhere and mean nothing."""

from __future__ import annotations

from imageway.core.ports import Random

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u to misread


def new_id(prefix: str, random: Random) -> str:
    """`new_id("req", random)` → `"req_7k2m…"`: 25 characters after the underscore."""
    number = int.from_bytes(random.token_bytes(16), "big") >> 3
    digits = []
    for _ in range(25):
        digits.append(_ALPHABET[number & 31])
        number >>= 5
    return f"{prefix}_{''.join(digits)}"
