"""What the outside world looks like from within: time and chance as parameters, so that a simulation can own them."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Wall-clock time in milliseconds since the epoch; what durable rows carry."""

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start that never run backwards; what deadlines are measured with."""

    async def sleep(self, seconds: float) -> None: ...


class Random(Protocol):
    def token_bytes(self, count: int) -> bytes:
        """Bytes fit for ids and keys."""

    def uniform(self) -> float:
        """A number in [0, 1), for jitter."""
