"""Every state and every transition, as tables. What has no way on is final, and stays as it is."""

from __future__ import annotations

from typing import Final

TASK: Final[dict[str, frozenset[str]]] = {
    "queued": frozenset({"running", "cancelled", "failed"}),
    "running": frozenset({"queued", "succeeded", "failed", "cancelled", "unknown"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "unknown": frozenset(),
}

PART: Final[dict[str, frozenset[str]]] = {
    "ready": frozenset({"submitted", "cancelled", "failed"}),
    "submitted": frozenset({"ready", "polling", "proved", "failed", "unknown", "cancelled"}),
    "polling": frozenset({"ready", "proved", "failed", "unknown", "cancelled"}),
    "proved": frozenset(),
    "failed": frozenset(),
    "unknown": frozenset(),
    "cancelled": frozenset(),
}

FINAL_TASK: Final = frozenset(state for state, following in TASK.items() if not following)
FINAL_PART: Final = frozenset(state for state, following in PART.items() if not following)
SENT: Final = frozenset({"submitted", "polling"})
"""A part of which something may be with an upstream."""
