"""What the outside world looks like from within: time and chance as parameters, so that a simulation can own them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    def now_ms(self) -> int:
        """Wall-clock time in milliseconds since the epoch; what durable rows carry."""

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start that never run backwards; what deadlines are measured with."""

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Begins at once; to be awaited once."""


class Random(Protocol):
    def token_bytes(self, count: int) -> bytes:
        """Bytes fit for ids and keys."""

    def uniform(self) -> float:
        """A number in [0, 1), for jitter."""


class Workers(Protocol):
    """Threads for work that would hold the loop up: image decoding, large copies."""

    async def run(self, work: Callable[[], T]) -> T: ...


class FaultPoints(Protocol):
    """Named places where a test may end the process (`IMAGEWAY_FAULT=after_submit:1`)."""

    def reach(self, name: str) -> None: ...


class Liveness(Protocol):
    """Which processes are certainly gone."""

    def is_dead(self, owner: str) -> bool:
        """True only with proof (its lock on this machine is free); False when unsure."""
