"""Who may come in, and that everybody who left makes room."""

from __future__ import annotations

import pytest

from imageway.core.errors import GatewayError
from imageway.engine.admission import Admission
from imageway.engine.settings import EngineSettings


def test_a_key_has_its_own_limit_and_all_have_one_together() -> None:
    admission = Admission(EngineSettings(tasks_at_once=3, tasks_per_key_at_once=2))
    admission.enter("a")
    admission.enter("a")
    with pytest.raises(GatewayError, match="2 calls running already") as too_many:
        admission.enter("a")
    assert (too_many.value.code, too_many.value.retry_after_s) == ("rate_limit_exceeded", 1)
    admission.enter("b")
    with pytest.raises(GatewayError) as full:
        admission.enter("c")
    assert full.value.code == "overloaded"


def test_who_leaves_makes_room_and_leaves_no_trace() -> None:
    admission = Admission(EngineSettings(tasks_at_once=1))
    for number in range(1000):
        admission.enter(f"key-{number}")
        admission.leave(f"key-{number}")
    assert admission == Admission(EngineSettings(tasks_at_once=1))
