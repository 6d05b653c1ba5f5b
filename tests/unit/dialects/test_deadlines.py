"""`Imageway-Deadline` means the same at every path of every dialect that makes images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from imageway.core.errors import InvalidRequest
from imageway.core.intents import Dialect, Estimate, Generate, Intent
from imageway.dialects import DIALECTS
from tests.fuzz.checks import found, golden_requests, head_of

AS_A_TASK = {"x-dashscope-async": "enable"}  # where one dialect knows nothing else
dialects = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def decoded(dialect: Dialect, path: str, body: Any, headers: Mapping[str, str]) -> Intent:
    inbound = found(dialect, head_of("POST", path, AS_A_TASK | headers, {}), body)
    assert inbound is not None
    return dialect.decode(inbound)


def generations(dialect: Dialect) -> Iterator[tuple[str, Any, Intent]]:
    """A golden request for each path, of those that are served."""
    seen = set()
    for path, body in golden_requests(dialect.name):
        place = path.partition("?")[0]
        try:
            intent = decoded(dialect, path, body, {})
        except InvalidRequest:
            continue
        if isinstance(intent, Generate | Estimate) and place not in seen:
            seen.add(place)
            yield path, body, intent


@dialects
def test_every_path_reads_it(dialect: Dialect) -> None:
    """None where nobody wrote one."""
    asked = list(generations(dialect))
    assert asked
    for path, body, plain in asked:
        timed = decoded(dialect, path, body, {"imageway-deadline": "90"})
        for intent, deadline_s in ((plain, None), (timed, 90)):
            generate = intent.generate if isinstance(intent, Estimate) else intent
            assert isinstance(generate, Generate)
            assert generate.deadline_s == deadline_s, path


@dialects
@pytest.mark.parametrize("text", ["0", "soon", "-5", "1e3", "0\x1f", "9\x005"])
def test_what_is_no_time_is_refused(dialect: Dialect, text: str) -> None:
    for path, body, _ in generations(dialect):
        with pytest.raises(InvalidRequest) as refused:
            decoded(dialect, path, body, {"imageway-deadline": text})
        assert [each.param for each in refused.value.details] == ["Imageway-Deadline"], path
