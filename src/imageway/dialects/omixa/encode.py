"""Outcomes and errors of the resale gateway: images with what they cost, models with what they would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.errors import INVALID, GatewayError
from imageway.core.intents import Answer, Generated, Intent, ModelCard, ModelList, Outcome, Where
from imageway.core.money import format_usd
from imageway.dialects.shared.answers import error_headers, problems_list, told

REFUSED_PROMPT: Final = "content_policy_violation"
UNPROCESSABLE: Final = 422
TOKENS: Final = {
    "input_text": "input",
    "output_text": "output",
    "input_image": "input image",
    "output_image": "output image",
}
CONDITIONS: Final = ("sizes", "tiers", "qualities", "max_pixels", "assumed")
_CENTS_OF_A_CENT: Final = Decimal("0.000001")


def encode(intent: Intent, outcome: Outcome) -> Answer:
    """The 200 for an outcome; warnings go into a header."""
    match outcome:
        case Generated():
            data: list[Tree] = [{"b64_json": picture.blob, "url": picture.url} for picture in outcome.pictures]
            usage: Tree = {"billed_amount": format_usd(outcome.price_usd_micros)}
            return Answer(200, {"created": outcome.created_s, "data": data, "usage": usage}, told(outcome))
        case ModelList():
            return Answer(200, {"object": "list", "data": [_card(card) for card in outcome.cards]})
    raise TypeError(f"{type(outcome).__name__} is no outcome of this dialect's intents")


def _card(card: ModelCard) -> dict[str, Tree]:
    family = str(card.capabilities.get("family", "")).removesuffix("_image")
    return {
        "id": card.id,
        "name": card.title,
        "modality": "image",
        "provider": card.owned_by,
        "endpoint_type": f"{card.owned_by}_{family}_image_generation",
        "streaming": True,
        "context_window": card.capabilities.get("context_window"),
        "max_output": card.capabilities.get("max_output"),
        "prices": list(_prices(card)),
    }


def _prices(card: ModelCard) -> Iterator[Tree]:
    """Every row of the model's prices as its page prints it, and what is held at least. `billed` false: only shown."""
    for row in card.prices:
        metric = TOKENS.get(str(row.get("tokens")), str(row["per"]).replace("_", " "))
        unit = "1m tokens" if row["per"] == "token" else "unit"
        conditions = {name: row[name] for name in CONDITIONS if name in row}
        yield {**_price(metric, unit, row), "billed": not row.get("shown_only"), **conditions}
    if card.minimum_hold_usd:
        yield {**_price("minimum hold", "request", {"amount": card.minimum_hold_usd}), "billed": False}


def _price(metric: str, unit: str, row: Mapping[str, Tree]) -> dict[str, Tree]:
    return {
        "metric": metric,
        "unit": unit,
        "amount": _six_decimals(str(row["amount"])),
        "currency": row.get("currency", "USD"),
    }


def _six_decimals(amount: str) -> str:
    """`"0.039"` → `"0.039000"`; an amount with more of them keeps them."""
    exact = Decimal(amount)
    exponent = exact.as_tuple().exponent
    return f"{exact if isinstance(exponent, int) and exponent < -6 else exact.quantize(_CENTS_OF_A_CENT):f}"


def encode_error(where: Where, error: GatewayError) -> Answer:
    """Whatever is wrong with a request is a 422 here; a prompt that a provider refused is not wrong: it stays a 400."""
    request_id = error.request_id or where.request_id
    invalid = error.kind is INVALID and error.code != REFUSED_PROMPT
    status = UNPROCESSABLE if invalid else error.kind.status
    return Answer(status, {"error": error_of(error, request_id)}, error_headers(request_id, error))


def error_of(error: GatewayError, request_id: str) -> dict[str, Tree]:
    """`details` lists every problem there was with what is accepted; the first is also the error's own message."""
    body: dict[str, Tree] = {
        "message": error.message,
        "type": error.kind.type,
        "code": error.code,
        "param": error.param,
        "request_id": request_id,
    }
    return body | ({"details": problems_list(error.details)} if error.details else {})
