"""What golden conversations cannot show well: that the tables are whole and truthful, and the edges of what is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageway.bodies import blob_of
from imageway.core.blobs import Tree
from imageway.core.errors import KINDS, GatewayError, InvalidRequest, Problem
from imageway.core.intents import (
    CancelTask,
    Estimated,
    Generate,
    GrantUpload,
    Inbound,
    Intent,
    ListTasks,
    ModelList,
    Outcome,
    Picture,
    ShowTask,
    TaskList,
    TaskView,
    Upload,
    Uploaded,
    UploadGrant,
    Where,
)
from imageway.core.requests import ImageData, ImageLink, ImageRequest
from imageway.core.steps import FormBody, FormFile
from imageway.dialects.dashscope import DIALECT, GENERATIONS, ROUTES, credential, schema
from imageway.dialects.dashscope.errors import CODES, MOST_PROBLEMS, encode_error
from imageway.dialects.dashscope.fields import FIELDS, IMAGES, NOT_OFFERED, TABLE
from imageway.dialects.dashscope.listing import MOST_ROWS, STATUSES
from imageway.dialects.shared import kinds
from imageway.dialects.shared.table import Field
from imageway.tasks.states import TASK
from tests.values import replace

DIRECT = {*ImageRequest.__struct_fields__}
HINTS = get_type_hints(ImageRequest)
WORKED_OUT = {"contents", *IMAGES, "function", "grouped", "tier", "container", "ignored", "silent"}
SAMPLES: dict[str, Tree] = {"integer": 3, "number": 1.5, "boolean": True}
TASK_SEEN = TaskView(id="req_7", status="running", model="m", created_s=1)
WHERE = Where("generate", "req_1")


def decode(body: Tree, *, route: str = "generate", headers: Mapping[str, str] | None = None) -> Generate:
    intent = DIALECT.decode(Inbound(route=route, headers=headers or {}, body=body))
    assert isinstance(intent, Generate)
    return intent


def said(*parts: Tree) -> dict[str, Tree]:
    return {"model": "m", "input": {"messages": [{"role": "user", "content": list(parts)}]}}


# The table


def test_every_target_is_a_field_of_the_request_or_worked_out() -> None:
    assert {field.target for field in FIELDS} <= DIRECT | WORKED_OUT
    assert {field.target for field in FIELDS} >= WORKED_OUT


def test_no_place_holds_one_name_twice() -> None:
    assert len(TABLE.by_place) == sum(len(field.where) * (1 + len(field.also)) for field in FIELDS)


def test_every_place_is_an_object_of_the_table() -> None:
    containers = {field.name for field in FIELDS if field.target == "container"}
    assert {place for field in FIELDS for place in field.where} == containers | {""}
    assert set(TABLE.open_places) == containers | {""}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_row_is_fit_for_documents(field: Field) -> None:
    assert field.description.endswith((".", "`"))
    assert field.kind.accepted


@pytest.mark.parametrize(
    "field", [each for each in FIELDS if each.target in DIRECT - {"mask"}], ids=lambda field: field.name
)
def test_what_a_kind_reads_is_what_the_request_holds(field: Field) -> None:
    """Decode hands values over unchecked because of this test."""
    sample = SAMPLES.get(field.kind.type, "a text")
    if field.kind.type == "string" and field.kind is not kinds.TEXT:
        sample = "16:9" if field.kind is kinds.SIZE else field.kind.accepted[0]
    value = field.kind.read(sample)
    assert type(value) in (get_args(HINTS[field.target]) or (HINTS[field.target],))


def test_a_request_can_be_spelled_in_every_word_this_dialect_is_to_know() -> None:
    """What no row reaches belongs to other dialects, or is worked out."""
    worked_out = {"operation", "turns", "images", "group", "extras", "spelled", "written", "names", "family"}
    assert DIRECT - worked_out - {field.target for field in FIELDS} == {
        "stream",
        "partial_images",
        "want_text",
        "enhance_mode",
    }


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_what_is_not_offered_is_told_and_forwarded_to_nobody(name: str) -> None:
    intent = decode(said({"text": "a cat"}) | {"parameters": {name: 1}})
    assert [(warning.code, warning.param) for warning in intent.warnings] == [
        ("parameter_ignored", f"parameters.{name}")
    ]
    assert intent.request.extras == {}


# Requests


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"authorization": "Bearer sk-test-1"}, "sk-test-1"),
        ({"authorization": "bearer  sk-test-1 "}, "sk-test-1"),
        ({"authorization": "sk-test-1"}, None),
        ({"x-api-key": "sk-test-1", "api-key": "sk-test-1"}, None),
        ({}, None),
    ],
)
def test_a_credential_is_a_bearer_token(headers: dict[str, str], expected: str | None) -> None:
    assert credential(headers, {"key": "sk-test-2"}) == expected


def test_a_lifted_image_is_placed_unread() -> None:
    blob = blob_of(b"bytes")
    (image,) = decode(said({"image": blob}, {"text": "a cat"})).request.images
    assert isinstance(image, ImageData)
    assert image.blob is blob


@pytest.mark.parametrize("name", ["oss://up/a.png", "OSS://up/a.png", "oss://up/a cat 猫.png", "oss://"])
def test_an_upload_is_a_link_like_any_other(name: str) -> None:
    """Whether there is such an upload, the engine finds out. Without its header it is refused as the vendor does."""
    place, header = "input.messages[0].content[0].image", "x-dashscope-ossresourceresolve"
    (image,) = decode(said({"image": name}, {"text": "a cat"}), headers={header: "enable"}).request.images
    assert image == ImageLink(name, place)
    with pytest.raises(InvalidRequest) as refused:
        decode(said({"image": name}, {"text": "a cat"}))
    assert (refused.value.code, refused.value.param) == ("upload_not_resolved", place)


@pytest.mark.parametrize("header", ["x-dashscope-async", "x-dashscope-sse"])
@pytest.mark.parametrize(("value", "on"), [("enable", True), (" Enable ", True), ("disable", False), ("1", False)])
def test_a_switch_is_on_when_it_says_enable(header: str, value: str, on: bool) -> None:
    intent = decode(said({"text": "a cat"}), headers={header: value})
    assert (intent.background or bool(intent.warnings)) is on


@pytest.mark.parametrize("route", [name for name in GENERATIONS if name != "generate"])
def test_every_other_path_makes_tasks_alone(route: str) -> None:
    assert decode(said({"image": "https://x.test/a.png"}, {"text": "a"}), route=route, headers=ASYNC).background
    with pytest.raises(InvalidRequest) as refused:
        decode(said({"text": "a"}), route=route)
    assert encode_error(Where(route, "req_1"), refused.value).status == 403


ASYNC = {"x-dashscope-async": "enable"}


def test_what_can_be_read_of_a_wrong_request_is_judged_as_well() -> None:
    """A text that is missing is stood in for; an input that cannot be read leaves nothing to judge."""
    cases: list[tuple[dict[str, Tree], bool]] = [
        ({"model": "m", "input": {"messages": []}}, True),
        ({"model": "m"}, True),
        (said({"text": "a cat"}) | {"parameters": {"n": 0}}, True),
        ({"model": " ", "input": {"prompt": "a cat"}}, False),
        ({"model": "m", "input": {"messages": 5}}, False),
        ({"model": "m", "input": {"prompt": 5}, "parameters": {"n": 0}}, False),
    ]
    for body, judged in cases:
        with pytest.raises(InvalidRequest) as refused:
            decode(body)
        assert (refused.value.partial is not None) is judged, body


# Lists and uploads


def listed(**query: str) -> ListTasks:
    intent = DIALECT.decode(Inbound(route="tasks", method="GET", query=query))
    assert isinstance(intent, ListTasks)
    return intent


@given(st.dictionaries(st.sampled_from(["page_no", "page_size", "start_time", "end_time", "status"]), st.text()))
def test_any_query_is_a_list_or_a_refusal(query: dict[str, str]) -> None:
    try:
        intent = listed(**query)
    except InvalidRequest:
        return
    assert 1 <= intent.limit <= MOST_ROWS
    assert intent.skip >= 0


@pytest.mark.parametrize(
    "text", ["20250229000000", "00000101000000", "2025112000000", "２０２５１１２００００００００", "20251120240000"]
)
def test_a_moment_that_never_was_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        listed(start_time=text)


def test_leap_days_and_the_last_second_of_a_day_are_read() -> None:
    day = listed(start_time="20240229000000", end_time="20240229235959")
    assert day.since_ms is not None
    assert day.until_ms == day.since_ms + 86_400_000


def test_every_state_of_a_task_has_a_status_of_the_providers() -> None:
    assert STATUSES.keys() == TASK.keys()
    assert len(set(STATUSES.values())) == len(STATUSES)


def form(*parts: tuple[str, str | FormFile]) -> Inbound:
    return Inbound(route="upload", body=FormBody(parts))


def test_the_fields_of_a_form_are_read_in_any_case_the_last_of_each() -> None:
    file = FormFile(blob_of(b"content"), "a.png", "image/png")
    intent = DIALECT.decode(
        form(("KEY", "x/old"), ("key", "x/a.png"), ("ossaccesskeyid", "k1"), ("SIGNATURE", "s"), ("File", file))
    )
    assert intent == Upload("x/a.png", {"key": "k1", "signature": "s"}, file.blob)


@pytest.mark.parametrize("count", [0, 2])
def test_a_form_brings_one_file(count: int) -> None:
    file = FormFile(blob_of(b"content"), "a.png", "image/png")
    with pytest.raises(InvalidRequest, match=f"{count} files"):
        DIALECT.decode(form(("key", "x/a.png"), *[("file", file)] * count))


# Answers


def test_every_error_of_the_gateway_has_a_code_of_the_providers() -> None:
    assert KINDS.keys() <= CODES.keys()
    for code, kind in KINDS.items():
        status, _ = CODES[code]
        assert status // 100 == kind.status // 100, code
        assert (status in (429, 503)) is (kind.resend or kind.status in (429, 503)), code


def test_an_unknown_problem_is_an_invalid_parameter() -> None:
    answer = encode_error(WHERE, InvalidRequest(Problem("n", "out_of_range", "n is 11")))
    assert answer.status == 400
    assert answer.body == {"code": "InvalidParameter", "message": "n is 11", "request_id": "req_1"}


def test_a_message_has_so_many_lines_and_each_once() -> None:
    problems = [Problem("n", "wrong", f"n is {number % 30}") for number in range(60)]
    body: Any = encode_error(WHERE, InvalidRequest(*problems)).body
    assert body["message"].splitlines() == [f"n is {number}" for number in range(MOST_PROBLEMS)]


def test_a_task_that_is_not_there_is_unknown_only_where_it_is_asked_for() -> None:
    error = GatewayError("task_not_found", "there is no such task")
    asked = encode_error(Where("task", "req_1", {"id": "t"}), error)
    assert (asked.status, dict(asked.headers)) == (200, {"x-request-id": "req_1"})
    assert encode_error(Where("cancel", "req_1", {"id": "t"}), error).status == 400


@pytest.mark.parametrize(
    ("intent", "outcome"),
    [
        (ShowTask("req_7"), TASK_SEEN),
        (CancelTask("req_7"), TASK_SEEN),
        (CancelTask("req_7"), replace(TASK_SEEN, status="cancelled")),
        (ListTasks(), TaskList(tasks=(TASK_SEEN,), total=1)),
        (
            GrantUpload("m"),
            UploadGrant(
                url="u", fields=dict.fromkeys(("policy", "key", "signature"), ""), folder="f", max_bytes=1, expires_s=1
            ),
        ),
        (Upload("x", {}, blob_of(b"")), Uploaded("oss://x")),
    ],
)
def test_every_answer_takes_a_request_id(intent: Intent, outcome: Outcome) -> None:
    """Those that have none of their own are given the server's."""
    answer = DIALECT.encode(intent, outcome)
    assert answer.id_key == "request_id"
    assert "x-request-id" not in dict(answer.headers)


def test_a_task_with_other_images_than_were_asked_for_counts_what_there_is() -> None:
    pictures = tuple(Picture(media_type="image/png", width=1, height=1, url=f"u{number}") for number in range(3))
    task = replace(TASK_SEEN, status="succeeded", pictures=pictures, requested=2)
    body: Any = DIALECT.encode(ShowTask("req_7"), task).body
    assert body["output"]["task_metrics"] == {"TOTAL": 3, "SUCCEEDED": 3, "FAILED": 0}


@pytest.mark.parametrize(
    "outcome", [ModelList(()), Estimated(hold_usd_micros=0, worst_usd_micros=0, expected_usd_micros=0)]
)
def test_what_nobody_asked_for_here_is_a_mistake(outcome: Outcome) -> None:
    with pytest.raises(TypeError):
        DIALECT.encode(ShowTask("req_7"), outcome)


def test_routes_and_schemas_agree() -> None:
    for route in ROUTES:
        assert route.summary.endswith(".")
        assert (schema(route.name) is not None) is (route.name in GENERATIONS)
    assert all(route.path.startswith(DIALECT.prefixes) for route in ROUTES)
    assert {route.name for route in ROUTES if route.public} == {"upload"}
