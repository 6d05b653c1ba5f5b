"""How finished pictures are wrapped: choices, metrics and usage of each generation of models. A picture that failed
alone is told in its place; that it is told so in choices as well is assumed."""

from __future__ import annotations

from imageway.sandbox.answers import Json
from imageway.sandbox.upstreams.dashscope.limits import LIMITS
from imageway.sandbox.upstreams.dashscope.painting import Ticket
from imageway.sandbox.upstreams.dashscope.words import ITEM_BROKEN


def sync_body(ticket: Ticket, urls: list[str], lost: int) -> dict[str, Json]:
    return {"output": output_of(ticket, urls, lost), "usage": usage_of(ticket, len(urls))}


def output_of(ticket: Ticket, urls: list[str], lost: int) -> dict[str, Json]:
    """The choices of a finished call; the generations of models report differently beside them. `lost`: how many
    pictures failed alone."""
    content: list[Json] = [*({"image": url} for url in urls), *([{**ITEM_BROKEN}] * lost)]
    choice: Json = {"finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    output: dict[str, Json] = {"choices": [choice]}
    style = ticket.draft.model.family.usage
    if style == "metric":
        output["task_metric"] = {"TOTAL": len(urls) + lost, "FAILED": lost, "SUCCEEDED": len(urls)}
    if style == "tiered":
        output["rewrite_status"] = "success" if ticket.draft.extend else "not_use"
    return output


def usage_of(ticket: Ticket, count: int) -> Json:
    width, height = ticket.pixels
    if ticket.draft.model.family.usage != "tiered":
        return {"width": width, "height": height, "image_count": count}
    tier = "1k" if width * height <= LIMITS["tier_1k_pixels"] else "2k"
    return {
        "output_width": width,
        "output_height": height,
        "input_image_count": len(ticket.references),
        "input_image_type": "qima_input_1k" if ticket.references else "",
        "output_image_count": count,
        "output_image_type": f"qima_output_{tier}",
    }
