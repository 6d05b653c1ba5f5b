"""What a task may cost at most, what it will probably cost, what k delivered images are charged, and what they cost us.

Exact whole numbers inside (see tariffs); every sum is rounded up once, to micro-dollars."""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from imageway.catalog.schema import Model, Offering
from imageway.catalog.tariffs import Pixels, PriceBook, Rate, Tariff, known_tokens, tariff_of, with_margin
from imageway.core.money import PriceLine, round_up
from imageway.core.requests import ImageRequest, Size
from imageway.core.steps import Usage

WRAPPING_TOKENS: Final = 32  # most text tokens a provider adds around a prompt (recorded: 7), and again per input image
USUAL_WRAPPING_TOKENS: Final = 8
USUAL_WRAPPING_PER_IMAGE: Final = 16
CHARS_PER_TOKEN: Final = 4  # ordinary English; beyond ASCII a character counts as a token of its own

Counts = tuple[int, int, int, int]
"""Tokens: of input text, input image, output text, output image."""

_NONE: Final[Counts] = (0, 0, 0, 0)

Line = tuple[Rate, int]
"""What is paid, and how many of it."""


class Quote(Struct, frozen=True):
    """The whole task in micro-dollars. `worst` covers whatever may come; `hold` is the larger of it and the model's
    minimum hold. What only an estimate tells is worked out when it is asked for."""

    worst_usd_micros: int
    hold_usd_micros: int
    _model: Model
    _request: ImageRequest
    _images: int
    _tariff: Tariff
    _worst: tuple[Line, ...]

    @property
    def expected_usd_micros(self) -> int:
        """Without safety margins, and with an automatic quality and size taken as medium 1024x1024 where tokens are
        counted."""
        if not self._tariff.counts_tokens:
            return self.worst_usd_micros
        usual = _estimated(self._tariff, self._model, self._request, self._images, worst=False)
        return _total(self._tariff, _lines(self._tariff, self._request, self._images, usual))

    @property
    def lines(self) -> tuple[PriceLine, ...]:
        """They explain `worst`."""
        return _shown(self._worst, estimated=self._tariff.counts_tokens)


class Bill(Struct, frozen=True):
    """What is to be paid for: the fitted request and size, the images of it that were delivered, the tokens the
    provider reported for all of them (None: it reported none). `produced`, when more images than were delivered are
    behind `usage`, says how many: the caller then pays the delivered share of the tokens. `quality` and `pixels` are
    what the provider chose, as far as that is known: tokens are told apart by them."""

    request: ImageRequest
    size: Size
    delivered: int
    usage: Usage | None = None
    produced: int | None = None
    quality: str | None = None
    pixels: Pixels | None = None


class Charge(Struct, frozen=True):
    """`tokens` are those that were billed, or would have been: input text, input image, output text, output image."""

    usd_micros: int
    lines: tuple[PriceLine, ...]
    tokens: Counts = _NONE


def quote(catalog: PriceBook, model: Model, request: ImageRequest, size: Size, *, images: int) -> Quote:
    """The price of a task of `images` images (a group call: its max_images) before anything is sent."""
    tariff = tariff_of(catalog, model, None, request.quality, size)
    lines = _lines(tariff, request, images, _estimated(tariff, model, request, images, worst=True))
    worst_usd_micros = _total(tariff, lines)
    hold_usd_micros = max(worst_usd_micros, tariff.minimum_hold_usd_micros)
    return Quote(worst_usd_micros, hold_usd_micros, model, request, images, tariff, tuple(lines))


def charge(catalog: PriceBook, model: Model, bill: Bill) -> Charge:
    """What the caller pays for the images delivered; never more than the quote's worst while the provider's token
    report stays within what the catalog assumes. No image: nothing, whatever was reported."""
    if bill.delivered <= 0:
        return Charge(0, ())
    tariff, lines, tokens, estimated = _due(catalog, model, bill)
    return Charge(_total(tariff, lines), _shown(lines, estimated=estimated), tokens)


def charge_all(catalog: PriceBook, model: Model, bills: Sequence[Bill]) -> Charge:
    """The same where a request was fitted in several ways, with a bill for each: one sum, rounded up once, which the
    dearest of their quotes covers."""
    if len(bills) == 1:
        return charge(catalog, model, bills[0])
    shares, whole, tokens = 0, 1, _NONE
    shown: tuple[PriceLine, ...] = ()
    for bill in bills:
        if bill.delivered > 0:
            tariff, lines, counts, estimated = _due(catalog, model, bill)
            common = lcm(whole, tariff.whole)
            shares = shares * (common // whole) + _shares(lines) * (common // tariff.whole)
            whole, tokens, shown = common, _added(tokens, counts), shown + _shown(lines, estimated=estimated)
    return Charge(round_up(shares, denominator=whole), shown, tokens)


def _due(catalog: PriceBook, model: Model, bill: Bill) -> tuple[Tariff, list[Line], Counts, bool]:
    """By which tariff, for what, for how many tokens, and whether these are estimated."""
    tariff = tariff_of(catalog, model, None, bill.request.quality, bill.size)
    reported = _delivered_share(bill)
    tokens = reported or _estimated(tariff, model, bill.request, bill.delivered, worst=False)
    lines = _lines(tariff, bill.request, bill.delivered, tokens)
    return tariff, lines, tokens, reported is None and tariff.counts_tokens


def cost(catalog: PriceBook, offering: Offering, bill: Bill) -> Charge:
    """What the provider takes from us for everything it produced, delivered or not. An offering
    without cost rows costs nothing; tokens that nobody reported are taken from the model's own table."""
    if not offering.cost:
        return Charge(0, ())
    images, usage = bill.delivered if bill.produced is None else bill.produced, bill.usage
    model = catalog.models.get(bill.request.model)
    tariff = tariff_of(catalog, model, offering, bill.request.quality, bill.size)
    reported = usage is not None and bool(usage.output or not images)
    if usage is not None and reported:
        tokens = _counts(usage)
    else:
        tokens = _estimated(tariff, model, bill.request, images, worst=False)
    lines = _lines(tariff, bill.request, images, tokens)
    return Charge(_total(tariff, lines), _shown(lines, estimated=not reported and tariff.counts_tokens))


# Lines and sums


def _lines(tariff: Tariff, request: ImageRequest, images: int, tokens: Counts) -> list[Line]:
    lines: list[Line] = []
    if tariff.image is not None and images > 0:
        lines.append((tariff.image, images))
    if tariff.input_image is not None and request.images:
        calls = min(1, images) if request.group is not None else images  # that send the input images, at most
        paid = max(0, len(request.images) - tariff.input_image.free_first) * calls
        if paid > 0:
            lines.append((tariff.input_image, paid))
    for place, rate in tariff.tokens:
        if tokens[place] > 0:
            lines.append((rate, tokens[place]))
    if tariff.surcharge is not None and images > 0:
        lines.append((tariff.surcharge, images))
    return lines


def _total(tariff: Tariff, lines: Sequence[Line]) -> int:
    return round_up(_shares(lines), denominator=tariff.whole)


def _shares(lines: Sequence[Line]) -> int:
    shares = 0
    for rate, quantity in lines:
        shares += rate.shares * quantity
    return shares


def _shown(lines: Sequence[Line], *, estimated: bool) -> tuple[PriceLine, ...]:
    """`estimated`: nobody reported the tokens."""
    shown = [
        PriceLine(
            what=rate.what,
            quantity=str(quantity),
            unit=rate.unit,
            unit_usd=rate.unit_usd,
            effective=rate.effective,
            converted=rate.converted,
            assumed=rate.assumed or (estimated and rate.unit == "token"),
        )
        for rate, quantity in lines
    ]
    return tuple(shown)


# Tokens


def told_apart(model: Model | None, bill: Bill) -> Usage | None:
    """The reported tokens of the images produced. A model that always writes besides, and says nothing of it, has its
    text told from its images: what the table and the previews do not account for (an event of a stream splits no
    output: openai-python, types/image_gen_completed_event.py)."""
    usage, images = bill.usage, bill.delivered if bill.produced is None else bill.produced
    if usage is None or usage.output_text or not images or model is None or not model.output_text_tokens:
        return usage
    one = known_tokens(model, bill.quality or bill.request.quality, bill.size.pixels or bill.pixels)
    if one is None:
        return usage
    one += (bill.request.partial_images or 0) * model.partial_image_tokens
    written = max(0, usage.output_image - one * images)
    return replace(usage, output_text=written, output_image=usage.output_image - written)


def _counts(usage: Usage) -> Counts:
    return usage.input_text, usage.input_image, usage.output_text, usage.output_image


def _added(one: Counts, other: Counts) -> Counts:
    text, image, output_text, output_image = (mine + his for mine, his in zip(one, other, strict=True))
    return text, image, output_text, output_image


def _delivered_share(bill: Bill) -> Counts | None:
    """The reported tokens that belong to the delivered images; None when nothing usable was reported."""
    usage = bill.usage
    if usage is None or not usage.output:
        return None
    counts = _counts(usage)
    if bill.produced is None or bill.produced <= bill.delivered:
        return counts
    text, image, output_text, output_image = (count * bill.delivered // bill.produced for count in counts)
    return text, image, output_text, output_image


def _estimated(tariff: Tariff, model: Model | None, request: ImageRequest, images: int, *, worst: bool) -> Counts:
    """The tokens that the rows ask for, inputs counted once per image because providers do. Worst: a text token per
    UTF-8 byte (a byte-level vocabulary never needs more) plus wrapping, all else × 1.25 unless the vendor published it.
    Otherwise a token per four ASCII characters and one per other character, and no margins."""
    if model is None or not tariff.counts_tokens:
        return _NONE
    inputs = len(request.images) + (request.mask is not None)
    per_input = model.input_image_tokens + (model.high_fidelity_tokens if request.input_fidelity == "high" else 0)
    output_text = model.output_text_tokens
    partials = (request.partial_images or 0) * model.partial_image_tokens
    text = _text(model, request)
    if worst:
        per_input, output_text = with_margin(per_input), with_margin(output_text)
        text_tokens = len(text.encode("utf-8", "surrogatepass")) + WRAPPING_TOKENS * (1 + inputs)
    else:
        text_tokens = _usual_text_tokens(text) + USUAL_WRAPPING_TOKENS + USUAL_WRAPPING_PER_IMAGE * inputs
    image_tokens = (tariff.most_tokens if worst else tariff.usual_tokens) + partials
    return text_tokens * images, per_input * inputs * images, output_text * images, image_tokens * images


def _text(model: Model, request: ImageRequest) -> str:
    """All that a provider reads."""
    if model.turns and request.turns:
        said = "".join(part for turn in request.turns for part in turn.parts if isinstance(part, str))
        return f"{request.prompt or ''}{request.negative_prompt or ''}{said}"
    if request.negative_prompt:
        return f"{request.prompt or ''}{request.negative_prompt}"
    return request.prompt or ""


def _usual_text_tokens(text: str) -> int:
    ascii_chars = len(text) if text.isascii() else sum(character < "\x80" for character in text)
    return -(-ascii_chars // CHARS_PER_TOKEN) + len(text) - ascii_chars
