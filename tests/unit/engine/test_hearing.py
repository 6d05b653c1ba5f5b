"""What a process makes of the words of others: hints, each of which saves somebody a wait."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from imageway.engine.bulletin import Silence, Word
from imageway.engine.crew import Crew
from imageway.engine.hearing import Ear
from imageway.engine.ports import Tools
from imageway.engine.service import Engine
from imageway.tasks.queue import Waiting
from tests.turns import some_turns
from tests.unit.engine.conftest import NOW_MS
from tests.values import replace

WAITING = Waiting(id="req_1", workspace_id="ws_1", key_id="key_1", fence=1, created_ms=NOW_MS, deadline_ms=NOW_MS + 9)


class Board:
    """A bulletin that only remembers."""

    def __init__(self) -> None:
        self.posted: list[tuple[Word, str]] = []

    def post(self, word: Word, task_id: str) -> None:
        self.posted.append((word, task_id))

    async def keep_going(self, hear: Any) -> None: ...


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def engine(tools: Tools, board: Board) -> Engine:
    return Engine(replace(tools, bulletin=board))


def test_a_task_that_waits_elsewhere_is_looked_for_at_once(engine: Engine) -> None:
    crew = Crew(engine, 4)
    crew._behind = False
    Ear(crew).hear("queued", "req_1")
    assert crew._behind
    assert crew._news.is_set()


async def test_news_of_a_task_reach_whoever_follows_it_here(engine: Engine) -> None:
    ear = Ear(Crew(engine, 4))
    with engine.tools.watch.following("req_1") as watcher:
        ear.hear("changed", "req_2")
        assert not watcher._news.is_set()
        ear.hear("changed", "req_1")
        assert watcher._news.is_set()


async def test_a_cancelled_task_is_given_up_by_whoever_runs_it_once(engine: Engine) -> None:
    heeded: list[str] = []
    scope = SimpleNamespace(hold=lambda: None, release=lambda: None)
    run = SimpleNamespace(
        facts=SimpleNamespace(task_id="req_1"), accepting=False, marked=False, admitted=False, scope=scope, work=None
    )
    run.cancel_unsent = lambda: bool(heeded.append("req_1")) or True
    engine._running[cast("Any", object())] = cast("Any", run)
    ear = Ear(Crew(engine, 4))
    for task_id in ("req_2", "req_1", "req_1"):
        ear.hear("cancelled", task_id)
    await some_turns()
    assert heeded == ["req_1"]


def test_what_somebody_here_can_take_is_not_cried_out(engine: Engine, board: Board) -> None:
    crew = Crew(engine, 1)
    crew.offer(WAITING)
    assert board.posted == []
    crew.offer(WAITING)
    assert board.posted == [("queued", "req_1")]


def test_who_has_no_hands_or_no_room_calls_the_others(engine: Engine, board: Board) -> None:
    Crew(engine, 0).offer(WAITING)
    paused = Crew(engine, 4)
    paused._full_until_s = 1e9
    paused.offer(WAITING)
    assert board.posted == [("queued", "req_1")] * 2


def test_an_end_that_somebody_waits_for_here_is_told_to_nobody_else(engine: Engine, board: Board) -> None:
    """It would cost every process something at every request."""
    engine.tools.tell_end("req_1", None, awaited=True)
    assert board.posted == []
    engine.tools.tell_end("req_1", None, awaited=False)
    assert board.posted == [("changed", "req_1")]


async def test_silence_hears_nothing_until_it_is_ended() -> None:
    silence = Silence()
    silence.post("queued", "req_1")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await silence.keep_going(lambda word, task_id: None)
