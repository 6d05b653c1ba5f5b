"""Routes and reading: from a request at either door to an order, and the lists of models."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from imageway.sandbox.answers import Json
from imageway.sandbox.drawing import Reference, Unreadable
from imageway.sandbox.orders import Incoming, Order, Refusal, Twist, refused
from imageway.sandbox.reading import NotJson, natural, read_json
from imageway.sandbox.streams import Stream
from imageway.sandbox.studio import NotFetched, Studio, decode_base64
from imageway.sandbox.upstreams.google.accounts import Accounts
from imageway.sandbox.upstreams.google.checks import Checker, InlineImage, LinkedImage, prompt_of
from imageway.sandbox.upstreams.google.fronts import Front, Target
from imageway.sandbox.upstreams.google.imagen import IMAGEN, WishReader
from imageway.sandbox.upstreams.google.limits import LIMITS, MODELS, Model
from imageway.sandbox.upstreams.google.messages import MessageReader
from imageway.sandbox.upstreams.google.painting import Painter
from imageway.sandbox.upstreams.google.predictions import Predictor
from imageway.sandbox.upstreams.google.tickets import Ticket
from imageway.sandbox.upstreams.google.words import in_array
from imageway.sandbox.wire import SandboxAnswer

GENERATE, STREAM, PREDICT = "generateContent", "streamGenerateContent", "predict"
METHODS = [GENERATE, "countTokens", "batchGenerateContent"]
_FILE = re.compile(r"https://generativelanguage\.googleapis\.com/[^/]+/files/(.+)")


class GoogleUpstream:
    """The models behind one door."""

    def __init__(self, studio: Studio, front: Front) -> None:
        self.prefix = front.prefix
        self._studio = studio
        self._front = front
        self._speaker = front.speaker
        self._painter = Painter(studio, front.speaker)
        self._predictor = Predictor(studio, front.speaker)
        self._accounts = Accounts(studio.chance, front.prefix)

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        return self._front.rate_limited(hint=hint)

    def broken(self) -> SandboxAnswer:
        return self._speaker.broken()

    async def read(self, incoming: Incoming) -> SandboxAnswer | Order:
        target = self._front.find_target(incoming.path)
        if target and incoming.method == "POST" and target.method in (GENERATE, STREAM):
            return await self._submit(incoming, target)
        if target and incoming.method == "POST" and target.method == PREDICT:
            return await self._predict(incoming, target)
        if self._front.is_vertex and (answer := await self._accounts.answer(incoming)):
            return answer
        try:
            self._front.admit(incoming, target)
            return self._look(incoming, target)
        except Refusal as refusal:
            return refusal.answer

    def _look(self, incoming: Incoming, target: Target | None) -> SandboxAnswer:
        name = self._front.find_card(incoming.path)
        if name is None or incoming.method != "GET":
            if target:
                raise self._front.no_model(target)
            return self._speaker.error("NOT_FOUND", "Requested entity was not found.")
        if not name:
            return self._speaker.success(_page(incoming.query, vertex=self._front.is_vertex))
        if name not in MODELS:
            raise self._front.no_model(Target(incoming.path.split("/")[1], "", name, GENERATE))
        return self._speaker.success(_card(MODELS[name], vertex=self._front.is_vertex))

    async def _submit(self, incoming: Incoming, target: Target) -> Order:
        message: Mapping[str, Any] = {}
        sse = incoming.query.get("alt") == "sse"
        try:
            self._front.admit(incoming, target)
            message = self._parse(incoming.body)
            if target.model not in MODELS:
                raise self._front.no_model(target)
            draft = Checker(message, MODELS[target.model], self._speaker).check()
            references = tuple([await self._reference(image) for image in draft.images])
        except Refusal as refusal:
            if target.method == STREAM and not sse:
                refusal = Refusal(in_array(refusal.answer))
            return refused(refusal, model=target.model, prompt=prompt_of(message))
        ticket = Ticket(draft, references, _signature_bytes(incoming, draft.prompt), self._front.is_vertex)

        async def produce(twist: Twist) -> SandboxAnswer | Stream:
            if target.method == STREAM:
                return self._painter.stream(ticket, twist, sse=sse)
            return await self._painter.answer(ticket, twist)

        return Order(model=target.model, prompt=draft.prompt, produce=produce, streams=target.method == STREAM)

    async def _predict(self, incoming: Incoming, target: Target) -> Order:
        wish = None
        try:
            self._front.admit(incoming, target)
            body = self._object(incoming.body)
            if target.model not in IMAGEN:
                raise self._front.no_model(target)
            wish = WishReader(body, IMAGEN[target.model], self._speaker).read()
            job = await self._predictor.accept(wish)
        except Refusal as refusal:
            return refused(refusal, model=target.model, prompt=wish.prompt if wish else "")

        async def produce(twist: Twist) -> SandboxAnswer:
            return await self._predictor.predict(job, twist)

        return Order(model=target.model, prompt=wish.prompt, produce=produce)

    def _object(self, body: bytes) -> Mapping[str, Any]:
        if len(body) > LIMITS["payload_bytes"]:
            raise self._speaker.invalid(f"Request payload size exceeds the limit: {LIMITS['payload_bytes']} bytes.")
        try:
            tree = read_json(body or b"{}")
        except NotJson as error:
            raise self._speaker.invalid(f"Invalid JSON payload received. {error}") from error
        if not isinstance(tree, dict):
            raise self._speaker.invalid(
                'Invalid JSON payload received. Unknown name "": Root element must be a message.'
            )
        return tree

    def _parse(self, body: bytes) -> Mapping[str, Any]:
        reader = MessageReader(vertex=self._front.is_vertex)
        message = reader.read(self._object(body))
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


def _signature_bytes(incoming: Incoming, prompt: str) -> int:
    """About 1 KB; as large as asked by header `x-sandbox-signature-bytes` or `sandbox-signature:BYTES` in the prompt,
    since real ones reach megabytes."""
    asked = re.search(r"sandbox-signature:(\d{1,8})", prompt)
    size_bytes = natural(incoming.headers.get("x-sandbox-signature-bytes") or (asked[1] if asked else None))
    return 1024 if size_bytes is None else min(size_bytes, 16 * 2**20)


def _card(model: Model, *, vertex: bool) -> Json:
    if vertex:
        return {
            "name": f"publishers/google/models/{model.id}",
            "versionId": "default",
            "openSourceCategory": "PROPRIETARY",
            "launchStage": "GA",
        }
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


def _page(query: Mapping[str, str], *, vertex: bool) -> Json:
    """pageSize models from the one a pageToken names; from the first for a token that is none of ours (assumed)."""
    count = min(natural(query.get("pageSize")) or 50, 1000)
    token = decode_base64(query.get("pageToken", "")) or b""
    start = natural(token.decode("latin-1")) or 0
    models = list(MODELS.values())
    cards: list[Json] = [_card(model, vertex=vertex) for model in models[start : start + count]]
    page: dict[str, Json] = {"publisherModels" if vertex else "models": cards}
    if start + count < len(models):
        page["nextPageToken"] = base64.urlsafe_b64encode(str(start + count).encode()).decode()
    return page
