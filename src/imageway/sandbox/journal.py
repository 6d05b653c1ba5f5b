"""The log of generation submits: what came in, and what became of it. Bounded in entries and in bytes; the oldest go
first. Credentials are not kept."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from imageway.sandbox.answers import Json

KEPT: Final = 10_000
BODY_BYTES: Final = 64 * 2**20
CREDENTIALS: Final = ("authorization", "api-key", "x-goog-api-key", "key", "cookie")


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came. Of credentials only the scheme is left ("Bearer …"). `body` None: it was too long ago."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = b""

    @property
    def json(self) -> Any:
        """The body as it was written: names, order and nulls. Raises ValueError when it is no JSON, or not there."""
        if self.body is None:
            raise ValueError("the body is no longer kept")
        return json.loads(self.body)


@dataclass(slots=True)
class Entry:
    """`time` in seconds since the epoch. `outcome` is "open" until answered, then the HTTP status, with the fault that
    bent it behind a space ("200 slow"), or the fault alone where nothing was answered ("reset_before"). A stream is
    open until it is over; one that its reader gave up is "gone"."""

    method: str
    path: str
    model: str
    prompt: str
    time: float
    received: Received
    outcome: str = "open"

    def as_json(self) -> Json:
        """What the log shows: nothing of the body but the prompt."""
        names = ("method", "path", "model", "prompt", "time", "outcome")
        return {name: getattr(self, name) for name in names}


class Journal:
    """`body_bytes`: how much of bodies is kept, the newest first."""

    def __init__(self, body_bytes: int = BODY_BYTES) -> None:
        self._entries: deque[Entry] = deque()
        self._with_body: deque[Entry] = deque()
        self._free_bytes = body_bytes

    def open(self, received: Received, *, place: tuple[str, str], model: str, prompt: str) -> Entry:
        """`place`: method and path."""
        entry = Entry(*place, model, prompt, time.time(), _without_credentials(received))
        self._entries.append(entry)
        self._with_body.append(entry)
        self._free_bytes -= len(received.body or b"")
        if len(self._entries) > KEPT and self._entries.popleft() is self._with_body[0]:
            self._drop_body()
        while self._free_bytes < 0:
            self._drop_body()
        return entry

    def _drop_body(self) -> None:
        """The oldest one; everything else of that entry stays."""
        oldest = self._with_body.popleft()
        self._free_bytes += len(oldest.received.body or b"")
        oldest.received = replace(oldest.received, body=None)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Oldest first."""
        return tuple(self._entries)

    def as_json(self) -> Json:
        return [entry.as_json() for entry in self._entries]


def _without_credentials(received: Received) -> Received:
    return replace(received, headers=_masked(received.headers), query=_masked(received.query))


def _masked(values: Mapping[str, str]) -> dict[str, str]:
    return {name: _scheme(value) if name in CREDENTIALS else value for name, value in values.items()}


def _scheme(value: str) -> str:
    head, space, _ = value.partition(" ")
    return f"{head} …" if space else "…"
