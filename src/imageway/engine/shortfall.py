"""The images of a task that did not come, each with a reason its caller may read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from msgspec.structs import replace

from imageway.core.intents import Missing
from imageway.core.steps import Failed, FailureKind
from imageway.engine.attempts import PartResult
from imageway.engine.facts import TaskFacts
from imageway.engine.verdicts import told

_FEWER: Final = Failed(FailureKind.SPOILED, "fewer", "fewer images than were asked for", empty=True)


def missing_images(facts: TaskFacts, results: Sequence[PartResult]) -> tuple[Missing, ...]:
    """As many as were asked for less those that came. Of a group that was left to choose, nobody asked for more than it
    began: only what failed is missing."""
    if all(len(result.images) >= result.asked for result in results):
        return ()
    group = facts.request.group
    chosen = group is not None and not group.counted
    begun = accumulate((result.asked for result in results), initial=0)
    return tuple(
        _missing(failed, before)
        for result, before in zip(results, begun, strict=False)
        for failed in _failures(result, chosen=chosen)
    )


def _missing(failed: Failed, before: int) -> Missing:
    code, message = told(failed)
    return Missing(code, message, None if failed.place is None else before + failed.place)


def _failures(result: PartResult, *, chosen: bool) -> list[Failed]:
    short = result.asked - len(result.images)
    if short <= 0:
        return []
    own = list(result.missing[:short])
    left = short - len(own)
    if chosen:
        return own + ([result.failure] if left and result.failure else [])
    failures = own + [result.failure or _FEWER] * left
    return failures if result.images else [replace(each, place=place) for place, each in enumerate(failures)]
