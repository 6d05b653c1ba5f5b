"""How each upstream has been doing lately: cooling after "busy", open after "denied" or repeated failure.

Knowledge of one process, kept in memory; a wrong guess costs one attempt and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from imageway.core.steps import FailureKind

BUSY_COOLDOWN_S: Final = 1.0
LONGEST_COOLDOWN_S: Final = 120.0
BREAKER_OPEN_S: Final = 30.0
FAILURES_TO_OPEN: Final = 5

Route = tuple[str, str]
"""(upstream id, the provider's own model name): providers limit rates per model, and refuse keys per model."""


@dataclass(slots=True)
class _State:
    due_s: float = 0.0  # monotonic; before it the route goes last
    failures: int = 0


@dataclass(slots=True)
class Health:
    """Times are monotonic seconds, given by the caller."""

    _states: dict[Route, _State] = field(default_factory=dict)

    def due_s(self, route: Route) -> float:
        """From when this route is worth asking again; 0 when it never stopped being so."""
        state = self._states.get(route)
        return state.due_s if state else 0.0

    def succeeded(self, route: Route) -> None:
        self._states.pop(route, None)

    def failed(self, route: Route, kind: FailureKind, *, now_s: float, retry_after_s: float | None = None) -> None:
        """Refused prompts and our own mistakes say nothing about an upstream; everything else does."""
        if kind in (FailureKind.REFUSED, FailureKind.INVALID):
            return
        state = self._states.setdefault(route, _State())
        state.failures += 1
        if kind is FailureKind.BUSY:
            pause_s = BUSY_COOLDOWN_S if retry_after_s is None else min(retry_after_s, LONGEST_COOLDOWN_S)
        elif kind is FailureKind.DENIED or state.failures >= FAILURES_TO_OPEN:
            pause_s = BREAKER_OPEN_S
        else:
            return
        state.due_s = max(state.due_s, now_s + pause_s)
