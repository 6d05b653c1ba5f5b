"""This process and this machine: clock, chance, worker threads, fault points, and locks that prove who is alive."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import re
import signal
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_BLOCK_BYTES = 4096
_SECRET_BYTES = 32
_COUNT = re.compile(r"[1-9][0-9]{0,8}")


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """No coroutine around another: ten thousand may sleep at once."""
        return asyncio.sleep(seconds)


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
