"""One of several images fails alone, at every provider that gives several in one call: the others come, are all that is
paid for, and the missing one is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from imageway.core.money import parse_usd
from tests.acceptance.tongues import Order, Unified
from tests.integration.processes import House, Process, clean_environment

MAKERS = ("gpt-image-1-mini", "imagen-4.0-fast-generate-001", "qwen-image-2.0")  # which give n in one call


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("partial") / "data", clean_environment(), ("--sandbox",))
    made.fund("20")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.mark.parametrize("model", MAKERS)
def test_the_others_come_and_are_all_that_is_paid(house: House, gateway: Process, model: str) -> None:
    before = house.money()
    order = Order(model=model, prompt="a tree sandbox-fault:item_failed", n=3, pixels=(1024, 1024))
    told = Unified().ask(gateway.url, house.key, order)
    assert told.status == 200, told.whole
    assert len(told.pictures()) == 2
    (warning,) = [each for each in told.warnings if each["code"] == "partial_result"]
    assert "3" in warning["message"]
    (row,) = [row for row in house.usage() if row["request_id"] == told.request_id]
    whole = Unified().ask(gateway.url, house.key, Order(model=model, prompt="a tree", n=1, pixels=(1024, 1024)))
    (single,) = [row for row in house.usage() if row["request_id"] == whole.request_id]
    paid, one = parse_usd(row["price_usd"]), parse_usd(single["price_usd"])
    assert abs(paid - 2 * one) <= one // 4  # where tokens are counted, those of the prompt differ
    assert house.money().spent - before.spent == paid + one
    assert house.money().held == 0
