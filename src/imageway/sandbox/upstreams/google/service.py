"""Routes, authentication and answers of generateContent and the list of models."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imageway.sandbox.answers import Json
from imageway.sandbox.drawing import Reference, Unreadable
from imageway.sandbox.orders import Incoming, Order, Refusal, Twist, refused
from imageway.sandbox.studio import NotFetched, Studio, is_forbidden, is_forbidden_output
from imageway.sandbox.upstreams.google.checks import Checker, InlineImage, LinkedImage, prompt_of
from imageway.sandbox.upstreams.google.limits import LIMITS, MODELS, Model
from imageway.sandbox.upstreams.google.messages import MessageReader
from imageway.sandbox.upstreams.google.parts import Ticket, paint_parts, usage_of
from imageway.sandbox.upstreams.google.words import BLOCKED_OUTPUT, Speaker
from imageway.sandbox.wire import SandboxAnswer

_CALL = re.compile(r"/(v1|v1beta)/models/(?:models/)?([^/:]+):([A-Za-z]+)")
_LOOK = re.compile(r"/(v1|v1beta)/models(?:/([^/:]+))?/?")
_FILE = re.compile(r"https://generativelanguage\.googleapis\.com/[^/]+/files/(.+)")
METHODS = ["generateContent", "countTokens", "batchGenerateContent"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names."""

    version: str
    model: str
    method: str


class GoogleUpstream:
    prefix = "/google"

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._speaker = Speaker(studio.chance)

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        return self._speaker.rate_limited(hint=hint)

    def broken(self) -> SandboxAnswer:
        return self._speaker.broken()

    async def read(self, incoming: Incoming) -> SandboxAnswer | Order:
        call = _CALL.fullmatch(incoming.path)
        if call and incoming.method == "POST" and call[3] in ("generateContent", "streamGenerateContent"):
            return await self._submit(incoming, Target(call[1], call[2], call[3]))
        try:
            self._authenticate(incoming)
            return self._look(incoming)
        except Refusal as refusal:
            return refusal.answer

    def _authenticate(self, incoming: Incoming) -> None:
        """By header, query or bearer token."""
        scheme, _, token = incoming.headers.get("authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else ""
        key = incoming.headers.get("x-goog-api-key") or incoming.query.get("key") or bearer
        if not key or key.startswith("bad"):
            raise self._speaker.unauthorized(has_key=bool(key))

    def _look(self, incoming: Incoming) -> SandboxAnswer:
        found = _LOOK.fullmatch(incoming.path)
        if found is None or incoming.method != "GET":
            call = _CALL.fullmatch(incoming.path)
            if call:
                raise self._speaker.no_model(call[2], call[1], call[3])
            return self._speaker.error("NOT_FOUND", "Requested entity was not found.")
        if found[2]:
            if found[2] not in MODELS:
                raise self._speaker.no_model(found[2], found[1], "generateContent")
            return self._speaker.success(_card(MODELS[found[2]]))
        return self._speaker.success(_page(incoming.query))

    async def _submit(self, incoming: Incoming, target: Target) -> Order:
        message: Mapping[str, Any] = {}
        try:
            self._authenticate(incoming)
            message = self._parse(incoming.body)
            model = self._find_model(target)
            draft = Checker(message, model, self._speaker).check()
            references = tuple([await self._reference(image) for image in draft.images])
        except Refusal as refusal:
            return refused(refusal, model=target.model, prompt=prompt_of(message))
        ticket = Ticket(draft, references, _signature_bytes(incoming, draft.prompt))

        async def produce(twist: Twist) -> SandboxAnswer:
            return await self._produce(ticket, twist)

        return Order(model=model.id, prompt=draft.prompt, produce=produce)

    def _find_model(self, target: Target) -> Model:
        if target.model not in MODELS:
            raise self._speaker.no_model(target.model, target.version, target.method)
        if target.method == "streamGenerateContent":
            raise self._speaker.invalid("This sandbox does not stream: call generateContent.")
        return MODELS[target.model]

    def _parse(self, body: bytes) -> Mapping[str, Any]:
        if len(body) > LIMITS["payload_bytes"]:
            raise self._speaker.invalid(f"Request payload size exceeds the limit: {LIMITS['payload_bytes']} bytes.")
        try:
            tree = json.loads(body or b"{}")
        except (ValueError, RecursionError) as error:
            raise self._speaker.invalid(f"Invalid JSON payload received. {error}") from error
        if not isinstance(tree, dict):
            raise self._speaker.invalid(
                'Invalid JSON payload received. Unknown name "": Root element must be a message.'
            )
        reader = MessageReader()
        message = reader.read(tree)
        if reader.problems:
            raise self._speaker.misplaced(reader.problems)
        return message

    async def _reference(self, image: InlineImage | LinkedImage) -> Reference:
        try:
            content = image.content if isinstance(image, InlineImage) else await self._follow(image.url)
            return await self._studio.read(content)
        except Unreadable as error:
            message = (
                "Unable to process input image. Please retry or report in "
                "https://developers.generativeai.google/guide/troubleshooting"
            )
            raise self._speaker.invalid(message) from error

    async def _follow(self, url: str) -> bytes:
        """No file was ever uploaded here; other addresses are fetched the sandbox's way."""
        if uploaded := _FILE.fullmatch(url):
            message = f"You do not have permission to access the File {uploaded[1]} or it may not exist."
            raise Refusal(self._speaker.error("PERMISSION_DENIED", message))
        try:
            return await self._studio.fetch(url)
        except NotFetched as error:
            raise self._speaker.invalid("Cannot fetch content from the provided URL.") from error

    async def _produce(self, ticket: Ticket, twist: Twist) -> SandboxAnswer:
        """Refusals of the moderation are a 200 here, without a picture."""
        started_s = time.monotonic()
        draft = ticket.draft
        answer: dict[str, Json] = {}
        painted = False
        if is_forbidden_output(draft.prompt):
            blocked: Json = {"content": {}, "finishReason": "IMAGE_SAFETY", "index": 0, "finishMessage": BLOCKED_OUTPUT}
            answer["candidates"] = [blocked]
        elif is_forbidden(draft.all_text):
            answer["promptFeedback"] = {"blockReason": "PROHIBITED_CONTENT"}
        elif twist.empty:
            answer["candidates"] = [{"index": 0, "finishReason": "NO_IMAGE"}]
        else:
            content: Json = {"parts": await paint_parts(self._studio, ticket), "role": "model"}
            answer["candidates"] = [{"content": content, "finishReason": "STOP", "index": 0}]
            painted = True
        answer["usageMetadata"] = usage_of(ticket, painted=painted, answered="candidates" in answer)
        answer["modelVersion"] = draft.model.id
        answer["responseId"] = self._speaker.response_id()
        took_ms = round((time.monotonic() - started_s) * 1000)
        return self._speaker.success(answer, took_ms, more=(("x-gemini-service-tier", "standard"),))


def _signature_bytes(incoming: Incoming, prompt: str) -> int:
    """About 1 KB; as large as asked by header `x-sandbox-signature-bytes` or `sandbox-signature:BYTES` in the prompt,
    since real ones reach megabytes."""
    asked = re.search(r"sandbox-signature:(\d{1,8})", prompt)
    text = incoming.headers.get("x-sandbox-signature-bytes") or (asked[1] if asked else "1024")
    return min(int(text), 16 * 2**20) if text.isdigit() else 1024


def _card(model: Model) -> Json:
    return {
        "name": f"models/{model.id}",
        "version": "001",
        "displayName": model.display,
        "description": model.display,
        "inputTokenLimit": model.limits[0],
        "outputTokenLimit": model.limits[1],
        "supportedGenerationMethods": METHODS,
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": bool(model.thinking) or model.always_thinks,
    }


def _page(query: Mapping[str, str]) -> Json:
    """pageSize models from the one a pageToken names."""
    size = query.get("pageSize", "")
    count = min(int(size), 1000) if size.isdigit() and int(size) else 50
    token = query.get("pageToken", "")
    start = int(base64.urlsafe_b64decode(token)) if re.fullmatch(r"[A-Za-z0-9_=-]+", token) else 0
    models = list(MODELS.values())
    page: dict[str, Json] = {"models": [_card(model) for model in models[start : start + count]]}
    if start + count < len(models):
        page["nextPageToken"] = base64.urlsafe_b64encode(str(start + count).encode()).decode()
    return page
