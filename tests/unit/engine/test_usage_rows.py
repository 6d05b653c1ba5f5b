"""What a usage record says of tokens: what was billed, or what was reported of what nobody pays for."""

from __future__ import annotations

import msgspec
import pytest

from imageway.catalog import Charge
from imageway.core.intents import Generate
from imageway.core.requests import Caller, ImageRequest, RequestWarning
from imageway.core.steps import Failed, FailureKind, Usage
from imageway.engine.attempts import PartResult
from imageway.engine.ports import Tools
from imageway.engine.preparation import prepare
from imageway.engine.usage_rows import Ending, usage_row
from tests.unit.engine.test_settlement import facts


def result(tools: Tools, **about: object) -> PartResult:
    option = prepare(tools, Generate(request=ImageRequest(model="gpt-image-1", prompt="a cat")), Caller("key", "ws"))
    return PartResult(part=0, attempt_id="att_1", option=option.options[0], **about)  # type: ignore[arg-type]


def test_tokens_are_those_that_were_billed(tools: Tools) -> None:
    """Of more than was delivered, the bill has the share that is paid for."""
    reported = result(tools, usage=Usage(27, 0, 0, 1318))
    row = usage_row(tools, facts(tools), [reported], Ending("succeeded", price=Charge(5, (), (27, 0, 262, 1056))), 9)
    tokens = (row.input_text_tokens, row.input_image_tokens, row.output_text_tokens, row.output_image_tokens)
    assert tokens == (27, 0, 262, 1056)


def test_what_nobody_pays_for_is_told_as_it_was_reported(tools: Tools) -> None:
    empty = result(tools, usage=Usage(27, 3, 1, 2), failure=Failed(FailureKind.SPOILED, "empty"))
    row = usage_row(tools, facts(tools), [empty, empty], Ending("failed", error="empty_response"), 9)
    tokens = (row.input_text_tokens, row.input_image_tokens, row.output_text_tokens, row.output_image_tokens)
    assert (tokens, row.error) == ((54, 6, 2, 4), "empty_response")


@pytest.mark.parametrize(("began_ms", "ended_ms", "upstream_ms"), [(1_000, 3_500, 2_500), (0, 3_500, 0)])
def test_time_with_upstreams_is_from_the_first_to_the_last_word(
    tools: Tools, began_ms: int, ended_ms: int, upstream_ms: int
) -> None:
    """Begun in another process: nobody here knows."""
    one = result(tools, began_ms=began_ms, ended_ms=ended_ms)
    row = usage_row(tools, msgspec.structs.replace(facts(tools), created_ms=400), [one], Ending("failed"), 5_000)
    assert (row.queue_ms, row.upstream_ms, row.total_ms) == (600 if began_ms else 0, upstream_ms, 4_600)


def test_each_warning_is_named_once(tools: Tools) -> None:
    warnings = tuple(RequestWarning(code, None, "") for code in ("size_adjusted", "n_adjusted", "size_adjusted"))
    row = usage_row(tools, facts(tools), [], Ending("failed", warnings=warnings), 9)
    assert row.warnings == "size_adjusted n_adjusted"
