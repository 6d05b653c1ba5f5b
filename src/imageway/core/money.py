"""Money as integers of micro-dollars (1 USD = 1,000,000). Text in and out; never a float."""

from __future__ import annotations

import re

from msgspec import UNSET, Struct, UnsetType

MICROS_PER_USD = 1_000_000
_USD = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?")


def parse_usd(text: str) -> int:
    """`"0.03"` → 30000. At most six decimals, no sign, no exponent; anything else raises ValueError with a sentence."""
    match = _USD.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'"{text}" is not an amount of dollars: write digits with at most six decimals, like 12.50')
    whole, decimals = match.groups()
    return int(whole) * MICROS_PER_USD + int((decimals or "").ljust(6, "0"))


def format_usd(usd_micros: int) -> str:
    """30000 → `"0.030000"`: always six decimals, so that amounts compare as text."""
    sign = "-" if usd_micros < 0 else ""
    whole, micros = divmod(abs(usd_micros), MICROS_PER_USD)
    return f"{sign}{whole}.{micros:06d}"


def round_up(numerator: int, *, denominator: int) -> int:
    """The one rounding of a price: up, once, after all lines were summed exactly."""
    return -(-numerator // denominator)


class PriceLine(Struct, frozen=True, kw_only=True):
    """One line of a bill, before rounding: `quantity` × `unit_usd` per `unit`, by the price row `effective` then.
    `converted` says of what, and by which rate row, where that row is not in dollars."""

    what: str
    quantity: str
    unit: str
    unit_usd: str
    assumed: bool = False
    effective: str = ""
    converted: str | UnsetType = UNSET
