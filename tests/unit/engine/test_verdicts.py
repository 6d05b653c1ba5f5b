"""What a caller is told when no image came: one failure of several speaks, the weightiest, with the code, the words and
the advice that belong to it."""

from __future__ import annotations

from itertools import combinations

import pytest

from imageway.core.errors import KINDS
from imageway.core.steps import Failed, FailureKind
from imageway.engine.verdicts import task_state, verdict

ORDER = [
    FailureKind.UNKNOWN,
    FailureKind.REFUSED,
    FailureKind.SPOILED,
    FailureKind.FAILED,
    FailureKind.BUSY,
    FailureKind.DENIED,
    FailureKind.NEVER_SENT,
    FailureKind.INVALID,
]
TOLD = {
    FailureKind.UNKNOWN: ("request_timeout", 504, False),
    FailureKind.REFUSED: ("content_policy_violation", 400, False),
    FailureKind.SPOILED: ("bad_response", 502, False),
    FailureKind.FAILED: ("bad_response", 502, True),
    FailureKind.BUSY: ("rate_limit_exceeded", 429, True),
    FailureKind.DENIED: ("no_healthy_route", 503, True),
    FailureKind.NEVER_SENT: ("no_healthy_route", 503, True),
    FailureKind.INVALID: ("bad_response", 502, False),
}


def failed(kind: FailureKind) -> Failed:
    return Failed(kind, "provider_code", "the provider's own words", 3.2 if kind is FailureKind.BUSY else None)


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_kind_has_its_code_status_and_advice(kind: FailureKind) -> None:
    error = verdict([failed(kind)])
    assert (error.code, error.kind.status, error.resend) == TOLD[kind]
    assert error.code in KINDS


@pytest.mark.parametrize(("louder", "quieter"), list(combinations(ORDER, 2)))
def test_the_louder_failure_speaks(louder: FailureKind, quieter: FailureKind) -> None:
    expected = verdict([failed(louder)])
    for failures in ([louder, quieter], [quieter, louder], [quieter, quieter, louder]):
        error = verdict([failed(kind) for kind in failures])
        assert (error.message, error.resend) == (expected.message, expected.resend)


@pytest.mark.parametrize("kind", list(FailureKind))
def test_the_provider_is_never_quoted(kind: FailureKind) -> None:
    error = verdict([failed(kind)])
    assert "own words" not in error.message
    assert "provider_code" not in error.message
    assert "nothing was charged" in error.message


@pytest.mark.parametrize(("hint_s", "told_s"), [(None, 1), (0.0, 1), (0.2, 1), (1.0, 1), (3.2, 4), (60.0, 60)])
def test_busy_says_how_long_to_wait_in_whole_seconds(hint_s: float | None, told_s: int) -> None:
    assert verdict([Failed(FailureKind.BUSY, retry_after_s=hint_s)]).retry_after_s == told_s


@pytest.mark.parametrize("kind", list(FailureKind))
def test_only_who_may_come_again_is_told_when(kind: FailureKind) -> None:
    error = verdict([failed(kind)])
    assert (error.retry_after_s is not None) == (error.kind.status in (429, 503))


def test_an_answer_that_says_nothing_came_is_called_empty() -> None:
    assert verdict([Failed(FailureKind.SPOILED, "x", empty=True)]).code == "empty_response"
    assert verdict([Failed(FailureKind.SPOILED, "x")]).code == "bad_response"


def test_the_task_is_unknown_when_any_part_is() -> None:
    assert task_state([failed(FailureKind.REFUSED), failed(FailureKind.UNKNOWN)]) == "unknown"
    assert task_state([failed(FailureKind.REFUSED), failed(FailureKind.BUSY)]) == "failed"
    assert task_state([]) == "failed"


def test_signatures_that_a_provider_cannot_read_are_the_callers_mistake() -> None:
    """Nobody but the provider can look at them beforehand; fields that nobody knows are named first."""
    error = verdict([failed(FailureKind.INVALID)], signed="contents")
    assert (error.code, error.kind.status, error.param) == ("invalid_value", 400, "contents")
    assert verdict([failed(FailureKind.INVALID)], {"wibble": None}, "contents").code == "unknown_parameter"


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind is not FailureKind.INVALID])
def test_signatures_are_not_blamed_for_anything_else(kind: FailureKind) -> None:
    assert verdict([failed(kind)], signed="contents").code == TOLD[kind][0]


def test_what_a_provider_rejects_is_told_with_the_places_of_what_stands_at_a_wrong_one() -> None:
    error = verdict([failed(FailureKind.INVALID)], {"seed": "generationConfig.seed", "newest": None})
    assert (error.code, error.param) == ("unknown_parameter", "newest")
    assert error.message.endswith('not known where they stand: "newest", "seed" (its place is generationConfig.seed)')
