"""Commits in groups: whatever waits when a group begins goes with it, up to a limit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import groupby
from typing import Final, Generic, TypeVar

from imageway.core.ops import Committed, Op, Refused
from imageway.storage.errors import StorageClosed

J = TypeVar("J")
Unit = tuple[Op, ...]
Outcome = Committed | Refused | Exception
COMMITTED: Final = Committed()
UNITS_PER_GROUP: Final = 64  # SQLite takes 1.5 ms for them, in which the loop stands still


class Pump(Generic[J]):
    """One group of jobs at a time, none while nothing waits. `commit_group` gives an outcome for each, in their order;
    an exception among them is raised where its job is awaited, one that it raises itself at all of them. Two groups
    are `gap_s` seconds apart at least, and one has `most` jobs at most. Belongs to the loop it is used in."""

    def __init__(
        self,
        commit_group: Callable[[list[J]], Awaitable[Sequence[Outcome]]],
        *,
        gap_s: float = 0,
        most: int = UNITS_PER_GROUP,
    ) -> None:
        self._commit_group = commit_group
        self._gap_s = gap_s
        self._most = most
        self._waiting: deque[tuple[J, asyncio.Future[Committed | Refused]]] = deque()
        self._running: asyncio.Task[None] | None = None
        self._ready_s = 0.0
        self._closed = False

    def submit(self, job: J) -> asyncio.Future[Committed | Refused]:
        """Cancelling the future forgets the outcome; the job is done all the same."""
        if self._closed:
            raise StorageClosed("the store is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Committed | Refused] = loop.create_future()
        self._waiting.append((job, future))
        if self._running is None:
            self._running = loop.create_task(self._run())
        return future

    async def close(self) -> None:
        """What was submitted is done first."""
        self._closed = True
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                if (early_s := self._ready_s - loop.time()) > 0:
                    await asyncio.sleep(early_s)
                group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                outcomes = await self._outcomes([job for job, _ in group])
                self._ready_s = loop.time() + self._gap_s
                for (_, future), outcome in zip(group, outcomes, strict=True):
                    _resolve(future, outcome)
        finally:
            self._running = None

    async def _outcomes(self, jobs: list[J]) -> Sequence[Outcome]:
        try:
            return await self._commit_group(jobs)
        except Exception as error:  # noqa: BLE001  (whatever it is, nobody may wait for ever)
            return [error] * len(jobs)


def _resolve(future: asyncio.Future[Committed | Refused], outcome: Outcome) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def side_by_side(units: list[Unit]) -> Iterator[tuple[type[Op], list[Op]]]:
    """Of units made of the same kinds of ops the first op of each, then the second of each …: a unit keeps its order.
    Whose unit waits with another's was not told of it, so none of them can count on having come before."""
    shapes: dict[tuple[type[Op], ...], list[Unit]] = {}
    for unit in units:
        shapes.setdefault(tuple(map(type, unit)), []).append(unit)
    for shape, alike in shapes.items():
        for kind, places in groupby(range(len(shape)), key=shape.__getitem__):
            yield kind, [unit[place] for place in places for unit in alike]
