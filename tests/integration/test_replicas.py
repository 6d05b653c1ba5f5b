"""Two gateways on one PostgreSQL: they share wallets and keys, and one takes over what the other leaves when it is
killed, once its lease has run out, since nothing on another machine could prove it dead sooner."""

from __future__ import annotations

import asyncio
import http.client
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from tests.integration.processes import House, Process, call, clean_environment, start, wait_for
from tests.store.server import postgres_server

POLLED = {"model": "qwen-image-plus", "prompt": "a boat", "response_format": "b64_json"}
CALLERS = 64
SHORT_LEASE = "[limits]\nlease_s = 2.0\nlease_renew_s = 0.5\n"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Process]:
    process = start(["sandbox", "--port", "0"], tmp_path / "sandbox.log", clean_environment())
    yield process
    process.kill()


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A new database on the server that the tests of the store use."""
    name = f"replicas_{tmp_path.name}".lower().replace("-", "_")[:60]

    async def create() -> None:
        connection = await asyncpg.connect(postgres_server()("postgres"))
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(create())
    return postgres_server()(name)


@pytest.fixture
def houses(tmp_path: Path, sandbox: Process, database: str) -> Iterator[tuple[House, House]]:
    """Each with a data directory of its own, as on two machines."""
    settings = tmp_path / "imageway.toml"
    settings.write_text(SHORT_LEASE)
    environment = clean_environment(
        DASHSCOPE_API_KEY="sk-test",
        DASHSCOPE_BASE_URL=f"{sandbox.url}/dashscope/api/v1",
        IMAGEWAY_DATABASE=database,
        IMAGEWAY_CONFIG=str(settings),
    )
    first, second = (House(tmp_path / name, environment) for name in ("one", "two"))
    second.key = first.fund("1")
    yield first, second
    for house in (first, second):
        house.close()


def test_one_takes_over_what_the_other_left(houses: tuple[House, House], sandbox: Process) -> None:
    """Submitted once, delivered once, charged once."""
    first, second = houses
    doomed = first.serve(IMAGEWAY_FAULT="after_memo:1")
    heir = second.serve()
    with pytest.raises((OSError, http.client.HTTPException)):
        call(f"{doomed.url}/v1/images/generations", POLLED, key=first.key)
    assert doomed.wait_killed() == -9
    (row,) = wait_for(second.usage, seconds=30)
    assert (row["outcome"], row["delivered"], row["price_usd"]) == ("succeeded", 1, "0.030000")
    task = call(f"{heir.url}/v1/tasks/{row['request_id']}", key=first.key).json
    assert call(task["data"][0]["url"]).content.startswith(b"\x89PNG")
    assert len(call(f"{sandbox.url}/sandbox/log").json) == 1
    assert second.wallet() == {
        "workspace": "w",
        "available_usd": "0.970000",
        "held_usd": "0.000000",
        "spent_usd": "0.030000",
    }


def test_one_wallet_is_never_spent_twice(houses: tuple[House, House]) -> None:
    """One dollar pays for 33 pictures of three cents, whichever gateway is asked, however many ask at once; and every
    row that this leaves agrees with every other."""
    gateways = [house.serve() for house in houses]

    def ask(number: int) -> int:
        url = f"{gateways[number % 2].url}/v1/images/generations"
        return call(url, {**POLLED, "response_format": "url"}, key=houses[0].key).status

    with ThreadPoolExecutor(CALLERS) as callers:
        assert sorted(callers.map(ask, range(CALLERS))) == [200] * 33 + [402] * (CALLERS - 33)
    assert Decimal(houses[1].wallet()["spent_usd"]) == Decimal("0.99")
    assert Counter(row["outcome"] for row in houses[1].usage()) == {"succeeded": 33}
    assert houses[1].differences() == ()
