"""One sandbox a test, always with the same seed; and a clock for tasks, which end by the time."""

from __future__ import annotations

import time

import pytest

from imageway.sandbox import Room, open_sandbox


@pytest.fixture
def room() -> Room:
    return open_sandbox(random_seed=1)


class StoppedClock:
    """The loop's for tasks, and the day's: it goes on when a test says so, and on no machine sooner."""

    def __init__(self) -> None:
        self.passed_s, self.began_s = 0.0, time.time()

    def go_on(self, seconds: float) -> None:
        self.passed_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    made = StoppedClock()
    for module in ("tasks", "desk"):
        monkeypatch.setattr(f"imageway.sandbox.upstreams.dashscope.{module}.now_s", lambda: made.passed_s)
    monkeypatch.setattr(time, "time", lambda: made.began_s + made.passed_s)
    return made
