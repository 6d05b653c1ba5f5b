"""One SQLite file, several processes: commands change the books while the gateway serves under load, and neither is
ever told that the database is locked."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.processes import House, call, clean_environment, command

# Quick failures: each is accepted, held for, attempted, given back and recorded, and no picture is drawn.
BODY = {"model": "gpt-image-1", "prompt": "a boat sandbox-fault:error_500"}
CALLERS, TOPUPS = 64, 6


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "data", clean_environment(), ("--sandbox",))
    made.fund("100")
    yield made
    made.close()


def test_wallets_are_topped_up_while_the_gateway_is_under_load(house: House) -> None:
    gateway = house.serve()
    enough = threading.Event()
    statuses: Counter[int] = Counter()

    def keep_calling(_: int) -> None:
        while not enough.is_set():
            statuses[call(f"{gateway.url}/v1/images/generations", BODY, key=house.key).status] += 1

    with ThreadPoolExecutor(CALLERS) as callers:
        load = [callers.submit(keep_calling, number) for number in range(CALLERS)]
        try:
            with ThreadPoolExecutor(2) as operators:
                list(operators.map(lambda _: command("wallet", "topup", "w", "1", data=house.data), range(TOPUPS)))
        finally:
            enough.set()
        for calls in load:
            calls.result(timeout=60)

    assert set(statuses) == {502}
    assert statuses[502] >= CALLERS
    money = house.money()
    assert (money.available, money.held, money.spent) == ((100 + TOPUPS) * 1_000_000, 0, 0)
    log = gateway.log.read_text()
    assert not [word for word in ("locked", "Traceback", "store.failed") if word in log], log[-3000:]


def test_a_wallet_that_fits_so_many_pictures_pays_for_exactly_so_many(house: House) -> None:
    """Whoever comes first: of 64 at once the wallet covers twenty, and nobody is charged for what he did not get."""
    gateway = house.serve()
    key = house.key_for("thrifty", "0.60")
    body = {"model": "qwen-image-plus", "prompt": "a boat", "response_format": "url"}

    def ask(_: int) -> int:
        return call(f"{gateway.url}/v1/images/generations", body, key=key).status

    with ThreadPoolExecutor(CALLERS) as callers:
        assert Counter(callers.map(ask, range(CALLERS))) == {200: 20, 402: CALLERS - 20}
    money = house.money("thrifty")
    assert (money.available, money.held, money.spent) == (0, 0, 600_000)
    assert house.differences() == ()
