"""Ark's dialect beside its conversations: its tables are whole, its routes and keys are its own."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from imageway.core.blobs import Tree
from imageway.core.errors import KINDS, GatewayError, InvalidRequest
from imageway.core.intents import Estimated, Generate, Inbound, Missing, ShowModels, TaskView, Where
from imageway.core.requests import ImageRequest
from imageway.dialects.ark import DIALECT
from imageway.dialects.ark.errors import CODES, TYPES, error_of, item_error
from imageway.dialects.ark.fields import FIELDS, MEANINGS, TABLE
from imageway.dialects.shared import kinds
from imageway.dialects.shared.table import Field

DIRECT = {*ImageRequest.__struct_fields__}
HINTS = get_type_hints(ImageRequest)
SAMPLES: dict[str, Tree] = {"integer": 3, "number": 1.5, "boolean": True}


def decoded(**body: Tree) -> Generate:
    intent = DIALECT.decode(Inbound(route="generate", body={"model": "m", "prompt": "a boat", **body}))
    assert isinstance(intent, Generate)
    return intent


# The field table


def test_every_target_is_a_field_of_the_request_or_a_meaning() -> None:
    assert {field.target for field in FIELDS} <= DIRECT | MEANINGS.keys()
    assert MEANINGS.keys() <= {field.target for field in FIELDS}
    assert not DIRECT & MEANINGS.keys()


def test_no_place_holds_one_name_twice_and_every_place_is_an_object_of_the_table() -> None:
    assert len(TABLE.by_place) == sum(len(field.where) for field in FIELDS)
    containers = {field.name for field in FIELDS if field.target == "container"}
    assert {place for field in FIELDS for place in field.where} == containers | {""}
    assert set(TABLE.open_places) == containers | {""}


@pytest.mark.parametrize("field", [each for each in FIELDS if each.target in DIRECT], ids=lambda field: field.name)
def test_what_a_kind_reads_is_what_the_request_holds(field: Field) -> None:
    """Decode hands values over unchecked because of this test."""
    text = field.kind.type == "string"
    own = "2K" if field.kind is kinds.SIZE else field.kind.accepted[0]
    value = field.kind.read(own if text else SAMPLES[field.kind.type])
    allowed = get_args(HINTS[field.target]) or (HINTS[field.target],)
    assert type(value) in allowed


@pytest.mark.parametrize(("value", "told"), [(1, False), ("1", False), (2, True), (0, True), (True, True), ("x", True)])
def test_only_a_count_that_would_matter_is_told(value: Tree, told: bool) -> None:
    assert [warning.param for warning in decoded(n=value).warnings] == (["n"] if told else [])


def test_an_unknown_field_is_kept_and_one_of_another_family_never_is() -> None:
    others = {"mask": "x", "contents": [], "aspect_ratio": "1:1", "quality": "high", "input_images": ["x"]}
    intent = decoded(invented=True, **others)
    assert intent.request.extras == {"invented": True}
    assert {warning.param for warning in intent.warnings} == {"mask", "aspect_ratio", "input_images"}
    assert intent.request.quality == "high"


# Errors


def test_every_error_of_the_gateway_has_a_code_of_the_vendor() -> None:
    assert KINDS.keys() <= CODES.keys()


def test_a_code_has_one_status_and_statuses_are_those_the_vendor_has() -> None:
    """402, 502, 503 and 504 are none; what no request of an image meets there keeps its own."""
    statuses = {status for status, _ in CODES.values()}
    assert statuses - TYPES.keys() == {405, 408, 409, 410, 413, 415, 422}
    assert all(CODES[code][0] < 500 for code, kind in KINDS.items() if kind.status < 500)


@pytest.mark.parametrize("code", [*KINDS, "something_of_a_later_day"])
def test_every_error_is_written_in_the_envelope(code: str) -> None:
    answer = DIALECT.encode_error(Where("generate", "req_1"), GatewayError(code, "Why.", param=None))
    assert isinstance(answer.body, dict)
    error = answer.body["error"]
    assert isinstance(error, dict)
    assert error.keys() == {"code", "message", "param", "type"}
    assert error["message"] == "Why. Request id: req_1"
    assert all(isinstance(value, str) for value in error.values())
    assert ("x-request-id", "req_1") in answer.headers


def test_what_was_blocked_once_drawn_is_told_from_a_prompt_that_was_blocked() -> None:
    """The vendor has a code for each, also where no image of a request is left (volcengine.com/docs/82379/1299023)."""
    error = GatewayError("content_policy_violation", "Why.")
    assert error_of(error, "req_1")["code"] == "SensitiveContentDetected"
    error.drawn = True
    assert error_of(error, "req_1")["code"] == "OutputImageSensitiveContentDetected"
    late = GatewayError("bad_response", "Why.")
    late.drawn = True
    assert error_of(late, "req_1")["code"] == "InternalServiceError"


def test_an_image_that_did_not_come_has_a_code_too() -> None:
    codes = {item_error(Missing(code, "Why."))["code"] for code in (*KINDS, "something_of_a_later_day")}
    assert "OutputImageSensitiveContentDetected" in codes
    assert "SensitiveContentDetected" not in codes


# The rest


def test_models_are_asked_for_without_a_body() -> None:
    assert DIALECT.decode(Inbound(route="models", method="GET")) == ShowModels()


def test_only_a_bearer_key_is_a_key() -> None:
    """A request signed with an access key of the vendor's is nobody's here."""
    assert DIALECT.credential({"authorization": "Bearer sk-test"}, {}) == "sk-test"
    signed = "HMAC-SHA256 Credential=AK/20261120/cn-beijing/ark/request, SignedHeaders=host, Signature=0"
    assert DIALECT.credential({"authorization": signed, "x-api-key": "sk-test"}, {"key": "sk-test"}) is None


def test_what_could_be_read_of_a_wrong_request_goes_on_to_be_judged() -> None:
    with pytest.raises(InvalidRequest) as refused:
        decoded(prompt=None, image=[7], seed="x")
    partial = refused.value.partial
    assert partial is not None
    assert (partial.request.operation, len(partial.request.images)) == ("edit", 1)


@pytest.mark.parametrize(
    "outcome",
    [
        Estimated(hold_usd_micros=1, worst_usd_micros=1, expected_usd_micros=1),
        TaskView(id="req_1", status="running", model="m", created_s=0),
    ],
)
def test_what_this_dialect_never_asks_for_has_no_answer_in_it(outcome: Estimated | TaskView) -> None:
    with pytest.raises(TypeError, match=type(outcome).__name__):
        DIALECT.encode(decoded(), outcome)


def test_the_schema_is_the_tables() -> None:
    schema = DIALECT.schema("generate")
    assert schema is not None
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert set(properties) == {field.name for field in FIELDS if "" in field.where}
    assert DIALECT.schema("models") is None


@pytest.mark.parametrize(("message", "told"), [("Why", "Why."), ("Why.", "Why."), ("Was it m?", "Was it m?")])
def test_the_request_id_is_a_sentence_of_its_own(message: str, told: str) -> None:
    error = error_of(GatewayError("model_not_found", message), "req_1")
    assert error["message"] == f"{told} Request id: req_1"
