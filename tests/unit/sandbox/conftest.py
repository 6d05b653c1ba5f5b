"""One sandbox a test, always with the same seed."""

from __future__ import annotations

import pytest

from imageway.sandbox import Room, open_sandbox


@pytest.fixture
def room() -> Room:
    return open_sandbox(random_seed=1)
