"""This process and this machine: clock, chance, worker threads, fault points, and locks that prove who is alive."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import re
import signal
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_BLOCK_BYTES = 4096
_SECRET_BYTES = 32
_TICK_S = 0.001  # a timer may come that much early
_COUNT = re.compile(r"[1-9][0-9]{0,8}")


def made_private(folder: Path) -> None:
    """A folder for its owner alone, unless it is there already: what callers sent and bought lies in it. Raises
    OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


class SystemClock:
    def __init__(self) -> None:
        self._sleepers = Sleepers()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Neither a coroutine nor a timer of its own for each: ten thousand may sleep at once."""
        return self._sleepers.sleep(seconds)


class Sleepers:
    """All who sleep in one loop, and one timer for whoever wakes first."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None

    def sleep(self, seconds: float) -> Awaitable[None]:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # those of a loop that has ended sleep for ever
            self._loop, self._queue, self._timer = loop, [], None
        future, due_s = loop.create_future(), loop.time() + max(0.0, seconds)
        entry = (due_s, next(self._numbers), future)
        heappush(self._queue, entry)
        if self._queue[0] is entry:
            self._wait_for_first(loop)
        return future

    def _wait_for_first(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._queue[0][0], self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Whoever gave up meanwhile stays in the queue until his time: few do, and none for long."""
        now_s, self._timer = loop.time() + _TICK_S, None
        while self._queue and self._queue[0][0] <= now_s:
            future = heappop(self._queue)[2]
            if not future.done():
                future.set_result(None)
        if self._queue:
            self._wait_for_first(loop)


class SystemRandom:
    """The kernel's chance. Asking costs more than anything else about an id, so ids share what is asked for at once; a
    secret is long, and asked for by itself. Not for several threads."""

    def __init__(self) -> None:
        self._block = b""
        self._used = 0

    def token_bytes(self, count: int) -> bytes:
        if count >= _SECRET_BYTES:
            return os.urandom(count)
        start, end = self._used, self._used + count
        if end > len(self._block):
            self._block = os.urandom(_BLOCK_BYTES)
            start, end = 0, count
        self._used = end
        return self._block[start:end]

    def uniform(self) -> float:
        return random.random()  # noqa: S311  # jitter and weights, nothing secret


class Threads:
    """Two threads: image decoding takes 100 MB and more at once, so few at a time."""

    def __init__(self, count: int = 2) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="imageway-work")

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


@dataclass(slots=True)
class KillSwitch:
    """`IMAGEWAY_FAULT=after_submit:2` ends this process like `kill -9` the second time that point is reached."""

    name: str = ""
    left: int = 0

    @classmethod
    def from_text(cls, text: str) -> KillSwitch:
        """ "after_memo:1", or "" for none. Raises ValueError on anything else."""
        if not text:
            return cls()
        name, _, count = text.partition(":")
        if name not in FAULT_POINTS or not _COUNT.fullmatch(count or "1"):
            raise ValueError(f'IMAGEWAY_FAULT is "{text}"; write one of {", ".join(FAULT_POINTS)} and :N')
        return cls(name, int(count or "1"))

    def reach(self, name: str) -> None:
        if name != self.name:
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


FAULT_POINTS = (
    "after_accept",
    "after_enqueue",
    "after_claim",
    "after_begin",
    "after_submit",
    "after_memo",
    "after_capture",
    "before_last_byte",
    "after_webhook",
)


@dataclass(slots=True)
class ProcessLocks:
    """One locked file per living process in a shared directory. The kernel frees the lock when a process ends, however
    it ends: a lock that can be had proves its owner dead. Only processes of this machine leave a file here."""

    directory: Path
    _held: dict[str, int] = field(default_factory=dict)

    def hold(self, owner: str) -> None:
        """The file gets its name once it is locked: for a moment it would look like a dead process's."""
        self.directory.mkdir(parents=True, exist_ok=True)
        draft = self.directory / f"{owner}.new"
        handle = os.open(draft, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        draft.rename(self.directory / f"{owner}.lock")
        self._held[owner] = handle

    def is_dead(self, owner: str) -> bool:
        try:
            handle = os.open(self.directory / f"{owner}.lock", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(handle)

    def forget_dead(self) -> tuple[str, ...]:
        """Removes the files of the dead and returns their owners; call it after what they left was taken over."""
        dead = tuple(path.stem for path in self.directory.glob("*.lock") if self.is_dead(path.stem))
        for owner in dead:
            (self.directory / f"{owner}.lock").unlink(missing_ok=True)
        return dead

    def release(self) -> None:
        for owner, handle in self._held.items():
            (self.directory / f"{owner}.lock").unlink(missing_ok=True)
            os.close(handle)
        self._held.clear()
