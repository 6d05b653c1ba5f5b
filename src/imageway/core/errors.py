"""Errors that callers see, drawn as one table: code → HTTP status, type, and whether sending the same again may help.

Every message says what was wrong, with the value in quotes, and what is accepted. A dialect renders them in its own
envelope; nothing here knows one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from imageway.core.intents import Generate


@dataclass(frozen=True, slots=True)
class ErrorKind:
    status: int
    type: str
    resend: bool = False  # False: answered with `x-should-retry: false`


INVALID: Final = ErrorKind(400, "invalid_request_error")
KINDS: Final[dict[str, ErrorKind]] = {
    "content_policy_violation": INVALID,
    "invalid_api_key": ErrorKind(401, "authentication_error"),
    "signature_required": ErrorKind(401, "authentication_error"),
    "signature_expired": ErrorKind(401, "authentication_error"),
    "signature_mismatch": ErrorKind(401, "authentication_error"),
    "signature_replayed": ErrorKind(401, "authentication_error"),
    "insufficient_balance": ErrorKind(402, "billing_error"),
    "budget_exceeded": ErrorKind(402, "billing_error"),
    "model_not_allowed": ErrorKind(403, "permission_error"),
    "key_not_allowed": ErrorKind(403, "permission_error"),
    "signature_invalid": ErrorKind(403, "permission_error"),
    "model_not_found": ErrorKind(404, "not_found_error"),
    "model_retired": ErrorKind(404, "not_found_error"),
    "task_not_found": ErrorKind(404, "not_found_error"),
    "not_found": ErrorKind(404, "not_found_error"),
    "method_not_allowed": ErrorKind(405, "invalid_request_error"),
    "request_timeout_body": ErrorKind(408, "invalid_request_error"),
    "idempotency_key_in_use": ErrorKind(409, "invalid_request_error"),
    "task_final": ErrorKind(409, "invalid_request_error"),
    "link_expired": ErrorKind(410, "invalid_request_error"),
    "body_too_large": ErrorKind(413, "invalid_request_error"),
    "unsupported_content_type": ErrorKind(415, "invalid_request_error"),
    "idempotency_key_reused": ErrorKind(422, "invalid_request_error"),
    "rate_limit_exceeded": ErrorKind(429, "rate_limit_error", resend=True),
    "internal_error": ErrorKind(500, "server_error"),
    "empty_response": ErrorKind(502, "upstream_error"),
    "bad_response": ErrorKind(502, "upstream_error"),
    "no_healthy_route": ErrorKind(503, "upstream_error", resend=True),
    "overloaded": ErrorKind(503, "server_error", resend=True),
    "request_timeout": ErrorKind(504, "upstream_error"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a request: `param` is the caller's own path to it (`contents[0].parts[1].image`)."""

    param: str | None
    code: str
    message: str
    accepted: tuple[str, ...] = ()


class GatewayError(Exception):
    """Something that ends a request with an error. `code` not in KINDS is a plain 400."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        details: tuple[Problem, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.details = details
        self.retry_after_s = retry_after_s
        self.request_id: str | None = None
        self.drawn = False  # what was refused is a picture that had been made, not the words that asked for it
        self.replayed = False  # an earlier request under the same Idempotency-Key ended with it
        self.sandbox = False  # a pretend upstream had part in it: every such answer is labelled
        self.resend_override: bool | None = None

    @property
    def kind(self) -> ErrorKind:
        return KINDS.get(self.code, INVALID)

    @property
    def resend(self) -> bool:
        return self.kind.resend if self.resend_override is None else self.resend_override


class InvalidRequest(GatewayError):
    """The request cannot be served as written. Carries every problem that was found; the first one speaks. `partial`:
    what could be read of it all the same, with stand-ins for what could not, so that the rest can be judged too."""

    def __init__(self, *problems: Problem, partial: Generate | None = None) -> None:
        first = problems[0]
        super().__init__(first.code, first.message, param=first.param, details=problems)
        self.partial = partial
