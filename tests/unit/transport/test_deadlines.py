"""Time limits that share one timer: each ends its own wait, at its own time, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest

from imageway.transport.deadlines import Deadlines
from tests.sim.virtual_time import VirtualLoop, VirtualPolicy

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture")


@pytest.fixture
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    return VirtualPolicy()


def now_s() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
def deadlines() -> Iterator[Deadlines]:
    made = Deadlines()
    yield made
    made.close()


async def waits(deadlines: Deadlines, seconds: float, work_s: float = 5.0) -> float:
    """How long it was let wait; negative when it was done in time."""
    start_s = now_s()
    try:
        with deadlines.within(seconds):
            await asyncio.sleep(work_s)
    except TimeoutError:
        return now_s() - start_s
    return start_s - now_s()


async def test_each_ends_at_its_own_time_in_whatever_order_they_came(deadlines: Deadlines) -> None:
    limits_s = (0.3, 0.05, 0.2, 0.05, 0.1)
    took_s = await asyncio.gather(*(waits(deadlines, limit_s) for limit_s in limits_s))
    assert took_s == pytest.approx(limits_s)


async def test_what_is_done_in_time_is_left_alone_and_the_next_is_ended_all_the_same(deadlines: Deadlines) -> None:
    assert await waits(deadlines, 0.05, work_s=0) == 0
    assert await waits(deadlines, 5.0, work_s=0.1) < 0
    assert await waits(deadlines, 0.05) == pytest.approx(0.05)


async def test_a_limit_that_has_passed_ends_the_first_wait(deadlines: Deadlines) -> None:
    assert await waits(deadlines, -1.0) == 0


async def test_who_is_cancelled_by_somebody_else_stays_cancelled(deadlines: Deadlines) -> None:
    waiting = asyncio.create_task(waits(deadlines, 0.05))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0.1)


async def test_a_cancellation_at_the_same_moment_is_not_taken_for_the_limit(deadlines: Deadlines) -> None:
    async def work() -> str:
        try:
            return str(await waits(deadlines, 0.02))
        except asyncio.CancelledError:
            return "cancelled"

    waiting = asyncio.create_task(work())
    await asyncio.sleep(0)
    loop = cast("VirtualLoop", asyncio.get_running_loop())
    loop.stand_still(0.05)  # the limit has passed, and nobody has looked yet
    loop.call_later(0, waiting.cancel)
    assert await waiting == "cancelled"


async def test_an_error_of_the_work_is_the_works(deadlines: Deadlines) -> None:
    with pytest.raises(ZeroDivisionError), deadlines.within(1):
        _ = 1 // 0


async def test_a_limit_within_a_limit(deadlines: Deadlines) -> None:
    """The outer one ends the inner wait, too, and is the one that says so."""

    async def inner() -> None:
        with pytest.raises(asyncio.CancelledError), deadlines.within(5):
            await asyncio.sleep(5)
        raise asyncio.CancelledError

    with pytest.raises(TimeoutError), deadlines.within(0.05):
        await inner()


async def test_a_timeout_leaves_no_cancellation_behind(deadlines: Deadlines) -> None:
    assert await waits(deadlines, 0.01) > 0
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_many_limits_take_one_timer(deadlines: Deadlines, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), []
    call_at = loop.call_at
    monkeypatch.setattr(loop, "call_at", lambda *told: timers.append(told) or call_at(*told))
    for _ in range(100):
        with deadlines.within(300):
            pass
    assert len(timers) == 1
    assert not deadlines._limits
