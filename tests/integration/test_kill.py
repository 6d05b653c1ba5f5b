"""`kill -9` at named points, then a restart on the same data: the books balance, nothing is bought twice, what can be
resumed is delivered, what was charged and not delivered is given back."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.integration.processes import Answer, House, Process, call, clean_environment, start, wait_for

SYNC = {"model": "gpt-image-1", "prompt": "a boat", "size": "1024x1024", "quality": "low"}
POLLED = {"model": "qwen-image-plus", "prompt": "a boat", "response_format": "b64_json"}


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Process]:
    process = start(["sandbox", "--port", "0", "--latency", "0.2"], tmp_path / "sandbox.log", clean_environment())
    yield process
    process.kill()


@pytest.fixture
def house(tmp_path: Path, sandbox: Process) -> Iterator[House]:
    environment = clean_environment(
        OPENAI_API_KEY="sk-test-openai",
        OPENAI_BASE_URL=f"{sandbox.url}/openai/v1",
        DASHSCOPE_API_KEY="sk-test-dashscope",
        DASHSCOPE_BASE_URL=f"{sandbox.url}/dashscope/api/v1",
    )
    made = House(tmp_path / "data", environment)
    made.fund()
    yield made
    made.close()


@pytest.fixture
def pretend_house(tmp_path: Path) -> Iterator[House]:
    """The pretend providers live, and die, within the gateway's own process."""
    made = House(tmp_path / "data", clean_environment(), ("--sandbox",))
    made.fund()
    yield made
    made.close()


def submits(sandbox: Process) -> int:
    """Generation submits that reached the providers."""
    return len(call(f"{sandbox.url}/sandbox/log").json)


def ask_and_die(house: House, fault: str, body: object) -> None:
    gateway = house.serve(IMAGEWAY_FAULT=f"{fault}:1")
    with pytest.raises((OSError, http.client.HTTPException)):
        call(f"{gateway.url}/v1/images/generations", body, key=house.key)
    assert gateway.wait_killed() == -9


def start_and_die(house: House, fault: str) -> None:
    """A process that dies of what it took over, maybe before it could say that it was ready."""
    command = [sys.executable, "-m", "imageway.cli.main", "serve", "--port", "0", "--data", str(house.data)]
    environment = {**house.environment, "IMAGEWAY_FAULT": f"{fault}:1"}
    died = subprocess.run([*command, *house.arguments], env=environment, capture_output=True, timeout=30, check=False)
    assert died.returncode == -9, died.stderr[-2000:]


def balanced(house: House) -> bool:
    wallet = house.wallet()
    total = sum(Decimal(wallet[name]) for name in ("available_usd", "held_usd", "spent_usd"))
    assert total == Decimal(10), wallet
    return Decimal(wallet["held_usd"]) == 0


@pytest.mark.parametrize("fault", ["after_accept", "after_submit"])
@pytest.mark.parametrize("body", [SYNC, POLLED], ids=["sync", "polled"])
def test_lost_without_a_trace_is_unknown_and_free(house: House, sandbox: Process, fault: str, body: object) -> None:
    """Nobody can say what became of the submit: it is not sent again, and the hold goes back."""
    ask_and_die(house, fault, body)
    sent = submits(sandbox)
    house.serve()
    wait_for(lambda: balanced(house))
    assert submits(sandbox) == sent <= 1
    assert house.wallet()["spent_usd"] == "0.000000"
    assert [row["outcome"] for row in house.usage()] == ["unknown"]


def test_a_polled_task_is_resumed_and_delivered(house: House, sandbox: Process) -> None:
    """Its memo was durable: another process goes on reading, and the picture can be fetched by the request's id."""
    ask_and_die(house, "after_memo", POLLED)
    gateway = house.serve()
    wait_for(lambda: balanced(house) and house.usage())
    (row,) = house.usage()
    assert (row["outcome"], row["delivered"], row["price_usd"]) == ("succeeded", 1, "0.030000")
    assert submits(sandbox) == 1
    task = call(f"{gateway.url}/v1/tasks/{row['request_id']}", key=house.key).json
    picture = call(task["data"][0]["url"])
    assert picture.status == 200
    assert picture.content.startswith(b"\x89PNG")


@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_a_pretend_task_survives_the_process_it_lived_in(pretend_house: House, deaths: int) -> None:
    """With `--sandbox` too the provider remembers what it accepted, as often as the process that holds it is killed."""
    house = pretend_house
    ask_and_die(house, "after_memo", POLLED)
    for _ in range(deaths - 1):
        start_and_die(house, "after_memo")
    gateway = house.serve()
    wait_for(lambda: balanced(house) and house.usage())
    (row,) = house.usage()
    assert (row["outcome"], row["delivered"], row["price_usd"]) == ("succeeded", 1, "0.030000")
    assert house.wallet()["spent_usd"] == "0.030000"
    task = call(f"{gateway.url}/v1/tasks/{row['request_id']}", key=house.key).json
    assert call(task["data"][0]["url"]).content.startswith(b"\x89PNG")
    assert len(list((house.data / "sandbox" / "tasks").iterdir())) == 1


@pytest.mark.parametrize("fault", ["after_capture", "before_last_byte"])
@pytest.mark.parametrize("body", [SYNC, POLLED], ids=["sync", "polled"])
def test_a_charge_without_delivery_is_given_back(house: House, sandbox: Process, fault: str, body: object) -> None:
    ask_and_die(house, fault, body)
    house.serve()
    wait_for(lambda: house.wallet()["spent_usd"] == "0.000000")
    assert balanced(house)
    assert [row["delivery"] for row in house.usage()] == ["refunded"]
    assert submits(sandbox) == 1


def test_a_stored_answer_survives_and_stays_charged(house: House) -> None:
    """Links were durable before the charge: the pictures are there for whoever asks by id."""
    ask_and_die(house, "after_capture", {**SYNC, "response_format": "url"})
    gateway = house.serve()
    (row,) = house.usage()
    assert row["delivery"] == "stored"
    task = call(f"{gateway.url}/v1/tasks/{row['request_id']}", key=house.key).json
    assert call(task["data"][0]["url"]).status == 200
    assert balanced(house)


def test_sigterm_drains_and_exits_zero(house: House) -> None:
    """What is under way is answered; then the process ends by itself."""
    gateway = house.serve()
    answers = []
    url = f"{gateway.url}/v1/images/generations"
    asking = threading.Thread(target=lambda: answers.append(call(url, POLLED, key=house.key)))
    asking.start()
    wait_for(lambda: house.wallet()["held_usd"] != "0.000000")
    assert gateway.stop() == 0
    asking.join(timeout=20)
    assert answers[0].status == 200


def test_what_the_drain_cannot_wait_for_is_answered_all_the_same(tmp_path: Path) -> None:
    """SIGTERM with a short drain: every open request gets an answer in its dialect, none is charged without a picture,
    and none may be sent again by a client that resends what failed."""
    slow = start(["sandbox", "--port", "0", "--latency", "20"], tmp_path / "slow.log", clean_environment())
    keys = {"OPENAI_API_KEY": "sk-test", "DASHSCOPE_API_KEY": "sk-test"}
    addresses = {
        "OPENAI_BASE_URL": f"{slow.url}/openai/v1",
        "DASHSCOPE_BASE_URL": f"{slow.url}/dashscope/api/v1",
    }
    house = House(tmp_path / "data", clean_environment(**keys, **addresses), ("--drain", "1"))
    house.fund()
    gateway = house.serve()
    answers: list[Answer] = []
    url = f"{gateway.url}/v1/images/generations"
    asking = [
        threading.Thread(target=lambda body=body: answers.append(call(url, body, key=house.key)))
        for body in (SYNC, POLLED)
    ]
    for thread in asking:
        thread.start()
    wait_for(lambda: submits(slow) == 2)
    time.sleep(1.5)  # the polled one has its memo by now
    assert gateway.stop() == 0
    for thread in asking:
        thread.join(timeout=20)
    assert [answer.status for answer in answers] == [504, 504]
    assert all(answer.headers["x-should-retry"] == "false" for answer in answers)
    assert all(answer.json["error"]["request_id"].startswith("req_") for answer in answers)
    house.close()
    slow.kill()
