"""One sandbox: prefixes, the log, files by URL, latency, and every fault by name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest

from imageway.sandbox import Room, journal, open_sandbox
from imageway.sandbox.cabinets import LIFETIME_S
from imageway.sandbox.faults import FAULTS, fault_by_chance
from tests.unit.sandbox.asking import Answered, ask, handed, picture

GENERATIONS = "/openai/v1/images/generations"
BODY = {"model": "gpt-image-2", "prompt": "a fox", "size": "1024x1024", "quality": "low"}
STREAM = {**BODY, "size": "1024x640", "stream": True, "partial_images": 2}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, on a clock that runs ahead by itself."""
    waited: list[float] = []
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await real_sleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return waited


async def submit(room: Room, fault: str = "", **changes: object) -> Answered:
    headers = {"x-sandbox-fault": fault} if fault else {}
    return await ask(room, GENERATIONS, {**BODY, **changes}, headers=headers)


async def test_an_unknown_place_names_the_known_ones(room: Room) -> None:
    answer = await ask(room, "/elsewhere")
    assert answer.status == 404
    assert "/dashscope/api/v1" in answer.json["error"]["message"]


async def test_every_submit_is_logged_once_whatever_becomes_of_it(room: Room) -> None:
    await submit(room)
    await submit(room, size="1x1")
    await submit(room, "rate_limit")
    with pytest.raises(ConnectionResetError):
        await submit(room, "reset_before")
    await ask(room, "/openai/v1/models")
    assert [entry.outcome for entry in room.journal.entries] == ["200", "400", "429 rate_limit", "reset_before"]
    logged = (await ask(room, "/sandbox/log")).json
    assert logged[0]["model"] == "gpt-image-2"
    assert logged[0]["prompt"] == "a fox"
    assert logged[1]["prompt"] == "a fox"


def test_an_unknown_fault_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match='"melt" is not a fault; accepted are rate_limit,'):
        open_sandbox(faults={"melt": 0.1})
    with pytest.raises(ValueError, match="not a probability"):
        open_sandbox(faults={"late": 1.5})
    with pytest.raises(ValueError, match="add up"):
        open_sandbox(faults={"late": 0.6, "slow": 0.6})


async def test_an_unknown_fault_in_a_request_is_refused_too(room: Room) -> None:
    for answer in (await submit(room, "melt"), await submit(room, prompt="sandbox-fault:melt")):
        assert answer.status == 400
        assert "reset_before" in answer.json["error"]["message"]


async def test_rates_are_kept_and_seeded() -> None:
    """A fifth of the submits, the same ones for the same seed."""

    async def outcomes(seed: int) -> list[str]:
        room = open_sandbox(faults={"rate_limit": 0.2, "error_500": 0.2}, random_seed=seed)
        for _ in range(40):
            await submit(room, prompt="x", size="1024x640", output_format="jpeg")
        return [entry.outcome for entry in room.journal.entries]

    first = await outcomes(3)
    assert first == await outcomes(3)
    assert 2 <= first.count("429 rate_limit") <= 16
    assert 2 <= first.count("500 error_500") <= 16


def test_one_draw_decides_between_all_rates() -> None:
    class Fixed:
        def random(self) -> float:
            return 0.25

    assert fault_by_chance({"late": 0.2, "slow": 0.1}, Fixed()) == "slow"  # type: ignore[arg-type]
    assert fault_by_chance({"late": 0.2}, Fixed()) is None  # type: ignore[arg-type]


async def test_a_rate_limit_carries_a_hint_only_when_it_should(room: Room) -> None:
    hinted, bare = await submit(room, "rate_limit"), await submit(room, prompt="sandbox-fault:rate_limit_bare")
    assert (hinted.status, bare.status) == (429, 429)
    assert hinted.headers["retry-after"] == "1"
    assert "retry-after" not in bare.headers


async def test_html_and_empty_are_200_without_a_picture(room: Room) -> None:
    page, empty = await submit(room, "html"), await submit(room, "empty")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (empty.status, empty.json["data"]) == (200, [])


@pytest.mark.parametrize(("fault", "least"), [("reset_after", 0), ("truncated", 10_000), ("reset_mid", 10_000)])
async def test_a_cut_answer_promises_more_than_it_gives(room: Room, fault: str, least: int) -> None:
    answer = await handed(room, GENERATIONS, BODY, headers={"x-sandbox-fault": fault})
    promised, given = int(dict(answer.headers)["content-length"]), 0
    try:
        async for chunk in answer.chunks:
            given += len(chunk)
    except ConnectionResetError:
        assert least <= given < promised
    else:
        pytest.fail("the answer was not cut")


async def test_an_error_event_without_a_stream_is_the_providers_500(room: Room) -> None:
    assert (await submit(room, "error_event")).status == 500


async def read_until_cut(room: Room, fault: str, **changes: object) -> tuple[bytes, bool]:
    """What arrives of a stream, and whether it was cut."""
    answer = await handed(room, GENERATIONS, {**STREAM, **changes}, headers={"x-sandbox-fault": fault})
    arrived = b""
    try:
        async for chunk in answer.chunks:
            arrived += chunk
    except ConnectionResetError:
        return arrived, True
    return arrived, False


async def test_a_stream_dies_after_its_first_event(room: Room) -> None:
    arrived, was_cut = await read_until_cut(room, "reset_mid")
    assert was_cut
    assert [name for name, _ in Answered(200, {}, arrived).events] == ["image_generation.partial_image"]
    assert room.journal.entries[-1].outcome == "200 reset_mid"
    assert await read_until_cut(room, "reset_after") == (b"", True)


async def test_half_a_stream_ends_as_if_that_were_all(room: Room) -> None:
    arrived, was_cut = await read_until_cut(room, "truncated")
    assert not was_cut
    assert arrived.count(b"event: ") == 2
    assert not arrived.endswith(b"\n\n")
    assert b"completed" not in arrived


async def test_a_stream_falls_silent_after_its_first_event(room: Room, waits: list[float]) -> None:
    arrived, was_cut = await read_until_cut(room, "stall_mid")
    assert was_cut
    assert arrived.count(b"event: ") == 1
    assert sum(waits) == pytest.approx(600)
    waits.clear()
    answer = await handed(room, GENERATIONS, BODY, headers={"x-sandbox-fault": "stall_mid"})
    with pytest.raises(ConnectionResetError):
        assert [chunk async for chunk in answer.chunks] == []
    assert sum(waits) == pytest.approx(600)


async def test_a_slow_stream_dribbles_and_a_late_one_comes_whole(room: Room, waits: list[float]) -> None:
    arrived, was_cut = await read_until_cut(room, "slow")
    assert (was_cut, len(Answered(200, {}, arrived).events)) == (False, 3)
    assert 4 < sum(waits) <= 5.01
    waits.clear()
    arrived, _ = await read_until_cut(room, "late")
    assert len(Answered(200, {}, arrived).events) == 3
    assert sum(waits) == pytest.approx(3)


async def test_a_stream_is_open_until_it_is_over_and_gone_when_nobody_reads_on(room: Room) -> None:
    answer = await handed(room, GENERATIONS, STREAM)
    entry = room.journal.entries[-1]
    chunks = answer.chunks
    assert isinstance(chunks, AsyncGenerator)
    await anext(chunks)
    assert entry.outcome == "open"
    await chunks.aclose()
    assert entry.outcome == "gone"
    await ask(room, GENERATIONS, STREAM)
    assert room.journal.entries[-1].outcome == "200"
    page = await ask(room, GENERATIONS, STREAM, headers={"x-sandbox-fault": "html"})
    assert page.headers["content-type"].startswith("text/html")
    assert room.journal.entries[-1].outcome == "200 html"


async def test_the_journal_keeps_what_arrived_but_no_credentials(room: Room) -> None:
    sent = {**BODY, "seed": None, "invented": {"deep": [1, None]}}
    await ask(room, GENERATIONS + "?q=1&key=AIzaSecret", sent, headers={"x-invented": "yes", "api-key": "secret"})
    received = room.journal.entries[-1].received
    assert received.json == sent
    assert list(received.json) == list(sent)
    assert received.query == {"q": "1", "key": "…"}
    assert received.headers["x-invented"] == "yes"
    assert (received.headers["authorization"], received.headers["api-key"]) == ("Bearer …", "…")
    assert "invented" not in (await ask(room, "/sandbox/log")).content.decode()


def test_the_journal_forgets_the_oldest_bodies_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEPT", 3)
    log = journal.Journal(body_bytes=10)
    for number in range(5):
        log.open(journal.Received(body=bytes(4)), place=("POST", "/x"), model="m", prompt=str(number))
    assert [(entry.prompt, entry.received.body) for entry in log.entries] == [
        ("2", None),
        ("3", bytes(4)),
        ("4", bytes(4)),
    ]
    with pytest.raises(ValueError, match="no longer kept"):
        assert log.entries[0].received.json
    log.open(journal.Received(body=bytes(11)), place=("POST", "/x"), model="m", prompt="too large")
    assert [entry.received.body for entry in log.entries] == [None] * 3


async def test_late_comes_late_and_slow_dribbles(room: Room, waits: list[float]) -> None:
    assert (await submit(room, "late")).status == 200
    assert sum(waits) == pytest.approx(3)
    waits.clear()
    assert (await submit(room, "slow")).status == 200
    assert 4 < sum(waits) <= 5.01
    assert len(waits) > 20
    waits.clear()
    with pytest.raises(ConnectionResetError):
        await submit(room, "pending")
    assert sum(waits) == pytest.approx(600)


async def test_every_fault_has_a_sentence() -> None:
    assert set(FAULTS) == {
        *("rate_limit", "rate_limit_bare", "error_500", "reset_before", "reset_after", "truncated", "html", "empty"),
        *("pending", "slow", "late", "reset_mid", "stall_mid", "error_event", "item_failed"),
    }
    assert all(FAULTS.values())


async def test_reads_obey_the_header_too(room: Room) -> None:
    answer = await ask(room, "/openai/v1/models", headers={"x-sandbox-fault": "error_500"})
    assert answer.status == 500
    with pytest.raises(ConnectionResetError):
        await ask(room, "/openai/v1/models", headers={"x-sandbox-fault": "reset_before"})


async def test_files_obey_the_header_as_an_object_store_does(room: Room) -> None:
    path = await room.studio.shelf.put(b"a picture", "png")

    async def fetch(fault: str) -> Answered:
        return await ask(room, path, headers={"x-sandbox-fault": fault})

    limited, bare = await fetch("rate_limit"), await fetch("rate_limit_bare")
    assert (limited.status, bare.status, (await fetch("error_500")).status) == (429, 429, 500)
    assert [answer.headers.get("retry-after") for answer in (limited, bare)] == ["1", None]
    with pytest.raises(ConnectionResetError):
        await fetch("truncated")
    assert (await fetch("late")).content == b"a picture"


async def test_latency_comes_before_the_answer_but_not_before_a_refusal(waits: list[float]) -> None:
    room = open_sandbox(latency_s=0.3)
    await submit(room, size="1x1")
    assert not any(waits)
    await submit(room)
    assert [wait_s for wait_s in waits if wait_s] == [0.3]


async def test_a_file_by_url_is_served_and_the_oldest_go_first(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"model": "doubao-seedream-4-0-250828", "prompt": "x", "size": "1K"}
    url = (await ask(room, "/ark/api/v3/images/generations", body)).json["data"][0]["url"]
    path = url.removeprefix("http://sandbox.test").partition("?")[0]
    assert picture((await ask(room, path)).content).size == (1024, 1024)
    assert (await ask(room, path + "x")).status == 404
    later_s = time.time() + LIFETIME_S + 1
    monkeypatch.setattr(time, "time", lambda: later_s)
    assert (await ask(room, path)).status == 404
