"""A thread that takes whatever is waiting as one group, and hands all its outcomes back to the loop in one call."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from imageway.storage.errors import StorageClosed

J = TypeVar("J")
R = TypeVar("R")


class GroupThread(Generic[J, R]):
    """`run` gets 1 … `most` jobs and gives an outcome for each, in their order; an exception among them is raised where
    its job is awaited. `gap_s` seconds lie between two groups at least, so that other processes get at the file."""

    def __init__(
        self, name: str, run: Callable[[list[J]], Sequence[R | BaseException]], *, most: int, gap_s: float = 0
    ) -> None:
        self._run = run
        self._most = most
        self._gap_s = gap_s
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[tuple[J, asyncio.Future[R]] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: J) -> asyncio.Future[R]:
        """Cancelling the future forgets the outcome; the job runs all the same."""
        if self._closed:
            raise StorageClosed("the store is closed")
        future: asyncio.Future[R] = self._loop.create_future()
        self._waiting.put((job, future))
        return future

    async def close(self) -> None:
        """What was submitted is done first."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        ready_s = 0.0
        while (first := self._waiting.get()) is not None:
            if (early_s := ready_s - time.monotonic()) > 0:
                time.sleep(early_s)
            group = [first, *self._more()]
            self._hand_back(group)
            ready_s = time.monotonic() + self._gap_s

    def _more(self) -> list[tuple[J, asyncio.Future[R]]]:
        found: list[tuple[J, asyncio.Future[R]]] = []
        with contextlib.suppress(queue.Empty):
            while len(found) < self._most - 1:
                entry = self._waiting.get_nowait()
                if entry is None:
                    self._waiting.put(None)  # the end comes after this group
                    break
                found.append(entry)
        return found

    def _hand_back(self, group: list[tuple[J, asyncio.Future[R]]]) -> None:
        outcomes: Sequence[R | BaseException]
        try:
            outcomes = self._run([job for job, _ in group])
        except BaseException as error:  # noqa: BLE001  (raised again where each job is awaited)
            outcomes = [error] * len(group)
        pairs = list(zip([future for _, future in group], outcomes, strict=True))
        with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever waited
            self._loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: list[tuple[asyncio.Future[R], R | BaseException]]) -> None:
    for future, outcome in pairs:
        if future.done():
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
