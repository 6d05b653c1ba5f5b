"""Headers that mean the same in every dialect: who asks, how strictly, and under which key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageway.core.intents import Inbound
from imageway.dialects.shared.findings import Findings

STRICT: Final = {"1": True, "true": True, "0": False, "false": False, "": False}


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of `Authorization: Bearer …` (RFC 6750)."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


def read_strict(inbound: Inbound, findings: Findings) -> bool:
    """`Imageway-Strict: 1`: what cannot be honoured to the letter is refused."""
    value = inbound.headers.get("imageway-strict", "0").strip().lower()
    if value not in STRICT:
        findings.wrong("Imageway-Strict", value, ("1", "0"))
    return STRICT.get(value, False)


def read_idempotency_key(inbound: Inbound, findings: Findings) -> str | None:
    """`Idempotency-Key`: the same request is not bought twice."""
    key = inbound.headers.get("idempotency-key")
    if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        findings.wrong("Idempotency-Key", key, ("1 to 255 printable ASCII characters",))
    return key
