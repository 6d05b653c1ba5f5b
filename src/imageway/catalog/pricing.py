"""What a task may cost at most, what it will probably cost, what k delivered images are charged, and what they cost us.

Exact fractions inside; every sum is rounded up once, to micro-dollars. What nobody knows beforehand (an `auto` size or
quality) counts as the dearest thing it may become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Final, Protocol

from imageway.catalog.schema import Geometry, Model, Offering, Price, Tokens
from imageway.core.intents import PriceLine
from imageway.core.money import MICROS_PER_USD, parse_usd, round_up
from imageway.core.requests import ImageRequest, Size
from imageway.core.steps import Usage

TOKENS_PER_PRICE: Final = 1_000_000
UNKNOWN_WORDS: Final = frozenset({"", "auto", "adaptive", "input"})
USUAL_QUALITY: Final = "medium"
USUAL_PIXELS: Final = (1024, 1024)
WRAPPING_TOKENS: Final = 32  # most text tokens a provider adds around a prompt (recorded: 7), and again per input image
USUAL_WRAPPING_TOKENS: Final = 8
USUAL_WRAPPING_PER_IMAGE: Final = 16
CHARS_PER_TOKEN: Final = 4  # ordinary English; beyond ASCII a character counts as a token of its own

Pixels = tuple[int, int]


class PriceBook(Protocol):
    """What of the catalog pricing needs."""

    @property
    def models(self) -> Mapping[str, Model]: ...

    @property
    def usd_per_cny(self) -> Fraction: ...


@dataclass(frozen=True, slots=True)
class Quote:
    """The whole task in micro-dollars. `worst` covers whatever may come, `expected` is without safety margins and with
    an automatic quality and size taken as medium 1024x1024 where tokens are counted. `hold` is the larger of `worst`
    and the model's minimum hold. `lines` explain `worst`."""

    worst_usd_micros: int
    expected_usd_micros: int
    hold_usd_micros: int
    lines: tuple[PriceLine, ...]


@dataclass(frozen=True, slots=True)
class Bill:
    """What is to be paid for: the fitted request and size, the images that were delivered, the tokens the provider
    reported for the whole task (None: it reported none). `produced`, when more images than were delivered are behind
    `usage`, says how many: the caller then pays the delivered share of the tokens."""

    request: ImageRequest
    size: Size
    delivered: int
    usage: Usage | None = None
    produced: int | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    usd_micros: int
    lines: tuple[PriceLine, ...]


def quote(catalog: PriceBook, model: Model, request: ImageRequest, size: Size, *, images: int) -> Quote:
    """The price of a task of `images` images (a group call: its max_images) before anything is sent."""
    case = _case(model, request, size, images=images)
    most = _estimate(model, model.prices, case, worst=True)
    lines = _lines(catalog, model.prices, case, most)
    worst_usd_micros = expected_usd_micros = _total(lines)
    if most.assumed:
        usual = _estimate(model, model.prices, case, worst=False)
        expected_usd_micros = _total(_lines(catalog, model.prices, case, usual))
    hold_usd_micros = max(worst_usd_micros, parse_usd(model.minimum_hold))
    return Quote(worst_usd_micros, expected_usd_micros, hold_usd_micros, _shown(lines))


def charge(catalog: PriceBook, model: Model, bill: Bill) -> Charge:
    """What the caller pays for the images delivered; never more than the quote's worst while the provider's token
    report stays within what the catalog assumes. No image: nothing, whatever was reported."""
    if bill.delivered <= 0:
        return Charge(0, ())
    case = _case(model, bill.request, bill.size, images=bill.delivered)
    reported = _delivered_share(bill)
    tokens = _Count(reported) if reported else _estimate(model, model.prices, case, worst=False)
    lines = _lines(catalog, model.prices, case, tokens)
    return Charge(_total(lines), _shown(lines))


def cost(catalog: PriceBook, offering: Offering, bill: Bill) -> int:
    """What the provider takes from us, in micro-dollars, for everything it produced, delivered or not. An offering
    without cost rows costs nothing; tokens that nobody reported are taken from the model's own table."""
    if not offering.cost:
        return 0
    images = bill.delivered if bill.produced is None else bill.produced
    model = catalog.models.get(bill.request.model)
    case = _case(model, bill.request, bill.size, images=images)
    reported = bill.usage if bill.usage is not None and (bill.usage.output or not images) else None
    tokens = _Count(reported) if reported else _estimate(model, offering.cost, case, worst=False)
    return _total(_lines(catalog, offering.cost, case, tokens))


# What a price may depend on


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """The facts that price rows and token tables ask for. `quality` and `tier` None: open. `pixels` are all the sizes
    the image may have: one when it is known, none when nothing is known. `inputs` counts input images and the mask."""

    quality: str | None
    tier: str | None
    pixels: tuple[Pixels, ...]
    request: ImageRequest
    inputs: int
    images: int

    @property
    def calls(self) -> int:
        """Upstream calls that send the input images: one for a group, else as many as images at most."""
        return min(1, self.images) if self.request.group is not None else self.images


@dataclass(frozen=True, slots=True)
class _Count:
    """Tokens and whether they were guessed."""

    usage: Usage
    assumed: bool = False


def _case(model: Model | None, request: ImageRequest, size: Size, *, images: int) -> _Case:
    quality = request.quality
    if quality is None and model is not None and "quality" in model.parameters:
        quality = model.parameters["quality"].default
    tier = size.tier or size.word
    known_tier = tier if tier and tier not in UNKNOWN_WORDS else None
    return _Case(
        quality=quality if quality and quality not in UNKNOWN_WORDS else None,
        tier=known_tier,
        pixels=(size.pixels,) if size.pixels else _possible_pixels(model.geometry, known_tier) if model else (),
        request=request,
        inputs=len(request.images) + (request.mask is not None),
        images=images,
    )


def _possible_pixels(geometry: Geometry, tier: str | None) -> tuple[Pixels, ...]:
    if tier in geometry.pixels:
        sizes: Iterable[str] = geometry.pixels[tier].values()
    else:
        sizes = geometry.size_tiers.get(tier or "", geometry.sizes)
    return tuple(map(_pixels, sizes))


@lru_cache(maxsize=4096)
def _pixels(size: str) -> Pixels:
    width, _, height = size.replace("*", "x").partition("x")
    return int(width), int(height)


# Which row applies


def _applies(row: Price, case: _Case) -> bool | None:
    """Whether every condition of a row holds; None when that cannot be known before the image is there."""
    if not (row.tiers or row.qualities or row.sizes or row.max_pixels):
        return True
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


def _row(catalog: PriceBook, rows: Sequence[Price], case: _Case) -> Price | None:
    """The first row that applies or, where rows before it may turn out to apply, the dearest of them all."""
    possible = []
    for row in rows:
        answer = _applies(row, case)
        if answer is not False:
            possible.append(row)
        if answer:
            break
    if len(possible) == 1:
        return possible[0]
    return max(possible or rows, key=lambda row: _unit(catalog, row).usd, default=None)


@dataclass(frozen=True, slots=True)
class _Unit:
    """Dollars per image or per token, exactly, and as text."""

    usd: Fraction
    text: str


def _unit(catalog: PriceBook, row: Price) -> _Unit:
    return _exact(row.amount, row.per, None if row.currency == "USD" else catalog.usd_per_cny)


@lru_cache(maxsize=4096)
def _exact(amount: str, per: str, rate: Fraction | None) -> _Unit:
    usd = Fraction(amount) * (rate or 1) / (TOKENS_PER_PRICE if per == "token" else 1)
    return _Unit(usd, _decimal_text(usd))


# Lines and sums

_TOKEN_KINDS: Final = tuple(
    (kind, kind.replace("_", " ") + " tokens") for kind in ("input_text", "input_image", "output_text", "output_image")
)


@dataclass(frozen=True, slots=True)
class _Line:
    what: str
    quantity: int
    unit: str
    price: _Unit
    assumed: bool


def _lines(catalog: PriceBook, rows: Sequence[Price], case: _Case, tokens: _Count) -> tuple[_Line, ...]:
    return tuple(line for line in _all_lines(catalog, rows, case, tokens) if line.quantity > 0)


def _all_lines(catalog: PriceBook, rows: Sequence[Price], case: _Case, tokens: _Count) -> Iterator[_Line]:
    billed: dict[tuple[str, str | None], list[Price]] = {}
    for row in rows:
        if not row.shown_only:
            billed.setdefault((row.per, row.tokens if row.per == "token" else None), []).append(row)
    if one := _row(catalog, billed.get(("image", None), ()), case):
        yield _Line(_named(one), case.images, "image", _unit(catalog, one), one.assumed)
    if one := _row(catalog, billed.get(("input_image", None), ()), case):
        paid = max(0, len(case.request.images) - one.free_first) * case.calls
        yield _Line("input image", paid, "image", _unit(catalog, one), one.assumed)
    for kind, what in _TOKEN_KINDS:
        count: int = getattr(tokens.usage, kind)
        if count and (one := _row(catalog, billed.get(("token", kind), ()), case)):
            yield _Line(what, count, "token", _unit(catalog, one), one.assumed or tokens.assumed)


def _named(row: Price) -> str:
    conditions = [*row.qualities, *row.tiers, *row.sizes]
    if row.max_pixels:
        conditions.append(f"up to {row.max_pixels} pixels")
    return f"image ({', '.join(conditions)})" if conditions else "image"


def _total(lines: Iterable[_Line]) -> int:
    """Summed over one denominator: fractions would reduce every step."""
    priced = [(line.quantity, line.price.usd) for line in lines]
    whole = lcm(*(usd.denominator for _, usd in priced))
    dollars = sum(quantity * usd.numerator * (whole // usd.denominator) for quantity, usd in priced)
    return round_up(dollars * MICROS_PER_USD, denominator=whole)


def _shown(lines: Iterable[_Line]) -> tuple[PriceLine, ...]:
    return tuple(
        PriceLine(
            what=line.what,
            quantity=str(line.quantity),
            unit=line.unit,
            unit_usd=line.price.text,
            assumed=line.assumed,
        )
        for line in lines
    )


def _decimal_text(value: Fraction) -> str:
    """`Fraction(3, 100_000)` → `"0.00003"`. Amounts and rates are decimals, so their products end."""
    with localcontext(prec=60):
        return format((Decimal(value.numerator) / Decimal(value.denominator)).normalize(), "f")


# Tokens


def _delivered_share(bill: Bill) -> Usage | None:
    """The reported tokens that belong to the delivered images; None when nothing usable was reported."""
    usage = bill.usage
    if usage is None or not usage.output:
        return None
    if bill.produced is None or bill.produced <= bill.delivered:
        return usage
    share = Fraction(bill.delivered, bill.produced)
    return Usage(
        int(usage.input_text * share),
        int(usage.input_image * share),
        int(usage.output_text * share),
        int(usage.output_image * share),
    )


def _estimate(model: Model | None, rows: Iterable[Price], case: _Case, *, worst: bool) -> _Count:
    """The tokens that `rows` ask for, inputs counted once per image because providers do. Worst: a text token per UTF-8
    byte (a byte-level vocabulary never needs more) plus wrapping, all else × 1.25 unless the vendor published it.
    Otherwise a token per four ASCII characters and one per other character, and no margins."""
    if model is None or not any(row.per == "token" and not row.shown_only for row in rows):
        return _Count(Usage())
    request, images = case.request, case.images
    per_input = model.input_image_tokens + (model.high_fidelity_tokens if request.input_fidelity == "high" else 0)
    partials = (request.partial_images or 0) * model.partial_image_tokens
    margin = _with_margin if worst else int
    usage = Usage(
        input_text=_text_tokens(model, case, worst=worst) * images,
        input_image=margin(per_input) * case.inputs * images,
        output_text=margin(model.output_text_tokens) * images,
        output_image=(_image_tokens(model, case, worst=worst) + partials) * images,
    )
    return _Count(usage, assumed=True)


def _with_margin(tokens: int) -> int:
    return -(-tokens * 5 // 4)


def _text_tokens(model: Model, case: _Case, *, worst: bool) -> int:
    request = case.request
    texts = [request.prompt or "", request.negative_prompt or ""]
    if model.turns and request.turns:
        texts += [part for turn in request.turns for part in turn.parts if isinstance(part, str)]
    text = "".join(texts)
    size_bytes = len(text.encode("utf-8", "surrogatepass"))
    if worst:
        return size_bytes + WRAPPING_TOKENS * (1 + case.inputs)
    ascii_chars = len(text) if text.isascii() else sum(character < "\x80" for character in text)
    foreign_chars = len(text) - ascii_chars
    wrapping = USUAL_WRAPPING_TOKENS + USUAL_WRAPPING_PER_IMAGE * case.inputs
    return -(-ascii_chars // CHARS_PER_TOKEN) + foreign_chars + wrapping


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
    return _with_margin(tokens) if worst and row.assumed else tokens


def _size_tokens(row: Tokens, pixels: Pixels) -> int:
    if row.axis is None:
        return row.sizes.get(f"{pixels[0]}x{pixels[1]}") or max(row.sizes.values(), default=0)
    short, long = sorted(pixels)
    cells = row.axis * ((2 * row.axis * short + long) // (2 * long))
    return -(-cells * (row.area_offset + short * long) // row.area_scale)
