"""How this provider talks: flat errors with a request id, compact JSON."""

from __future__ import annotations

import uuid
from random import Random

from imageway.sandbox.answers import Headers, Json, json_answer
from imageway.sandbox.orders import Refusal
from imageway.sandbox.wire import SandboxAnswer

OUTPUT_BLOCKED = "Output data may contain inappropriate content."
ITEM_BROKEN = {
    "code": "InternalError.Timeout",
    "message": "An internal timeout error has occured during execution, please try again later or contact service "
    "support.",
}


class Speaker:
    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def new_id(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def success(self, tree: dict[str, Json]) -> SandboxAnswer:
        """`request_id` is added; every 200 has one."""
        request = self.new_id()
        return json_answer(200, {**tree, "request_id": request}, _headers(request))

    def error(self, status: int, code: str, message: str, *, headers: Headers = ()) -> SandboxAnswer:
        request = self.new_id()
        body = {"code": code, "message": message, "request_id": request}
        return json_answer(status, body, (*_headers(request), *headers))

    def refusal(self, status: int, code: str, message: str) -> Refusal:
        return Refusal(self.error(status, code, message))

    def invalid(self, message: str) -> Refusal:
        return self.refusal(400, "InvalidParameter", message)

    def unauthorized(self, *, has_key: bool) -> Refusal:
        message = "Invalid API-key provided." if has_key else "No API-key provided."
        return self.refusal(401, "InvalidApiKey", message)

    def blocked(self, message: str = "Input data may contain inappropriate content.") -> Refusal:
        return self.refusal(400, "DataInspectionFailed", message)

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        message = "Requests rate limit exceeded, please try again later."
        return self.error(429, "Throttling.RateQuota", message, headers=(("retry-after", "1"),) if hint else ())

    def broken(self) -> SandboxAnswer:
        return self.error(500, "InternalError", "An internal error has occured, please try again later.")


def _headers(request_id: str) -> Headers:
    return (
        ("content-type", "application/json"),
        ("x-request-id", request_id),
        ("x-dashscope-call-gateway", "true"),
        ("server", "istio-envoy"),
    )
