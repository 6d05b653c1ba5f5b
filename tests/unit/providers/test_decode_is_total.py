"""Whatever a provider answers, an adapter says what it means: it never raises, and says the same the second time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageway.core.blobs import Tree
from imageway.core.requests import ImageRequest, Size
from imageway.core.steps import Call, Done, Failed, FailureKind, JsonReply, More, Page, Reply, Send
from imageway.core.streams import StreamEnd, StreamEvent
from imageway.providers import ADAPTERS
from tests.values import replace

WORDS = [
    "error",
    "errors",
    "code",
    "message",
    "type",
    "param",
    "status",
    "details",
    "reason",
    "retryDelay",
    "violations",
    "quotaId",
    "quotaValue",
    "data",
    "url",
    "b64_json",
    "revised_prompt",
    "usage",
    "input_tokens",
    "output_tokens",
    "output_tokens_details",
    "text_tokens",
    "image_tokens",
    "candidates",
    "content",
    "parts",
    "text",
    "thought",
    "inlineData",
    "mimeType",
    "promptFeedback",
    "blockReason",
    "finishReason",
    "finishMessage",
    "usageMetadata",
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "candidatesTokensDetails",
    "modality",
    "tokenCount",
    "output",
    "task_id",
    "task_status",
    "results",
    "choices",
    "image",
    "actual_prompt",
    "partial_image_index",
    "image_index",
    "thoughtSignature",
]
VALUES = [
    "PENDING",
    "RUNNING",
    "SUCCEEDED",
    "FAILED",
    "UNKNOWN",
    "CANCELED",
    "STOP",
    "SAFETY",
    "NO_IMAGE",
    "IMAGE",
    "rate_limit_exceeded",
    "insufficient_quota",
    "InvalidParameter",
    "DataInspectionFailed",
    "https://x.example/1.png",
    "iVBORw0KGgo=",
    "12s",
    "-1s",
    "limit:0",
    "image_generation.partial_image",
    "image_generation.partial_succeeded",
    "image_generation.partial_failed",
    "image_generation.completed",
    "image_edit.completed",
    "server_error",
]

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(VALUES), st.sampled_from(WORDS), st.text()
)
trees: st.SearchStrategy[Tree] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner), max_leaves=25
)
bodies = st.builds(JsonReply, trees) | st.builds(Page, st.binary(max_size=60))
header_text = st.text(max_size=30) | st.sampled_from(["3", "0", "Fri, 20 Nov 2026 10:00:30 GMT", "Mon, 99 Foo 0000"])
headers = st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), header_text)
statuses = st.sampled_from([200, 200, 200, 201, 301, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504, 524])
replies = st.builds(Reply, statuses, headers, bodies)

names = st.none() | st.sampled_from([*VALUES, "error"]) | st.text(max_size=20)
said = st.builds(StreamEvent, trees | st.just("[DONE]"), names) | st.just(StreamEnd())
events = st.builds(Reply, statuses, headers, said)

CALL = Call(model="m", request=ImageRequest(model="m", prompt="x"), size=Size())


@pytest.mark.parametrize("name", ADAPTERS)
@settings(max_examples=300, deadline=None)
@given(reply=replies, memo=st.sampled_from([{}, {"task_id": "t"}]))
def test_any_reply_means_something(name: str, reply: Reply, memo: dict[str, str]) -> None:
    decode = ADAPTERS[name].decode
    step = decode(CALL, memo, reply)
    assert type(step) is type(decode(CALL, memo, reply))
    if isinstance(step, Done):
        assert step.images
        assert reply.status < 300
        assert step.usage is None or step.usage.output > 0
    elif isinstance(step, Failed):
        assert_fit_for_a_log(step)
    else:
        assert isinstance(step, Send)
        assert step.effect == "read", "a reply never makes an adapter buy again"
        assert step.memo


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("count", [1, 2])
@settings(max_examples=300, deadline=None)
@given(reply=events)
def test_any_event_means_something(name: str, count: int, reply: Reply) -> None:
    """More, or a last word; a stream never sends anything again, and its end is never the beginning of something."""
    decode = ADAPTERS[name].decode
    call = replace(CALL, request=replace(CALL.request, stream=True), count=count)
    step = decode(call, {}, reply)
    assert type(step) is type(decode(call, {}, reply))
    if isinstance(step, Failed):
        assert_fit_for_a_log(step)
    else:
        assert isinstance(step, More | Done)
        assert not step.images or reply.status < 300
        assert step.usage is None or step.usage.output > 0
        assert not isinstance(reply.body, StreamEnd)
        for failed in step.missing:
            assert_fit_for_a_log(failed)


def assert_fit_for_a_log(failed: Failed) -> None:
    assert len(failed.detail) <= 300
    assert "\n" not in failed.detail
    assert failed.retry_after_s is None or (failed.kind is FailureKind.BUSY and failed.retry_after_s >= 0)
