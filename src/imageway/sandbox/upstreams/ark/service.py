"""Routes, authentication and order of checks; from a request to an order."""

from __future__ import annotations

from collections.abc import Mapping

from imageway.sandbox.answers import Json
from imageway.sandbox.drawing import Reference
from imageway.sandbox.orders import Incoming, Order, Refusal, Twist, refused
from imageway.sandbox.reading import read_object
from imageway.sandbox.streams import Stream
from imageway.sandbox.studio import Studio, is_forbidden, is_forbidden_output
from imageway.sandbox.upstreams.ark.checks import Checker, Draft
from imageway.sandbox.upstreams.ark.limits import LIMITS, MODELS
from imageway.sandbox.upstreams.ark.painting import Painter, Ticket
from imageway.sandbox.upstreams.ark.pictures import InputReader
from imageway.sandbox.upstreams.ark.words import Speaker
from imageway.sandbox.wire import SandboxAnswer


class ArkUpstream:
    prefix = "/ark/api/v3"

    def __init__(self, studio: Studio) -> None:
        self._speaker = Speaker(studio.chance)
        self._inputs = InputReader(studio, self._speaker)
        self._painter = Painter(studio, self._speaker)

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        return self._speaker.rate_limited(hint=hint)

    def broken(self) -> SandboxAnswer:
        return self._speaker.broken()

    async def read(self, incoming: Incoming) -> SandboxAnswer | Order:
        if incoming.path == "/images/generations" and incoming.method == "POST":
            return await self._submit(incoming)
        if not _is_authenticated(incoming):
            return self._speaker.unauthorized()
        if incoming.path == "/models" and incoming.method == "GET":
            return self._speaker.success({"object": "list", "data": [_card(name) for name in MODELS]})
        message = f"The requested path {incoming.path} does not exist."
        return self._speaker.error(404, "NotFound", message, kind="NotFound")

    async def _submit(self, incoming: Incoming) -> Order:
        body: Mapping[str, object] = {}
        try:
            if not _is_authenticated(incoming):
                raise Refusal(self._speaker.unauthorized())
            body = self._parse(incoming.body)
            draft = Checker(body, self._speaker).check()
            references = await self._inputs.read(body.get("image"), draft)
            self._check_group(draft, references)
            if is_forbidden(draft.prompt) and not is_forbidden_output(draft.prompt):
                raise self._speaker.input_blocked()
        except Refusal as refusal:
            return refused(refusal, model=body.get("model"), prompt=body.get("prompt"))
        ticket = Ticket(draft, references, incoming.origin)

        async def produce(twist: Twist) -> SandboxAnswer | Stream:
            return await (self._painter.stream if draft.streams else self._painter.answer)(ticket, twist)

        return Order(model=draft.model.id, prompt=draft.prompt, produce=produce, streams=draft.streams)

    def _parse(self, content: bytes) -> Mapping[str, object]:
        body = read_object(content)
        if body is None:
            message = "The request failed because the body is not a valid JSON object."
            raise self._speaker.refusal("InvalidParameter", message)
        return body

    def _check_group(self, draft: Draft, references: tuple[Reference, ...]) -> None:
        total = int(LIMITS["group_total"])
        if draft.group is not None and draft.group + len(references) > total:
            why = f"the sum of reference images and max_images cannot exceed {total}"
            raise self._speaker.invalid("sequential_image_generation_options.max_images", why)


def _is_authenticated(incoming: Incoming) -> bool:
    scheme, _, key = incoming.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and bool(key.strip()) and not key.strip().startswith("bad")


def _card(name: str) -> Json:
    return {"id": name, "object": "model", "domain": "ImageGeneration", "status": MODELS[name].status}
