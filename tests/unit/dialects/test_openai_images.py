"""What golden conversations cannot show well: credentials, limits of what is reported, and texts that hide bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from imageway.bodies import blob_of
from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError, InvalidRequest
from imageway.core.intents import Estimate, Generate, Inbound, Where
from imageway.core.requests import ImageData, ImageLink, Operation
from imageway.core.wording import QUOTED_CHARS
from imageway.dialects import DIALECTS
from imageway.dialects.openai_images import DIALECT, credential
from imageway.dialects.shared.findings import MOST_FINDINGS
from imageway.dialects.shared.written import MOST_UNKNOWN_FIELDS


def decode(body: Tree, *, headers: Mapping[str, str] | None = None) -> Generate:
    intent = DIALECT.decode(Inbound(route="generate", headers=headers or {}, body=body))
    assert isinstance(intent, Generate)
    return intent


def refused(body: Tree, *, headers: Mapping[str, str] | None = None) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decode(body, headers=headers)
    return caught.value


def test_the_unified_endpoint_is_the_first_dialect() -> None:
    assert DIALECTS[0].routes is DIALECT.routes
    assert DIALECT.name == "openai_images"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"authorization": "Bearer sk-test-1"}, "sk-test-1"),
        ({"authorization": "bEARER  sk-test-1 "}, "sk-test-1"),
        ({"x-api-key": "sk-test-2"}, "sk-test-2"),
        ({"api-key": "sk-test-3"}, "sk-test-3"),
        ({"authorization": "Bearer sk-test-1", "x-api-key": "sk-test-2"}, "sk-test-1"),
        ({"authorization": "Basic dTpw", "api-key": "sk-test-3"}, "sk-test-3"),
        ({"authorization": "Bearer "}, None),
        ({"authorization": "Basic dTpw"}, None),
        ({"authorization": "sk-test-1"}, None),
        ({}, None),
    ],
)
def test_a_credential_comes_from_one_of_three_headers(headers: dict[str, str], expected: str | None) -> None:
    assert credential(headers, {}) == expected


def test_a_credential_never_comes_from_the_query() -> None:
    assert credential({}, {"key": "sk-test-1", "api-key": "sk-test-1"}) is None


def test_a_lifted_image_is_placed_unread() -> None:
    """The blob that arrived is the blob that leaves: nothing was copied or decoded."""
    blob = blob_of(b"bytes")
    intent = decode({"model": "m", "prompt": "p", "image": [blob]})
    assert intent.request.images == (ImageData(blob, "image[0]"),)
    assert isinstance(intent.request.images[0], ImageData)
    assert intent.request.images[0].blob is blob


def test_a_prompt_that_was_lifted_because_it_looks_like_base64_is_refused_without_its_content() -> None:
    error = refused({"model": "m", "prompt": blob_of(b"A" * 9000)})
    assert error.param == "prompt"
    assert error.message == "prompt is 9000 bytes of base64 data; accepted: a string"
    assert len(error.details) == 1


def test_the_conversation_is_given_once() -> None:
    error = refused(
        {
            "model": "m",
            "contents": [{"parts": [{"text": "a"}]}],
            "input": {"messages": [{"role": "user", "content": [{"text": "b"}]}]},
        }
    )
    assert (error.code, error.param) == ("conflicting_parameters", "input.messages")


def test_a_nested_message_may_be_plain_text() -> None:
    intent = decode({"model": "m", "input": {"messages": [{"role": "user", "content": "a cat"}]}})
    assert intent.request.prompt == "a cat"


def test_a_prompt_that_repeats_the_last_turn_is_used_once() -> None:
    cat: Tree = {"parts": [{"text": "a cat"}]}
    blue: Tree = {"parts": [{"text": "blue"}]}
    answer: Tree = {"role": "model", "parts": [{"text": "!"}]}
    intent = decode({"model": "m", "prompt": "blue", "contents": [cat, answer, blue]})
    assert intent.request.prompt == "a cat\nblue"
    assert intent.warnings == ()
    assert [turn.role for turn in intent.request.turns] == ["user", "model", "user"]


def test_an_estimate_takes_the_same_body() -> None:
    body: Tree = {"model": "m", "prompt": "p", "n": "2"}
    intent = DIALECT.decode(Inbound(route="estimate", body=body))
    assert intent == Estimate(generate=decode(body))


def left_of(body: Tree, route: str = "generate") -> Generate | None:
    with pytest.raises(InvalidRequest) as caught:
        DIALECT.decode(Inbound(route=route, body=body))
    return caught.value.partial


def test_a_refusal_carries_what_could_be_read() -> None:
    """For a model to judge the rest by: with stand-ins, so that nothing counts as missing that was only unreadable."""
    left = left_of({"model": "m", "prompt": 5, "n": 0, "quality": "low", "image": ["not base64!", "https://x.test/a"]})
    assert left is not None
    request = left.request
    assert (request.model, request.quality, request.n) == ("m", "low", None)
    assert request.prompt
    assert request.images == (ImageLink("", "image[0]"), ImageLink("https://x.test/a", "image[1]"))
    assert request.operation is Operation.EDIT


def test_an_image_that_was_forgotten_has_a_stand_in_too() -> None:
    for left in (
        left_of({"model": "m", "prompt": "p"}, "edit"),
        left_of({"model": "m", "prompt": "p", "mask": "https://x.test/m"}),
    ):
        assert left is not None
        assert (left.request.images, left.request.operation) == ((ImageLink("", "image"),), Operation.EDIT)


@pytest.mark.parametrize(
    "body", [None, {"prompt": "p"}, {"model": "m", "contents": "a cat"}, {"model": "m", "contents": [{"parts": [5]}]}]
)
def test_where_too_little_was_read_nothing_is_left(body: Tree) -> None:
    """No model to judge by, or a conversation that may have said anything."""
    assert left_of(body) is None


@pytest.mark.parametrize("value", ["false", "True", ""])
def test_a_truth_in_quotes_is_told_apart(value: str) -> None:
    error = refused({"model": "m", "prompt": "p", "watermark": value})
    assert error.message == f'watermark is the text "{value}"; accepted: true or false without quotes'
    assert error.details[0].accepted == ("true", "false")


@pytest.mark.parametrize("key", ["", "a" * 256, "a\nb", "é", "\x7f"])
def test_a_bad_idempotency_key_is_refused(key: str) -> None:
    assert refused({"model": "m", "prompt": "p"}, headers={"idempotency-key": key}).param == "Idempotency-Key"


@pytest.mark.parametrize("key", ["a", "~" * 255, "with space"])
def test_a_good_idempotency_key_is_kept(key: str) -> None:
    assert decode({"model": "m", "prompt": "p"}, headers={"idempotency-key": key}).idempotency_key == key


@pytest.mark.parametrize(("value", "strict"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_strictness_is_a_header(value: str, strict: bool) -> None:
    assert decode({"model": "m", "prompt": "p"}, headers={"imageway-strict": value}).strict is strict


def test_problems_are_reported_up_to_a_limit() -> None:
    """A body of a megabyte cannot be blown up into an answer of a hundred."""
    error = refused({"model": "m", "contents": [0] * 100_000})
    assert len(error.details) == MOST_FINDINGS


def test_warnings_are_reported_up_to_a_limit() -> None:
    inner: Tree = {f"field{number}": 1 for number in range(1000)}
    warnings = decode({"model": "m", "prompt": "p", "parameters": inner}).warnings
    assert len(warnings) == MOST_FINDINGS + 1
    assert warnings[-1].code == "more_warnings"


def test_unknown_fields_are_carried_up_to_a_limit() -> None:
    def body(count: int) -> Tree:
        return {"model": "m", "prompt": "p"} | {f"field{number}": 1 for number in range(count)}

    assert len(decode(body(MOST_UNKNOWN_FIELDS)).request.extras) == MOST_UNKNOWN_FIELDS
    assert refused(body(MOST_UNKNOWN_FIELDS + 1)).code == "unknown_parameter"


def test_a_message_repeats_little_and_only_what_can_be_printed() -> None:
    error = refused({"model": "m", "prompt": "p", "size": "\x1b[31m\ud800" + "9" * 10_000})
    assert "\x1b" not in error.message
    assert error.message.encode()
    quoted = error.message.split('"')[1]
    assert len(quoted) == QUOTED_CHARS


def test_a_path_repeats_little_of_a_name() -> None:
    warning = decode({"model": "m", "prompt": "p", "parameters": {"\ud800" + "x" * 10_000: 1}}).warnings[0]
    assert warning.param is not None
    assert len(warning.param.encode()) < 200


def test_an_error_found_later_answers_under_its_own_request_id() -> None:
    error = GatewayError("bad_response", "The provider's answer could not be used.")
    error.request_id = "req_9"
    answer = DIALECT.encode_error(Where("generate", "req_1"), error)
    assert answer.status == 502
    assert dict(answer.headers)["x-request-id"] == "req_9"
    assert isinstance(answer.body, dict)
    assert json.loads(json.dumps(answer.body))["error"]["request_id"] == "req_9"


def test_a_code_nobody_registered_is_a_plain_400() -> None:
    answer = DIALECT.encode_error(Where(None, "req_1"), GatewayError("size_unavailable", "No.", param="size"))
    assert answer.status == 400
    assert dict(answer.headers)["x-should-retry"] == "false"
