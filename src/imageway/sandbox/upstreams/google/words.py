"""How this provider talks: google.rpc errors with details, pretty JSON, its front end's headers."""

from __future__ import annotations

from random import Random

from imageway.sandbox.answers import Headers, Json, json_answer
from imageway.sandbox.orders import Refusal
from imageway.sandbox.wire import SandboxAnswer

HTTP_OF = {
    "INVALID_ARGUMENT": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
}
BLOCKED_OUTPUT = (
    "Unable to show the generated image because it violates the safety policies. You will not be charged for this "
    "request. Try rephrasing the prompt."
)
_TYPE = "type.googleapis.com/google.rpc."
_SERVICE = "generativelanguage.googleapis.com"


class Speaker:
    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def success(self, tree: Json, took_ms: int = 4, *, more: Headers = ()) -> SandboxAnswer:
        return json_answer(200, tree, (*_headers(took_ms), *more), indent=2, tail="\n")

    def error(self, status: str, message: str, details: list[Json] | None = None) -> SandboxAnswer:
        body: dict[str, Json] = {"code": HTTP_OF[status], "message": message, "status": status}
        if details:
            body["details"] = details
        return json_answer(HTTP_OF[status], {"error": body}, _headers(4), indent=2, tail="\n")

    def invalid(self, message: str) -> Refusal:
        return Refusal(self.error("INVALID_ARGUMENT", message))

    def misplaced(self, problems: list[tuple[str, str]]) -> Refusal:
        """Problems of the JSON itself as (field, description), all at once."""
        violations: list[Json] = [{"field": field, "description": text} for field, text in problems]
        detail: Json = {"@type": _TYPE + "BadRequest", "fieldViolations": violations}
        return Refusal(self.error("INVALID_ARGUMENT", "\n".join(text for _, text in problems), [detail]))

    def unauthorized(self, *, has_key: bool) -> Refusal:
        """A wrong key is a 400 here, not a 401."""
        if not has_key:
            message = (
                "Method doesn't allow unregistered callers (callers without established identity). Please use API Key "
                "or other form of API consumer identity to call this API."
            )
            return Refusal(self.error("PERMISSION_DENIED", message))
        message = "API key not valid. Please pass a valid API key."
        info: Json = {
            "@type": _TYPE + "ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": {"service": _SERVICE},
        }
        localized: Json = {"@type": _TYPE + "LocalizedMessage", "locale": "en-US", "message": message}
        return Refusal(self.error("INVALID_ARGUMENT", message, [info, localized]))

    def no_model(self, name: str, version: str, method: str) -> Refusal:
        message = (
            f"models/{name} is not found for API version {version}, or is not supported for {method}. Call "
            "ModelService.ListModels to see the list of available models and their supported methods."
        )
        return Refusal(self.error("NOT_FOUND", message))

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        """The hint is a RetryInfo and a sentence; there is no Retry-After header."""
        metric = f"{_SERVICE}/generate_content_paid_tier_input_token_count"
        message = (
            "You exceeded your current quota, please check your plan and billing details. For more information on this "
            "error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to:"
            f" https://ai.dev/rate-limit. \n* Quota exceeded for metric: {metric}, limit: 1000000, model: gemini"
        )
        violation: Json = {
            "quotaMetric": metric,
            "quotaId": "GenerateContentPaidTierInputTokensPerModelPerMinute",
            "quotaDimensions": {"model": "gemini", "location": "global"},
            "quotaValue": "1000000",
        }
        link: Json = {
            "description": "Learn more about Gemini API quotas",
            "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        }
        details: list[Json] = [
            {"@type": _TYPE + "Help", "links": [link]},
            {"@type": _TYPE + "QuotaFailure", "violations": [violation]},
        ]
        if hint:
            message += "\nPlease retry in 1.2s."
            details.append({"@type": _TYPE + "RetryInfo", "retryDelay": "1s"})
        return self.error("RESOURCE_EXHAUSTED", message, details)

    def broken(self) -> SandboxAnswer:
        message = (
            "An internal error has occurred. Please retry or report in "
            "https://developers.generativeai.google/guide/troubleshooting"
        )
        return self.error("INTERNAL", message)

    def response_id(self) -> str:
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        return "".join(self._chance.choices(letters, k=22))


def _headers(took_ms: int) -> Headers:
    return (
        ("content-type", "application/json; charset=UTF-8"),
        ("vary", "Origin"),
        ("vary", "Referer"),
        ("vary", "X-Origin"),
        ("server", "scaffolding on HTTPServer2"),
        ("x-xss-protection", "0"),
        ("x-frame-options", "SAMEORIGIN"),
        ("x-content-type-options", "nosniff"),
        ("server-timing", f"gfet4t7; dur={took_ms}"),
        ("alt-svc", 'h3=":443"; ma=2592000,h3-29=":443"; ma=2592000'),
    )
