"""What the dialects of one vendor's cloud have in common, whatever is asked there: whose path it is (the studio's or
the platform's, each in two versions), where the key stands, and errors as google.rpc.Status."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError, Problem
from imageway.dialects.shared.headers import bearer

_PROJECT: Final = "projects/{project}/locations/{location}/publishers/google"
HOUSES: Final = {
    "v1beta": "/v1beta",
    "v1": "/v1",
    "vertex_v1beta1": f"/v1beta1/{_PROJECT}",
    "vertex_v1": f"/v1/{_PROJECT}",
    "express_v1beta1": "/v1beta1/publishers/google",
    "express_v1": "/v1/publishers/google",
}
"""Names of routes begin with one of these: `vertex_v1.predict`."""

STATUSES: Final = {
    **dict.fromkeys((400, 413, 415, 422), "INVALID_ARGUMENT"),
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    **dict.fromkeys((404, 410), "NOT_FOUND"),
    405: "UNIMPLEMENTED",
    **dict.fromkeys((408, 504), "DEADLINE_EXCEEDED"),
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    **dict.fromkeys((500, 502), "INTERNAL"),
    503: "UNAVAILABLE",
}
"""The canonical code (google/rpc/code.proto) that tells a client what an HTTP status of core's table means."""

_BAD_KEY: Final = "invalid_api_key"
_TYPE: Final = "type.googleapis.com/google.rpc."


def credential(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """`x-goog-api-key`, else `?key=`, else `Authorization: Bearer …`."""
    return headers.get("x-goog-api-key", "").strip() or query.get("key", "").strip() or bearer(headers)


def is_platform(route: str | None) -> bool:
    """Whether a route is the platform's, whose answers differ in little from the studio's."""
    return route is None or route.startswith(("vertex", "express"))


def action_of(route: str | None) -> str:
    """What is asked there: `predict` of `vertex_v1.predict`."""
    return (route or "").rpartition(".")[2]


def status_of(route: str | None, error: GatewayError) -> int:
    """A bad key is a 400 in the studio."""
    return 400 if error.code == _BAD_KEY and not is_platform(route) else error.kind.status


def status_body(route: str | None, error: GatewayError, request_id: str) -> dict[str, Tree]:
    """`{"error": google.rpc.Status}` with every problem there was, each in its own words."""
    status = status_of(route, error)
    details: list[Tree] = [_detail("ErrorInfo", reason=_reason(error.code), domain="imageway")]
    problems = error.details or ((Problem(error.param, error.code, error.message),) if error.param else ())
    if problems:
        details.append(_detail("BadRequest", fieldViolations=[_violation(each) for each in problems]))
    if error.retry_after_s is not None:
        details.append(_detail("RetryInfo", retryDelay=f"{max(1, math.ceil(error.retry_after_s))}s"))
    details.append(_detail("RequestInfo", requestId=request_id))
    body: dict[str, Tree] = {"code": status, "message": error.message, "status": STATUSES[status], "details": details}
    return {"error": body}


def _detail(kind: str, **members: Tree) -> dict[str, Tree]:
    return {"@type": f"{_TYPE}{kind}"} | members


def _violation(problem: Problem) -> Tree:
    return {"field": problem.param or "", "description": problem.message, "reason": _reason(problem.code)}


def _reason(code: str) -> str:
    return "API_KEY_INVALID" if code == _BAD_KEY else code.upper()
