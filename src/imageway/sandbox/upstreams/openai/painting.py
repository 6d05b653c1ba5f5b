"""From a body that holds to pictures: the finished JSON or the events on the way to it, and what both count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from imageway.sandbox.answers import Json
from imageway.sandbox.drawing import Sketch
from imageway.sandbox.orders import Twist
from imageway.sandbox.streams import Frame, Stream, sse_frame
from imageway.sandbox.studio import Studio, is_forbidden_output
from imageway.sandbox.upstreams.openai.checks import Draft, Operation
from imageway.sandbox.upstreams.openai.limits import (
    input_image_tokens,
    output_image_tokens,
    partial_tokens,
    text_tokens,
)
from imageway.sandbox.upstreams.openai.pictures import Inputs
from imageway.sandbox.upstreams.openai.words import BROKEN, Speaker, envelope, error_frame
from imageway.sandbox.wire import SandboxAnswer

PREVIEW_QUALITY = 92  # of the lossy formats at compression 100
EVENTS = {"generate": "image_generation", "edit": "image_edit"}


@dataclass(frozen=True, slots=True)
class Ticket:
    """An accepted request with its pictures read."""

    operation: Operation
    draft: Draft
    inputs: Inputs

    @property
    def pixels(self) -> tuple[int, int]:
        return self.draft.resolved_size(self.inputs.images[0] if self.inputs.images else None)

    @property
    def size(self) -> str:
        return "x".join(map(str, self.pixels))


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens of some pictures of one request: input text and images, painted, and text written unseen."""

    text: int
    seen: int
    painted: int
    hidden: int

    @property
    def total(self) -> int:
        return self.text + self.seen + self.painted + self.hidden


class Painter:
    def __init__(self, studio: Studio, speaker: Speaker) -> None:
        self._studio = studio
        self._speaker = speaker

    async def answer(self, ticket: Ticket, twist: Twist) -> SandboxAnswer:
        """All pictures at once."""
        started_s = time.monotonic()
        draft, count = ticket.draft, _count(ticket.draft, twist)
        pictures = await asyncio.gather(*(self._studio.draw_base64(self._sketch(ticket)) for _ in range(count)))
        answer: dict[str, Json] = {
            "created": int(time.time()),
            "background": draft.background,
            "data": [{"b64_json": picture} for picture in pictures],
            "output_format": draft.format,
            "quality": draft.quality,
        }
        if draft.safety_identifier:
            answer["safety_identifier"] = draft.safety_identifier
        answer["size"] = ticket.size
        answer["usage"] = _usage(self._count(ticket, draft.count if twist.empty else count))
        return self._speaker.success(answer, round((time.monotonic() - started_s) * 1000))

    def stream(self, ticket: Ticket, twist: Twist) -> Stream:
        failure = error_frame(envelope(BROKEN, kind="server_error"))
        return Stream(self._speaker.stream_headers(), self._frames(ticket, twist), failure)

    async def _frames(self, ticket: Ticket, twist: Twist) -> AsyncGenerator[Frame, None]:
        """One picture after the other: its partial states, then itself. A refused output has had its partials sent."""
        draft = ticket.draft
        name = EVENTS[ticket.operation]
        for _ in range(_count(draft, twist)):
            number = 0
            async for picture in self._studio.develop_base64(self._sketch(ticket), draft.partials):
                await asyncio.sleep(twist.pause_s / (draft.partials + 1))
                if number < draft.partials:
                    yield _frame(f"{name}.partial_image", ticket, picture, {"partial_image_index": number})
                elif is_forbidden_output(draft.prompt):
                    yield error_frame(self._speaker.moderation("output"))
                    return
                else:
                    usage = _event_usage(self._count(ticket, 1), partial_tokens(draft.partials))
                    yield _frame(f"{name}.completed", ticket, picture, {"usage": usage})
                number += 1

    def _sketch(self, ticket: Ticket) -> Sketch:
        draft = ticket.draft
        width, height = ticket.pixels
        return Sketch(
            prompt=draft.prompt,
            width=width,
            height=height,
            seed=self._studio.pick_seed(),
            format=draft.format,
            quality=draft.compression * PREVIEW_QUALITY // 100,
            references=ticket.inputs.images,
            mask=ticket.inputs.mask,
            faithful=draft.fidelity == "high" or draft.model.generation.sizes == "free",
            transparent=draft.background == "transparent",
            provenance=True,
        )

    def _count(self, ticket: Ticket, count: int) -> Counted:
        """One total for `count` pictures. Recorded: the prompt is counted once per picture."""
        draft, images = ticket.draft, ticket.inputs.images
        generation = draft.model.generation
        hidden = sum(self._studio.chance.randint(143, 335) for _ in range(count)) if generation.text_output else 0
        return Counted(
            text=(text_tokens(draft.prompt) + generation.edit_text_tokens * len(images)) * count,
            seen=sum(input_image_tokens(draft.model, image, draft.fidelity) for image in images) * count,
            painted=output_image_tokens(draft.model, draft.quality, ticket.pixels) * count,
            hidden=hidden,
        )


def _count(draft: Draft, twist: Twist) -> int:
    """A lost picture of several is one fewer: this provider has no word for it."""
    return 0 if twist.empty else draft.count - twist.item_failed


def _usage(counted: Counted) -> Json:
    return {
        "input_tokens": counted.text + counted.seen,
        "input_tokens_details": {"image_tokens": counted.seen, "text_tokens": counted.text},
        "output_tokens": counted.painted + counted.hidden,
        "output_tokens_details": {"image_tokens": counted.painted, "text_tokens": counted.hidden},
        "total_tokens": counted.total,
    }


def _event_usage(counted: Counted, partials: int) -> Json:
    """An event's usage is that of its own picture, earlier states included; it does not split the output (SDK:
    image_gen_completed_event.Usage)."""
    return {
        "total_tokens": counted.total + partials,
        "input_tokens": counted.text + counted.seen,
        "output_tokens": counted.painted + counted.hidden + partials,
        "input_tokens_details": {"text_tokens": counted.text, "image_tokens": counted.seen},
    }


def _frame(kind: str, ticket: Ticket, picture: bytes, last: dict[str, Json]) -> Frame:
    draft = ticket.draft
    tree: dict[str, Json] = {
        "type": kind,
        "b64_json": picture,
        "created_at": int(time.time()),
        "size": ticket.size,
        "quality": draft.quality,
        "background": draft.background,
        "output_format": draft.format,
        **last,
    }
    if draft.safety_identifier:
        tree["safety_identifier"] = draft.safety_identifier
    return sse_frame(tree, kind)
