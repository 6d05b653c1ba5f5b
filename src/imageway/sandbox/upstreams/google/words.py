"""How Google's services talk: google.rpc errors with details, pretty JSON, the front end's headers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from typing import Final

from imageway.sandbox.answers import Headers, Json, json_answer
from imageway.sandbox.orders import Refusal
from imageway.sandbox.wire import SandboxAnswer

HTTP_OF: Final = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
}
BLOCKED_OUTPUT: Final = (
    "Unable to show the generated image because it violates the safety policies. You will not be charged for this "
    "request. Try rephrasing the prompt."
)
LOST_OUTPUT: Final = (
    "Unable to show the generated image. The model could not generate the image based on the prompt provided. You will "
    "not be charged for this request. Try rephrasing the prompt."
)
BROKEN: Final = (
    "An internal error has occurred. Please retry or report in "
    "https://developers.generativeai.google/guide/troubleshooting"
)
TYPE: Final = "type.googleapis.com/google.rpc."
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Speaker:
    """Answers of one service. `timed`: it tells how long it took and which tier served."""

    def __init__(self, chance: Random, service: str, *, timed: bool) -> None:
        self._chance = chance
        self.service = service
        self._timed = timed

    def success(self, tree: Json, took_ms: int = 4, *, tier: bool = False) -> SandboxAnswer:
        more: Headers = (("x-gemini-service-tier", "standard"),) if tier and self._timed else ()
        return json_answer(200, tree, (*self._headers(took_ms), *more), indent=2, tail="\n")

    def stream_headers(self, media_type: str) -> Headers:
        tier: Headers = (("x-gemini-service-tier", "standard"),) if self._timed else ()
        return (("content-type", media_type), *self._headers(4)[1:], *tier)

    def error(self, status: str, message: str, details: list[Json] | None = None) -> SandboxAnswer:
        body = {"error": error_of(status, message, details)}
        return json_answer(HTTP_OF[status], body, self._headers(4), indent=2, tail="\n")

    def invalid(self, message: str) -> Refusal:
        return Refusal(self.error("INVALID_ARGUMENT", message))

    def misplaced(self, problems: list[tuple[str, str]]) -> Refusal:
        """Problems of the JSON itself as (field, description), all at once."""
        violations: list[Json] = [{"field": field, "description": text} for field, text in problems]
        detail: Json = {"@type": TYPE + "BadRequest", "fieldViolations": violations}
        return Refusal(self.error("INVALID_ARGUMENT", "\n".join(text for _, text in problems), [detail]))

    def bad_key(self) -> Refusal:
        """A wrong API key is a 400, not a 401."""
        message = "API key not valid. Please pass a valid API key."
        localized: Json = {"@type": TYPE + "LocalizedMessage", "locale": "en-US", "message": message}
        return Refusal(self.error("INVALID_ARGUMENT", message, [self.reason("API_KEY_INVALID"), localized]))

    def reason(self, reason: str) -> Json:
        return {
            "@type": TYPE + "ErrorInfo",
            "reason": reason,
            "domain": "googleapis.com",
            "metadata": {"service": self.service},
        }

    def broken(self) -> SandboxAnswer:
        return self.error("INTERNAL", BROKEN)

    def response_id(self) -> str:
        return "".join(self._chance.choices(_LETTERS, k=22))

    def _headers(self, took_ms: int) -> Headers:
        timing: Headers = (("server-timing", f"gfet4t7; dur={took_ms}"),) if self._timed else ()
        return (
            ("content-type", "application/json; charset=UTF-8"),
            ("vary", "Origin"),
            ("vary", "Referer"),
            ("vary", "X-Origin"),
            ("server", "scaffolding on HTTPServer2"),
            ("x-xss-protection", "0"),
            ("x-frame-options", "SAMEORIGIN"),
            ("x-content-type-options", "nosniff"),
            *timing,
            ("alt-svc", 'h3=":443"; ma=2592000,h3-29=":443"; ma=2592000'),
        )


def error_of(status: str, message: str, details: list[Json] | None = None) -> Json:
    body: dict[str, Json] = {"code": HTTP_OF[status], "message": message, "status": status}
    return body | ({"details": details} if details else {})


def in_array(answer: SandboxAnswer) -> SandboxAnswer:
    """An error where an array was promised: the only one in it."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"["
        async for chunk in answer.chunks:
            yield chunk
        yield b"]\n"

    return SandboxAnswer(answer.status, answer.headers, chunks())
