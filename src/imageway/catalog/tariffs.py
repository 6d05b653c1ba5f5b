"""Which price rows apply to one quality and size, and how many tokens such an image takes: worked out once for each
case there is, not for each request. Exact: a price is a whole number of shares of a micro-dollar.

What nobody knows beforehand (an `auto` size or quality) counts as the dearest thing it may become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Final, Protocol

from msgspec import UNSET, Struct, UnsetType

from imageway.catalog.schema import Geometry, Model, Offering, Price, Tokens
from imageway.core.money import MICROS_PER_USD, parse_usd
from imageway.core.requests import Size

TOKENS_PER_PRICE: Final = 1_000_000
UNKNOWN_WORDS: Final = frozenset({"", "auto", "adaptive", "input"})
USUAL_QUALITY: Final = "medium"
USUAL_PIXELS: Final = (1024, 1024)
REMEMBERED: Final = 4096  # cases, and texts of sizes; the rows name fewer, and odd sizes push out only one another

Pixels = tuple[int, int]


class PriceBook(Protocol):
    """What of the catalog pricing needs. A book never changes and equals itself alone: what it said is remembered."""

    def __hash__(self) -> int: ...

    @property
    def models(self) -> Mapping[str, Model]: ...

    @property
    def usd_per_cny(self) -> Fraction: ...

    @property
    def rated(self) -> str: ...


class Rate(Struct, frozen=True):
    """What one unit is sold for: `shares`, of which a tariff's `whole` are a micro-dollar; `unit_usd` is the same as
    decimal text, `converted` from what where a row is not in dollars. `free_first` of the units cost nothing."""

    what: str
    unit: str
    unit_usd: str
    shares: int
    assumed: bool
    free_first: int
    effective: str = ""
    converted: str | UnsetType = UNSET


class Tariff(Struct, frozen=True):
    """Everything the rows say of one case. `tokens`: those that are paid for, each with its place among input text,
    input image, output text, output image. `counts_tokens`: what nobody reported is estimated; `most_tokens` and
    `usual_tokens` are those of one image."""

    whole: int
    minimum_hold_usd_micros: int
    image: Rate | None
    input_image: Rate | None
    surcharge: Rate | None
    tokens: tuple[tuple[int, Rate], ...]
    counts_tokens: bool
    most_tokens: int
    usual_tokens: int


@lru_cache(maxsize=REMEMBERED)
def tariff_of(
    book: PriceBook, model: Model | None, offering: Offering | None, quality: str | None, size: Size
) -> Tariff:
    """What the model is sold for or, with an `offering`, what that one costs us."""
    rows = offering.cost if offering is not None else model.prices if model is not None else ()
    case = _case(model, quality, size)
    chosen = {billed: _row(book, of_kind, case) for billed, of_kind in _billed(rows).items()}
    whole = lcm(*(_usd_micros(book, row).denominator for row in chosen.values()))
    rates = {billed: _rate(book, row, whole) for billed, row in chosen.items()}
    return Tariff(
        whole=whole,
        minimum_hold_usd_micros=parse_usd(model.minimum_hold) if model is not None else 0,
        image=rates.get(_IMAGE),
        input_image=rates.get(_INPUT_IMAGE),
        surcharge=rates.get(_SURCHARGE),
        tokens=tuple((place, rates[billed]) for place, billed in enumerate(_TOKENS) if billed in rates),
        counts_tokens=model is not None and any(billed in rates for billed in _TOKENS),
        most_tokens=_image_tokens(model, case, worst=True) if model is not None else 0,
        usual_tokens=_image_tokens(model, case, worst=False) if model is not None else 0,
    )


# What a price may depend on


class _Case(Struct, frozen=True):
    """The facts that price rows and token tables ask for. `quality` and `tier` None: open. `pixels` are all the sizes
    the image may have: one when it is known, none when nothing is known."""

    quality: str | None
    tier: str | None
    pixels: tuple[Pixels, ...]


def _case(model: Model | None, quality: str | None, size: Size) -> _Case:
    if quality is None and model is not None and "quality" in model.parameters:
        quality = model.parameters["quality"].default
    tier = size.tier or size.word
    known_tier = tier if tier and tier not in UNKNOWN_WORDS else None
    return _Case(
        quality=quality if quality and quality not in UNKNOWN_WORDS else None,
        tier=known_tier,
        pixels=(size.pixels,) if size.pixels else _possible_pixels(model.geometry, known_tier) if model else (),
    )


def _possible_pixels(geometry: Geometry, tier: str | None) -> tuple[Pixels, ...]:
    if tier in geometry.pixels:
        sizes: Iterable[str] = geometry.pixels[tier].values()
    else:
        sizes = geometry.size_tiers.get(tier or "", geometry.sizes)
    return tuple(map(_pixels, sizes))


@lru_cache(maxsize=REMEMBERED)
def _pixels(size: str) -> Pixels:
    width, _, height = size.replace("*", "x").partition("x")
    return int(width), int(height)


# Which row applies

Billed = tuple[str, str | None]
"""What is counted, as a row says it: `per`, and which `tokens`."""

_IMAGE: Final[Billed] = ("image", None)
_INPUT_IMAGE: Final[Billed] = ("input_image", None)
_SURCHARGE: Final[Billed] = ("surcharge", None)
_TOKENS: Final[tuple[Billed, ...]] = tuple(
    ("token", kind) for kind in ("input_text", "input_image", "output_text", "output_image")
)


def _billed(rows: Iterable[Price]) -> dict[Billed, list[Price]]:
    billed: dict[Billed, list[Price]] = {}
    for row in rows:
        if not row.shown_only:
            billed.setdefault((row.per, row.tokens if row.per == "token" else None), []).append(row)
    return billed


def _row(book: PriceBook, rows: Sequence[Price], case: _Case) -> Price:
    """The first row that applies or, where rows before it may turn out to apply, the dearest of them all."""
    possible = []
    for row in rows:
        answer = _applies(row, case)
        if answer is not False:
            possible.append(row)
        if answer:
            break
    return max(possible or rows, key=lambda row: _usd_micros(book, row))


def _applies(row: Price, case: _Case) -> bool | None:
    """Whether every condition of a row holds; None when that cannot be known before the image is there."""
    answers = (
        _any_of(row.tiers, case.tier),
        _any_of(row.qualities, case.quality),
        _all_alike([pixels in map(_pixels, row.sizes) for pixels in case.pixels]) if row.sizes else True,
        _all_alike([width * height <= row.max_pixels for width, height in case.pixels]) if row.max_pixels else True,
    )
    return False if False in answers else None if None in answers else True


def _any_of(accepted: Sequence[str], value: str | None) -> bool | None:
    return True if not accepted else None if value is None else value in accepted


def _all_alike(answers: list[bool]) -> bool | None:
    return answers[0] if answers and all(answer is answers[0] for answer in answers) else None


# What a row is worth


def _usd_micros(book: PriceBook, row: Price) -> Fraction:
    """Micro-dollars per image or per token, exactly."""
    rate = book.usd_per_cny if row.currency == "CNY" else 1
    return Fraction(row.amount) * rate * MICROS_PER_USD / (TOKENS_PER_PRICE if row.per == "token" else 1)


def _rate(book: PriceBook, row: Price, whole: int) -> Rate:
    usd_micros = _usd_micros(book, row)
    return Rate(
        what=_named(row),
        unit="token" if row.per == "token" else "image",
        unit_usd=_decimal_text(usd_micros / MICROS_PER_USD),
        shares=int(usd_micros * whole),
        assumed=row.assumed,
        free_first=row.free_first,
        effective=row.effective,
        converted=_converted(book, row),
    )


def _converted(book: PriceBook, row: Price) -> str | UnsetType:
    """`"0.2 CNY × 0.13625389 USD of 2026-09-01"`."""
    if row.currency != "CNY":
        return UNSET
    per = " per million" if row.per == "token" else ""
    return f"{row.amount} CNY{per} × {_decimal_text(book.usd_per_cny)} USD of {book.rated}"


def _named(row: Price) -> str:
    if row.per == "token":
        return f"{row.tokens} tokens".replace("_", " ")
    if row.per in ("input_image", "surcharge"):
        return row.per.replace("_", " ")
    conditions = [*row.qualities, *row.tiers, *row.sizes]
    if row.max_pixels:
        conditions.append(f"up to {row.max_pixels} pixels")
    return f"image ({', '.join(conditions)})" if conditions else "image"


def _decimal_text(value: Fraction) -> str:
    """`Fraction(3, 100_000)` → `"0.00003"`. Amounts and rates are decimals, so their products end."""
    with localcontext(prec=60):
        return format((Decimal(value.numerator) / Decimal(value.denominator)).normalize(), "f")


# Tokens of one image


def with_margin(tokens: int) -> int:
    """A quarter more: nobody published them."""
    return -(-tokens * 5 // 4)


def known_tokens(model: Model, quality: str | None, pixels: Pixels | None) -> int | None:
    """Output tokens of one image, where the vendor published just this case."""
    if pixels is None:
        return None
    size = f"{pixels[0]}x{pixels[1]}"
    return next((row.sizes[size] for row in model.tokens if row.quality == quality and size in row.sizes), None)


def _image_tokens(model: Model, case: _Case, *, worst: bool) -> int:
    """Output tokens of one image: the dearest that quality and size may become; else (not `worst`) the usual ones."""
    rows = [row for row in model.tokens if row.quality == case.quality]
    if not rows and not worst:
        rows = [row for row in model.tokens if row.quality == USUAL_QUALITY]
    sizes = case.pixels or tuple(_pixels(size) for row in model.tokens for size in row.sizes) or (USUAL_PIXELS,)
    if not worst and USUAL_PIXELS in sizes:
        sizes = (USUAL_PIXELS,)
    return max((_table_tokens(row, sizes, worst=worst) for row in rows or model.tokens), default=0)


def _table_tokens(row: Tokens, sizes: Iterable[Pixels], *, worst: bool) -> int:
    tokens = max(_size_tokens(row, pixels) for pixels in sizes)
    return with_margin(tokens) if worst and row.assumed else tokens


def _size_tokens(row: Tokens, pixels: Pixels) -> int:
    if row.axis is None:
        return row.sizes.get(f"{pixels[0]}x{pixels[1]}") or max(row.sizes.values(), default=0)
    short, long = sorted(pixels)
    cells = row.axis * ((2 * row.axis * short + long) // (2 * long))
    return -(-cells * (row.area_offset + short * long) // row.area_scale)
