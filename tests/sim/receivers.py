"""Who is told in a simulated world: receivers that take what they hear, fail, fall silent or are gone; and everything
that any of them ever heard."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import FailureKind, Page, Reply
from tests.sim.machine import Machine

FATES: Final = ("error", "busy", "never_sent", "reset_before", "reset_after", "silent", "late", "gone")
HEARS: Final = frozenset({"ok", "error", "busy", "reset_after", "late", "gone"})
"""Of a message that meets another fate, its receiver knows nothing."""
TAKES: Final = frozenset({"ok", "reset_after", "late"})
"""What its receiver considers done, whatever came of the answer."""
STATUSES: Final = {"ok": 200, "error": 500, "busy": 429, "gone": 410}
MOST_TROUBLES: Final = 2  # of one message, so that a world ends within the first pauses of the schedule


@dataclass(frozen=True, slots=True)
class Heard:
    """One message that reached its receiver. `until_s`: when its sender knew how it went, or gave up."""

    owner: str
    url: str
    headers: Mapping[str, str]
    content: bytes
    fate: str
    at_s: float
    until_s: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def taken(self) -> bool:
        return self.fate in TAKES

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass(slots=True)
class Receivers:
    """All of a world. `fates`: those of every message, in order, the last for ever; empty: by chance, where `roughness`
    from 0 (all is well) to 1."""

    seed: int
    fates: Sequence[str] = ()
    roughness: float = 0.0
    heard: list[Heard] = field(default_factory=list)
    tries: dict[str, int] = field(default_factory=dict)

    async def take(
        self, machine: Machine, url: str, headers: Mapping[str, str], content: bytes, deadline_s: float
    ) -> Reply:
        """What one process is answered; it may die meanwhile."""
        number = self.tries.get(headers["webhook-id"], 0)
        self.tries[headers["webhook-id"]] = number + 1
        chance = random.Random(f"{self.seed}/{headers['webhook-id']}/{number}")
        fate, pause_s = self._fate(chance, url, number), chance.uniform(0.05, 5)
        if fate in ("silent", "late"):
            pause_s = deadline_s
        now_s = asyncio.get_running_loop().time()
        if fate in HEARS:
            self.heard.append(Heard(machine.owner, url, headers, content, fate, now_s, now_s + pause_s))
        if fate == "never_sent":
            raise TransportFailed(FailureKind.NEVER_SENT, "connect refused")
        await machine.pause(pause_s)
        if fate not in STATUSES:
            raise TransportFailed(FailureKind.UNKNOWN, "no complete reply")
        hint = {"retry-after": "20"} if fate == "busy" else {}
        return Reply(STATUSES[fate], hint, Page(b""))

    def _fate(self, chance: random.Random, url: str, number: int) -> str:
        if self.fates:
            return self.fates[min(number, len(self.fates) - 1)]
        if number >= MOST_TROUBLES or chance.random() >= self.roughness:
            return "ok"
        fate = chance.choice(FATES)
        return "error" if fate == "gone" and "gone" not in url else fate


def check_told(url: str) -> None:
    """As transport does for what can be seen to be wrong."""
    if "127.0.0.1" in url:
        raise FetchRefused("image_url_unreachable", "its host cannot be reached at a public address")
