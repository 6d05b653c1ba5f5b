"""`imageway models`: the same cards as GET /v1/models, for a key that may use everything."""

from __future__ import annotations

from typing import cast

from imageway.catalog import load
from imageway.cli.books import Books
from imageway.cli.printing import print_json, print_table
from imageway.core.intents import ModelList, ShowModels
from imageway.dialects import DIALECTS
from imageway.engine.models import card


def list_models(books: Books, *, as_json: bool) -> None:
    """JSON is byte for byte what the endpoint answers; nothing has to be configured for it."""
    catalog = load(books.settings().catalog)
    cards = ModelList(tuple(card(model) for model in catalog.models.values()))
    if as_json:
        print_json(DIALECTS[0].encode(ShowModels(), cards).body)
        return
    rows = [(one.id, one.title, _prices(one.prices), str(one.capabilities["state"])) for one in cards.cards]
    print_table(("id", "title", "price", "state"), rows)


def _prices(prices: tuple[object, ...]) -> str:
    """The first price; the rest is in the JSON. Those of tokens are for a million of them."""
    if not prices:
        return ""
    first = cast(dict[str, str], prices[0])
    sign = "$" if first.get("currency") == "USD" else "¥"
    unit = f"1M {first['tokens']} tokens" if "tokens" in first else first["per"]
    return f"{sign}{first['amount']} per {unit.replace('_', ' ')}"
