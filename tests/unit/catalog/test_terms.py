"""Prices on a day, and as one caller pays them."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageway.catalog import Bill, charge, cost, quote
from imageway.catalog.schema import Offering, Price
from imageway.catalog.terms import bought, in_force, price_rows, sold
from imageway.core.access import CATALOG_TERMS, Terms
from imageway.core.steps import Usage
from tests.unit.catalog.test_pricing import BOOK, PER_TOKEN, SQUARE, ask, image, model

DAY = date(2026, 11, 1).toordinal() - date(1970, 1, 1).toordinal()


def image_on(day: str, amount: str, **conditions: object) -> Price:
    return image(amount, effective=day, **conditions)


def test_the_row_that_became_effective_last_counts() -> None:
    rows = (image_on("2026-01-01", "0.04"), image_on("2026-10-31", "0.05"), image_on("2026-11-02", "0.06"))
    assert [row.amount for row in in_force(rows, DAY)] == ["0.05"]
    assert [row.amount for row in in_force(rows, DAY + 1)] == ["0.06"]
    assert [row.amount for row in in_force(rows[::-1], DAY)] == ["0.05"]


def test_rows_with_other_conditions_stay_beside_it_in_their_order() -> None:
    high = image_on("2026-01-01", "0.17", qualities=("high",))
    rows = (high, image_on("2026-01-01", "0.04"), image_on("2026-10-01", "0.05"))
    assert in_force(rows, DAY) == (high, rows[2])


def test_nothing_is_sold_for_nothing_before_its_first_day() -> None:
    rows = (image_on("2027-02-01", "0.05"), image_on("2027-01-01", "0.04"))
    assert in_force(rows, DAY) == (rows[1],)


def test_a_model_without_terms_or_superseded_rows_is_itself() -> None:
    known = model(image("0.04"))
    assert sold(known, CATALOG_TERMS, DAY) is known
    assert sold(known, Terms(rule_ids=("rule_1",), steps=((1_100_000, 0),)), DAY) is sold(
        known, Terms(rule_ids=("rule_1",), steps=((1_100_000, 0),)), DAY
    )


@pytest.mark.parametrize(
    ("steps", "usd_micros"),
    [
        (((1_200_000, 0),), 2 * 48_000),
        (((1_000_000, 5_000),), 2 * 45_000),
        (((1_200_000, 5_000),), 2 * 53_000),
        (((1_200_000, 5_000), (500_000, 1)), 2 * 26_501),
        (((0, 0),), 0),
    ],
)
def test_each_step_multiplies_everything_and_then_adds_for_each_image(
    steps: tuple[tuple[int, int], ...], usd_micros: int
) -> None:
    changed = sold(model(image("0.04")), Terms(steps=steps), DAY)
    assert quote(BOOK, changed, ask(n=2), SQUARE, images=2).worst_usd_micros == usd_micros
    assert charge(BOOK, changed, Bill(ask(n=2), SQUARE, 2)).usd_micros == usd_micros


def test_what_is_added_is_a_line_of_its_own() -> None:
    changed = sold(model(image("0.04")), Terms(steps=((1_500_000, 2_500),)), DAY)
    lines = charge(BOOK, changed, Bill(ask(), SQUARE, 1)).lines
    assert [(line.what, line.quantity, line.unit_usd) for line in lines] == [
        ("image", "1", "0.06"),
        ("surcharge", "1", "0.0025"),
    ]


def test_tokens_are_multiplied_too() -> None:
    usage = Usage(output_image=1000)
    plain = charge(BOOK, PER_TOKEN, Bill(ask(), SQUARE, 1, usage)).usd_micros
    dearer = sold(PER_TOKEN, Terms(steps=((1_250_000, 10),)), DAY)
    assert charge(BOOK, dearer, Bill(ask(), SQUARE, 1, usage)).usd_micros == plain * 5 // 4 + 10


def test_rows_of_an_operator_stand_in_place_of_the_models_own() -> None:
    rows = msgspec.json.encode([{"per": "image", "amount": "0.01"}])
    changed = sold(model(image("0.04")), Terms(steps=((2_000_000, 0),), rows=rows), DAY)
    assert charge(BOOK, changed, Bill(ask(), SQUARE, 1)).usd_micros == 20_000


@pytest.mark.parametrize("written", [b'[{"per":"picture","amount":"1"}]', b'[{"per":"image"}]', b'{"per":"image"}'])
def test_rows_that_are_none_are_refused(written: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        price_rows(written)


def test_costs_have_their_days_as_well() -> None:
    rows = (image_on("2026-01-01", "0.04"), image_on("2026-11-02", "0.03"))
    offering = Offering(provider="p", upstream_name="u", adapter="a", cost=rows)
    assert cost(BOOK, bought(offering, DAY), Bill(ask(), SQUARE, 1)).usd_micros == 40_000
    assert cost(BOOK, bought(offering, DAY + 1), Bill(ask(), SQUARE, 1)).usd_micros == 30_000


@given(
    amount=st.decimals(min_value="0.000001", max_value="10", places=6),
    steps=st.lists(st.tuples(st.integers(0, 5_000_000), st.integers(0, 50_000)), max_size=3),
    images=st.integers(1, 10),
)
def test_the_sum_is_exact_and_rounded_up_once(amount: object, steps: list[tuple[int, int]], images: int) -> None:
    price = Fraction(str(amount)) * 1_000_000
    for millionths, added in steps:
        price = price * millionths / 1_000_000 + added
    changed = sold(model(image(str(amount))), Terms(steps=tuple(steps)), DAY)
    charged = charge(BOOK, changed, Bill(ask(n=images), SQUARE, images)).usd_micros
    assert charged == -(-price * images // 1)
