"""Logs of a simulated world are evidence: what the gateway itself calls a crash is kept for the checkers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sim.logs import quiet


@pytest.fixture(autouse=True, scope="module")
def _quiet_logs() -> Iterator[None]:
    with quiet():
        yield
