"""From a body that holds to pictures: one or a group, by URL or base64, whole or event by event, with moderation per
item."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from urllib.parse import urlencode

from imageway.sandbox.answers import Json
from imageway.sandbox.drawing import Reference, Sketch
from imageway.sandbox.orders import Twist
from imageway.sandbox.streams import Frame, Stream, begun, sse_frame
from imageway.sandbox.studio import Studio, forbidden_items
from imageway.sandbox.upstreams.ark.checks import Draft
from imageway.sandbox.upstreams.ark.limits import LIMITS, Pixels
from imageway.sandbox.upstreams.ark.words import ITEM_BLOCKED, ITEM_BROKEN, Speaker
from imageway.sandbox.wire import SandboxAnswer

WATERMARK = "AI generated"
JPEG_QUALITY = 90
DONE: Frame = [b"data: [DONE]\n\n"]


@dataclass(frozen=True, slots=True)
class Ticket:
    """An accepted request: what to draw from what, and where answers by URL point."""

    draft: Draft
    references: tuple[Reference, ...]
    origin: str

    @property
    def pixels(self) -> Pixels:
        return self.draft.pixels(self.references[0] if self.references else None)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pictures there are to be, and what is the matter with those that fail."""

    count: int
    errors: dict[int, Json]

    @property
    def made(self) -> int:
        return self.count - len(self.errors)


class Painter:
    def __init__(self, studio: Studio, speaker: Speaker) -> None:
        self._studio = studio
        self._speaker = speaker

    async def answer(self, ticket: Ticket, twist: Twist) -> SandboxAnswer:
        """All pictures at once. Without a single one it is an error of the whole request."""
        draft, plan = ticket.draft, _plan(ticket, twist)
        if plan.count and not plan.made:
            return self._speaker.broken() if twist.item_failed else self._speaker.output_blocked()
        data = await asyncio.gather(*(self._item(ticket, plan, number) for number in range(plan.count)))
        answer: dict[str, Json] = {"model": draft.model.id, "created": int(time.time()), "data": data}
        if draft.web_search:
            answer["tools"] = [{"type": "web_search"}]
        answer["usage"] = _usage(ticket, plan.made)
        return self._speaker.success(answer)

    async def stream(self, ticket: Ticket, twist: Twist) -> Stream:
        """Measured: the head comes when the first picture is there."""
        frames = await begun(self._frames(ticket, twist))
        return Stream(self._speaker.stream_headers(), frames, sse_frame({"error": self._speaker.breakdown()}))

    async def _frames(self, ticket: Ticket, twist: Twist) -> AsyncGenerator[Frame, None]:
        plan = _plan(ticket, twist)
        for number in range(plan.count):
            await asyncio.sleep(twist.pause_s)
            item = await self._item(ticket, plan, number)
            kind = "partial_failed" if number in plan.errors else "partial_succeeded"
            yield _frame(kind, ticket, {"image_index": number, **item})
        last: dict[str, Json] = {"tools": [{"type": "web_search"}]} if ticket.draft.web_search else {}
        yield _frame("completed", ticket, {**last, "usage": _usage(ticket, plan.made)})
        yield DONE

    async def _item(self, ticket: Ticket, plan: Plan, number: int) -> dict[str, Json]:
        if number in plan.errors:
            return {"error": plan.errors[number]}
        draft = ticket.draft
        content = await self._studio.draw(self._sketch(ticket))
        item: dict[str, Json] = {}
        if draft.by_url:
            path = await self._studio.shelf.put(content, draft.format)
            item["url"] = f"{ticket.origin}{path}?{self._signature()}"
        else:
            item["b64_json"] = base64.b64encode(content)
        item["size"] = "x".join(map(str, ticket.pixels))
        if draft.model.family.named_format:
            item["output_format"] = draft.format
        return item

    def _sketch(self, ticket: Ticket) -> Sketch:
        draft = ticket.draft
        width, height = ticket.pixels
        return Sketch(
            prompt=draft.prompt,
            width=width,
            height=height,
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


def _plan(ticket: Ticket, twist: Twist) -> Plan:
    """A picture that moderation takes out does not stop the others; one that breaks down is the last."""
    count = 0 if twist.empty else ticket.draft.count(len(ticket.references))
    errors: dict[int, Json] = dict.fromkeys(forbidden_items(ticket.draft.prompt, count), ITEM_BLOCKED)
    if twist.item_failed and count:
        errors[count - 1] = ITEM_BROKEN
    return Plan(count, errors)


def _frame(kind: str, ticket: Ticket, more: dict[str, Json]) -> Frame:
    name = f"image_generation.{kind}"
    return sse_frame({"type": name, "model": ticket.draft.model.id, "created": int(time.time()), **more}, name)


def _usage(ticket: Ticket, made: int) -> Json:
    width, height = ticket.pixels
    tokens = round(made * width * height / LIMITS["tokens_per_pixel"])
    usage: dict[str, Json] = {"generated_images": made, "output_tokens": tokens, "total_tokens": tokens}
    if ticket.draft.model.family.named_format:
        usage["input_images"] = len(ticket.references)
    if ticket.draft.web_search:
        usage["tool_usage"] = {"web_search": 1}
    return usage
