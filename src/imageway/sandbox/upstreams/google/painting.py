"""From an accepted request to an answer: thoughts, words and the picture as parts, all at once or chunk by chunk."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Final

from imageway.sandbox.answers import Json, spell
from imageway.sandbox.drawing import Sketch
from imageway.sandbox.orders import Twist
from imageway.sandbox.streams import Frame, Stream, sse_frame
from imageway.sandbox.studio import Studio, is_forbidden, is_forbidden_output
from imageway.sandbox.upstreams.google.limits import DEFAULT_SIZE
from imageway.sandbox.upstreams.google.shapes import INTRODUCTION, candidate, response, usage_of
from imageway.sandbox.upstreams.google.signatures import sign
from imageway.sandbox.upstreams.google.tickets import Ticket
from imageway.sandbox.upstreams.google.words import BLOCKED_OUTPUT, BROKEN, LOST_OUTPUT, Speaker, error_of
from imageway.sandbox.wire import SandboxAnswer

FIRST_WORDS: Final = 8  # characters of the introduction that a stream sends ahead


class Painter:
    def __init__(self, studio: Studio, speaker: Speaker) -> None:
        self._studio = studio
        self._speaker = speaker

    async def answer(self, ticket: Ticket, twist: Twist) -> SandboxAnswer:
        """Refusals of the moderation are a 200 here, without a picture."""
        started_s = time.monotonic()
        outcome = _without_picture(ticket, twist)
        if outcome is None:
            parts = [part async for part in self._parts(ticket)]
            outcome = {"candidates": [candidate(ticket, parts, "STOP")]}
            usage = usage_of(ticket, painted=True, answered=True)
        else:
            usage = usage_of(ticket, painted=False, answered="candidates" in outcome)
        took_ms = round((time.monotonic() - started_s) * 1000)
        tree = response(ticket, outcome, usage, self._speaker.response_id())
        return self._speaker.success(tree, took_ms, tier=True)

    def stream(self, ticket: Ticket, twist: Twist, *, sse: bool) -> Stream:
        """As server-sent events, or as one JSON array."""
        chunks = self._chunks(ticket, twist)
        error: Json = {"error": error_of("INTERNAL", BROKEN)}
        if sse:
            headers = self._speaker.stream_headers("text/event-stream")
            return Stream(headers, _events(chunks), sse_frame(error, newline="\r\n"))
        headers = self._speaker.stream_headers("application/json; charset=UTF-8")
        return Stream(headers, _array(chunks), [b",\r\n", *spell(error, indent=2), b"\n]\n"])

    async def _chunks(self, ticket: Ticket, twist: Twist) -> AsyncGenerator[Json, None]:
        """One part a chunk, words in two; the picture whole in one; the last chunk says how it ended and what it
        counts."""
        response_id = self._speaker.response_id()
        running = usage_of(ticket, painted=False, answered=False)
        outcome = _without_picture(ticket, twist)
        if outcome is None:
            async for part in self._parts(ticket):
                if isinstance(part, dict) and "inlineData" in part:
                    await asyncio.sleep(twist.pause_s)
                for piece in _pieces(part):
                    yield response(ticket, {"candidates": [candidate(ticket, [piece])]}, running, response_id)
            outcome = {"candidates": [candidate(ticket, [{"text": ""}], "STOP")]}
            usage = usage_of(ticket, painted=True, answered=True)
        else:
            usage = usage_of(ticket, painted=False, answered="candidates" in outcome)
        yield response(ticket, outcome, usage, response_id)

    async def _parts(self, ticket: Ticket) -> AsyncGenerator[Json, None]:
        """Thoughts first, then text, the finished picture last."""
        draft = ticket.draft
        if draft.show_thoughts:
            yield {"text": f"**Composing**\n\nArranging {draft.prompt[:60]!r}.", "thought": True}
            yield {"inlineData": await self._picture(ticket, DEFAULT_SIZE), "thought": True}
        if draft.says_something:
            yield self._signed({"text": INTRODUCTION}, ticket)
        yield self._signed({"inlineData": await self._picture(ticket, draft.size)}, ticket)

    async def _picture(self, ticket: Ticket, size: str) -> Json:
        draft = ticket.draft
        width, height = ticket.pixels(size)
        sketch = Sketch(
            prompt=draft.prompt,
            width=width,
            height=height,
            seed=self._studio.pick_seed() if draft.seed is None else draft.seed,
            format=draft.format,
            quality=draft.quality,
            references=ticket.references,
        )
        return {"mimeType": f"image/{draft.format}", "data": await self._studio.draw_base64(sketch)}

    def _signed(self, part: dict[str, Json], ticket: Ticket) -> Json:
        if not ticket.draft.model.signs:
            return part
        return {**part, "thoughtSignature": base64.b64encode(sign(self._studio.chance, ticket.signature_bytes))}


def _without_picture(ticket: Ticket, twist: Twist) -> Mapping[str, Json] | None:
    """What comes instead of one; None: there will be a picture."""
    prompt = ticket.draft.prompt
    if is_forbidden_output(prompt):
        return {"candidates": [candidate(ticket, [], "IMAGE_SAFETY", message=BLOCKED_OUTPUT)]}
    if is_forbidden(ticket.draft.all_text):
        return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    if twist.item_failed:
        return {"candidates": [candidate(ticket, [], "IMAGE_OTHER", message=LOST_OUTPUT)]}
    return {"candidates": [candidate(ticket, None, "NO_IMAGE")]} if twist.empty else None


def _pieces(part: Json) -> list[Json]:
    """Words come in two; the signature with the first of them."""
    if not isinstance(part, dict) or part.get("text") != INTRODUCTION:
        return [part]
    return [{**part, "text": INTRODUCTION[:FIRST_WORDS]}, {"text": INTRODUCTION[FIRST_WORDS:]}]


async def _events(chunks: AsyncGenerator[Json, None]) -> AsyncGenerator[Frame, None]:
    async for chunk in chunks:
        yield sse_frame(chunk, newline="\r\n")


async def _array(chunks: AsyncGenerator[Json, None]) -> AsyncGenerator[Frame, None]:
    start = b"["
    async for chunk in chunks:
        yield [start, *spell(chunk, indent=2)]
        start = b",\r\n"
    yield [b"\n]\n"]
