"""Takes a generations or edits request in: body, model, parameters, files, moderation, in this order; whose door it
came through is told by a House."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from imageway.sandbox.multipart import MalformedForm, Part, boundary_of, read_form
from imageway.sandbox.orders import Incoming, Order, Refusal, Twist, refused
from imageway.sandbox.reading import read_object
from imageway.sandbox.streams import Stream
from imageway.sandbox.studio import Studio, is_forbidden, is_forbidden_output
from imageway.sandbox.upstreams.openai.checks import Draft, Fields, Operation, check_body
from imageway.sandbox.upstreams.openai.limits import Model
from imageway.sandbox.upstreams.openai.painting import Painter, Ticket
from imageway.sandbox.upstreams.openai.pictures import InputReader, Inputs
from imageway.sandbox.upstreams.openai.words import Complaint, Speaker
from imageway.sandbox.wire import SandboxAnswer

BORDERLINE = "borderline"
"""A word that moderation "auto" refuses and "low" lets pass."""


class House(Protocol):
    """Who asks for the key and knows the models. Both raise Refusal."""

    def admit(self, incoming: Incoming) -> None: ...

    def find_model(self, incoming: Incoming, body: Mapping[str, object]) -> Model: ...


class Desk:
    def __init__(self, studio: Studio, speaker: Speaker) -> None:
        self._speaker = speaker
        self._complaint = Complaint(speaker)
        self._inputs = InputReader(studio, self._complaint)
        self._painter = Painter(studio, speaker)

    async def submit(self, incoming: Incoming, operation: Operation, house: House) -> Order:
        body: Mapping[str, object] = {}
        try:
            house.admit(incoming)
            body, parts = self._open(incoming, operation)
            model = house.find_model(incoming, body)
            fields = Fields(body, self._complaint, form=parts is not None)
            draft = check_body(fields, body, operation, model)
            inputs = await self._read_inputs(operation, body, parts)
            self._moderate(draft)
        except Refusal as refusal:
            return refused(refusal, model=body.get("model"), prompt=body.get("prompt"))
        ticket = Ticket(operation, draft, inputs)

        async def produce(twist: Twist) -> SandboxAnswer | Stream:
            return self._painter.stream(ticket, twist) if draft.streams else await self._painter.answer(ticket, twist)

        return Order(model=model.id, prompt=draft.prompt, produce=produce, streams=draft.streams)

    def _open(self, incoming: Incoming, operation: Operation) -> tuple[Mapping[str, object], list[Part] | None]:
        """The body as fields; with its parts when it came as a form."""
        content_type = incoming.headers.get("content-type", "")
        boundary = boundary_of(content_type)
        if boundary and operation == "edit":
            try:
                parts = read_form(incoming.body, boundary)
            except MalformedForm as error:
                raise self._complaint.of(f"Could not parse multipart form: {error}", param=None, code=None) from error
            return {part.name: part.text for part in parts if part.filename is None}, parts
        if content_type.partition(";")[0].strip().lower() != "application/json":
            message = f"Unsupported content type: '{content_type}'. This API method only accepts 'application/json'."
            raise self._complaint.of(message, param=None, code="unsupported_content_type")
        body = read_object(incoming.body)
        if body is None:
            message = (
                "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
                "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
            )
            raise self._complaint.of(message, param=None, code=None)
        return body, None

    async def _read_inputs(self, operation: Operation, body: Mapping[str, object], parts: list[Part] | None) -> Inputs:
        if operation == "generate":
            return Inputs(())
        return await (self._inputs.from_json(body) if parts is None else self._inputs.from_form(parts))

    def _moderate(self, draft: Draft) -> None:
        """A stream's output is refused within the stream."""
        strict = draft.moderation == "auto" and BORDERLINE in draft.prompt.lower()
        if strict or (is_forbidden(draft.prompt) and not is_forbidden_output(draft.prompt)):
            raise Refusal(self._speaker.moderated("input"))
        if is_forbidden_output(draft.prompt) and not draft.streams:
            raise Refusal(self._speaker.moderated("output"))
