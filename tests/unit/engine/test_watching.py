"""Who waits for news of a task is told once of each, whether it happened here or elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, cast

from imageway.core.failures import StoreFailed
from imageway.core.intents import TaskView
from imageway.engine.following import news_of
from imageway.engine.pacing import Pacer
from imageway.engine.ports import Tools
from imageway.engine.recovery import Recovery
from imageway.engine.service import Engine
from imageway.engine.watching import Watch, Watcher
from imageway.tasks.queue import TaskState, TaskStates
from tests.sim.logs import quiet
from tests.turns import some_turns, until
from tests.values import replace


async def hears(watcher: Watcher) -> bool:
    """Whether there are news: without any, the wait takes its whole time."""
    news = asyncio.ensure_future(watcher.news(600))
    await some_turns()
    heard = news.done()
    news.cancel()
    await asyncio.gather(news, return_exceptions=True)
    return heard


async def test_what_happens_here_is_told_at_once_to_whoever_waits_for_it() -> None:
    watch = Watch()
    with watch.following("req_1") as one, watch.following("req_1") as two, watch.following("req_2") as other:
        watch.tell("req_1")
        watch.tell("req_9")
        assert [await hears(one), await hears(two), await hears(other)] == [True, True, False]
        assert not await hears(one)


async def test_what_happens_elsewhere_is_told_when_a_look_finds_it_changed() -> None:
    watch = Watch()
    with watch.following("req_1") as watcher:
        for state, news in (("queued", True), ("queued", False), ("running", True), ("running", False)):
            watch.compare((TaskState("req_1", state, 1, 0), TaskState("req_9", state, 1, 0)))
            assert await hears(watcher) is news


async def test_nobody_looks_while_nobody_waits() -> None:
    watch = Watch()
    assert not watch.wanted.is_set()
    with watch.following("req_1"), watch.following("req_2"):
        assert watch.wanted.is_set()
        assert watch.ids == ("req_1", "req_2")
    assert not watch.wanted.is_set()
    assert watch.ids == ()


def test_numbers_of_news_never_change() -> None:
    """Whoever was cut off in the middle goes on with the next."""

    def told(**facts: object) -> list[tuple[str, int]]:
        view = TaskView(id="req_1", status="running", model="m", created_s=1, **facts)  # type: ignore[arg-type]
        return [(news.kind, news.number) for news in news_of(view)]

    begun = [("queued", 1), ("started", 2), ("attempt", 3), ("attempt", 4)]
    assert told() == begun[:1]
    assert told(attempts=1) == begun[:3]
    assert told(attempts=2) == begun
    assert told(attempts=2, finished_ms=9) == [*begun, ("completed", 5)]
    assert told(finished_ms=9) == [("queued", 1), ("completed", 3)]


def test_a_pace_is_kept_and_not_saved_up() -> None:
    pacer = Pacer()
    assert [pacer.delay_s(10.0, 4) for _ in range(3)] == [0.0, 0.25, 0.5]
    assert pacer.delay_s(20.0, 4) == 0.0
    assert pacer.delay_s(20.0, 4) == 0.25


async def test_a_hole_in_one_look_does_not_end_the_looking(tools: Tools) -> None:
    """Whoever waits would never hear of another process again."""

    class Book:
        answers: ClassVar[list[object]] = [KeyError("a row of another version"), StoreFailed("it does not answer")]

        async def read(self, query: TaskStates) -> object:
            await asyncio.sleep(0)
            answer = self.answers.pop(0) if self.answers else (TaskState("req_1", "running", 1, 0),)
            if isinstance(answer, Exception):
                raise answer
            return answer

    tools = replace(tools, store=cast("Any", Book()))
    recovery = Recovery(Engine(tools))
    with quiet(), tools.watch.following("req_1") as watcher:
        looking = asyncio.create_task(recovery._every(0, recovery.engine.look))
        news = asyncio.ensure_future(watcher.news(600))
        await until(news.done)
        looking.cancel()
    assert Book.answers == []
