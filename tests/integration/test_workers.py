"""Tasks that wait, over real processes: one gateway takes them, workers run them, and `kill -9` comes at every named
point and at any time. Afterwards every task has ended, every hold is resolved, money is what was delivered, and nothing
was bought a second time. Over SQLite in one data directory, and over PostgreSQL with a data directory for each process,
where nothing but a lease that ran out tells who is dead."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from imageway.core.ops import Store
from imageway.ledger.queries import HoldRow, ListHolds, ListUsage, UsageRow
from imageway.tasks.queries import RunningTasks, Task
from tests.integration.processes import House, Process, call, clean_environment, start, wait_for
from tests.sim.pictures import picture
from tests.store.server import postgres_server

POLLED = {"model": "qwen-image-plus", "prompt": "a boat", "async": True}
PLAIN = {"model": "gpt-image-1", "prompt": "a boat", "size": "1024x1024", "quality": "low", "async": True}
EDIT = {**PLAIN, "image": f"data:image/png;base64,{base64.b64encode(picture('png', 3)).decode()}"}
LIMITS = """
[limits]
lease_s = 2.0
lease_renew_s = 0.5
attempt_deadline_s = 6
queue_poll_s = 0.2
"""
LOOKS_SELDOM = """
[limits]
queue_poll_s = 60
watch_every_s = 60
"""
AT_WORK = ("after_claim", "after_begin", "after_submit", "after_memo", "after_capture")
CHAOS_S = 15


@dataclass
class Yard:
    """A gateway that only takes tasks, workers that only run them, and the providers behind."""

    houses: Iterator[House]
    gatehouse: House
    sandbox: Process
    asked: list[str] = field(default_factory=list)
    opened: list[House] = field(default_factory=list)

    def serve(self, **environment: str) -> Process:
        return self._started(self.gatehouse, ["serve", "--port", "0", "--workers", "0"], environment)

    def work(self, workers: int = 4, **environment: str) -> Process:
        house = next(self.houses)
        self.opened.append(house)
        return self._started(house, ["worker", "--workers", str(workers)], environment)

    def _started(self, house: House, arguments: list[str], environment: dict[str, str]) -> Process:
        log = house.data.parent / "processes.log"
        process = start([*arguments, "--data", str(house.data)], log, {**house.environment, **environment})
        house.running.append(process)
        return process

    def ask(self, gateway: Process, *bodies: object) -> None:
        """An answer that did not come may stand for a task that was accepted all the same: the books know it."""
        for body in bodies:
            answer = call(f"{gateway.url}/v1/images/generations", body, key=self.gatehouse.key)
            assert answer.status == 202, answer.content[:500]
            assert answer.headers["location"] == f"/v1/tasks/{answer.json['id']}"
            self.asked.append(answer.json["id"])

    def submits(self) -> int:
        return len(call(f"{self.sandbox.url}/sandbox/log").json)

    def running(self) -> tuple[Task, ...]:
        return self.gatehouse._with_books(lambda store: store.read(RunningTasks()))

    def check(self, gateway: Process) -> Counter[str]:
        """One checker for each promise. How often tasks ended in which way."""
        wait_for(lambda: not self.running(), seconds=60)
        usage, holds = self.gatehouse._with_books(books)
        ends = {row.request_id: row.outcome for row in usage}
        assert set(self.asked) <= ends.keys(), "every task that was accepted ends"
        assert {row.state for row in holds} <= {"captured", "voided"}, "every hold is resolved"
        assert {row.task_id for row in holds} == ends.keys()
        delivered = sum(row.delivered for row in usage)
        money = self.gatehouse.money()
        assert (money.held, money.spent) == (0, sum(row.price_usd_micros for row in usage))
        assert money.spent == sum(row.captured for row in holds), "money is what was delivered"
        assert delivered <= self.submits() <= len(ends), "nothing is bought twice"
        for task_id, outcome in ends.items():
            shown = call(f"{gateway.url}/v1/tasks/{task_id}", key=self.gatehouse.key).json
            assert shown["status"] == outcome
            assert len(shown["data"]) == (outcome == "succeeded")
            for item in shown["data"]:
                assert call(item["url"]).content.startswith(b"\x89PNG")
        return Counter(ends.values())

    def close(self) -> None:
        for house in (self.gatehouse, *self.opened):
            house.close()
        self.sandbox.kill()


async def books(store: Store) -> tuple[tuple[UsageRow, ...], tuple[HoldRow, ...]]:
    return await store.read(ListUsage()), await store.read(ListHolds())


def _new_database(name: str) -> str:
    async def create() -> None:
        connection = await asyncpg.connect(postgres_server()("postgres"))
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(create())
    return postgres_server()(name)


@contextlib.contextmanager
def _yard(tmp_path: Path, limits: str, database: str) -> Iterator[Yard]:
    """`database` empty: all in one data directory."""
    sandbox = start(["sandbox", "--port", "0", "--latency", "0.1"], tmp_path / "sandbox.log", clean_environment())
    settings = tmp_path / "imageway.toml"
    settings.write_text(limits)
    environment = clean_environment(
        OPENAI_API_KEY="sk-test-openai",
        OPENAI_BASE_URL=f"{sandbox.url}/openai/v1",
        DASHSCOPE_API_KEY="sk-test-dashscope",
        DASHSCOPE_BASE_URL=f"{sandbox.url}/dashscope/api/v1",
        IMAGEWAY_CONFIG=str(settings),
        IMAGEWAY_MEDIA=f"file://{tmp_path}/images",
    )
    if database:
        environment["IMAGEWAY_DATABASE"] = database
    gatehouse = House(tmp_path / "data", environment)
    gatehouse.fund("100")

    def houses() -> Iterator[House]:
        number = 0
        while True:
            number += 1
            data = tmp_path / f"worker-{number}" if database else gatehouse.data
            yield House(data, environment, key=gatehouse.key)

    made = Yard(houses(), gatehouse, sandbox)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Yard]:
    own = _new_database(f"workers_{abs(hash(tmp_path)) % 10**12}") if request.param == "postgres" else ""
    with _yard(tmp_path, LIMITS, own) as made:
        yield made


@pytest.fixture
def slow_yard(tmp_path: Path) -> Iterator[Yard]:
    """Over PostgreSQL, where nobody looks for anything by himself before a minute is over."""
    with _yard(tmp_path, LOOKS_SELDOM, _new_database(f"words_{abs(hash(tmp_path)) % 10**12}")) as made:
        yield made


def test_a_gateway_without_workers_leaves_the_work_to_others(yard: Yard) -> None:
    """What the caller sent is there for whoever runs it, and gone when it has ended."""
    gateway = yard.serve()
    yard.ask(gateway, POLLED, PLAIN, EDIT)
    assert {task.state for task in yard.running()} == {"queued"}
    yard.work()
    assert yard.check(gateway) == {"succeeded": 3}
    assert yard.submits() == 3
    stored = [path.name for path in (yard.gatehouse.data.parent / "images").rglob("*") if path.is_file()]
    assert not [name for name in stored if "input-" in name]


def test_a_worker_that_is_stopped_puts_back_what_it_has_not_sent(yard: Yard) -> None:
    """SIGTERM: exit code 0, and nothing is lost or bought twice."""
    gateway = yard.serve()
    yard.ask(gateway, *[POLLED, PLAIN] * 4)
    worker = yard.work(8)
    wait_for(lambda: yard.submits() > 0)
    assert worker.stop() == 0
    yard.work()
    yard.check(gateway)


@pytest.mark.parametrize("fault", AT_WORK)
def test_workers_die_at_every_point(yard: Yard, fault: str) -> None:
    """The first, the second and the third time they reach it."""
    gateway = yard.serve()
    for count in (1, 2, 3):
        doomed = yard.work(4, IMAGEWAY_FAULT=f"{fault}:{count}")
        yard.ask(gateway, POLLED, PLAIN, POLLED, EDIT, POLLED)
        assert doomed.wait_killed() == -9
    yard.work(8)
    ends = yard.check(gateway)
    if fault == "after_claim":
        assert ends == {"succeeded": 15}, "nothing had been sent"
    assert set(ends) <= {"succeeded", "unknown"}
    assert ends["succeeded"] >= 3


def test_the_gateway_dies_after_it_accepted(yard: Yard) -> None:
    """Its caller may never hear of it, and it runs all the same."""
    yard.work()
    for count in (1, 2, 3):
        doomed = yard.serve(IMAGEWAY_FAULT=f"after_enqueue:{count}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            yard.ask(doomed, POLLED, PLAIN, EDIT)
        assert doomed.wait_killed() == -9
    ends = yard.check(yard.serve())
    assert ends == {"succeeded": 6}


def test_workers_die_at_any_time(yard: Yard) -> None:
    chance = random.Random(7)
    gateway, until_s = yard.serve(), time.monotonic() + CHAOS_S
    workers = [yard.work(), yard.work()]
    while time.monotonic() < until_s:
        yard.ask(gateway, *chance.choices((POLLED, PLAIN, EDIT), k=3))
        time.sleep(chance.uniform(0, 1))
        victim = chance.randrange(2)
        workers[victim].kill()
        workers[victim] = yard.work()
    ends = yard.check(gateway)
    assert set(ends) <= {"succeeded", "unknown"}
    assert ends["succeeded"] > 0


def test_what_happens_in_one_process_is_known_in_the_others_at_once(slow_yard: Yard) -> None:
    """Accepted here and begun there, ended there and told here."""
    gateway = slow_yard.serve()
    slow_yard.work()
    time.sleep(1)  # for the first look
    begin_s = time.monotonic()
    slow_yard.ask(gateway, PLAIN, POLLED)
    for task_id in slow_yard.asked:
        shown = call(f"{gateway.url}/v1/tasks/{task_id}?wait=30", key=slow_yard.gatehouse.key).json
        assert shown["status"] == "succeeded"
    assert time.monotonic() - begin_s < 20


def test_cancelling_reaches_whoever_runs_it(yard: Yard) -> None:
    """A mark in the books is seen within a renewal of the lease; what waits is cancelled where it waits, and free."""
    gateway = yard.serve()
    yard.ask(gateway, PLAIN, POLLED)
    first, second = yard.asked

    def cancel(task_id: str) -> Any:
        return call(f"{gateway.url}/v1/tasks/{task_id}/cancel", b"", key=yard.gatehouse.key)

    assert [cancel(first).status, cancel(first).status] == [200, 200]
    yard.work()
    wait_for(lambda: yard.submits() == 1)
    assert cancel(second).status in (200, 202, 409)
    ends = yard.check(gateway)
    assert ends["cancelled"] >= 1
    assert call(f"{gateway.url}/v1/tasks/{first}", key=yard.gatehouse.key).json["price_usd"] == "0.000000"


def test_what_waited_past_its_deadline_is_cancelled_and_free(yard: Yard) -> None:
    gateway = yard.serve()
    answer = call(
        f"{gateway.url}/v1/images/generations", PLAIN, key=yard.gatehouse.key, headers={"imageway-deadline": "1"}
    )
    shown = call(f"{gateway.url}/v1/tasks/{answer.json['id']}?wait=20", key=yard.gatehouse.key).json
    assert (shown["status"], shown["started"]) == ("cancelled", None)
    assert yard.submits() == 0
    assert yard.check(gateway) == {"cancelled": 1}
