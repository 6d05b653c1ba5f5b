"""At most so many of something a second, spread evenly: whoever comes sooner is told how long to wait."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pacer:
    """`free_s`: the moment from which on nobody has to wait."""

    free_s: float = 0.0

    def delay_s(self, now_s: float, per_s: float) -> float:
        """How long whoever asks has to wait; his turn is taken."""
        turn_s = max(now_s, self.free_s)
        self.free_s = turn_s + 1 / per_s
        return turn_s - now_s
