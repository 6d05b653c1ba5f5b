"""Which paths there are, and what no path and no query may hold."""

from __future__ import annotations

import pytest

from imageway.core.errors import GatewayError
from imageway.dialects import DIALECTS
from imageway.server.routes import Head, RouteTable

TABLE = RouteTable(DIALECTS)


def refused(path: str, query: dict[str, str], target: str) -> str:
    with pytest.raises(GatewayError) as caught:
        TABLE.find(Head("GET", path, query, {}, target))
    return caught.value.code


def test_a_segment_is_named_by_its_route() -> None:
    assert TABLE.find(Head("GET", "/v1/tasks/req_1", {}, {}, "/v1/tasks/req_1")).params == {"id": "req_1"}


@pytest.mark.parametrize("path", ["/v1/tasks/\0", "/v1/tasks/req\0/events", "/api/v1/tasks/a\0b", "/v1/tasks/"])
def test_nothing_is_called_by_what_no_database_keeps(path: str) -> None:
    assert refused(path, {}, path.replace("\0", "%00")) == "not_found"


def test_no_question_holds_what_no_database_keeps() -> None:
    assert refused("/v1/tasks", {"model": "\0"}, "/v1/tasks?model=%00") == "invalid_value"
    assert TABLE.find(Head("GET", "/v1/tasks", {"model": "%00"}, {}, "/v1/tasks?model=%2500"))
