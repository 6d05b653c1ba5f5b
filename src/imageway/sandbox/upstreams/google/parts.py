"""The parts of a successful answer (text, thoughts, the picture, signatures) and what they count."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from imageway.sandbox.answers import Json
from imageway.sandbox.drawing import Reference, Sketch
from imageway.sandbox.studio import Studio
from imageway.sandbox.upstreams.google.checks import Draft
from imageway.sandbox.upstreams.google.limits import DEFAULT_SIZE, Pixels, text_tokens

JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Ticket:
    """An accepted request with its pictures read."""

    draft: Draft
    references: tuple[Reference, ...]
    signature_bytes: int

    def pixels(self, size: str) -> Pixels:
        """An edit follows its first input unless told otherwise; everything else is square."""
        ratio = self.draft.ratio
        if ratio is None and self.references:
            ratio = self.draft.model.nearest_ratio(self.references[0].width, self.references[0].height)
        return self.draft.model.pixels_of(ratio or "1:1", size)


async def paint_parts(studio: Studio, ticket: Ticket) -> list[Json]:
    """Thoughts first, then text, the finished picture last."""
    draft = ticket.draft
    parts: list[Json] = []
    if draft.show_thoughts:
        parts.append({"text": f"**Composing**\n\nArranging {draft.prompt[:60]!r}.", "thought": True})
        parts.append({"inlineData": await _picture(studio, ticket, DEFAULT_SIZE), "thought": True})
    if draft.with_text and draft.model.text:
        parts.append(_signed({"text": "Here is your image:"}, studio, ticket))
    parts.append(_signed({"inlineData": await _picture(studio, ticket, draft.size)}, studio, ticket))
    return parts


async def _picture(studio: Studio, ticket: Ticket, size: str) -> Json:
    draft = ticket.draft
    width, height = ticket.pixels(size)
    sketch = Sketch(
        prompt=draft.prompt,
        width=width,
        height=height,
        seed=studio.pick_seed() if draft.seed is None else draft.seed,
        format=draft.model.format,
        quality=JPEG_QUALITY,
        references=ticket.references,
    )
    return {"mimeType": f"image/{draft.model.format}", "data": await studio.draw_base64(sketch)}


def _signed(part: dict[str, Json], studio: Studio, ticket: Ticket) -> Json:
    if not ticket.draft.model.signs:
        return part
    return {**part, "thoughtSignature": base64.b64encode(studio.chance.randbytes(ticket.signature_bytes))}


def usage_of(ticket: Ticket, *, painted: bool, answered: bool) -> Json:
    """total = prompt + candidates + thoughts. Details list the picture's tokens alone; the sum is larger, as recorded.
    A blocked answer counts its thoughts and nothing else."""
    draft = ticket.draft
    model = draft.model
    text, seen = text_tokens(draft.all_text), model.image_in * len(ticket.references)
    details: list[Json] = [{"modality": "TEXT", "tokenCount": text}]
    if seen:
        details.insert(0, {"modality": "IMAGE", "tokenCount": seen})
    usage: dict[str, Json] = {"promptTokenCount": text + seen}
    candidates, thoughts = 0, draft.thoughts if answered else 0
    if painted:
        image = model.tokens[draft.size]
        candidates = image + model.gap
        usage["candidatesTokenCount"] = candidates
        usage["candidatesTokensDetails"] = [{"modality": "IMAGE", "tokenCount": image}]
    usage["totalTokenCount"] = text + seen + candidates + thoughts
    usage["promptTokensDetails"] = details
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    usage["serviceTier"] = "standard"
    return usage
