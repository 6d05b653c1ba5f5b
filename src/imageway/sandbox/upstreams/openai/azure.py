"""The same service behind Azure's door: deployments instead of models, another key header, an api-version on the
classic paths, and Azure's own errors around the service's."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from random import Random

from imageway.sandbox.answers import Headers, json_answer
from imageway.sandbox.orders import Incoming, Order, Refusal
from imageway.sandbox.studio import Studio
from imageway.sandbox.upstreams.openai.checks import OPERATIONS
from imageway.sandbox.upstreams.openai.desk import Desk
from imageway.sandbox.upstreams.openai.limits import MODELS, TABLE, Model
from imageway.sandbox.upstreams.openai.service import bearer_of
from imageway.sandbox.upstreams.openai.words import Speaker
from imageway.sandbox.wire import SandboxAnswer

_PATH = re.compile(r"/openai(?:/deployments/([^/]+)|/v1)(/images/(?:generations|edits))")
_VERSION = re.compile(r"(\d{4}-\d{2}-\d{2})(-preview)?")
UNNAMED = "gpt-image-2"


class AzureUpstream:
    """A deployment serves the model its name contains ("team-a-gpt-image-1.5"), UNNAMED where it names none; one with
    "missing" in its name does not exist, one with "blocked" belongs to an account that was shut off."""

    prefix = "/azure"

    def __init__(self, studio: Studio) -> None:
        self._chance = studio.chance
        self._desk = Desk(studio, Speaker(studio.chance, headers, "Azure support ticket"))

    async def read(self, incoming: Incoming) -> SandboxAnswer | Order:
        path = _PATH.fullmatch(incoming.path)
        if path and incoming.method == "POST":
            return await self._desk.submit(incoming, OPERATIONS[path[2]], self)
        try:
            self._check_key(incoming)
        except Refusal as refusal:
            return refusal.answer
        return self._error(404, "404", "Resource not found")

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        """With a hint: both spellings of when to come back, as recorded, though one says "at once"."""
        message = "Your requests to the deployment have exceeded rate limit."
        more: Headers = (("retry-after", "1"), ("retry-after-ms", "0")) if hint else ()
        return self._error(429, "RateLimitReached", message, more)

    def broken(self) -> SandboxAnswer:
        return self._error(500, "InternalServerError", "The server had an error while processing your request.")

    def admit(self, incoming: Incoming) -> None:
        """Key, then api-version: the classic paths have no default for it, the /v1 paths need none."""
        self._check_key(incoming)
        if "/deployments/" not in incoming.path:
            return
        found = _VERSION.fullmatch(incoming.query.get("api-version", ""))
        if found is None:
            raise Refusal(self._error(404, "404", "Resource not found"))
        if found[1] < TABLE["azure"]["api_version"]:
            message = "The image generation operation does not work with the specified model at this api-version."
            raise Refusal(self._error(400, "OperationNotSupported", message))

    def find_model(self, incoming: Incoming, body: Mapping[str, object]) -> Model:
        """The path names the deployment; on /v1 paths the body's `model` does. Elsewhere `model` is passed over."""
        path = _PATH.fullmatch(incoming.path)
        name = str((path[1] if path else None) or body.get("model") or "missing")
        if "blocked" in name:
            message = (
                "Your resource has been temporarily blocked because we detected behavior that may violate our content "
                "policy. For more details on Azure OpenAI service content policy, please visit "
                "https://aka.ms/aoaicodeofconduct"
            )
            raise Refusal(self._error(403, "Forbidden", message))
        if "missing" in name:
            message = (
                "The API deployment for this resource does not exist. If you created the deployment within the last 5 "
                "minutes, please wait a moment and try again."
            )
            raise Refusal(self._error(404, "DeploymentNotFound", message))
        contained = [model for model in MODELS if model in name]
        return MODELS[max(contained, key=len, default=UNNAMED)]

    def _check_key(self, incoming: Incoming) -> None:
        key = incoming.headers.get("api-key") or bearer_of(incoming)
        if not key or key.startswith("bad"):
            message = (
                "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key "
                "for an active subscription and use a correct regional API endpoint for your resource."
            )
            raise Refusal(self._error(401, "401", message))

    def _error(self, status: int, code: str, message: str, more: Headers = ()) -> SandboxAnswer:
        body = {"error": {"code": code, "message": message}}
        return json_answer(status, body, (*headers(self._chance), *more))


def headers(chance: Random, processing_ms: int = 12) -> Headers:
    request = str(uuid.UUID(int=chance.getrandbits(128)))
    return (
        ("content-type", "application/json"),
        ("apim-request-id", request),
        ("x-request-id", request),
        ("x-ms-region", TABLE["azure"]["region"]),
        ("x-envoy-upstream-service-time", str(processing_ms)),
        ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
        ("x-content-type-options", "nosniff"),
    )
