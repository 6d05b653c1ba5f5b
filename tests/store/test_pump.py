"""Groups: what waits goes together, up to the limit, one group at a time, with the gap between them."""

from __future__ import annotations

import asyncio

import pytest

from imageway.storage import StorageClosed
from imageway.storage.pump import COMMITTED, UNITS_PER_GROUP, Outcome, Pump
from tests.sim.virtual_time import run_virtually


class Recorder:
    """Notes every group and when it began, and answers after a while."""

    def __init__(self, took_s: float = 0.0) -> None:
        self.groups: list[list[int]] = []
        self.began_s: list[float] = []
        self.took_s = took_s
        self.under_way = 0

    async def commit(self, jobs: list[int]) -> list[Outcome]:
        self.under_way += 1
        assert self.under_way == 1
        self.groups.append(jobs)
        self.began_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.took_s)
        self.under_way -= 1
        return [COMMITTED] * len(jobs)


async def test_what_comes_in_one_turn_of_the_loop_is_one_group() -> None:
    recorder = Recorder()
    pump = Pump(recorder.commit)
    assert await asyncio.gather(*map(pump.submit, range(5))) == [COMMITTED] * 5
    assert recorder.groups == [[0, 1, 2, 3, 4]]


def test_what_comes_while_a_group_is_under_way_is_the_next_group() -> None:
    async def come() -> list[list[int]]:
        recorder = Recorder(took_s=0.02)
        pump = Pump(recorder.commit)
        first = pump.submit(1)
        await asyncio.sleep(0.005)
        await asyncio.gather(first, pump.submit(2), pump.submit(3))
        return recorder.groups

    assert run_virtually(come()) == [[1], [2, 3]]


async def test_no_group_is_larger_than_the_limit() -> None:
    recorder = Recorder()
    pump = Pump(recorder.commit)
    await asyncio.gather(*map(pump.submit, range(2 * UNITS_PER_GROUP + 1)))
    assert [len(group) for group in recorder.groups] == [UNITS_PER_GROUP, UNITS_PER_GROUP, 1]
    assert [job for group in recorder.groups for job in group] == list(range(2 * UNITS_PER_GROUP + 1))


def test_the_gap_lies_between_groups_and_not_before_the_first_or_after_a_pause() -> None:
    async def come() -> list[float]:
        recorder = Recorder()
        pump = Pump(recorder.commit, gap_s=0.05)
        await pump.submit(1)
        await pump.submit(2)
        await asyncio.sleep(0.06)
        await pump.submit(3)
        return recorder.began_s

    assert run_virtually(come()) == pytest.approx([0, 0.05, 0.11])


async def test_nobody_waits_for_ever_whatever_goes_wrong() -> None:
    async def broken(_: list[int]) -> list[Outcome]:
        raise RuntimeError("out of luck")

    pump = Pump(broken)
    outcomes = await asyncio.wait_for(asyncio.gather(pump.submit(1), pump.submit(2), return_exceptions=True), 5)
    assert [str(outcome) for outcome in outcomes] == ["out of luck"] * 2
    assert str((await asyncio.gather(pump.submit(3), return_exceptions=True))[0]) == "out of luck"


async def test_close_finishes_what_waits_and_takes_no_more() -> None:
    recorder = Recorder(took_s=0.01)
    pump = Pump(recorder.commit)
    waiting = [pump.submit(number) for number in range(UNITS_PER_GROUP + 1)]
    await pump.close()
    assert all(future.done() for future in waiting)
    with pytest.raises(StorageClosed):
        pump.submit(99)
