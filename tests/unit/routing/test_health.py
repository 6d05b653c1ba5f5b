"""Who is worth asking: an upstream cools down after "busy", is left alone for a while after "denied" or a row of
failures, and one success forgives everything."""

from __future__ import annotations

import pytest

from imageway.core.steps import FailureKind
from imageway.routing.health import (
    BREAKER_OPEN_S,
    BUSY_COOLDOWN_S,
    FAILURES_TO_OPEN,
    LONGEST_COOLDOWN_S,
    Health,
)

ROUTE = ("openai-1", "gpt-image-1")
NEIGHBOUR = ("openai-1", "gpt-image-2")
COUNTED = [FailureKind.FAILED, FailureKind.SPOILED, FailureKind.UNKNOWN, FailureKind.NEVER_SENT]


def test_nobody_is_under_suspicion_at_first() -> None:
    assert Health().due_s(ROUTE) == 0.0


@pytest.mark.parametrize(
    ("hint_s", "pause_s"), [(None, BUSY_COOLDOWN_S), (7.5, 7.5), (3600.0, LONGEST_COOLDOWN_S), (0.0, 0.0)]
)
def test_busy_cools_as_long_as_it_was_told(hint_s: float | None, pause_s: float) -> None:
    health = Health()
    health.failed(ROUTE, FailureKind.BUSY, now_s=100, retry_after_s=hint_s)
    assert health.due_s(ROUTE) == 100 + pause_s


def test_denied_opens_at_once() -> None:
    health = Health()
    health.failed(ROUTE, FailureKind.DENIED, now_s=100)
    assert health.due_s(ROUTE) == 100 + BREAKER_OPEN_S


@pytest.mark.parametrize("kind", COUNTED)
def test_a_row_of_failures_opens(kind: FailureKind) -> None:
    health = Health()
    for failures in range(1, FAILURES_TO_OPEN):
        health.failed(ROUTE, kind, now_s=failures)
        assert health.due_s(ROUTE) == 0.0
    health.failed(ROUTE, kind, now_s=50)
    assert health.due_s(ROUTE) == 50 + BREAKER_OPEN_S


@pytest.mark.parametrize("kind", [FailureKind.REFUSED, FailureKind.INVALID])
def test_the_callers_prompt_and_our_mistakes_are_not_the_upstreams_fault(kind: FailureKind) -> None:
    health = Health()
    for _ in range(FAILURES_TO_OPEN * 2):
        health.failed(ROUTE, kind, now_s=1)
    assert health.due_s(ROUTE) == 0.0


def test_one_success_forgives_everything() -> None:
    health = Health()
    for _ in range(FAILURES_TO_OPEN):
        health.failed(ROUTE, FailureKind.FAILED, now_s=1)
    health.succeeded(ROUTE)
    assert health.due_s(ROUTE) == 0.0
    health.failed(ROUTE, FailureKind.FAILED, now_s=2)
    assert health.due_s(ROUTE) == 0.0


def test_a_shorter_pause_never_ends_a_longer_one() -> None:
    health = Health()
    health.failed(ROUTE, FailureKind.BUSY, now_s=0, retry_after_s=60)
    health.failed(ROUTE, FailureKind.BUSY, now_s=10, retry_after_s=1)
    assert health.due_s(ROUTE) == 60


def test_models_of_one_upstream_are_judged_apart() -> None:
    """Providers limit rates per model, and refuse keys per model."""
    health = Health()
    health.failed(ROUTE, FailureKind.DENIED, now_s=0)
    assert health.due_s(NEIGHBOUR) == 0.0
