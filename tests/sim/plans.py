"""What fate every submit meets: by chance from a seed, whatever the order of events; or as a test wrote it down."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from tests.sim.upstreams import Link, Submit

GOOD: Final = {"ok": 40, "slow": 4, "as_jpeg": 4, "as_webp": 3, "partial": 6, "one_spoiled": 6, "huge_usage": 1}
BAD: Final = {
    "busy": 5,
    "busy_soon": 5,
    "busy_long": 3,
    "denied": 4,
    "refused": 5,
    "invalid": 2,
    "failed": 6,
    "html": 2,
    "empty": 2,
    "truncated": 3,
    "not_an_image": 2,
    "never_sent": 6,
    "reset_before": 3,
    "reset_after": 4,
    "silent": 2,
    "proxy": 2,
}
DYING: Final = {"died": 14, "error_event": 8, "cut_end": 6, "error_first": 4}
STORIES: Final = {"ok": 30, "refused": 2, "failed": 3, "lost": 1, "endless": 1}


def choose(chance: random.Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]


@dataclass(frozen=True, slots=True)
class Chances:
    """`roughness` from 0 (all is well) to 1."""

    seed: int
    roughness: float

    def _chance(self, submit: Submit, about: str) -> random.Random:
        return random.Random(f"{self.seed}/{submit.part}/{submit.upstream}/{about}")

    def fate(self, submit: Submit, number: int) -> str:
        chance = self._chance(submit, f"fate {number}")
        bad = BAD | DYING if submit.streams else BAD
        return choose(chance, bad if chance.random() < self.roughness else GOOD)

    def story(self, submit: Submit) -> str:
        chance = self._chance(submit, "story")
        return choose(chance, STORIES) if chance.random() < self.roughness * 2 else "ok"

    def link(self, submit: Submit, index: int) -> Link:
        chance = self._chance(submit, f"link {index}")
        troubles = chance.choice((0, 0, 0, 1, 3))
        return Link(b"", troubles, choose(chance, {"ok": 30, "gone": 1, "never": 1}))

    def delay_s(self, submit: Submit) -> float:
        chance = self._chance(submit, "delay")
        return chance.uniform(60, 330) if submit.fate == "slow" else chance.uniform(0.05, 25)

    def number(self, submit: Submit, name: str, below: int) -> int:
        return self._chance(submit, name).randrange(below)


@dataclass(slots=True)
class Script:
    """Fates in the order of a part's submits, the last one for ever; the rest as quiet as can be. A stream that dies
    does so after so many `events`; `pause_s` lies between any two."""

    fates: tuple[str, ...] = ("ok",)
    stories: tuple[str, ...] = ("ok",)
    links: tuple[Link, ...] = ()
    delays_s: tuple[float, ...] = (1.0,)
    polls_s: int = 10
    events: int = 2
    pause_s: float = 0.1
    _told: list[str] = field(default_factory=list)

    def fate(self, submit: Submit, number: int) -> str:
        return self.fates[min(number, len(self.fates) - 1)]

    def story(self, submit: Submit) -> str:
        self._told.append(submit.part)
        return self.stories[min(len(self._told), len(self.stories)) - 1]

    def link(self, submit: Submit, index: int) -> Link:
        if not self.links:
            return Link(b"")
        chosen = self.links[min(index, len(self.links) - 1)]
        return Link(b"", chosen.troubles, chosen.ending)

    def delay_s(self, submit: Submit) -> float:
        return self.delays_s[0] if len(self.delays_s) == 1 else self.delays_s[int(submit.part.rpartition("-")[2])]

    def number(self, submit: Submit, name: str, below: int) -> int:
        if name.startswith("pause"):
            return int(self.pause_s * 10)
        return {"polls": self.polls_s, "death": self.events - 1}.get(name, 1)
