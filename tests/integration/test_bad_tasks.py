"""Bad input about tasks through a real socket: what is wrong is told, foreign tasks are like those that never were,
limits are kept, and nothing of it costs anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import (
    Answer,
    House,
    Process,
    answer_of,
    assert_told,
    call,
    clean_environment,
    exchange,
    wait_for,
)

PLAIN = {"model": "gpt-image-1", "prompt": "a boat", "size": "1024x1024", "quality": "low"}
AT_ONCE = {**PLAIN, "async": True}
SETTINGS = """
[limits]
queued_per_workspace = 2
keep_images_s = 2
longest_wait_s = 5
longest_deadline_s = 100
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("bad-tasks")
    (folder / "imageway.toml").write_text(SETTINGS)
    made = House(folder / "data", clean_environment(), ("--sandbox", "--config", str(folder / "imageway.toml")))
    made.fund("50")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture
def idle(tmp_path: Path, house: House) -> Iterator[tuple[House, Process]]:
    """A gateway without workers: nothing that waits there is ever begun."""
    made = House(tmp_path / "data", house.environment, (*house.arguments, "--workers", "0"))
    made.fund("50")
    yield made, made.serve()
    made.close()


def post(gateway: Process, key: str, body: object, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(f"{gateway.url}/v1/images/generations", body, key=key, headers=named)


def about(gateway: Process, key: str, path: str, *, method: str = "GET", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(f"{gateway.url}/v1/tasks{path}", b"" if method == "POST" else None, key=key, headers=named)


@pytest.mark.parametrize(
    ("headers", "param"),
    [
        ({"prefer": "respond-async, wait=soon"}, "Prefer"),
        ({"prefer": "respond-async, wait=-1"}, "Prefer"),
        ({"prefer": "respond-async, wait=6"}, "Prefer"),
        ({"imageway_deadline": "soon"}, "Imageway-Deadline"),
        ({"imageway_deadline": "0"}, "Imageway-Deadline"),
        ({"imageway_deadline": "-5"}, "Imageway-Deadline"),
        ({"imageway_deadline": "1e3"}, "Imageway-Deadline"),
        ({"imageway_deadline": "101"}, "Imageway-Deadline"),
    ],
    ids=str,
)
def test_times_that_cannot_be_kept_are_refused(
    house: House, gateway: Process, headers: dict[str, str], param: str
) -> None:
    spent = house.money()
    assert_told(post(gateway, house.key, PLAIN, **headers), 400, "invalid_value", param)
    assert house.money() == spent


def test_a_flag_is_true_or_false(house: House, gateway: Process) -> None:
    assert_told(post(gateway, house.key, {**PLAIN, "async": "later"}), 400, "invalid_type", "async")


@pytest.mark.parametrize("wait", ["6", "-1", "soon", "1e9"])
def test_a_wait_out_of_range_is_refused(house: House, gateway: Process, wait: str) -> None:
    task = post(gateway, house.key, AT_ONCE).json["id"]
    assert_told(about(gateway, house.key, f"/{task}?wait={wait}"), 400, "invalid_value", "wait")
    assert about(gateway, house.key, f"/{task}?wait=5").json["status"] == "succeeded"


@pytest.mark.parametrize("path", ["", "/events", "/cancel"])
def test_tasks_of_others_and_tasks_that_never_were_are_alike(house: House, gateway: Process, path: str) -> None:
    task = post(gateway, house.key, AT_ONCE).json["id"]
    stranger, method = house.key_for("stranger"), "POST" if path == "/cancel" else "GET"
    foreign = assert_told(about(gateway, stranger, f"/{task}{path}", method=method), 404, "task_not_found", "id")
    never = assert_told(about(gateway, house.key, f"/req_0{path}", method=method), 404, "task_not_found", "id")
    assert foreign["message"].replace(task, "") == never["message"].replace("req_0", "")
    assert about(gateway, stranger, "").json == {"object": "list", "data": [], "has_more": False, "next_cursor": None}
    assert about(gateway, house.key, f"/{task}?wait=5").json["status"] == "succeeded"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("after=x", "after"),
        ("status=lost", "status"),
        ("created_after=now", "created_after"),
        ("created_before=-1", "created_before"),
    ],
)
def test_a_list_that_cannot_be_given_is_refused(house: House, gateway: Process, query: str, param: str) -> None:
    assert_told(about(gateway, house.key, f"?{query}"), 400, "invalid_value", param)


def test_cancelling_twice_is_cancelling_once(idle: tuple[House, Process]) -> None:
    house, gateway = idle
    task = post(gateway, house.key, AT_ONCE).json["id"]
    first = about(gateway, house.key, f"/{task}/cancel", method="POST")
    second = about(gateway, house.key, f"/{task}/cancel", method="POST")
    assert (first.status, first.json["status"], second.json) == (200, "cancelled", first.json)
    assert (house.money().held, house.money().spent) == (0, 0)


def test_cancelling_twice_what_runs_on_is_answered_at_once_both_times(house: House, gateway: Process) -> None:
    """202 with the warning: nobody is kept waiting for an end that his wish does not bring."""
    task = post(gateway, house.key, {**AT_ONCE, "prompt": "a boat sandbox-fault:slow"}).json["id"]
    wait_for(lambda: about(gateway, house.key, f"/{task}").json["status"] == "running")
    answers: list[Answer] = []

    def cancel_twice() -> None:
        answers.extend(about(gateway, house.key, f"/{task}/cancel", method="POST") for _ in range(2))

    cancelling = threading.Thread(target=cancel_twice)
    cancelling.start()
    wait_for(lambda: not cancelling.is_alive(), seconds=2.5)  # the fault takes 5 s
    assert [(each.status, each.json["status"]) for each in answers] == [(202, "running")] * 2
    assert [each.json["warnings"][0]["code"] for each in answers] == ["not_cancelled"] * 2
    shown = wait_for(
        lambda: (news := about(gateway, house.key, f"/{task}?wait=5").json)["status"] != "running" and news
    )
    assert shown["status"] == "succeeded"


def test_what_has_ended_cannot_be_cancelled(house: House, gateway: Process) -> None:
    task = post(gateway, house.key, AT_ONCE).json["id"]
    assert about(gateway, house.key, f"/{task}?wait=5").json["status"] == "succeeded"
    assert_told(about(gateway, house.key, f"/{task}/cancel", method="POST"), 409, "task_final", "id")


def test_a_full_line_says_when_to_come_again(idle: tuple[House, Process]) -> None:
    """Other workspaces are not in it; what was refused holds nothing."""
    house, gateway = idle
    assert [post(gateway, house.key, AT_ONCE).status for _ in range(2)] == [202, 202]
    held = house.money().held
    refused = post(gateway, house.key, AT_ONCE)
    assert_told(refused, 429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) > 0
    assert house.money().held == held
    assert post(gateway, house.key_for("other", "5"), AT_ONCE).status == 202
    task = about(gateway, house.key, "?limit=1").json["data"][0]["id"]
    about(gateway, house.key, f"/{task}/cancel", method="POST")
    assert post(gateway, house.key, AT_ONCE).status == 202


def test_a_result_that_expired_says_when(house: House, gateway: Process) -> None:
    """The task stays; who asks for the image itself is told that it is gone, and since when."""
    task = post(gateway, house.key, AT_ONCE).json["id"]
    shown = about(gateway, house.key, f"/{task}?wait=5").json
    (item,) = shown["data"]
    assert call(item["url"]).status == 200
    wait_for(lambda: time.time() > shown["expires"] + 1)
    later = about(gateway, house.key, f"/{task}").json
    assert (later["status"], later["data"], later["expires"]) == ("succeeded", [], shown["expires"])
    gone = call(f"{gateway.url}/v1/images/{task}-0", key=house.key)
    assert "expired at" in assert_told(gone, 410, "link_expired")["message"]
    assert_told(call(item["url"]), 410, "link_expired")


def test_a_page_follows_the_other_without_a_gap(house: House, gateway: Process) -> None:
    key = house.key_for("pages", "5")
    made = [post(gateway, key, PLAIN).headers["x-request-id"] for _ in range(5)]
    seen, after = [], ""
    while True:
        page = about(gateway, key, f"?limit=2{after}").json
        seen += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next_cursor']}"
    assert seen == made[::-1]
    assert len(about(gateway, key, "?status=succeeded,failed").json["data"]) == 5
    assert about(gateway, key, "?status=queued").json["data"] == []
    assert about(gateway, key, "?model=gpt-image-2").json["data"] == []


def test_news_go_on_where_they_were_cut(house: House, gateway: Process) -> None:
    task = post(gateway, house.key, AT_ONCE).json["id"]
    told = about(gateway, house.key, f"/{task}/events").content.decode()
    names = [line.removeprefix("event: ") for line in told.splitlines() if line.startswith("event: ")]
    assert names == ["queued", "started", "attempt", "completed"]
    rest = about(gateway, house.key, f"/{task}/events", last_event_id="3").content.decode()
    assert rest.startswith("id: 4\nevent: completed\n")
    assert about(gateway, house.key, f"/{task}/events", last_event_id="4").status == 204


def test_head_of_news_is_no_news(house: House, gateway: Process) -> None:
    """Nothing is followed for whoever reads nothing."""
    task = post(gateway, house.key, AT_ONCE).json["id"]
    answers = [
        answer_of(
            exchange(
                gateway.url,
                f"HEAD /v1/tasks/{task}{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {house.key}\r\n"
                "connection: close\r\n\r\n".encode(),
            )
        )
        for path in ("/events", "?wait=5")
    ]
    assert [(answer.status, answer.content) for answer in answers] == [(200, b"")] * 2
    assert answers[0].headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answers[0].headers["x-request-id"].startswith("req_")
    assert "never retrieved" not in gateway.log.read_text()
    assert "was destroyed but it is pending" not in gateway.log.read_text()


def test_who_waits_a_little_gets_the_picture_or_the_task(house: House, gateway: Process) -> None:
    key = house.key_for("hasty", "5")
    soon = post(gateway, key, PLAIN, prefer="respond-async, wait=5")
    assert (soon.status, len(soon.json["data"])) == (200, 1)
    late = post(gateway, key, {**PLAIN, "prompt": "a boat sandbox-fault:slow"}, prefer="respond-async, wait=0.2")
    assert (late.status, late.json["status"]) == (202, "running")
    refused = post(gateway, key, {**PLAIN, "prompt": "forbidden"}, prefer="respond-async, wait=5")
    assert_told(refused, 400, "content_policy_violation")
