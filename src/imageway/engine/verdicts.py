"""What callers are told when no image came: one failure of several speaks, the weightiest, and never in the provider's
own words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from imageway.core.errors import GatewayError
from imageway.core.steps import Failed, FailureKind

_ORDER: Final = (
    FailureKind.UNKNOWN,
    FailureKind.REFUSED,
    FailureKind.SPOILED,
    FailureKind.FAILED,
    FailureKind.BUSY,
    FailureKind.DENIED,
    FailureKind.NEVER_SENT,
    FailureKind.INVALID,
)
_TOLD: Final[dict[FailureKind, tuple[str, str]]] = {
    FailureKind.UNKNOWN: ("request_timeout", "the provider took the request but its answer never arrived"),
    FailureKind.REFUSED: ("content_policy_violation", "the provider's safety system refused this request"),
    FailureKind.SPOILED: ("bad_response", "the provider's answer held no complete image"),
    FailureKind.FAILED: ("bad_response", "the provider failed to make the image"),
    FailureKind.BUSY: ("rate_limit_exceeded", "the provider is at its rate limit"),
    FailureKind.DENIED: ("no_healthy_route", "no upstream could serve this model just now"),
    FailureKind.NEVER_SENT: ("no_healthy_route", "no upstream could be reached for this model"),
    FailureKind.INVALID: ("bad_response", "the provider rejected parameters that this gateway let through"),
}
_NONE: Final[Mapping[str, str | None]] = MappingProxyType({})
_DEFAULT_RETRY_S: Final = 1.0
NO_ROUTE_RETRY_S: Final = 5.0  # nobody knows when somebody will be there again
# Sending these again would buy again, or be refused again.
_NEVER_RESEND: Final = frozenset({FailureKind.UNKNOWN, FailureKind.SPOILED, FailureKind.REFUSED, FailureKind.INVALID})


def verdict(
    failures: Sequence[Failed], forwarded: Mapping[str, str | None] = _NONE, signed: str | None = None
) -> GatewayError:
    """The error for a task without a single image. `forwarded` are fields of the caller's that nobody here knows where
    they stand, each with the place where it is known, and that went to the provider as they were: when it finds the
    request invalid, the mistake is most likely there. Else it is in `signed`, the caller's name for a conversation with
    signatures: only who gave them can read them."""
    failed = min(failures, key=lambda failure: _ORDER.index(failure.kind))
    if failed.kind is FailureKind.INVALID and forwarded:
        names = ", ".join(
            f'"{name}" (its place is {place})' if place else f'"{name}"' for name, place in sorted(forwarded.items())
        )
        message = f"the provider rejected this request, which holds fields that are not known where they stand: {names}"
        return GatewayError("unknown_parameter", message, param=min(forwarded))
    if failed.kind is FailureKind.INVALID and signed is not None:
        message = f"the provider rejected this request: the signatures in {signed} must come back as they were given"
        return GatewayError("invalid_value", message, param=signed)
    code, message = told(failed)
    retry_after_s = None
    if failed.kind is FailureKind.BUSY:
        retry_after_s = float(math.ceil(failed.retry_after_s or _DEFAULT_RETRY_S))
    elif code == "no_healthy_route":
        retry_after_s = NO_ROUTE_RETRY_S
    error = GatewayError(code, f"{message}; nothing was charged", retry_after_s=retry_after_s)
    error.resend_override = failed.kind not in _NEVER_RESEND
    error.drawn = failed.drawn
    return error


def told(failed: Failed) -> tuple[str, str]:
    """(code, message): what became of one image, in words for the caller."""
    code, message = _TOLD[failed.kind]
    return ("empty_response" if failed.kind is FailureKind.SPOILED and failed.empty else code), message


def task_state(failures: Sequence[Failed]) -> str:
    """`unknown` when any part is: that part may have produced something nobody saw."""
    return "unknown" if any(failure.kind is FailureKind.UNKNOWN for failure in failures) else "failed"
