"""Headers that mean the same in every dialect: who asks, how strictly, and under which key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypedDict

from imageway.core.intents import Inbound
from imageway.dialects.shared.findings import Findings

_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")
WHILE_RUNNING: Final = ("wait", "reject")
STRICT: Final = {"1": True, "true": True, "0": False, "false": False, "": False}


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of `Authorization: Bearer …` (RFC 6750)."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


class Manner(TypedDict):
    """How a request is to be served, whatever it asks for: fields of core's Generate."""

    strict: bool
    idempotency_key: str | None
    reject_running: bool
    deadline_s: float | None


def read_manner(inbound: Inbound, findings: Findings) -> Manner:
    """Of `Imageway-Strict`, `Idempotency-Key`, `Imageway-Idempotency` and `Imageway-Deadline`."""
    return {
        "strict": read_strict(inbound, findings),
        "idempotency_key": read_idempotency_key(inbound, findings),
        "reject_running": read_reject_running(inbound, findings),
        "deadline_s": read_deadline(inbound, findings),
    }


def read_strict(inbound: Inbound, findings: Findings) -> bool:
    """`Imageway-Strict: 1`: what cannot be honoured to the letter is refused."""
    value = inbound.headers.get("imageway-strict", "").strip().lower()
    if value not in STRICT:
        findings.wrong("Imageway-Strict", value, ("1", "0"))
    return STRICT.get(value, False)


def read_deadline(inbound: Inbound, findings: Findings) -> float | None:
    """`Imageway-Deadline: 90`: what is not there after so many seconds is not wanted any more."""
    text = inbound.headers.get("imageway-deadline")
    if text is None:
        return None
    if not _SECONDS.fullmatch(seconds := text.strip()) or float(seconds) <= 0:
        findings.wrong("Imageway-Deadline", text, ("seconds above 0",))
        return None
    return float(seconds)


def read_idempotency_key(inbound: Inbound, findings: Findings) -> str | None:
    """`Idempotency-Key`: the same request is not bought twice."""
    key = inbound.headers.get("idempotency-key")
    if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        findings.wrong("Idempotency-Key", key, ("1 to 255 printable ASCII characters",))
    return key


def read_reject_running(inbound: Inbound, findings: Findings) -> bool:
    """`Imageway-Idempotency: reject`: while an earlier request under the same key runs, this one is not to wait."""
    value = inbound.headers.get("imageway-idempotency", "wait").strip().lower()
    if value not in WHILE_RUNNING:
        findings.wrong("Imageway-Idempotency", value, WHILE_RUNNING)
    return value == "reject"
