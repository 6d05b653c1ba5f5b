"""One key, one purchase, whichever process is asked: two on one file, two on one PostgreSQL, and one that is killed
between the acceptance and the settlement."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from tests.integration.processes import Answer, House, Process, call, clean_environment, start, wait_for
from tests.store.server import postgres_server

POLLED = {"model": "qwen-image-plus", "prompt": "a boat", "response_format": "b64_json"}
SYNC = {"model": "gpt-image-1", "prompt": "a boat", "size": "1024x1024", "quality": "low"}
SHORT_LEASE = "[limits]\nlease_s = 2.0\nlease_renew_s = 0.5\n"
CROWD = 64


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Process]:
    process = start(["sandbox", "--port", "0", "--latency", "0.4"], tmp_path / "sandbox.log", clean_environment())
    yield process
    process.kill()


def environment_of(tmp_path: Path, sandbox: Process, **more: str) -> dict[str, str]:
    settings = tmp_path / "imageway.toml"
    settings.write_text(SHORT_LEASE)
    return clean_environment(
        OPENAI_API_KEY="sk-test-openai",
        OPENAI_BASE_URL=f"{sandbox.url}/openai/v1",
        DASHSCOPE_API_KEY="sk-test-dashscope",
        DASHSCOPE_BASE_URL=f"{sandbox.url}/dashscope/api/v1",
        IMAGEWAY_CONFIG=str(settings),
        **more,
    )


@pytest.fixture
def house(tmp_path: Path, sandbox: Process) -> Iterator[House]:
    """One data directory, for any number of processes on its file."""
    made = House(tmp_path / "data", environment_of(tmp_path, sandbox))
    made.fund("1")
    yield made
    made.close()


@pytest.fixture
def replicas(tmp_path: Path, sandbox: Process) -> Iterator[tuple[House, House]]:
    """Two data directories on one new database, and one media store, as on two machines."""
    name = f"replays_{tmp_path.name}".lower().replace("-", "_")[:60]

    async def create() -> None:
        connection = await asyncpg.connect(postgres_server()("postgres"))
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(create())
    shared = {"IMAGEWAY_DATABASE": postgres_server()(name), "IMAGEWAY_MEDIA": f"file:{tmp_path / 'media'}"}
    environment = environment_of(tmp_path, sandbox, **shared)
    first, second = (House(tmp_path / place, environment) for place in ("one", "two"))
    second.key = first.fund("1")
    yield first, second
    for each in (first, second):
        each.close()


def submits(sandbox: Process) -> int:
    return len(call(f"{sandbox.url}/sandbox/log").json)


def ask(gateway: Process, key: str, body: object = POLLED) -> Answer:
    headers = {"idempotency-key": "one"}
    return call(f"{gateway.url}/v1/images/generations", body, key=key, headers=headers)


def crowd_buys_once(gateways: list[Process], house: House, sandbox: Process) -> None:
    with ThreadPoolExecutor(CROWD) as callers:
        answers = list(callers.map(lambda number: ask(gateways[number % 2], house.key), range(CROWD)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["data"][0]["b64_json"] for answer in answers}) == 1
    assert len({answer.headers["x-request-id"] for answer in answers}) == 1
    assert ["idempotency-replayed" in answer.headers for answer in answers].count(False) == 1
    assert submits(sandbox) == 1
    assert (house.money().spent, house.money().held, len(house.usage())) == (30_000, 0, 1)


def test_a_crowd_buys_once_on_one_file(house: House, sandbox: Process) -> None:
    """Sixty-four at once, at two processes: sixty-four equal answers."""
    crowd_buys_once([house.serve(), house.serve()], house, sandbox)


def test_a_crowd_buys_once_on_postgresql(replicas: tuple[House, House], sandbox: Process) -> None:
    crowd_buys_once([each.serve() for each in replicas], replicas[0], sandbox)


@pytest.mark.parametrize("fault", ["after_accept", "after_submit"])
@pytest.mark.parametrize("body", [SYNC, POLLED], ids=["sync", "polled"])
def test_who_comes_back_after_a_kill_does_not_buy_again(
    house: House, sandbox: Process, fault: str, body: object
) -> None:
    """Nobody knows what became of it: his second try is told so, sends nothing, and so is his third."""
    doomed = house.serve(IMAGEWAY_FAULT=f"{fault}:1")
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(doomed, house.key, body)
    assert doomed.wait_killed() == -9
    sent = submits(sandbox)
    gateway = house.serve()
    for _ in range(2):
        told = ask(gateway, house.key, body)
        assert (told.status, told.json["error"]["code"]) == (504, "request_timeout")
        assert (told.headers["x-should-retry"], told.headers["idempotency-replayed"]) == ("false", "true")
    assert submits(sandbox) == sent <= 1
    assert [row["outcome"] for row in house.usage()] == ["unknown"]
    assert house.money().spent == house.money().held == 0


def test_who_comes_back_gets_what_was_resumed(replicas: tuple[House, House], sandbox: Process) -> None:
    """Killed while it polled; the other process, of which he asks the same, goes on reading and he gets the image."""
    first, second = replicas
    doomed = first.serve(IMAGEWAY_FAULT="after_memo:1")
    heir = second.serve()
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(doomed, first.key)
    assert doomed.wait_killed() == -9
    answer = ask(heir, second.key)
    assert (answer.status, answer.headers["idempotency-replayed"]) == (200, "true")
    assert submits(sandbox) == 1
    (row,) = wait_for(second.usage)
    assert (row["request_id"], row["outcome"], row["price_usd"]) == (answer.json["request_id"], "succeeded", "0.030000")
    assert second.money().spent == 30_000


@pytest.mark.parametrize("fault", ["after_capture", "before_last_byte"])
def test_what_was_paid_for_is_had_after_a_kill(house: House, sandbox: Process, fault: str) -> None:
    """The images were stored before the charge: the answer that was cut off comes whole the second time, and the charge
    stays."""
    doomed = house.serve(IMAGEWAY_FAULT=f"{fault}:1")
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(doomed, house.key)
    assert doomed.wait_killed() == -9
    answer = ask(house.serve(), house.key)
    assert (answer.status, answer.headers["idempotency-replayed"]) == (200, "true")
    assert (submits(sandbox), house.money().spent, len(house.usage())) == (1, 30_000, 1)
