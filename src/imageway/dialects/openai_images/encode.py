"""Outcomes and errors in this format: flat answers in OpenAI's shape, nested ones for nested bodies."""

from __future__ import annotations

from operator import itemgetter
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError
from imageway.core.intents import (
    Answer,
    CancelTask,
    Estimated,
    Generate,
    Generated,
    ImageDeleted,
    Intent,
    ModelCard,
    ModelList,
    Outcome,
    TaskList,
    TaskView,
    Where,
)
from imageway.core.money import PriceLine, format_usd
from imageway.core.steps import Usage
from imageway.dialects.openai_images.fields import TABLE
from imageway.dialects.openai_images.items import identifier_of, item_of, metadata_of
from imageway.dialects.openai_images.tasks import encode_task, encode_tasks
from imageway.dialects.shared.answers import error_headers, problems_list, warnings_list

NESTED: Final = "nested"
ENDED: Final = ("succeeded", "failed", "unknown")  # whatever its caller wants now
# Parameters whose values are others here than in the catalog.
READ_OTHERWISE: Final[dict[str, Tree]] = {"want_text": {"type": "array", "values": ["image", "text"]}}


def encode(intent: Intent, outcome: Outcome) -> Answer:
    """The answer for an outcome, in the shape that the request's body asked for. Only a generation knows its request
    id; the header of other answers is the server's to add."""
    match outcome:
        case Generated():
            nested = isinstance(intent, Generate) and intent.shape == NESTED
            return Answer(200, _nested(outcome) if nested else _flat(intent, outcome), _headers(outcome))
        case Estimated():
            return Answer(200, _estimate(outcome))
        case ModelList():
            return Answer(200, {"object": "list", "data": [_card(card) for card in outcome.cards]})
        case ModelCard():
            return Answer(200, _card(outcome))
        case TaskView() if isinstance(intent, CancelTask) and outcome.status in ENDED:
            return encode_error(Where(None, outcome.id), _ended(outcome))
        case TaskView():
            return encode_task(intent, outcome)
        case TaskList():
            return encode_tasks(outcome)
        case ImageDeleted():
            return Answer(204, None)
    raise TypeError(f"{type(outcome).__name__} is no outcome of this dialect's intents")


def _ended(task: TaskView) -> GatewayError:
    return GatewayError("task_final", f'this request has ended already: it is "{task.status}"', param="id")


def _headers(outcome: Generated) -> tuple[tuple[str, str], ...]:
    label = (("x-imageway-sandbox", "true"),) if outcome.sandbox else ()
    return (("x-request-id", outcome.request_id), *label)


def _flat(intent: Intent, outcome: Generated) -> dict[str, Tree]:
    """What the provider chose is told where it said so itself, under the names of its own answers."""
    body: dict[str, Tree] = {"created": outcome.created_s, "data": [item_of(picture) for picture in outcome.pictures]}
    formats = {picture.media_type.removeprefix("image/") for picture in outcome.pictures}
    chosen = outcome.settled
    optional: dict[str, Tree] = {
        "background": chosen.background if chosen else None,
        "output_format": formats.pop() if len(formats) == 1 else None,
        "quality": chosen.quality if chosen else None,
        "safety_identifier": identifier_of(intent, outcome),
        "size": outcome.size,
        "usage": usage_of(outcome.usage) if outcome.usage else None,
        "metadata": metadata_of(outcome),
        "warnings": warnings_list(outcome.warnings) if outcome.warnings else None,
    }
    body.update(filter(itemgetter(1), optional.items()))
    body["request_id"] = outcome.request_id
    return body


def usage_of(usage: Usage) -> dict[str, Tree]:
    total_in, total_out = usage.input, usage.output
    return {
        "input_tokens": total_in,
        "input_tokens_details": {"image_tokens": usage.input_image, "text_tokens": usage.input_text},
        "output_tokens": total_out,
        "output_tokens_details": {"image_tokens": usage.output_image, "text_tokens": usage.output_text},
        "total_tokens": total_in + total_out,
    }


def _nested(outcome: Generated) -> dict[str, Tree]:
    """Every item has all three keys; the unused ones are empty."""
    items: list[Tree] = [
        {
            "url": picture.url or "",
            "b64_json": "" if picture.blob is None else picture.blob,
            "revised_prompt": picture.revised_prompt or "",
        }
        for picture in outcome.pictures
    ]
    body: dict[str, Tree] = {"code": 200, "msg": "Success", "data": {"data": items, "created": outcome.created_s}}
    beside: dict[str, Tree] = {"metadata": metadata_of(outcome), "warnings": warnings_list(outcome.warnings)}
    return body | {name: value for name, value in beside.items() if value} | {"request_id": outcome.request_id}


def _estimate(outcome: Estimated) -> dict[str, Tree]:
    body: dict[str, Tree] = {
        "hold_usd": format_usd(outcome.hold_usd_micros),
        "worst_usd": format_usd(outcome.worst_usd_micros),
        "expected_usd": format_usd(outcome.expected_usd_micros),
        "prices": [_price(line) for line in outcome.prices],
    }
    return body | ({"warnings": warnings_list(outcome.warnings)} if outcome.warnings else {})


def _price(line: PriceLine) -> dict[str, Tree]:
    body: dict[str, Tree] = {
        "what": line.what,
        "quantity": line.quantity,
        "unit": line.unit,
        "unit_usd": line.unit_usd,
    }
    return body | ({"assumed": True} if line.assumed else {})


def _card(card: ModelCard) -> dict[str, Tree]:
    """`parameters` go by the names of this endpoint; what no field here can set is not shown."""
    capabilities = dict(card.capabilities)
    parameters = capabilities.get("parameters")
    if isinstance(parameters, dict):
        shown = parameters | {name: row for name, row in READ_OTHERWISE.items() if name in parameters}
        capabilities["parameters"] = {
            TABLE.spelling[name]: row for name, row in shown.items() if name in TABLE.spelling
        }
    return {
        "id": card.id,
        "object": "model",
        "created": card.created_s,
        "owned_by": card.owned_by,
        "title": card.title,
        "capabilities": capabilities,
        "prices": [dict(price) for price in card.prices],
    }


def encode_error(where: Where, error: GatewayError) -> Answer:
    """The error's own status, with what every client library may look at in its headers."""
    request_id = error.request_id or where.request_id
    return Answer(error.kind.status, {"error": error_of(error, request_id)}, error_headers(request_id, error))


def error_of(error: GatewayError, request_id: str) -> dict[str, Tree]:
    """`details` lists every problem there was; the first one is also the error's own message and param."""
    body: dict[str, Tree] = {
        "message": error.message,
        "type": error.kind.type,
        "param": error.param,
        "code": error.code,
        "request_id": request_id,
    }
    return body | ({"details": problems_list(error.details)} if error.details else {})
