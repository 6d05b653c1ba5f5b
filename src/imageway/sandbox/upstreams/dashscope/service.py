"""Routes, authentication and answers of the synchronous way and of the three ways of submitting a task."""

from __future__ import annotations

import time
from collections.abc import Mapping

from imageway.sandbox.drawing import Reference
from imageway.sandbox.orders import Incoming, Order, Refusal, Twist, refused
from imageway.sandbox.reading import read_object
from imageway.sandbox.studio import Studio, is_forbidden, is_forbidden_output
from imageway.sandbox.upstreams.dashscope.checks import Checker, Draft
from imageway.sandbox.upstreams.dashscope.desk import TaskDesk
from imageway.sandbox.upstreams.dashscope.limits import LIMITS
from imageway.sandbox.upstreams.dashscope.painting import Painter, Ticket
from imageway.sandbox.upstreams.dashscope.records import Record, owner_of
from imageway.sandbox.upstreams.dashscope.results import sync_body
from imageway.sandbox.upstreams.dashscope.tasks import KEPT_BYTES
from imageway.sandbox.upstreams.dashscope.uploads import KEPT_BYTES as UPLOADED_BYTES
from imageway.sandbox.upstreams.dashscope.uploads import PATH as UPLOADS_PATH
from imageway.sandbox.upstreams.dashscope.uploads import STORE_PATH, UploadDesk
from imageway.sandbox.upstreams.dashscope.words import OUTPUT_BLOCKED, Speaker
from imageway.sandbox.wire import SandboxAnswer

WAYS = {
    "/services/aigc/multimodal-generation/generation": "sync",
    "/services/aigc/text2image/image-synthesis": "legacy",
    "/services/aigc/image-generation/generation": "task",
    "/services/aigc/image2image/image-synthesis": "edit",
}


class DashscopeUpstream:
    prefix = "/dashscope/api/v1"

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._speaker = Speaker(studio.chance)
        self._uploads = UploadDesk(self._speaker, studio.cabinet("uploads", limit_bytes=UPLOADED_BYTES))
        self._painter = Painter(studio, self._speaker, self._uploads)
        self._desk = TaskDesk(self._speaker, self._painter, studio.cabinet("tasks", limit_bytes=KEPT_BYTES))

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        return self._speaker.rate_limited(hint=hint)

    def broken(self) -> SandboxAnswer:
        return self._speaker.broken()

    async def read(self, incoming: Incoming) -> SandboxAnswer | Order:
        way = WAYS.get(incoming.path)
        if way and incoming.method == "POST":
            return await self._submit(incoming, way)
        if incoming.path == STORE_PATH and incoming.method == "POST":
            return await self._uploads.take(incoming)
        try:
            owner = owner_of(self._authenticate(incoming))
            if incoming.path == UPLOADS_PATH and incoming.method == "GET":
                return self._uploads.grant(incoming, owner)
            return await self._desk.answer(incoming, owner)
        except Refusal as refusal:
            return refusal.answer

    def _authenticate(self, incoming: Incoming) -> str:
        scheme, _, key = incoming.headers.get("authorization", "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else ""
        if not key or key.startswith("bad"):
            raise self._speaker.unauthorized(has_key=bool(key))
        return key

    async def _submit(self, incoming: Incoming, way: str) -> Order:
        body: Mapping[str, object] = {}
        try:
            key = self._authenticate(incoming)
            self._check_mode(incoming, way)
            body = self._parse(incoming.body)
            draft = Checker(body, self._speaker, way).check()
            resolves = incoming.headers.get("x-dashscope-ossresourceresolve", "").lower() == "enable"
            references = await self._painter.read(draft.image_urls, owner_of(key) if resolves else "")
            self._check_pixels(draft, references)
            if is_forbidden(draft.prompt) and not is_forbidden_output(draft.prompt):
                raise self._speaker.blocked()
        except Refusal as refusal:
            return refused(refusal, model=body.get("model"), prompt=_prompt_of(body))

        async def produce(twist: Twist) -> SandboxAnswer:
            if way == "sync":
                return await self._produce(Ticket(draft, references, incoming.origin), twist)
            record = Record(
                owner=owner_of(key),
                way=way,
                origin=incoming.origin,
                body=body,
                submitted_s=time.time(),
                twist=twist,
                seed=self._studio.pick_seed() if draft.seed is None else draft.seed,
            )
            return await self._desk.take(record, draft)

        return Order(model=draft.model.id, prompt=draft.prompt, produce=produce, is_task=way != "sync")

    def _check_pixels(self, draft: Draft, references: tuple[Reference, ...]) -> None:
        width, height = draft.pixels(references)
        if width * height > LIMITS["output_pixels"]:
            raise self._speaker.invalid(f"The output image of {width}*{height} pixels is too large.")

    def _check_mode(self, incoming: Incoming, way: str) -> None:
        wants_task = incoming.headers.get("x-dashscope-async", "").lower() == "enable"
        if wants_task == (way == "sync"):
            mode = "asynchronous" if wants_task else "synchronous"
            raise self._speaker.refusal(403, "AccessDenied", f"current user api does not support {mode} calls.")
        if incoming.headers.get("x-dashscope-sse", "").lower() == "enable":
            raise self._speaker.invalid("X-DashScope-SSE: this sandbox does not stream")

    def _parse(self, content: bytes) -> Mapping[str, object]:
        body = read_object(content)
        if body is None:
            raise self._speaker.invalid("Required body invalid, please check the request body format.")
        return body

    async def _produce(self, ticket: Ticket, twist: Twist) -> SandboxAnswer:
        if is_forbidden_output(ticket.draft.prompt):
            return self._speaker.blocked(OUTPUT_BLOCKED).answer
        if twist.item_failed and ticket.draft.count == 1:
            return self._speaker.broken()
        lost = int(twist.item_failed)
        urls = [] if twist.empty else await self._painter.draw(ticket, lost)
        return self._speaker.success(sync_body(ticket, urls, lost))


def _prompt_of(body: Mapping[str, object]) -> str:
    """The prompt of a body that may be anything, for the log."""
    match body:
        case {"input": {"prompt": str(prompt)}}:
            return prompt
        case {"input": {"messages": [{"content": [*_, {"text": str(text)}]}]}}:
            return text
    return ""
