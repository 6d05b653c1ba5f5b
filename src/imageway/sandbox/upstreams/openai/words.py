"""How this provider talks: its error envelope, its headers, the exact sentences of its refusals."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from random import Random

from imageway.sandbox.answers import Headers, Json, json_answer
from imageway.sandbox.orders import Refusal
from imageway.sandbox.streams import Frame, sse_frame
from imageway.sandbox.wire import SandboxAnswer

INVALID = "invalid_request_error"
USER_ERROR = "image_generation_user_error"
BROKEN = "The server had an error while processing your request. Sorry about that!"


def headers(chance: Random, processing_ms: int = 12) -> Headers:
    """As recorded on /v1/images: no rate-limit headers, chunked JSON without a charset."""
    ray = f"{chance.getrandbits(64):016x}-FRA"
    return (
        ("content-type", "application/json"),
        ("openai-version", "2020-10-01"),
        ("openai-organization", "org-sandbox"),
        ("openai-project", "proj_sandbox"),
        ("x-request-id", f"req_{chance.getrandbits(128):032x}"),
        ("openai-processing-ms", str(processing_ms)),
        ("server", "cloudflare"),
        ("access-control-expose-headers", "CF-Ray, X-Request-ID"),
        ("cf-cache-status", "DYNAMIC"),
        ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
        ("x-content-type-options", "nosniff"),
        ("cf-ray", ray),
        ("alt-svc", 'h3=":443"; ma=86400'),
    )


def envelope(message: str, *, kind: str = INVALID, param: str | None = None, code: str | None = None) -> Json:
    return {"message": message, "type": kind, "param": param, "code": code}


class Speaker:
    """Answers with this provider's headers; every error has all four keys, `null` where there is nothing to say.
    `head` and `help_desk` are other ones where somebody else runs the service."""

    def __init__(
        self,
        chance: Random,
        head: Callable[[Random, int], Headers] = headers,
        help_desk: str = "help.openai.com",
    ) -> None:
        self._chance = chance
        self._head = head
        self._help_desk = help_desk

    def success(self, tree: Json, processing_ms: int) -> SandboxAnswer:
        return json_answer(200, tree, self._head(self._chance, processing_ms), indent=2, tail="\n")

    def stream_headers(self) -> Headers:
        kept = (row for row in self._head(self._chance, 12) if row[0] != "content-type")
        return (("content-type", "text/event-stream; charset=utf-8"), *kept)

    def error(
        self, status: int, message: str, *, kind: str = INVALID, param: str | None = None, code: str | None = None
    ) -> SandboxAnswer:
        error = envelope(message, kind=kind, param=param, code=code)
        return json_answer(status, {"error": error}, self._head(self._chance, 12), indent=2, tail="\n")

    def unauthorized(self, key: str) -> SandboxAnswer:
        """The 401 names no organization, and says how to authenticate."""
        if key:
            message = (
                f"Incorrect API key provided: {_masked(key)}. You can find your API key at "
                "https://platform.openai.com/account/api-keys."
            )
        else:
            message = (
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
            )
        answer = self.error(401, message, code="invalid_api_key" if key else None)
        kept = tuple(h for h in answer.headers if h[0] not in ("openai-organization", "openai-project"))
        return SandboxAnswer(401, (*kept, ("www-authenticate", 'Bearer realm="OpenAI API"')), answer.chunks)

    def moderated(self, stage: str) -> SandboxAnswer:
        headers = self._head(self._chance, 12)
        return json_answer(400, {"error": self.moderation(stage)}, headers, indent=2, tail="\n")

    def moderation(self, stage: str) -> Json:
        request = uuid.UUID(int=self._chance.getrandbits(128))
        return {
            "message": "Your request was rejected by the safety system. If you believe this is an error, contact us at "
            f"{self._help_desk} and include the request ID {request}. safety_violations=[violence].",
            "type": USER_ERROR,
            "param": None,
            "code": "moderation_blocked",
            "moderation_details": {"moderation_stage": stage, "categories": ["violence"]},
        }

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        wait = " Please try again in 1s." if hint else ""
        message = (
            "Rate limit reached for gpt-image-2 (for limit gpt-image) in organization org-sandbox on input-images per "
            f"min: Limit 5, Used 5, Requested 1.{wait}"
        )
        answer = self.error(429, message, kind="input-images", code="rate_limit_exceeded")
        more: Headers = (("retry-after", "1"), ("retry-after-ms", "1000")) if hint else ()
        return SandboxAnswer(429, (*answer.headers, *more), answer.chunks)

    def broken(self) -> SandboxAnswer:
        return self.error(500, BROKEN, kind="server_error")


def error_frame(error: Json) -> Frame:
    """What ends a stream that fails in the middle. The event's name is assumed: only the shape of its data is known,
    from what the SDK raises at."""
    return sse_frame({"type": "error", "error": error}, "error")


def _masked(key: str) -> str:
    return key if len(key) < 16 else f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}"


class Complaint:
    """Makes the refusals that several checks share."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    def of(self, message: str, *, param: str | None, code: str | None, kind: str = INVALID) -> Refusal:
        return Refusal(self._speaker.error(400, message, kind=kind, param=param, code=code))

    def missing(self, param: str) -> Refusal:
        return self.of(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")

    def unknown(self, param: str) -> Refusal:
        return self.of(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")

    def wrong_type(self, param: str, *, wanted: str, got: str) -> Refusal:
        message = f"Invalid type for '{param}': expected {wanted}, but got {got} instead."
        return self.of(message, param=param, code="invalid_type")

    def wrong_value(self, param: str, value: object, accepted: tuple[str, ...]) -> Refusal:
        quoted = [f"'{word}'" for word in accepted]
        if len(quoted) > 2:
            listed = f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
        else:
            listed = " and ".join(quoted)
        message = f"Invalid value: '{value}'. Supported values are: {listed}."
        return self.of(message, param=param, code="invalid_value")

    def out_of_range(self, param: str, value: int, *, low: int, high: int) -> Refusal:
        below = value < low
        word, sign, bound = ("below minimum", ">=", low) if below else ("above maximum", "<=", high)
        message = f"Invalid '{param}': integer {word} value. Expected a value {sign} {bound}, but got {value} instead."
        code = "integer_below_min_value" if below else "integer_above_max_value"
        return self.of(message, param=param, code=code)
