"""The two doors to the same models: AI Studio and Vertex. Each has its own paths, credentials, rate limit and "no such
model", and a few names of its own in requests and answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Protocol

from imageway.sandbox.answers import Json
from imageway.sandbox.orders import Incoming, Refusal
from imageway.sandbox.upstreams.google.words import TYPE, Speaker
from imageway.sandbox.wire import SandboxAnswer


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names. `place` is "projects/p/locations/l", or empty where the path names none."""

    version: str
    place: str
    model: str
    method: str


class Front(Protocol):
    """`is_vertex` decides about the names and shapes that differ."""

    prefix: str
    is_vertex: bool
    speaker: Speaker

    def find_target(self, path: str) -> Target | None:
        """A call to a method of a model."""

    def find_card(self, path: str) -> str | None:
        """The model a GET asks for; empty: the list of all; None: neither."""

    def admit(self, incoming: Incoming, target: Target | None) -> None:
        """Raises Refusal."""

    def no_model(self, target: Target) -> Refusal: ...

    def rate_limited(self, *, hint: bool) -> SandboxAnswer: ...


class StudioFront:
    prefix = "/google"
    is_vertex = False
    _CALL = re.compile(r"/(v1|v1beta)/models/(?:models/)?([^/:]+):([A-Za-z]+)")
    _LOOK = re.compile(r"/(?:v1|v1beta)/models(?:/([^/:]+))?/?")

    def __init__(self, chance: Random) -> None:
        self.speaker = Speaker(chance, "generativelanguage.googleapis.com", timed=True)

    def find_target(self, path: str) -> Target | None:
        found = self._CALL.fullmatch(path)
        return Target(found[1], "", found[2], found[3]) if found else None

    def find_card(self, path: str) -> str | None:
        found = self._LOOK.fullmatch(path)
        return (found[1] or "") if found else None

    def admit(self, incoming: Incoming, target: Target | None) -> None:
        """By header, query or bearer token."""
        key = _key_of(incoming) or _bearer_of(incoming)
        if not key:
            message = (
                "Method doesn't allow unregistered callers (callers without established identity). Please use API Key "
                "or other form of API consumer identity to call this API."
            )
            raise Refusal(self.speaker.error("PERMISSION_DENIED", message))
        if key.startswith("bad"):
            raise self.speaker.bad_key()

    def no_model(self, target: Target) -> Refusal:
        message = (
            f"models/{target.model} is not found for API version {target.version}, or is not supported for "
            f"{target.method}. Call ModelService.ListModels to see the list of available models and their supported "
            "methods."
        )
        return Refusal(self.speaker.error("NOT_FOUND", message))

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        """The hint is a RetryInfo and a sentence; there is no Retry-After header."""
        metric = f"{self.speaker.service}/generate_content_paid_tier_input_token_count"
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
            {"@type": TYPE + "Help", "links": [link]},
            {"@type": TYPE + "QuotaFailure", "violations": [violation]},
        ]
        if hint:
            message += "\nPlease retry in 1.2s."
            details.append({"@type": TYPE + "RetryInfo", "retryDelay": "1s"})
        return self.speaker.error("RESOURCE_EXHAUSTED", message, details)


class VertexFront:
    """Paths with a project and a location, or without both (express mode). The texts of 401 and 403 are assumed."""

    prefix = "/vertex"
    is_vertex = True
    _CALL = re.compile(
        r"/(v1|v1beta1)/(?:(projects/[^/]+/locations/[^/]+)/)?publishers/google/models/([^/:]+):([A-Za-z]+)"
    )
    _LOOK = re.compile(r"/(?:v1|v1beta1)/publishers/google/models(?:/([^/:]+))?/?")

    def __init__(self, chance: Random) -> None:
        self.speaker = Speaker(chance, "aiplatform.googleapis.com", timed=False)

    def find_target(self, path: str) -> Target | None:
        found = self._CALL.fullmatch(path)
        return Target(found[1], found[2] or "", found[3], found[4]) if found else None

    def find_card(self, path: str) -> str | None:
        found = self._LOOK.fullmatch(path)
        return (found[1] or "") if found else None

    def admit(self, incoming: Incoming, target: Target | None) -> None:
        """By bearer token or API key. A project whose name begins with "denied" is somebody else's."""
        token, key = _bearer_of(incoming), _key_of(incoming)
        if not token and key.startswith("bad"):
            raise self.speaker.bad_key()
        if token.startswith("bad") or not (token or key):
            raise self._unauthenticated(has_token=bool(token))
        if target and target.place.startswith("projects/denied"):
            name = f"//aiplatform.googleapis.com/{target.place}/publishers/google/models/{target.model}"
            message = f"Permission 'aiplatform.endpoints.predict' denied on resource '{name}' (or it may not exist)."
            raise Refusal(
                self.speaker.error("PERMISSION_DENIED", message, [self.speaker.reason("IAM_PERMISSION_DENIED")])
            )

    def _unauthenticated(self, *, has_token: bool) -> Refusal:
        expected = "Expected OAuth 2 access token, login cookie or other valid authentication credential."
        start = "Request had invalid authentication credentials."
        if not has_token:
            start = "Request is missing required authentication credential."
        reason = self.speaker.reason("ACCESS_TOKEN_TYPE_UNSUPPORTED" if has_token else "CREDENTIALS_MISSING")
        return Refusal(self.speaker.error("UNAUTHENTICATED", f"{start} {expected}", [reason]))

    def no_model(self, target: Target) -> Refusal:
        name = "/".join(filter(None, (target.place, "publishers/google/models", target.model)))
        message = (
            f"Publisher Model `{name}` was not found or your project does not have access to it. Please ensure you are "
            "using a valid model version."
        )
        return Refusal(self.speaker.error("NOT_FOUND", message))

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        """Reported: it never tells when to come back."""
        message = (
            "Resource exhausted. Please try again later. Please refer to "
            "https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details."
        )
        return self.speaker.error("RESOURCE_EXHAUSTED", message)


def _key_of(incoming: Incoming) -> str:
    return incoming.headers.get("x-goog-api-key") or incoming.query.get("key") or ""


def _bearer_of(incoming: Incoming) -> str:
    scheme, _, token = incoming.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
