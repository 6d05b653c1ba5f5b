"""The shape of a generateContent answer or chunk, and what it counts. AI Studio and Vertex differ in order and in a few
names, as recorded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from imageway.sandbox.answers import Json
from imageway.sandbox.upstreams.google.limits import text_tokens
from imageway.sandbox.upstreams.google.tickets import Ticket

INTRODUCTION = "Here is your image:"


def candidate(
    ticket: Ticket, parts: list[Json] | None, finish: str | None = None, *, message: str | None = None
) -> Json:
    """`parts` None: no content at all; empty: an empty one."""
    found: dict[str, Json] = {}
    if parts:
        content: dict[str, Json] = {"parts": parts, "role": "model"}
        found["content"] = dict(reversed(content.items())) if ticket.is_vertex else content
    elif parts is not None:
        found["content"] = {}
    if finish:
        found["finishReason"] = finish
    if not ticket.is_vertex:
        found["index"] = 0
    return found | ({"finishMessage": message} if message else {})


def response(ticket: Ticket, outcome: Mapping[str, Json], usage: Json, response_id: str) -> dict[str, Json]:
    answer: dict[str, Json] = {**outcome, "usageMetadata": usage, "modelVersion": ticket.draft.model.id}
    if ticket.is_vertex:
        answer["createTime"] = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    answer["responseId"] = response_id
    return answer


def usage_of(ticket: Ticket, *, painted: bool, answered: bool) -> Json:
    """total = prompt + candidates + thoughts. AI Studio details the picture's tokens alone and counts more than those;
    Vertex details all and counts no more. A blocked answer counts its thoughts and nothing else."""
    draft = ticket.draft
    text, seen = text_tokens(draft.all_text), draft.model.image_in * len(ticket.references)
    details: list[Json] = [{"modality": "TEXT", "tokenCount": text}]
    if seen:
        details.insert(0, {"modality": "IMAGE", "tokenCount": seen})
    usage: dict[str, Json] = {"promptTokenCount": text + seen}
    candidates, thoughts = 0, draft.thoughts if answered else 0
    if painted:
        candidates, usage["candidatesTokensDetails"] = _painted(ticket)
        usage["candidatesTokenCount"] = candidates
    usage["totalTokenCount"] = text + seen + candidates + thoughts
    usage["promptTokensDetails"] = details
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    usage |= {"trafficType": "ON_DEMAND"} if ticket.is_vertex else {"serviceTier": "standard"}
    return usage


def _painted(ticket: Ticket) -> tuple[int, Json]:
    """Tokens of the answer and their details."""
    draft = ticket.draft
    image = draft.model.tokens[draft.size]
    row: dict[str, Json] = {"modality": "IMAGE", "tokenCount": image}
    if not ticket.is_vertex:
        return image + draft.model.gap, [row]
    said = text_tokens(INTRODUCTION) if draft.says_something else 0
    return image + said, [{"modality": "TEXT", "tokenCount": said}, row] if said else [row]
