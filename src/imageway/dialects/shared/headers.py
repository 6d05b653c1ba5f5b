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


class Manner(TypedDict, total=False):
    """How a request is to be served, whatever it asks for: fields of core's Generate, where the caller said them."""

    strict: bool
    idempotency_key: str
    reject_running: bool
    deadline_s: float | None


def read_manner(inbound: Inbound, findings: Findings) -> Manner:
    """Of `Imageway-Strict`, `Idempotency-Key`, `Imageway-Idempotency` and `Imageway-Deadline`."""
    headers, manner = inbound.headers, Manner()
    if "imageway-strict" in headers:
        manner["strict"] = read_strict(headers["imageway-strict"], findings)
    if "idempotency-key" in headers:
        manner["idempotency_key"] = read_idempotency_key(headers["idempotency-key"], findings)
    if "imageway-idempotency" in headers:
        manner["reject_running"] = read_reject_running(headers["imageway-idempotency"], findings)
    if "imageway-deadline" in headers:
        manner["deadline_s"] = read_deadline(headers["imageway-deadline"], findings)
    return manner


def read_strict(text: str, findings: Findings) -> bool:
    """`Imageway-Strict: 1`: what cannot be honoured to the letter is refused."""
    value = text.strip().lower()
    if value not in STRICT:
        findings.wrong("Imageway-Strict", value, ("1", "0"))
    return STRICT.get(value, False)


def read_deadline(text: str, findings: Findings) -> float | None:
    """`Imageway-Deadline: 90`: what is not there after so many seconds is not wanted any more."""
    if not _SECONDS.fullmatch(seconds := text.strip()) or float(seconds) <= 0:
        findings.wrong("Imageway-Deadline", text, ("seconds above 0",))
        return None
    return float(seconds)


def read_idempotency_key(key: str, findings: Findings) -> str:
    """`Idempotency-Key`: the same request is not bought twice."""
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        findings.wrong("Idempotency-Key", key, ("1 to 255 printable ASCII characters",))
    return key


def read_reject_running(text: str, findings: Findings) -> bool:
    """`Imageway-Idempotency: reject`: while an earlier request under the same key runs, this one is not to wait."""
    value = text.strip().lower()
    if value not in WHILE_RUNNING:
        findings.wrong("Imageway-Idempotency", value, WHILE_RUNNING)
    return value == "reject"
