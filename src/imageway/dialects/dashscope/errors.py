"""Errors in this provider's envelope: its codes and statuses for ours (Model Studio: error codes)."""

from __future__ import annotations

from typing import Final

from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError
from imageway.core.intents import Answer, Where
from imageway.dialects.shared.answers import error_headers

ASYNC_ONLY: Final = "async_only"
NOT_RESOLVED: Final = "upload_not_resolved"
RESOLVE: Final = "X-DashScope-OssResourceResolve"
MISSING_URL: Final = "Required URL is missing or invalid, please check the request URL."
INVALID: Final = (400, "InvalidParameter")
MOST_PROBLEMS: Final = 20  # in one message

SIGNATURES: Final = ("signature_required", "signature_expired", "signature_mismatch", "signature_replayed")
CODES: Final[dict[str, tuple[int, str]]] = {
    "content_policy_violation": (400, "DataInspectionFailed"),
    "invalid_api_key": (401, "InvalidApiKey"),
    **dict.fromkeys(SIGNATURES, (401, "InvalidApiKey")),
    **dict.fromkeys(("insufficient_balance", "budget_exceeded"), (400, "Arrearage")),
    "model_not_allowed": (403, "Model.AccessDenied"),
    **dict.fromkeys((ASYNC_ONLY, "key_not_allowed", "signature_invalid"), (403, "AccessDenied")),
    **dict.fromkeys(("model_not_found", "model_retired"), (404, "ModelNotFound")),
    "task_not_found": (400, "UnsupportedOperation"),
    "not_found": (404, "InvalidURL"),
    "method_not_allowed": (405, "InvalidURL"),
    "request_timeout_body": (408, "RequestTimeOut"),
    **dict.fromkeys(("idempotency_key_in_use", "task_final"), (409, "Conflict")),
    "link_expired": (400, "InvalidURL"),
    "body_too_large": (413, "BadRequest.TooLarge"),
    "unsupported_content_type": (415, "BadRequest.UnsupportedContentType"),
    "idempotency_key_reused": (422, "InvalidParameter"),
    "rate_limit_exceeded": (429, "Throttling.RateQuota"),
    "internal_error": (500, "InternalError"),
    **dict.fromkeys(("empty_response", "bad_response"), (500, "InternalError.Algo")),
    "no_healthy_route": (503, "ModelUnavailable"),
    "overloaded": (503, "ModelServingError"),
    "request_timeout": (500, "InternalError.Timeout"),
    # Problems of requests that this provider tells apart
    NOT_RESOLVED: (400, "InvalidURL"),
    "invalid_image_url": (415, "BadRequest.InputDownloadFailed"),
    "unsupported_image_format": (415, "UnsupportedFileFormat"),
    "upload_exists": (409, "FileAlreadyExists"),
    "operation_not_supported": (400, "UnsupportedOperation"),
}
EMPTY: Final = {"model": "BadRequest.EmptyModel", "input": "BadRequest.EmptyInput"}
NOT_CANCELLED: Final = "Failed to cancel the task, please confirm if the task is in PENDING status."


def code_of(ours: str) -> str:
    """What a task, or one image of it, failed with."""
    return CODES.get(ours, INVALID)[1]


def encode_error(where: Where, error: GatewayError) -> Answer:
    """`message` has every problem there was, a line each."""
    request_id = error.request_id or where.request_id
    headers = error_headers(request_id, error)
    if error.code == "task_not_found" and (where.route or "").endswith("task"):
        output: Tree = {"task_id": where.params.get("id", ""), "task_status": "UNKNOWN"}
        return Answer(200, {"request_id": request_id, "output": output}, (("x-request-id", request_id),))
    status, code = CODES.get(error.code, INVALID)
    if error.code == "missing_required_parameter":
        code = EMPTY.get(error.param or "", code)
    told = dict.fromkeys((error.message, *(problem.message for problem in error.details)))
    message = NOT_CANCELLED if error.code == "task_not_found" else "\n".join(tuple(told)[:MOST_PROBLEMS])
    return Answer(status, {"code": code, "message": message, "request_id": request_id}, headers)
