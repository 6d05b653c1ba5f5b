"""Routes, authentication and answers: one picture or a group, by URL or base64, with moderation per item."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from imageway.sandbox.answers import Json
from imageway.sandbox.drawing import Reference, Sketch
from imageway.sandbox.orders import Incoming, Order, Refusal, Twist, refused
from imageway.sandbox.studio import Studio, forbidden_items, is_forbidden, is_forbidden_output
from imageway.sandbox.upstreams.ark.checks import Checker, Draft
from imageway.sandbox.upstreams.ark.limits import LIMITS, MODELS, Pixels
from imageway.sandbox.upstreams.ark.pictures import InputReader
from imageway.sandbox.upstreams.ark.words import ITEM_BLOCKED, Speaker
from imageway.sandbox.wire import SandboxAnswer

WATERMARK = "AI generated"
JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Ticket:
    """An accepted request: what to draw from what, and where answers by URL point."""

    draft: Draft
    references: tuple[Reference, ...]
    origin: str


class ArkUpstream:
    prefix = "/ark/api/v3"

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._speaker = Speaker(studio.chance)
        self._inputs = InputReader(studio, self._speaker)

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

        async def produce(twist: Twist) -> SandboxAnswer:
            return await self._produce(ticket, twist)

        return Order(model=draft.model.id, prompt=draft.prompt, produce=produce)

    def _parse(self, content: bytes) -> Mapping[str, object]:
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            message = "The request failed because the body is not a valid JSON object."
            raise self._speaker.refusal("InvalidParameter", message)
        return body

    def _check_group(self, draft: Draft, references: tuple[Reference, ...]) -> None:
        total = int(LIMITS["group_total"])
        if draft.group is not None and draft.group + len(references) > total:
            why = f"the sum of reference images and max_images cannot exceed {total}"
            raise self._speaker.invalid("sequential_image_generation_options.max_images", why)

    async def _produce(self, ticket: Ticket, twist: Twist) -> SandboxAnswer:
        draft = ticket.draft
        size = draft.pixels(ticket.references[0] if ticket.references else None)
        count = 0 if twist.empty else draft.count(len(ticket.references))
        blocked = forbidden_items(draft.prompt, count)
        if count and len(blocked) == count:
            return self._speaker.output_blocked()
        data = await asyncio.gather(*(self._item(ticket, size, i in blocked) for i in range(count)))
        made = count - len(blocked)
        answer: dict[str, Json] = {"model": draft.model.id, "created": int(time.time()), "data": data}
        if draft.web_search:
            answer["tools"] = [{"type": "web_search"}]
        answer["usage"] = _usage(ticket, size, made)
        return self._speaker.success(answer)

    async def _item(self, ticket: Ticket, size: Pixels, blocked: bool) -> Json:
        if blocked:
            return {"error": ITEM_BLOCKED}
        draft = ticket.draft
        content = await self._studio.draw(self._sketch(ticket, size))
        item: dict[str, Json] = {}
        if draft.by_url:
            path = await self._studio.shelf.put(content, draft.format)
            item["url"] = f"{ticket.origin}{path}?{self._signature()}"
        else:
            item["b64_json"] = base64.b64encode(content)
        item["size"] = f"{size[0]}x{size[1]}"
        if draft.model.family.named_format:
            item["output_format"] = draft.format
        return item

    def _sketch(self, ticket: Ticket, size: Pixels) -> Sketch:
        draft = ticket.draft
        return Sketch(
            prompt=draft.prompt,
            width=size[0],
            height=size[1],
            seed=self._studio.pick_seed() if draft.seed is None else draft.seed,
            format=draft.format,
            quality=JPEG_QUALITY,
            references=ticket.references,
            watermark=WATERMARK if draft.watermark else None,
            transparent=draft.transparent,
        )

    def _signature(self) -> str:
        """The query of a presigned object URL, in form; nothing checks it."""
        return urlencode(
            {
                "X-Tos-Algorithm": "TOS4-HMAC-SHA256",
                "X-Tos-Credential": f"sandbox/{time.strftime('%Y%m%d', time.gmtime())}/cn-beijing/tos/request",
                "X-Tos-Date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
                "X-Tos-Expires": "86400",
                "X-Tos-Signature": self._studio.token(64),
                "X-Tos-SignedHeaders": "host",
            }
        )


def _is_authenticated(incoming: Incoming) -> bool:
    scheme, _, key = incoming.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and bool(key.strip()) and not key.strip().startswith("bad")


def _usage(ticket: Ticket, size: Pixels, made: int) -> Json:
    tokens = round(made * size[0] * size[1] / LIMITS["tokens_per_pixel"])
    usage: dict[str, Json] = {"generated_images": made, "output_tokens": tokens, "total_tokens": tokens}
    if ticket.draft.model.family.named_format:
        usage["input_images"] = len(ticket.references)
    if ticket.draft.web_search:
        usage["tool_usage"] = {"web_search": 1}
    return usage


def _card(name: str) -> Json:
    return {"id": name, "object": "model", "domain": "ImageGeneration", "status": MODELS[name].status}
