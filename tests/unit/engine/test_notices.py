"""Whom to tell: looked at with everything else that a request may have wrong, kept with its task, and written into
whatever commit ends it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import msgspec
import pytest

from imageway.core.errors import GatewayError, InvalidRequest, Problem
from imageway.core.failures import FetchRefused
from imageway.core.intents import Estimate, Generate, Webhook
from imageway.core.ops import Op
from imageway.core.requests import Caller, ImageRequest
from imageway.core.steps import Failed, FailureKind
from imageway.engine.acceptance import facts_for
from imageway.engine.attempts import PartResult
from imageway.engine.facts import TaskFacts
from imageway.engine.memos import KeptTask, pack_task, unpack_task
from imageway.engine.notices import URL_CHARS, notices, webhook_of, why_not
from imageway.engine.ports import Tools
from imageway.engine.preparation import prepare, with_the_rest
from imageway.engine.settlement import cancelled, failed
from imageway.tasks.ops import FinishTask
from imageway.tasks.webhooks import AddDelivery, NotifyEndpoints

CALLER = Caller("key_1", "ws_1")
HOOK = "https://caller.example/hook"
ASKED = ImageRequest(model="gpt-image-1", prompt="a cat")


class Wary:
    """A transport that only says whom it would not call."""

    def check_told(self, url: str) -> None:
        if "inside" in url:
            raise FetchRefused("image_url_unreachable", "its host cannot be reached at a public address")


@pytest.fixture
def tools(tools: Tools) -> Tools:
    return replace(tools, transport=cast("Any", Wary()))


def intent(url: str = HOOK, *events: str, **request: Any) -> Generate:
    fields = {"model": "gpt-image-1", "prompt": "a cat"} | request
    return Generate(request=ImageRequest(**fields), webhook=Webhook(url, events, "webhook.url"))


def facts(tools: Tools, asked: Generate) -> TaskFacts:
    return facts_for(msgspec.structs.replace(prepare(tools, asked, CALLER), priced_ms=5), "req_1")


# What is wrong with an address


@pytest.mark.parametrize("url", ["http://inside.example/", "https://caller.example/" + "x" * URL_CHARS])
def test_an_address_that_will_never_be_called_is_a_400_that_names_it(tools: Tools, url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        prepare(tools, intent(url), CALLER)
    (problem,) = refused.value.details
    assert (problem.param, problem.code) == ("webhook.url", "invalid_webhook_url")
    assert problem.message.startswith("webhook.url cannot be called: ")
    assert len(problem.message) < 200


def test_it_is_told_with_everything_else_that_is_wrong(tools: Tools) -> None:
    with pytest.raises(InvalidRequest) as refused:
        prepare(tools, intent("http://inside.example/", quality="superb"), CALLER)
    assert {problem.param for problem in refused.value.details} == {"webhook.url", "quality"}


def test_it_is_told_beside_what_a_dialect_could_not_read(tools: Tools) -> None:
    refused = InvalidRequest(Problem("n", "invalid_value", "n is 0"), partial=intent("http://inside.example/"))
    told = with_the_rest(tools, refused, CALLER)
    assert isinstance(told, GatewayError)
    assert [problem.param for problem in told.details] == ["n", "webhook.url"]


def test_an_estimate_of_such_a_request_is_refused_like_the_request(tools: Tools) -> None:
    from imageway.engine.service import Engine

    with pytest.raises(InvalidRequest):
        Engine(tools).estimate(Estimate(generate=intent("http://inside.example/")), CALLER)


def test_an_address_of_the_longest_length_is_taken(tools: Tools) -> None:
    url = "https://caller.example/"
    assert why_not(tools.transport, url + "x" * (URL_CHARS - len(url))) == ""


# What is kept


def test_what_waits_and_what_is_resumed_knows_whom_to_tell() -> None:
    kept = KeptTask(request={"model": "m"}, counts=(1,), form="url", hold_usd_micros=1, webhook=Webhook(HOOK, ("a",)))
    assert unpack_task(pack_task(kept)).webhook == Webhook(HOOK, ("a",))
    assert webhook_of(pack_task(kept)) == Webhook(HOOK, ("a",))


@pytest.mark.parametrize(
    ("row", "webhook"),
    [
        (b'{"of": "another version", "webhook": {"url": "https://caller.example/hook"}}', Webhook(HOOK)),
        (b'{"counts": []}', None),
        (b"", None),
        (b"not even JSON", None),
        (b'{"webhook": 7}', None),
    ],
)
def test_a_row_that_cannot_be_read_otherwise_may_still_say_whom_to_tell(row: bytes, webhook: Webhook | None) -> None:
    assert webhook_of(row) == webhook


# What is written


def told(ops: tuple[Op, ...]) -> list[Op]:
    return [op for op in ops if isinstance(op, AddDelivery | NotifyEndpoints)]


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled", "unknown"])
def test_an_end_is_told_to_the_address_that_came_along_and_to_the_endpoints(tools: Tools, state: str) -> None:
    event = f"task.{state}"
    assert notices(facts(tools, intent()), state, 9) == (
        AddDelivery("msg_1", "ws_1", "req_1", HOOK, event, 9),
        NotifyEndpoints("req_1", "ws_1", event, 9),
    )


def test_an_address_hears_of_the_ends_it_named_alone(tools: Tools) -> None:
    about = facts(tools, intent(HOOK, "task.failed", "task.unknown"))
    assert [type(op) for op in notices(about, "succeeded", 9)] == [NotifyEndpoints]
    assert [type(op) for op in notices(about, "unknown", 9)] == [AddDelivery, NotifyEndpoints]


def test_endpoints_are_told_of_requests_that_name_nobody(tools: Tools) -> None:
    about = facts(tools, Generate(request=ASKED))
    assert notices(about, "succeeded", 9) == (NotifyEndpoints("req_1", "ws_1", "task.succeeded", 9),)


def test_whatever_ends_a_task_tells_of_it_in_the_same_commit(tools: Tools) -> None:
    asked = intent()
    about, (option, *_) = facts(tools, asked), prepare(tools, asked, CALLER).options
    lost = PartResult(
        part=0, attempt_id="att_1", option=option, failure=Failed(FailureKind.UNKNOWN, "lost", "gone"), asked=1
    )
    endings = {
        "unknown": failed(tools, about, [lost], GatewayError("request_timeout", "nobody knows")),
        "cancelled": cancelled(tools, about, ["att_1"]),
    }
    for state, settlement in endings.items():
        (finish,) = [op for op in settlement.ops if isinstance(op, FinishTask)]
        assert finish.state == state
        assert [op.event for op in told(settlement.ops)] == [f"task.{state}"] * 2
