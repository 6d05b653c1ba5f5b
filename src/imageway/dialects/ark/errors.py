"""Errors in Ark's words: its codes and types, its statuses, its envelope (volcengine.com/docs/82379/1299023)."""

from __future__ import annotations

from typing import Final

from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError
from imageway.core.intents import Answer, Missing, Where
from imageway.dialects.shared.answers import error_headers, problems_list

TYPES: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    429: "TooManyRequests",
    500: "InternalServerError",
}
OVERLOADED: Final = (429, "ServerOverloaded")
BROKEN: Final = (500, "InternalServiceError")

CODES: Final[dict[str, tuple[int, str]]] = {
    "content_policy_violation": (400, "SensitiveContentDetected"),
    "invalid_api_key": (401, "AuthenticationError"),
    "signature_required": (401, "AuthenticationError"),
    "signature_expired": (401, "AuthenticationError"),
    "signature_mismatch": (401, "AuthenticationError"),
    "signature_replayed": (401, "AuthenticationError"),
    "insufficient_balance": (403, "AccountOverdueError"),
    "budget_exceeded": (403, "AccountOverdueError"),
    "model_not_allowed": (403, "AccessDenied"),
    "key_not_allowed": (403, "AccessDenied"),
    "signature_invalid": (403, "AccessDenied"),
    "model_not_found": (404, "InvalidEndpointOrModel.NotFound"),
    "model_retired": (404, "InvalidEndpointOrModel.NotFound"),
    "task_not_found": (404, "NotFound"),
    "not_found": (404, "NotFound"),
    "method_not_allowed": (405, "MethodNotAllowed"),
    "request_timeout_body": (408, "RequestCanceled"),
    "idempotency_key_in_use": (409, "Conflict"),
    "task_final": (409, "Conflict"),
    "link_expired": (410, "NotFound"),
    "body_too_large": (413, "InvalidParameter"),
    "unsupported_content_type": (415, "InvalidParameter"),
    "idempotency_key_reused": (422, "InvalidParameter"),
    "rate_limit_exceeded": (429, "AccountRateLimitExceeded"),
    "internal_error": BROKEN,
    "empty_response": BROKEN,
    "bad_response": BROKEN,
    "no_healthy_route": OVERLOADED,
    "overloaded": OVERLOADED,
    "request_timeout": BROKEN,
    # What is wrong with a request
    "missing_required_parameter": (400, "MissingParameter"),
    "image_required": (400, "MissingParameter"),
    "parameter_not_supported": (400, "InvalidParameter.UnsupportedParameter"),
    "unknown_parameter": (400, "InvalidParameter.UnsupportedParameter"),
    "operation_not_supported": (400, "InvalidParameter.UnsupportedParameter"),
    "image_not_supported": (400, "InvalidParameter.UnsupportedParameter"),
    "invalid_image_url": (400, "InvalidImageURL.InvalidFormat"),
}
"""Core's code → status and the vendor's own code. It has no 402, 502, 503 or 504; every other code is a plain 400."""

OTHERWISE: Final = (400, "InvalidParameter")
OF_AN_IMAGE: Final = {"content_policy_violation": "OutputImageSensitiveContentDetected"}
"""Of what had been drawn, be it one image of several or the only one."""


def encode_error(where: Where, error: GatewayError) -> Answer:
    """The vendor's envelope. Its clients show their own request id, so ours ends the message, as the vendor's does."""
    request_id = error.request_id or where.request_id
    return Answer(status_of(error), {"error": error_of(error, request_id)}, error_headers(request_id, error))


def status_of(error: GatewayError) -> int:
    return CODES.get(error.code, OTHERWISE)[0]


def error_of(error: GatewayError, request_id: str) -> dict[str, Tree]:
    """`details` is ours: every problem there was, the first of which the error itself tells."""
    status, code = CODES.get(error.code, OTHERWISE)
    if error.drawn:
        code = OF_AN_IMAGE.get(error.code, code)
    body: dict[str, Tree] = {
        "code": code,
        "message": f"{_sentence(error.message)} Request id: {request_id}",
        "param": error.param or "",
        "type": TYPES.get(status, "BadRequest"),
    }
    return body | ({"details": problems_list(error.details)} if error.details else {})


def _sentence(message: str) -> str:
    return message if message.endswith(("?", "!")) else f"{message.rstrip('.')}."


def item_error(missing: Missing) -> dict[str, Tree]:
    """Of one image among several."""
    code = OF_AN_IMAGE.get(missing.code) or CODES.get(missing.code, BROKEN)[1]
    return {"code": code, "message": missing.message}
