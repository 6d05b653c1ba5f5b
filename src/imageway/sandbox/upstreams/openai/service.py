"""The provider's own door: routes, its key, its list of models."""

from __future__ import annotations

from collections.abc import Mapping

from imageway.sandbox.answers import Json
from imageway.sandbox.orders import Incoming, Order, Refusal
from imageway.sandbox.studio import Studio
from imageway.sandbox.upstreams.openai.checks import OPERATIONS
from imageway.sandbox.upstreams.openai.desk import Desk
from imageway.sandbox.upstreams.openai.limits import DEFAULT_MODEL, MODELS, Model
from imageway.sandbox.upstreams.openai.words import Complaint, Speaker
from imageway.sandbox.wire import SandboxAnswer

VARIATIONS = "/images/variations"


class OpenaiUpstream:
    prefix = "/openai/v1"

    def __init__(self, studio: Studio) -> None:
        self._speaker = Speaker(studio.chance)
        self._complaint = Complaint(self._speaker)
        self._desk = Desk(studio, self._speaker)

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        return self._speaker.rate_limited(hint=hint)

    def broken(self) -> SandboxAnswer:
        return self._speaker.broken()

    async def read(self, incoming: Incoming) -> SandboxAnswer | Order:
        operation = OPERATIONS.get(incoming.path)
        if operation and incoming.method == "POST":
            return await self._desk.submit(incoming, operation, self)
        try:
            self.admit(incoming)
        except Refusal as refusal:
            return refusal.answer
        return self._lookup(incoming)

    def admit(self, incoming: Incoming) -> None:
        key = bearer_of(incoming)
        if not key or key.startswith("bad"):
            raise Refusal(self._speaker.unauthorized(key))

    def find_model(self, incoming: Incoming, body: Mapping[str, object]) -> Model:
        name = body.get("model")
        if name is not None and not isinstance(name, str):
            raise self._complaint.wrong_type("model", wanted="a string", got="something else")
        if (name or DEFAULT_MODEL) not in MODELS:
            raise self._no_such_model(str(name))
        return MODELS[name or DEFAULT_MODEL]

    def _no_such_model(self, name: str) -> Refusal:
        message = f"The model `{name}` does not exist or you do not have access to it."
        return Refusal(self._speaker.error(404, message, code="model_not_found"))

    def _lookup(self, incoming: Incoming) -> SandboxAnswer:
        where = f"{incoming.method} /v1{incoming.path}"
        if incoming.path in OPERATIONS:
            return self._speaker.error(
                405, f"Not allowed to {where.replace(' ', ' on ')}.", code="method_not_supported"
            )
        if incoming.path == VARIATIONS:
            return self._speaker.error(404, "The image variations endpoint no longer accepts requests.")
        if incoming.method != "GET" or incoming.path.split("/")[1] != "models":
            return self._speaker.error(404, f"Invalid URL ({where})")
        if incoming.path == "/models":
            return self._speaker.success({"object": "list", "data": [_card(model) for model in MODELS.values()]}, 5)
        model = MODELS.get(incoming.path.removeprefix("/models/"))
        if model is None:
            return self._no_such_model(incoming.path.removeprefix("/models/")).answer
        return self._speaker.success(_card(model), 5)


def bearer_of(incoming: Incoming) -> str:
    """The token; empty without one."""
    scheme, _, key = incoming.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _card(model: Model) -> Json:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created_s,
        "owned_by": "system",
        "shutdown_date": model.shutdown,
    }
