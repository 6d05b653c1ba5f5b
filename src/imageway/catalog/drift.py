"""Where the catalog's list prices differ from what others publish of the same models. Others' lists are read elsewhere
and come here as plain rows, so that a new list is one more reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from msgspec import Struct

from imageway.catalog.schema import Model
from imageway.catalog.search import Catalog


class Listed(Struct, frozen=True, kw_only=True):
    """What one list says of one model: dollars per million tokens of a kind, or per image. `fact`: image, or the
    tokens' kind as a price row has it."""

    source: str
    model: str
    fact: str
    usd: Decimal


class Drift(Struct, frozen=True, kw_only=True):
    """`ours` are all the amounts that the catalog has for this; theirs is none of them."""

    source: str
    model: str
    listed_as: str
    fact: str
    ours: tuple[str, ...]
    theirs: str


def drift(catalog: Catalog, listed: Iterable[Listed]) -> Iterator[Drift]:
    """Of what both have. Prices in other currencies than dollars are not compared."""
    for row in listed:
        found = catalog.find(row.model)
        ours = _amounts(found.model, row.fact) if found else set()
        if found and ours and row.usd not in ours:
            yield Drift(
                source=row.source,
                model=found.model.id,
                listed_as=row.model,
                fact=row.fact,
                ours=tuple(_text(amount) for amount in sorted(ours)),
                theirs=_text(row.usd),
            )


def compared(catalog: Catalog, listed: Iterable[Listed]) -> int:
    """How many rows there is something to compare with."""
    return sum(bool((found := catalog.find(row.model)) and _amounts(found.model, row.fact)) for row in listed)


def _amounts(model: Model, fact: str) -> set[Decimal]:
    return {
        Decimal(row.amount)
        for row in model.prices
        if row.currency == "USD" and fact == (row.tokens if row.per == "token" else row.per)
    }


def _text(amount: Decimal) -> str:
    return format(amount.normalize(), "f")
