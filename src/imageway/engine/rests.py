"""Waiting tasks for whose answers there was no room: each is left alone for a while, then for twice as long, so
that one that is too large for now holds up neither the database nor those that are small enough."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LONGEST_S: Final = 60.0


@dataclass(slots=True)
class Rests:
    """Of one process. `first_s`: the first rest of a task; seconds are the monotonic clock's."""

    first_s: float
    _until: dict[str, tuple[float, float]] = field(default_factory=dict)  # id → when it is over, how long it was

    def begin(self, task_id: str, now_s: float) -> float:
        """How long it is left alone now."""
        known = {one: rest for one, rest in self._until.items() if rest[0] + LONGEST_S > now_s}
        _, before_s = known.get(task_id, (0.0, self.first_s / 2))
        rest_s = min(2 * before_s, LONGEST_S)
        self._until = {**known, task_id: (now_s + rest_s, rest_s)}
        return rest_s

    def has(self, task_id: str, now_s: float) -> bool:
        return task_id in self._until and now_s < self._until[task_id][0]

    def count(self, now_s: float) -> int:
        """How many rest."""
        return sum(now_s < until_s for until_s, _ in self._until.values())

    def end(self, task_id: str) -> None:
        """There was room, or it is not ours any more."""
        self._until.pop(task_id, None)
