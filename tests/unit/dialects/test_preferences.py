"""`Prefer: respond-async` (RFC 7240) means the same at every path of every dialect that makes images at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from imageway.core.errors import InvalidRequest
from imageway.core.intents import Dialect, Generate, Intent, TaskView
from imageway.dialects import DIALECTS
from tests.fuzz.checks import found, golden_requests, head_of

AT_ONCE = tuple(each for each in DIALECTS if each.name != "mountsea")  # which answers a task, whatever is preferred
dialects = pytest.mark.parametrize("dialect", AT_ONCE, ids=lambda dialect: dialect.name)
TASK = TaskView(id="req_1", status="queued", model="m", created_s=5)


def decoded(dialect: Dialect, path: str, body: Any, headers: Mapping[str, str]) -> Intent:
    inbound = found(dialect, head_of("POST", path, headers, {}), body)
    assert inbound is not None
    return dialect.decode(inbound)


def generations(dialect: Dialect) -> Iterator[tuple[str, Any]]:
    """A golden request for each path, of those that are served."""
    seen = set()
    for path, body in golden_requests(dialect.name):
        place = path.partition("?")[0]
        try:
            intent = decoded(dialect, path, body, {})
        except InvalidRequest:
            continue
        if isinstance(intent, Generate) and place not in seen:
            seen.add(place)
            yield path, body


@dialects
def test_whoever_prefers_it_gets_a_task(dialect: Dialect) -> None:
    """202 with where it is found and when to ask again; nobody else gets one."""
    asked = list(generations(dialect))
    assert asked
    for path, body in asked:
        plain, preferred = (decoded(dialect, path, body, each) for each in ({}, {"prefer": "respond-async, wait=20"}))
        assert isinstance(plain, Generate)
        assert isinstance(preferred, Generate)
        assert (plain.background, plain.wait_s) == (False, 0), path
        assert (preferred.background, preferred.wait_s) == (True, 20), path
        receipt = dialect.encode(preferred, TASK)
        if dialect.name == "dashscope":  # which has a receipt of its own
            continue
        assert receipt.status == 202, path
        headers = dict(receipt.headers)
        assert headers["location"] == "/v1/tasks/req_1"
        assert headers["retry-after"] == "2"
        assert headers["preference-applied"] == "respond-async"
        assert headers["x-request-id"] == "req_1"


@dialects
@pytest.mark.parametrize("text", ["soon", "-5", "1e3", ""])
def test_what_is_no_time_is_refused(dialect: Dialect, text: str) -> None:
    for path, body in generations(dialect):
        with pytest.raises(InvalidRequest) as refused:
            decoded(dialect, path, body, {"prefer": f"respond-async, wait={text}"})
        assert [each.param for each in refused.value.details] == ["Prefer"], path


def test_what_else_is_wrong_is_told_beside_it() -> None:
    dialect = next(each for each in AT_ONCE if each.name == "ark")
    with pytest.raises(InvalidRequest) as refused:
        decoded(dialect, "/api/v3/images/generations", {"model": 5}, {"prefer": "wait=soon"})
    assert {each.param for each in refused.value.details} >= {"Prefer", "model"}


def test_a_format_s_own_way_to_ask_for_a_task_wins() -> None:
    """DashScope's SDK takes 200 alone, with the vendor's own receipt, for a task that was accepted."""
    dialect = next(each for each in AT_ONCE if each.name == "dashscope")
    for path, body in generations(dialect):
        intent = decoded(dialect, path, body, {"x-dashscope-async": "enable", "prefer": "respond-async, wait=20"})
        assert isinstance(intent, Generate)
        assert (intent.background, intent.wait_s) == (True, 0), path
        assert dialect.encode(intent, TASK).status == 200, path
