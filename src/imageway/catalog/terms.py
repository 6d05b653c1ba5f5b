"""Models as one caller buys them, and offerings as we do, on one day: of several price rows for the same thing the one
that became effective last, multiplied and added to as the operator says. Everything that prices then reads such a
model as any other; each is made once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Final

import msgspec
from msgspec.structs import replace

from imageway.catalog.schema import Model, Offering, Price
from imageway.core.access import Terms
from imageway.core.money import MICROS_PER_USD

REMEMBERED: Final = 8192
DAY_MS: Final = 86_400_000
_ONE: Final = 1_000_000
_EPOCH: Final = date(1970, 1, 1).toordinal()
_ROWS: Final = msgspec.json.Decoder(tuple[Price, ...])


@lru_cache(maxsize=REMEMBERED)
def sold(model: Model, terms: Terms, day: int) -> Model:
    """The model with the prices of its caller; `day` counts from 1970-01-01. The model itself where they are the
    catalog's and no row of it has been superseded."""
    rows = in_force(price_rows(terms.rows) if terms.rows else model.prices, day)
    if terms.steps:
        rows = _stepped(rows, terms.steps)
    return model if rows == model.prices else replace(model, prices=rows)


@lru_cache(maxsize=REMEMBERED)
def bought(offering: Offering, day: int) -> Offering:
    """The offering with what it costs on that day."""
    rows = in_force(offering.cost, day)
    return offering if rows == offering.cost else replace(offering, cost=rows)


@lru_cache(maxsize=REMEMBERED)
def price_rows(written: bytes) -> tuple[Price, ...]:
    """Rows as an operator wrote them, in the catalog's own form. Raises msgspec.ValidationError, naming the field."""
    return _ROWS.decode(written)


def in_force(rows: Sequence[Price], day: int) -> tuple[Price, ...]:
    """Of rows with the same conditions the last that was effective by then, in the place of the first. What has only
    rows that are not effective yet keeps the earliest of them: nothing is sold for nothing."""
    chosen: dict[Price, Price] = {}
    for row in rows:
        case = replace(row, amount="", currency="USD", effective="", assumed=False, source="", checked="")
        known = chosen.get(case)
        if known is None or _supersedes(row, known, day):
            chosen[case] = row
    kinds = {(row.per, row.tokens) for row in begun(chosen.values(), day)}
    return tuple(row for row in chosen.values() if _day(row) <= day or (row.per, row.tokens) not in kinds)


def begun(rows: Iterable[Price], day: int) -> tuple[Price, ...]:
    """Those that are effective by then."""
    return tuple(row for row in rows if _day(row) <= day)


def _supersedes(row: Price, known: Price, day: int) -> bool:
    if _day(row) > day and _day(known) > day:
        return _day(row) < _day(known)
    return _day(row) <= day and (_day(known) > day or _day(row) > _day(known))


@lru_cache(maxsize=REMEMBERED)
def day_of(written: str) -> int:
    """`"1970-01-02"` → 1."""
    return date.fromisoformat(written).toordinal() - _EPOCH


def _day(row: Price) -> int:
    return day_of(row.effective)


def _stepped(rows: Iterable[Price], steps: Iterable[tuple[int, int]]) -> tuple[Price, ...]:
    """Exact: decimals times millionths end."""
    factor, added_usd_micros = Decimal(1), Decimal(0)
    with localcontext(prec=60):
        for millionths, per_image_usd_micros in steps:
            factor = factor * millionths / _ONE
            added_usd_micros = added_usd_micros * millionths / _ONE + per_image_usd_micros
        changed = [replace(row, amount=_text(Decimal(row.amount) * factor)) for row in rows]
        if added_usd_micros:
            changed.append(Price(per="surcharge", amount=_text(added_usd_micros / MICROS_PER_USD)))
    return tuple(changed)


def _text(amount: Decimal) -> str:
    return format(amount.normalize(), "f")
