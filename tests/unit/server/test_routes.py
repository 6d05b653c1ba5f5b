"""Which paths there are, and what no path and no query may hold."""

from __future__ import annotations

import pytest

from imageway.core.errors import GatewayError
from imageway.core.intents import Where
from imageway.dialects import DIALECTS
from imageway.dialects.shared.cloud import HOUSES
from imageway.server.routes import Head, MethodNotAllowed, RouteTable

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


@pytest.mark.parametrize(
    "place", [place.replace("{project}", "p").replace("{location}", "l") for place in HOUSES.values()]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("verb", ["unknownMethod", "embedContent", "predict:generateContent2", ""])
def test_a_verb_that_no_path_ends_in_is_not_found(place: str, method: str, verb: str) -> None:
    """It says what to do, as the method does, and is no part of a model's name (google.api.http, custom verbs); where
    nothing can be done with it, with no method, there is nothing."""
    path = f"{place}/models/m:{verb}"
    head = Head(method, path, {}, {"x-goog-api-key": "k"}, path)
    with pytest.raises(GatewayError) as caught:
        TABLE.find(head)
    answer = TABLE.speaker(head).encode_error(Where(None, "req_1"), caught.value)
    assert answer.status == 404
    assert isinstance(answer.body, dict)
    error = answer.body["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["status"]) == (404, "NOT_FOUND")
    assert f'"{path}"' in str(error["message"])


@pytest.mark.parametrize(
    ("method", "ending", "methods"),
    [("PUT", ":generateContent", ("POST",)), ("PUT", ":predict", ("POST",)), ("POST", "", ("GET", "HEAD"))],
)
def test_another_method_for_what_there_is_is_told_those_that_are(
    method: str, ending: str, methods: tuple[str, ...]
) -> None:
    path = f"/v1beta/models/m{ending}"
    with pytest.raises(MethodNotAllowed) as caught:
        TABLE.find(Head(method, path, {}, {}, path))
    assert caught.value.methods == methods


@pytest.mark.parametrize(("headers", "speaker"), [({"x-goog-api-key": "k"}, "gemini"), ({}, "openai_images")])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/models",
        "/v1/models/m",
        "/v1/models/m:unknownMethod",
        "/v1/models/m:predict/",
        "/v1/models/m/n",
        "/v1/models/",
    ],
)
def test_a_path_that_two_share_is_refused_in_the_format_of_the_one_who_asks(
    path: str, headers: dict[str, str], speaker: str
) -> None:
    assert TABLE.speaker(Head("PUT", path, {}, headers, path)).name == speaker


def test_who_carries_a_key_elsewhere_is_no_guest_there() -> None:
    for path in ("/v1/nothing", "/v1/images/generations/", "/v1/modelsx"):
        assert TABLE.speaker(Head("POST", path, {}, {"x-goog-api-key": "k"}, path)).name == "openai_images"
