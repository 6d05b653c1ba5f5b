"""Money promises of the catalog: what is held, what is charged, what it costs us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageway.catalog import Bill, Charge, Quote, charge, charge_all, cost, load, quote, told_apart
from imageway.catalog.schema import Geometry, Model, Offering, Parameter, Price, Tokens
from imageway.core.money import PriceLine, parse_usd
from imageway.core.requests import Group, ImageLink, ImageRequest, Size, Turn
from imageway.core.steps import Usage
from tests.values import replace

CATALOG = load()
LISTED = CATALOG.on(0)
LINK = ImageLink("https://example.com/cat.png", "image")
KINDS = ("input_text", "input_image", "output_text", "output_image")


@dataclass(frozen=True, eq=False)
class Book:
    models: Mapping[str, Model] = field(default_factory=dict)
    usd_per_cny: Fraction = Fraction("0.125")
    rated: str = "2026-09-01"


BOOK = Book()


def image(amount: str, **conditions: object) -> Price:
    return Price(per="image", amount=amount, **conditions)  # type: ignore[arg-type]


def token(kind: str, amount: str) -> Price:
    return Price(per="token", tokens=kind, amount=amount)  # type: ignore[arg-type]


def model(*prices: Price, geometry: Geometry | None = None, **more: object) -> Model:
    geometry = geometry or Geometry(kind="list", sizes=("1024x1024", "2048x2048"), words=("auto",))
    return Model(id="m", family="f", title="M", geometry=geometry, prices=prices, **more)  # type: ignore[arg-type]


def ask(**more: object) -> ImageRequest:
    return ImageRequest(model="m", **{"prompt": "a cat", **more})  # type: ignore[arg-type]


def worth(lines: tuple[PriceLine, ...]) -> Fraction:
    return sum((Fraction(line.quantity) * Fraction(line.unit_usd) for line in lines), Fraction()) * 1_000_000


SQUARE = Size(1024, 1024)
AUTO = Size(word="auto")
TABLE = (
    Tokens(quality="low", sizes={"1024x1024": 100, "2048x2048": 400}),
    Tokens(quality="medium", sizes={"1024x1024": 300, "2048x2048": 1200}),
    Tokens(quality="high", sizes={"1024x1024": 1000, "2048x2048": 4000}),
)
QUALITY = {"quality": Parameter(type="string", values=("low", "medium", "high", "auto"), default="auto")}
PER_TOKEN = model(token("output_image", "40"), tokens=TABLE, parameters=QUALITY, minimum_hold="0")


# Rows per image


def test_the_first_row_that_applies_is_the_price() -> None:
    tiered = model(image("0.05", max_pixels=1_048_576), image("0.09"))
    assert quote(BOOK, tiered, ask(), SQUARE, images=1).worst_usd_micros == 50_000
    assert quote(BOOK, tiered, ask(), Size(2048, 2048), images=1).worst_usd_micros == 90_000


def test_a_row_must_meet_every_condition() -> None:
    rows = model(image("0.01", tiers=("1K",), qualities=("low",)), image("0.02", tiers=("1K",)), image("0.04"))
    assert quote(BOOK, rows, ask(quality="low"), Size(tier="1K"), images=1).worst_usd_micros == 10_000
    assert quote(BOOK, rows, ask(quality="high"), Size(tier="1K"), images=1).worst_usd_micros == 20_000
    assert quote(BOOK, rows, ask(quality="low"), Size(tier="2K"), images=1).worst_usd_micros == 40_000


def test_a_size_condition_reads_both_spellings_of_pixels() -> None:
    rows = model(image("0.01", sizes=("1024*1024",)), image("0.04"))
    assert quote(BOOK, rows, ask(), SQUARE, images=1).worst_usd_micros == 10_000


@pytest.mark.parametrize("size", [AUTO, Size()])
def test_an_automatic_size_counts_as_the_dearest_row_it_may_become(size: Size) -> None:
    cheap_last = model(image("0.09", sizes=("2048x2048",)), image("0.05"))
    assert quote(BOOK, cheap_last, ask(), size, images=1).worst_usd_micros == 90_000
    assert charge(BOOK, cheap_last, Bill(ask(), size, 1)).usd_micros == 90_000


@pytest.mark.parametrize("quality", [None, "auto"])
def test_an_automatic_quality_counts_as_the_dearest_row_it_may_become(quality: str | None) -> None:
    rows = model(image("0.09", qualities=("high",)), image("0.05", qualities=("low",)), image("0.07"))
    assert quote(BOOK, rows, ask(quality=quality), SQUARE, images=1).worst_usd_micros == 90_000


def test_rows_that_cannot_apply_are_not_the_dearest() -> None:
    """All sizes of the tier are small, so the row for large ones is out of the question."""
    geometry = Geometry(kind="free", sizes=("4096x4096",), size_tiers={"1K": ("1024x1024", "1152x864")}, words=("1K",))
    rows = model(image("0.05", max_pixels=1_048_576), image("0.09"), geometry=geometry)
    assert quote(BOOK, rows, ask(), Size(word="1K"), images=1).worst_usd_micros == 50_000


def test_a_tier_may_be_sent_as_a_word() -> None:
    rows = model(image("0.05", tiers=("1K",)), image("0.09"))
    assert quote(BOOK, rows, ask(), Size(word="1K"), images=1).worst_usd_micros == 50_000


def test_when_no_row_applies_the_dearest_of_all_does() -> None:
    rows = model(image("0.01", qualities=("low",)), image("0.02", qualities=("high",)))
    assert quote(BOOK, rows, ask(quality="ultra"), SQUARE, images=1).worst_usd_micros == 20_000


def test_a_row_that_is_only_shown_is_never_billed() -> None:
    rows = model(
        image("0.09", shown_only=True),
        image("0.04"),
        Price(per="token", tokens="output_image", amount="9", shown_only=True),
    )
    bill = Bill(ask(), SQUARE, 1, Usage(output_image=1_000_000))
    assert charge(BOOK, rows, bill).usd_micros == 40_000
    assert quote(BOOK, rows, ask(), SQUARE, images=1).lines == (
        PriceLine(what="image", quantity="1", unit="image", unit_usd="0.04", effective="2026-01-01"),
    )


def test_k_of_n_images_are_charged_as_k() -> None:
    flat = model(image("0.039"))
    assert quote(BOOK, flat, ask(n=4), SQUARE, images=4).worst_usd_micros == 156_000
    assert charge(BOOK, flat, Bill(ask(n=4), SQUARE, 3)).usd_micros == 117_000


def test_no_image_is_charged_nothing_whatever_was_reported() -> None:
    assert charge(BOOK, PER_TOKEN, Bill(ask(), SQUARE, 0, Usage(output_image=4160))).usd_micros == 0


def test_prices_in_yuan_convert_by_the_rate() -> None:
    assert quote(BOOK, model(image("0.2", currency="CNY")), ask(), SQUARE, images=1).worst_usd_micros == 25_000


def test_what_one_book_said_is_not_repeated_for_another() -> None:
    """Rates are an operator's to override: two catalogs may price the very same row differently."""
    yuan = model(image("0.2", currency="CNY"))
    dearer = Book(usd_per_cny=Fraction("0.25"))
    assert [quote(book, yuan, ask(), SQUARE, images=1).worst_usd_micros for book in (BOOK, dearer)] == [25_000, 50_000]


def test_a_sum_is_rounded_up_once() -> None:
    """Two lines of 0.4 micro-dollars are one micro-dollar, not two."""
    tiny = model(image("0.0000004"), Price(per="input_image", amount="0.0000004"), minimum_hold="0")
    assert charge(BOOK, tiny, Bill(ask(images=(LINK,)), SQUARE, 1)).usd_micros == 1
    assert charge(BOOK, tiny, Bill(ask(images=(LINK,)), SQUARE, 5)).usd_micros == 4


def test_what_was_asked_for_in_several_ways_is_summed_before_it_is_rounded() -> None:
    """Whatever shares of a micro-dollar the rows of each way come in; what was not delivered is not in it."""
    rows = model(
        image("0.0100003", qualities=("low",)),
        image("0.04000025", qualities=("high",)),
        image("0.05", qualities=("none",)),
        token("output_image", "0.5"),
    )
    low, high = Bill(ask(quality="low"), SQUARE, 2), Bill(ask(quality="high"), SQUARE, 3, Usage(output_image=1))
    charged = charge_all(BOOK, rows, (low, high))
    assert charged.usd_micros == charge_all(BOOK, rows, (high, low)).usd_micros == 140_002  # of 140,001.85
    assert charge(BOOK, rows, low).usd_micros + charge(BOOK, rows, high).usd_micros == 140_003
    nothing = Bill(ask(quality="none"), SQUARE, 0, Usage(output_image=10**9))
    assert charge_all(BOOK, rows, (low, nothing, high)) == charged
    assert charge_all(BOOK, rows, (nothing, nothing)) == Charge(0, ())
    assert charge_all(BOOK, rows, (low,)) == charge(BOOK, rows, low)


def test_a_hold_is_never_less_than_the_minimum() -> None:
    cheap = model(image("0.001"), minimum_hold="0.01")
    found = quote(BOOK, cheap, ask(), SQUARE, images=1)
    assert (found.worst_usd_micros, found.expected_usd_micros, found.hold_usd_micros) == (1_000, 1_000, 10_000)
    assert found.lines == (
        PriceLine(what="image", quantity="1", unit="image", unit_usd="0.001", effective="2026-01-01"),
    )


# Input images


def test_the_first_input_images_may_be_free() -> None:
    rows = model(image("0.045"), Price(per="input_image", amount="0.003", free_first=1))
    assert quote(BOOK, rows, ask(images=(LINK,)), SQUARE, images=1).worst_usd_micros == 45_000
    assert quote(BOOK, rows, ask(images=(LINK,) * 3), SQUARE, images=1).worst_usd_micros == 51_000


def test_every_call_pays_its_input_images_and_a_group_is_one_call() -> None:
    rows = model(image("0.01"), Price(per="input_image", amount="0.003"))
    assert quote(BOOK, rows, ask(images=(LINK,)), SQUARE, images=4).worst_usd_micros == 52_000
    assert quote(BOOK, rows, ask(images=(LINK,), group=Group(4)), SQUARE, images=4).worst_usd_micros == 43_000


# Tokens


def test_reported_tokens_are_charged_at_the_price_of_their_kind() -> None:
    rows = model(*(token(kind, amount) for kind, amount in zip(KINDS, ("5", "8", "10", "32"), strict=True)))
    bill = charge(BOOK, rows, Bill(ask(), SQUARE, 1, Usage(27, 194, 262, 1056)))
    assert bill.usd_micros == 27 * 5 + 194 * 8 + 262 * 10 + 1056 * 32
    assert [(line.what, line.quantity, line.unit_usd, line.assumed) for line in bill.lines] == [
        ("input text tokens", "27", "0.000005", False),
        ("input image tokens", "194", "0.000008", False),
        ("output text tokens", "262", "0.00001", False),
        ("output image tokens", "1056", "0.000032", False),
    ]


def test_the_table_says_how_many_tokens_a_known_quality_and_size_take() -> None:
    asked = ask(quality="medium")
    assert quote(BOOK, PER_TOKEN, asked, SQUARE, images=2).worst_usd_micros == 2 * 300 * 40


@pytest.mark.parametrize("quality", [None, "auto"])
def test_automatic_tokens_are_held_as_the_dearest_and_expected_as_medium_1024(quality: str | None) -> None:
    found = quote(BOOK, PER_TOKEN, ask(quality=quality), AUTO, images=1)
    assert (found.worst_usd_micros, found.expected_usd_micros) == (4000 * 40, 300 * 40)


def test_a_size_that_the_table_lacks_counts_as_its_dearest() -> None:
    assert quote(BOOK, PER_TOKEN, ask(quality="low"), Size(800, 600), images=1).worst_usd_micros == 400 * 40


def test_tokens_that_nobody_published_are_held_with_a_quarter_more() -> None:
    table = (Tokens(quality="low", sizes={"1024x1024": 101}, assumed=True),)
    found = quote(BOOK, model(token("output_image", "40"), tokens=table), ask(quality="low"), SQUARE, images=1)
    assert (found.worst_usd_micros, found.expected_usd_micros) == (127 * 40, 101 * 40)
    assert [line.assumed for line in found.lines] == [True]


def test_without_a_report_the_table_is_charged_and_says_so() -> None:
    bill = charge(BOOK, PER_TOKEN, Bill(ask(quality="high"), SQUARE, 2))
    assert (bill.usd_micros, [line.assumed for line in bill.lines]) == (2000 * 40, [True])
    assert charge(BOOK, PER_TOKEN, Bill(ask(quality="high"), SQUARE, 2, Usage(input_text=9))) == bill


def test_tokens_of_images_that_were_not_delivered_are_not_charged() -> None:
    bill = Bill(ask(), SQUARE, 3, Usage(output_image=4000), produced=4)
    assert charge(BOOK, PER_TOKEN, bill).usd_micros == 3000 * 40


def test_a_prompt_is_held_by_its_bytes_and_expected_by_its_letters() -> None:
    rows = model(token("input_text", "5"), minimum_hold="0")
    english = quote(BOOK, rows, ask(prompt="x" * 400), SQUARE, images=1)
    assert (english.worst_usd_micros, english.expected_usd_micros) == ((400 + 32) * 5, (100 + 8) * 5)
    chinese = quote(BOOK, rows, ask(prompt="猫" * 100), SQUARE, images=1)
    assert (chinese.worst_usd_micros, chinese.expected_usd_micros) == ((300 + 32) * 5, (100 + 8) * 5)


def test_a_conversation_pays_for_all_of_its_text() -> None:
    rows = model(token("input_text", "5"), turns=True)
    turns = (Turn("user", ("x" * 1000, LINK)), Turn("model", ("y" * 1000,)))
    found = quote(BOOK, rows, ask(prompt=None, turns=turns), SQUARE, images=1)
    assert found.worst_usd_micros == (2000 + 32) * 5


def test_input_images_high_fidelity_hidden_text_and_partial_images_are_held_too() -> None:
    rows = model(
        *(token(kind, "1") for kind in KINDS),
        tokens=TABLE,
        input_image_tokens=100,
        high_fidelity_tokens=4000,
        output_text_tokens=200,
        partial_image_tokens=100,
    )
    asked = ask(quality="low", images=(LINK,), mask=LINK, input_fidelity="high", partial_images=3)
    held = {line.what: int(line.quantity) for line in quote(BOOK, rows, asked, SQUARE, images=2).lines}
    assert held == {
        "input text tokens": 2 * (5 + 32 * 3),
        "input image tokens": 2 * 2 * 5125,
        "output text tokens": 2 * 250,
        "output image tokens": 2 * (100 + 300),
    }


# What it costs us


def sold(*rows: Price) -> Offering:
    return Offering(provider="p", upstream_name="u", adapter="a", cost=rows)


def test_an_offering_without_cost_rows_costs_nothing() -> None:
    assert cost(BOOK, sold(), Bill(ask(), SQUARE, 3)).usd_micros == 0


def test_cost_is_the_vendors_currency_in_dollars() -> None:
    assert cost(BOOK, sold(image("0.25", currency="CNY")), Bill(ask(), SQUARE, 2)).usd_micros == 62_500


def test_a_line_says_from_what_and_by_which_rate_it_was_converted() -> None:
    tokens = token("output_image", "1.5")
    yuan = sold(image("0.25", currency="CNY"), replace(tokens, currency="CNY"))
    lines = cost(BOOK, yuan, Bill(ask(), SQUARE, 2, Usage(output_image=9))).lines
    assert [line.converted for line in lines] == [
        "0.25 CNY × 0.125 USD of 2026-09-01",
        "1.5 CNY per million × 0.125 USD of 2026-09-01",
    ]
    (dollars,) = cost(BOOK, sold(image("0.25")), Bill(ask(), SQUARE, 2)).lines
    assert b"converted" not in msgspec.json.encode(dollars)


def test_cost_counts_what_was_produced_even_when_nothing_was_delivered() -> None:
    assert cost(BOOK, sold(image("0.04")), Bill(ask(), SQUARE, 0, produced=1)).usd_micros == 40_000
    assert (
        cost(BOOK, sold(token("output_image", "30")), Bill(ask(), SQUARE, 0, Usage(output_image=100))).usd_micros
        == 3_000
    )


def test_a_refusal_costs_the_tokens_that_were_read() -> None:
    assert cost(BOOK, sold(token("input_text", "5")), Bill(ask(), SQUARE, 0, Usage(input_text=100))).usd_micros == 500


def test_cost_in_tokens_without_a_report_comes_from_the_models_table() -> None:
    priced_per_image = model(image("0.04"), tokens=TABLE, parameters=QUALITY)
    book = Book({"m": priced_per_image})
    assert cost(book, sold(token("output_image", "30")), Bill(ask(quality="high"), SQUARE, 2)).usd_micros == 2000 * 30
    assert cost(BOOK, sold(token("output_image", "30")), Bill(ask(quality="high"), SQUARE, 2)).usd_micros == 0


# The whole catalog


def sizes_of(known: Model) -> list[Size]:
    geometry = known.geometry
    found = [Size(), *(Size(word=word) for word in geometry.words)]
    for text in (*geometry.sizes, *(size for sizes in geometry.size_tiers.values() for size in sizes)):
        width, height = map(int, text.replace("*", "x").split("x"))
        found.append(Size(width, height))
    for tier, ratios in geometry.pixels.items():
        for ratio, text in ratios.items():
            width, height = map(int, text.split("x"))
            found.append(Size(width, height, ratio=ratio, tier=tier))
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[Model, ImageRequest, Size, int]:
    known = draw(st.sampled_from(sorted(CATALOG.models)).map(CATALOG.models.__getitem__))
    qualities = known.parameters["quality"].values if "quality" in known.parameters else ()
    images = draw(st.integers(1, 15 if known.group_max_images else 10))
    request = ImageRequest(
        model=known.id,
        prompt=draw(st.text(max_size=200)),
        quality=draw(st.sampled_from([None, *qualities])),
        images=(LINK,) * draw(st.integers(0, known.inputs.maximum)),
        group=Group(images) if known.group_max_images and draw(st.booleans()) else None,
        input_fidelity=draw(st.sampled_from([None, "low", "high"])),
        partial_images=draw(st.sampled_from([None, 0, 3])) if "partial_images" in known.parameters else None,
    )
    return known, request, draw(st.sampled_from(sizes_of(known))), images


@st.composite
def reports(draw: st.DrawFn, held: Quote) -> Usage | None:
    """What a provider may report: nothing, or at most what the hold assumed."""
    if draw(st.booleans()):
        return None
    assumed = {line.what: int(line.quantity) for line in held.lines if line.unit == "token"}
    return Usage(*(draw(st.integers(0, assumed.get(kind.replace("_", " ") + " tokens", 0))) for kind in KINDS))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_what_was_asked_for_in_several_ways_is_one_sum_that_the_dearest_hold_covers(data: st.DataObject) -> None:
    """Images of one request may be made by sellers that were asked for another quality and size each."""
    known, request, size, _ = data.draw(cases())
    request = replace(request, group=None)
    qualities = known.parameters["quality"].values if "quality" in known.parameters else ()
    other = replace(request, quality=data.draw(st.sampled_from([None, *qualities])))
    ways = ((request, size), (other, data.draw(st.sampled_from(sizes_of(known)))))
    bills = []
    for asked, of_size in ways:
        images = data.draw(st.integers(0, 5))
        usage = data.draw(reports(quote(LISTED, known, asked, of_size, images=images)))
        bills.append(Bill(asked, of_size, images, usage))
    delivered = sum(bill.delivered for bill in bills)
    charged, alone = charge_all(LISTED, known, bills), [charge(LISTED, known, bill) for bill in bills]
    assert charged.usd_micros == charge_all(LISTED, known, bills[::-1]).usd_micros
    assert charged.lines == (*alone[0].lines, *alone[1].lines)
    assert charged.tokens == tuple(map(sum, zip(*(one.tokens for one in alone), strict=True)))
    assert 0 <= charged.usd_micros - worth(charged.lines) < 1
    assert charged.usd_micros <= sum(one.usd_micros for one in alone)
    holds = [quote(LISTED, known, asked, of_size, images=delivered).hold_usd_micros for asked, of_size in ways]
    assert charged.usd_micros <= max(holds)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_charge_exceeds_its_hold_and_more_images_never_cost_less(data: st.DataObject) -> None:
    known, request, size, images = data.draw(cases())
    held = quote(LISTED, known, request, size, images=images)
    usage = data.draw(reports(held))
    assert held.hold_usd_micros >= max(held.worst_usd_micros, parse_usd(known.minimum_hold))
    assert held.hold_usd_micros >= 10_000
    assert 0 < held.expected_usd_micros <= held.worst_usd_micros
    assert 0 <= held.worst_usd_micros - worth(held.lines) < 1
    charges = [charge(LISTED, known, Bill(request, size, k, usage)) for k in range(images + 1)]
    assert charges[0].usd_micros == 0
    assert all(less.usd_micros <= more.usd_micros for less, more in pairwise(charges))
    for charged in charges:
        assert charged.usd_micros <= held.worst_usd_micros
        assert 0 <= charged.usd_micros - worth(charged.lines) < 1


@settings(max_examples=200, deadline=None)
@given(case=cases())
def test_every_offering_that_costs_anything_costs_something(case: tuple[Model, ImageRequest, Size, int]) -> None:
    """A condition that no request meets must not make an image look free to us."""
    known, request, size, images = case
    for offering in known.offerings:
        assert (cost(LISTED, offering, Bill(request, size, images)).usd_micros > 0) is bool(offering.cost)


# Text that is written unseen


def streamed(output: int, *, text: int = 0, **about: Any) -> Bill:
    """What an event of a stream brings: output tokens that nobody split."""
    usage = Usage(input_text=10, output_text=text, output_image=output)
    asked = {"quality": "medium", "stream": True, **about.pop("asked", {})}
    return Bill(**{"request": ask(**asked), "size": SQUARE, "delivered": 1, "usage": usage, **about})


HIDDEN = CATALOG.models["gpt-image-1.5"]


@pytest.mark.parametrize(
    ("bill", "tokens"),
    [
        (streamed(1056 + 262), (262, 1056)),
        (streamed(2 * 1056 + 500, delivered=2), (500, 2112)),
        (streamed(1056 + 200 + 262, asked={"partial_images": 2}), (262, 1256)),  # previews are pictures
        (
            streamed(1584 + 300, asked={"quality": "auto"}, size=AUTO, quality="medium", pixels=(1024, 1536)),
            (300, 1584),
        ),
        (streamed(1056, text=262), (262, 1056)),  # somebody split them
        (streamed(1318, asked={"quality": "auto"}), (0, 1318)),  # nobody knows how many a picture took
        (streamed(1318, size=AUTO), (0, 1318)),
        (streamed(1000), (0, 1000)),
    ],
)
def test_tokens_above_those_of_the_picture_are_text_where_a_model_writes_unseen(
    bill: Bill, tokens: tuple[int, int]
) -> None:
    """The whole stays as it was reported, and caller and provider are paid for it by the same counts."""
    usage = told_apart(HIDDEN, bill)
    assert usage is not None
    assert (usage.output_text, usage.output_image) == tokens
    assert replace(usage, output_text=0, output_image=0) == Usage(input_text=10)
    apart = replace(bill, usage=usage, request=replace(bill.request, model=HIDDEN.id))
    charged = charge(LISTED, HIDDEN, apart)
    lines = {line.what: int(line.quantity) for line in charged.lines}
    assert (lines.get("output text tokens", 0), lines["output image tokens"]) == tokens
    assert charged.tokens[2:] == tokens
    assert cost(LISTED, HIDDEN.offerings[0], apart).usd_micros == charged.usd_micros


def test_where_nothing_was_made_tokens_stay_as_they_were_reported() -> None:
    bill = streamed(1318, delivered=0)
    assert told_apart(HIDDEN, bill) is bill.usage


def test_other_models_draw_all_they_report() -> None:
    bill = streamed(1318)
    model = CATALOG.models["gpt-image-1"]
    assert told_apart(model, bill) is bill.usage
    lines = {line.what: line.quantity for line in charge(LISTED, model, bill).lines}
    assert lines["output image tokens"] == "1318"
    assert told_apart(None, bill) is bill.usage
    assert told_apart(HIDDEN, replace(bill, usage=None)) is None
