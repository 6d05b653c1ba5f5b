"""Images that did not come, told one by one in words for callers."""

from __future__ import annotations

from typing import Any

import pytest

from imageway.bodies import blob_of
from imageway.core.blobs import ImageFacts
from imageway.core.intents import Generate
from imageway.core.requests import Caller, Group, ImageRequest
from imageway.core.steps import Failed, FailureKind
from imageway.engine.attempts import PartResult
from imageway.engine.facts import TaskFacts
from imageway.engine.images import Proved
from imageway.engine.ports import Tools
from imageway.engine.preparation import prepare
from imageway.engine.shortfall import missing_images

IMAGE = Proved(blob_of(b"x"), ImageFacts("png", 8, 8))
UNSAFE = Failed(FailureKind.REFUSED, "OutputUnsafe", "the provider's own words")
CUT = Failed(FailureKind.UNKNOWN, "stream_cut", "reset by 10.0.0.1")


def facts(tools: Tools, group: Group | None = None) -> TaskFacts:
    request = ImageRequest(model="gemini-2.5-flash-image", prompt="a cat", group=group)
    return TaskFacts(
        task_id="req_1",
        workspace_id="ws",
        key_id="key",
        model=tools.catalog.models[request.model],
        request=request,
        form="b64_json",
        hold_usd_micros=1,
        images=4,
        created_ms=1,
        warnings=(),
    )


def part(tools: Tools, came: int, **about: Any) -> PartResult:
    request = ImageRequest(model="gemini-2.5-flash-image", prompt="a cat")
    option = prepare(tools, Generate(request=request), Caller("key", "ws")).options[0]
    return PartResult(part=0, attempt_id="att_1", option=option, images=(IMAGE,) * came, **about)


@pytest.mark.parametrize(
    ("about", "codes"),
    [
        ({"asked": 2}, []),
        ({"asked": 3, "missing": (UNSAFE,)}, ["content_policy_violation"]),
        ({"asked": 4, "missing": (UNSAFE,)}, ["content_policy_violation", "empty_response"]),
        ({"asked": 5, "failure": CUT}, ["request_timeout"] * 3),
        ({"asked": 4, "missing": (UNSAFE,), "failure": CUT}, ["content_policy_violation", "request_timeout"]),
        ({"asked": 2, "missing": (UNSAFE,)}, []),  # another one came in its place
    ],
)
def test_as_many_are_told_as_are_missing(tools: Tools, about: dict[str, Any], codes: list[str]) -> None:
    told = missing_images(facts(tools), [part(tools, 2, **about)])
    assert [missing.code for missing in told] == codes


def test_parts_tell_each_for_itself(tools: Tools) -> None:
    results = [part(tools, 1), part(tools, 0, failure=UNSAFE, missing=(UNSAFE,)), part(tools, 0, failure=CUT)]
    assert [missing.code for missing in missing_images(facts(tools), results)] == [
        "content_policy_violation",
        "request_timeout",
    ]


def test_each_has_its_place_among_all_that_were_asked_for(tools: Tools) -> None:
    """Of a part that brought nothing all places are known, of another those that its provider named."""
    named = Failed(FailureKind.REFUSED, place=1)
    results = [part(tools, 2, asked=3, missing=(named,)), part(tools, 0, asked=2, failure=CUT), part(tools, 1, asked=2)]
    assert [missing.place for missing in missing_images(facts(tools), results)] == [1, 3, 4, None]


@pytest.mark.parametrize(
    ("about", "codes"),
    [
        ({}, []),
        ({"missing": (UNSAFE,)}, ["content_policy_violation"]),
        ({"failure": CUT}, ["request_timeout"]),  # one at least was under way
    ],
)
def test_a_group_left_to_choose_misses_only_what_it_began(
    tools: Tools, about: dict[str, Any], codes: list[str]
) -> None:
    results = [part(tools, 1, asked=4, **about)]
    assert [missing.code for missing in missing_images(facts(tools, Group(4)), results)] == codes
    counted = missing_images(facts(tools, Group(4, counted=True)), results)
    assert len(counted) == 3


def test_callers_never_read_the_providers_own_words(tools: Tools) -> None:
    (told,) = missing_images(facts(tools), [part(tools, 1, asked=2, failure=CUT)])
    assert told.message == "the provider took the request but its answer never arrived"
