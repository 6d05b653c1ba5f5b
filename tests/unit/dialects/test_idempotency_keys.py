"""`Idempotency-Key` and `Imageway-Idempotency` mean the same at every path of every dialect that makes images."""

from __future__ import annotations

import pytest

from imageway.core.errors import InvalidRequest
from imageway.core.intents import Dialect, Estimate, Generate, Intent
from tests.unit.dialects.test_deadlines import decoded, dialects, generations

LONGEST = "k" * 255


def generate_of(intent: Intent) -> Generate:
    generate = intent.generate if isinstance(intent, Estimate) else intent
    assert isinstance(generate, Generate)
    return generate


@dialects
def test_every_path_reads_them(dialect: Dialect) -> None:
    """None where nobody wrote one; who says nothing else waits for what runs under his key."""
    asked = list(generations(dialect))
    assert asked
    for path, body, plain in asked:
        keyed = decoded(dialect, path, body, {"idempotency-key": LONGEST, "imageway-idempotency": "Reject"})
        patient = decoded(dialect, path, body, {"idempotency-key": "a key", "imageway-idempotency": "wait"})
        read = [(one.idempotency_key, one.reject_running) for one in map(generate_of, (plain, keyed, patient))]
        assert read == [(None, False), (LONGEST, True), ("a key", False)], path


@dialects
@pytest.mark.parametrize("key", ["", f"{LONGEST}k", "cl\u00e9", "a\tkey", "a\x00key"])
def test_what_is_no_key_is_refused(dialect: Dialect, key: str) -> None:
    """With its limits."""
    for path, body, _ in generations(dialect):
        with pytest.raises(InvalidRequest) as refused:
            decoded(dialect, path, body, {"idempotency-key": key})
        (problem,) = refused.value.details
        assert (problem.param, problem.accepted) == ("Idempotency-Key", ("1 to 255 printable ASCII characters",)), path


@dialects
def test_what_is_no_way_to_meet_is_refused(dialect: Dialect) -> None:
    for path, body, _ in generations(dialect):
        with pytest.raises(InvalidRequest) as refused:
            decoded(dialect, path, body, {"idempotency-key": "a key", "imageway-idempotency": "hurry"})
        assert [each.param for each in refused.value.details] == ["Imageway-Idempotency"], path
