"""How this provider talks: error envelope, request ids inside the text, headers."""

from __future__ import annotations

import time
from random import Random

from imageway.sandbox.answers import Headers, Json, json_answer
from imageway.sandbox.orders import Refusal
from imageway.sandbox.wire import SandboxAnswer

ITEM_BLOCKED: Json = {
    "code": "OutputImageSensitiveContentDetected",
    "message": "The request failed because the output image may contain sensitive information.",
}
ITEM_BROKEN: Json = {
    "code": "InternalServiceError",
    "message": "The service encountered an unexpected internal error.",
}


class Speaker:
    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def _request_id(self) -> str:
        return f"02{time.time_ns() // 1_000_000}{self._chance.getrandbits(128):032x}"

    def success(self, tree: Json) -> SandboxAnswer:
        return json_answer(200, tree, _headers(self._request_id()))

    def stream_headers(self) -> Headers:
        return (("content-type", "text/event-stream; charset=utf-8"), *_headers(self._request_id())[1:])

    def breakdown(self) -> Json:
        """What ends a stream as a whole."""
        message = f"The service encountered an unexpected internal error. Request id: {self._request_id()}"
        return {"code": "InternalServiceError", "message": message, "param": "", "type": "InternalServerError"}

    def error(self, status: int, code: str, message: str, *, kind: str = "", param: str = "") -> SandboxAnswer:
        request = self._request_id()
        body = {"code": code, "message": f"{message} Request id: {request}", "param": param, "type": kind}
        return json_answer(status, {"error": body}, _headers(request))

    def unauthorized(self) -> SandboxAnswer:
        request = self._request_id()
        message = f"the API key or AK/SK in the request is missing or invalid. request id: {request}"
        body = {"code": "AuthenticationError", "message": message, "param": "", "type": "Unauthorized"}
        headers = (*_headers(request), ("x-error-code", "AuthN_MissOrInvalidAuthorizationHeader"))
        return json_answer(401, {"error": body}, headers)

    def no_model(self, name: str) -> Refusal:
        message = f"The model or endpoint {name} does not exist or you do not have access to it."
        return Refusal(self.error(404, "InvalidEndpointOrModel.NotFound", message, kind="NotFound"))

    def missing(self, param: str) -> Refusal:
        message = f"The request failed because it is missing `{param}` parameter"
        return self.refusal("MissingParameter", message, param)

    def invalid(self, param: str, why: str) -> Refusal:
        message = f"The parameter `{param}` specified in the request is not valid: {why}."
        return self.refusal("InvalidParameter", message, param)

    def unsupported(self, param: str) -> Refusal:
        message = f"The parameter `{param}` is not supported by the current model."
        return self.refusal("InvalidParameter.UnsupportedParameter", message, param)

    def refusal(self, code: str, message: str, param: str = "") -> Refusal:
        return Refusal(self.error(400, code, message, kind="BadRequest", param=param))

    def input_blocked(self) -> Refusal:
        message = "The request failed because the input text may contain sensitive information."
        return self.refusal("InputTextSensitiveContentDetected", message)

    def output_blocked(self) -> SandboxAnswer:
        message = "The request failed because the output image may contain sensitive information."
        return self.error(400, "OutputImageSensitiveContentDetected", message, kind="BadRequest")

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        message = "IPM (Images Per Minute) limit of the model is exceeded."
        answer = self.error(429, "ModelAccountIpmRateLimitExceeded", message, kind="TooManyRequests")
        more: Headers = (("retry-after", "1"),) if hint else ()
        return SandboxAnswer(429, (*answer.headers, *more), answer.chunks)

    def broken(self) -> SandboxAnswer:
        message = "The service encountered an unexpected internal error."
        return self.error(500, "InternalServiceError", message, kind="InternalServerError")


def _headers(request_id: str) -> Headers:
    return (
        ("content-type", "application/json; charset=utf-8"),
        ("x-request-id", request_id),
        ("server", "istio-envoy"),
    )
