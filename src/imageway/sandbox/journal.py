"""The log of generation submits: what came in, and what became of it. Bounded; the oldest entries go first."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass

from imageway.sandbox.answers import Json

KEPT = 10_000


@dataclass(slots=True)
class Entry:
    """`time` in seconds since the epoch. `outcome` is "open" until answered, then the HTTP status, with the fault that
    bent it behind a space ("200 slow"), or the fault alone where nothing was answered ("reset_before")."""

    method: str
    path: str
    model: str
    prompt: str
    time: float
    outcome: str = "open"


class Journal:
    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)

    def open(self, method: str, path: str, *, model: str, prompt: str) -> Entry:
        entry = Entry(method, path, model, prompt, time.time())
        self._entries.append(entry)
        return entry

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Oldest first."""
        return tuple(self._entries)

    def as_json(self) -> Json:
        return [asdict(entry) for entry in self._entries]
