"""Routes, authentication and answers: from a request to an order, and from an order to the finished JSON."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping

from imageway.sandbox.answers import Json
from imageway.sandbox.drawing import Sketch
from imageway.sandbox.multipart import MalformedForm, Part, boundary_of, read_form
from imageway.sandbox.orders import Incoming, Order, Refusal, Twist, refused
from imageway.sandbox.studio import Studio, is_forbidden, is_forbidden_output
from imageway.sandbox.upstreams.openai.checks import Draft, Fields, check_body
from imageway.sandbox.upstreams.openai.limits import (
    DEFAULT_MODEL,
    MODELS,
    Model,
    input_image_tokens,
    output_image_tokens,
    text_tokens,
)
from imageway.sandbox.upstreams.openai.pictures import InputReader, Inputs
from imageway.sandbox.upstreams.openai.words import Complaint, Speaker
from imageway.sandbox.wire import SandboxAnswer

GENERATIONS, EDITS, VARIATIONS = "/images/generations", "/images/edits", "/images/variations"
PREVIEW_QUALITY = 92  # of the lossy formats at compression 100


class OpenaiUpstream:
    prefix = "/openai/v1"

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._speaker = Speaker(studio.chance)
        self._complaint = Complaint(self._speaker)
        self._inputs = InputReader(studio, self._complaint)

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        return self._speaker.rate_limited(hint=hint)

    def broken(self) -> SandboxAnswer:
        return self._speaker.broken()

    async def read(self, incoming: Incoming) -> SandboxAnswer | Order:
        if incoming.path in (GENERATIONS, EDITS) and incoming.method == "POST":
            return await self._submit(incoming)
        try:
            self._authenticate(incoming)
        except Refusal as refusal:
            return refusal.answer
        return self._lookup(incoming)

    def _lookup(self, incoming: Incoming) -> SandboxAnswer:
        where = f"{incoming.method} /v1{incoming.path}"
        if incoming.path in (GENERATIONS, EDITS):
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

    def _authenticate(self, incoming: Incoming) -> None:
        scheme, _, key = incoming.headers.get("authorization", "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else ""
        if not key or key.startswith("bad"):
            raise Refusal(self._speaker.unauthorized(key))

    async def _submit(self, incoming: Incoming) -> Order:
        """Validation order: key, body, model, parameters, files, moderation."""
        body: Mapping[str, object] = {}
        try:
            self._authenticate(incoming)
            body, parts = self._open(incoming)
            self._find_model(body)
            fields = Fields(body, self._complaint, form=parts is not None)
            draft = check_body(fields, body, "edit" if incoming.path == EDITS else "generate")
            inputs = await self._read_inputs(incoming, body, parts)
            if is_forbidden(draft.prompt):
                stage = "output" if is_forbidden_output(draft.prompt) else "input"
                raise Refusal(self._speaker.moderated(stage))
        except Refusal as refusal:
            return refused(refusal, model=body.get("model"), prompt=body.get("prompt"))

        async def produce(twist: Twist) -> SandboxAnswer:
            return await self._produce(draft, inputs, twist)

        return Order(model=draft.model.id, prompt=draft.prompt, produce=produce)

    def _open(self, incoming: Incoming) -> tuple[Mapping[str, object], list[Part] | None]:
        """The body as fields; with its parts when it came as a form."""
        content_type = incoming.headers.get("content-type", "")
        boundary = boundary_of(content_type)
        if boundary and incoming.path == EDITS:
            try:
                parts = read_form(incoming.body, boundary)
            except MalformedForm as error:
                raise self._complaint.of(f"Could not parse multipart form: {error}", param=None, code=None) from error
            return {part.name: part.text for part in parts if part.filename is None}, parts
        if content_type.partition(";")[0].strip().lower() != "application/json":
            message = f"Unsupported content type: '{content_type}'. This API method only accepts 'application/json'."
            raise self._complaint.of(message, param=None, code="unsupported_content_type")
        try:
            body = json.loads(incoming.body)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            message = (
                "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
                "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
            )
            raise self._complaint.of(message, param=None, code=None)
        return body, None

    def _find_model(self, body: Mapping[str, object]) -> None:
        name = body.get("model")
        if name is not None and not isinstance(name, str):
            raise self._complaint.wrong_type("model", wanted="a string", got="something else")
        if (name or DEFAULT_MODEL) not in MODELS:
            raise self._no_such_model(str(name))

    def _no_such_model(self, name: str) -> Refusal:
        message = f"The model `{name}` does not exist or you do not have access to it."
        return Refusal(self._speaker.error(404, message, code="model_not_found"))

    async def _read_inputs(self, incoming: Incoming, body: Mapping[str, object], parts: list[Part] | None) -> Inputs:
        if incoming.path == GENERATIONS:
            return Inputs(())
        return await (self._inputs.from_json(body) if parts is None else self._inputs.from_form(parts))

    async def _produce(self, draft: Draft, inputs: Inputs, twist: Twist) -> SandboxAnswer:
        started_s = time.monotonic()
        size = draft.resolved_size(inputs.images[0] if inputs.images else None)
        sketches = [self._sketch(draft, inputs, size) for _ in range(0 if twist.empty else draft.count)]
        pictures = await asyncio.gather(*(self._studio.draw_base64(sketch) for sketch in sketches))
        answer: dict[str, Json] = {
            "created": int(time.time()),
            "background": draft.background,
            "data": [{"b64_json": picture} for picture in pictures],
            "output_format": draft.format,
            "quality": draft.quality,
        }
        if draft.safety_identifier:
            answer["safety_identifier"] = draft.safety_identifier
        answer["size"] = f"{size[0]}x{size[1]}"
        answer["usage"] = self._usage(draft, inputs, size)
        return self._speaker.success(answer, round((time.monotonic() - started_s) * 1000))

    def _sketch(self, draft: Draft, inputs: Inputs, size: tuple[int, int]) -> Sketch:
        return Sketch(
            prompt=draft.prompt,
            width=size[0],
            height=size[1],
            seed=self._studio.pick_seed(),
            format=draft.format,
            quality=draft.compression * PREVIEW_QUALITY // 100,
            references=inputs.images,
            mask=inputs.mask,
            transparent=draft.background == "transparent",
            provenance=True,
        )

    def _usage(self, draft: Draft, inputs: Inputs, size: tuple[int, int]) -> Json:
        """One total for all pictures of the answer. Recorded: the prompt is counted once per picture."""
        generation = draft.model.generation
        text = (text_tokens(draft.prompt) + generation.edit_text_tokens * len(inputs.images)) * draft.count
        seen = sum(input_image_tokens(draft.model, image, draft.fidelity) for image in inputs.images) * draft.count
        painted = output_image_tokens(draft.model, draft.quality, size) * draft.count
        hidden = sum(self._studio.chance.randint(143, 335) for _ in range(draft.count)) if generation.text_output else 0
        return {
            "input_tokens": text + seen,
            "input_tokens_details": {"image_tokens": seen, "text_tokens": text},
            "output_tokens": painted + hidden,
            "output_tokens_details": {"image_tokens": painted, "text_tokens": hidden},
            "total_tokens": text + seen + painted + hidden,
        }


def _card(model: Model) -> Json:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created_s,
        "owned_by": "system",
        "shutdown_date": model.shutdown,
    }
