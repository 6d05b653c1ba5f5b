"""Errors in MountSea's envelope. Its pages show none; its clients read `errorMessage`, `error` and `message`, in this
order, and numbers in `errorCode`: statuses of HTTP here."""

from __future__ import annotations

from typing import Final

from imageway.core.blobs import Tree
from imageway.core.errors import INVALID, KINDS, GatewayError
from imageway.core.intents import Answer, Where
from imageway.dialects.shared.answers import error_headers, problems_list

UNKNOWN_MODELS: Final = ("model_not_found", "model_retired")  # values that the field does not have, like any others
MOST_PROBLEMS: Final = 20  # in one message


def number_of(code: str) -> int:
    """The status of one of our codes."""
    return INVALID.status if code in UNKNOWN_MODELS else KINDS.get(code, INVALID).status


def encode_error(where: Where, error: GatewayError) -> Answer:
    """The message has every problem there was, a line each; `details` has them one by one."""
    request_id, status = error.request_id or where.request_id, number_of(error.code)
    told = tuple(dict.fromkeys((error.message, *(problem.message for problem in error.details))))
    message = "\n".join(told[:MOST_PROBLEMS])
    body: dict[str, Tree] = {
        "statusCode": status,
        "message": message,
        "error": error.code,
        "errorMessage": message,
        "errorCode": status,
        "traceId": request_id,
        "details": problems_list(error.details),
    }
    return Answer(status, body, error_headers(request_id, error))
