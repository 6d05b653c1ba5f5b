"""What an answer owns up to when it was not made as asked."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from imageway.bodies import blob_of
from imageway.catalog import load
from imageway.catalog.terms import DAY_MS
from imageway.core.blobs import ImageFacts
from imageway.core.intents import Generate, Generated
from imageway.core.requests import Caller, Geometry, Group, ImageRequest, RequestWarning, Size
from imageway.core.steps import Failed, FailureKind, Usage
from imageway.engine.acceptance import facts_for
from imageway.engine.attempts import PartResult
from imageway.engine.costs import bills_of, costs_of
from imageway.engine.facts import TaskFacts
from imageway.engine.images import Proved
from imageway.engine.ports import Tools
from imageway.engine.preparation import Option, prepare
from imageway.engine.settlement import _told, settle
from imageway.ledger.ops import BookCost, BookOverrun, Capture, RecordUsage
from tests.unit.engine.conftest import NOW_MS
from tests.unit.engine.test_preparation import YUAN, ClockAt, rate
from tests.values import replace

ASKED = ImageRequest(model="gemini-2.5-flash-image", prompt="a cat", n=2)


def option(tools: Tools, *warnings: RequestWarning) -> Option:
    (prepared, *_) = prepare(tools, Generate(request=ASKED), Caller("key", "ws")).options
    return replace(prepared, fitted=msgspec.structs.replace(prepared.fitted, warnings=warnings))


def served(option: Option, part: int, *, width: int = 1024, height: int = 1024) -> PartResult:
    image = Proved(blob_of(b"x"), ImageFacts("png", width, height), None)
    return PartResult(part=part, attempt_id=f"att_{part}", option=option, images=(image,))


def facts(tools: Tools, request: ImageRequest = ASKED) -> TaskFacts:
    return TaskFacts(
        task_id="req_1",
        workspace_id="ws",
        key_id="key",
        model=tools.catalog.models[request.model],
        request=request,
        form="b64_json",
        hold_usd_micros=1,
        images=2,
        created_ms=1,
        warnings=(),
    )


def test_what_any_part_did_not_honour_is_told_once(tools: Tools) -> None:
    """Parts fail over each for itself: one may have been served by a seller that does not take a field."""
    both, one = (RequestWarning(code, code, f"{code} is not taken there") for code in ("seed", "style"))
    results = [served(option(tools, both), 0), served(option(tools, both, one), 1)]
    assert _told(facts(tools), results) == (both, one)


def test_a_size_that_nobody_asked_for_is_not_blamed_on_a_field_of_his(tools: Tools) -> None:
    results = [served(option(tools), 0), served(option(tools), 1, width=1000)]
    (warning,) = _told(facts(tools), results)
    assert (warning.code, warning.param) == ("size_differs", None)
    assert "1000x1024" in warning.message


def test_a_size_that_was_asked_for_is_named_as_he_named_it(tools: Tools) -> None:
    asked = replace(ASKED, geometry=Geometry(width=1024, height=1024), spelled={"geometry": "config.size"})
    (warning,) = _told(facts(tools, asked), [served(option(tools), part, height=999) for part in (0, 1)])
    assert (warning.code, warning.param) == ("size_differs", "config.size")


def test_a_group_that_came_short_is_told_where_the_caller_named_a_count(tools: Tools) -> None:
    """By `n`. A group's own limit is a most, and fewer are no failure."""
    results = [served(option(tools), 0)]
    counted, limited = (replace(ASKED, n=None, group=Group(2, counted=counted)) for counted in (True, False))
    (warning,) = _told(facts(tools, counted), results)
    assert (warning.code, warning.param) == ("partial_result", "n")
    assert "1 of 2 images" in warning.message
    assert _told(facts(tools, limited), results) == ()
    assert [told.code for told in _told(facts(tools), results)] == ["partial_result"]


def cost_of(tools: Tools, **about: Any) -> int:
    """What one part's provider is owed; gpt-image-1 at low quality is 272 tokens an image, 40 micro-dollars each."""
    request = ImageRequest(model="gpt-image-1", prompt="a cat", quality="low", n=3)
    option = prepare(tools, Generate(request=request), Caller("key", "ws")).options[0]
    image = Proved(blob_of(b"x"), ImageFacts("png", 1024, 1024), None)
    images = (image,) * about.pop("came", 0)
    result = PartResult(part=0, attempt_id="att_1", option=option, images=images, asked=3, **about)
    return costs_of(tools, facts(tools), [result], 0).usd_micros


def test_a_dead_stream_is_booked_as_if_everything_was_made(tools: Tools) -> None:
    """Its provider may bill what nobody heard of; tokens reported for a part of it say nothing of the rest."""
    one = 272 * 40
    died, usage = Failed(FailureKind.UNKNOWN, "stream_cut"), Usage(output_image=272)
    assert cost_of(tools, came=1, produced=1, usage=usage) == one
    everything = cost_of(tools, came=1, produced=1, usage=usage, failure=died)
    assert 3 * one < everything < 4 * one
    assert cost_of(tools, failure=died) == everything
    assert cost_of(tools, came=1, produced=1, usage=usage, failure=Failed(FailureKind.FAILED)) == one


@pytest.mark.parametrize(("tomorrow", "booked_usd_micros"), [("0.3", 60_000), ("0.05", 10_000)])
async def test_a_price_is_of_the_day_it_was_quoted_and_a_cost_of_the_day_it_is_booked(
    tools: Tools, tmp_path: Path, tomorrow: str, booked_usd_micros: int
) -> None:
    """The rate that yuan are converted by changes while the task runs: the hold was taken by the old one. No part of
    its price is the operator's for that."""
    rates = rate(tomorrow, "2025-10-10") + rate("0.1", "2025-01-01") + rate("0.02", "2024-01-01")
    (tmp_path / "own.toml").write_text(YUAN + rates, encoding="utf-8")
    catalog = load(tmp_path)
    today, later = (replace(tools, catalog=catalog, clock=ClockAt(NOW_MS + day * DAY_MS)) for day in (0, 1))
    asked = ImageRequest(model="qwen-image-2.0", prompt="a cat", output_format="png")
    prepared = prepare(today, Generate(request=asked, form="b64_json"), Caller("key", "ws"))
    result = replace(served(prepared.options[0], 0), produced=1)
    scope = tools.spool.scope()
    done = await settle(later, facts_for(prepared, "req_1"), scope, [result], store=False)
    scope.release()
    (captured,) = [op.usd_micros for op in done.ops if isinstance(op, Capture)]
    (booked,) = [op.usd_micros for op in done.ops if isinstance(op, BookCost)]
    assert captured == prepared.quote.hold_usd_micros == 20_000
    assert booked == booked_usd_micros
    assert not [op for op in done.ops if isinstance(op, BookOverrun)]


FANNED = """
[[models]]
id = "fanned-1"
family = "gpt_image"
title = "Fanned"
minimum_hold = "0"
form = "b64_json"
prices = [
  { per = "image", amount = "0.0100003", qualities = ["low"] },
  { per = "image", amount = "0.0400003" },
  { per = "token", tokens = "input_text", amount = "3" },
]
geometry = { kind = "list", sizes = ["1024x1024"], default = "1024x1024" }

[models.parameters]
quality = { type = "string", values = ["low", "high", "auto"], default = "auto" }

[[models.offerings]]
provider = "openai"
upstream_name = "fanned-1"
adapter = "openai_images"

[[models.offerings]]
provider = "google"
upstream_name = "fanned-1"
adapter = "openai_images"
parameters = []
"""
"""Sold by one who takes a quality, and by one who makes what he likes."""


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 1), (1, 0, 0), (0, 0), (1, 1)])
async def test_each_image_is_priced_by_what_it_was_asked_for_there(
    tools: Tools, tmp_path: Path, order: tuple[int, ...]
) -> None:
    """Parts fail over each for itself, and whoever serves one may not take a field that another takes. The lines of
    all are summed, then rounded up once; the hold covers them whoever serves what."""
    (tmp_path / "own.toml").write_text(FANNED, encoding="utf-8")
    tools = replace(tools, catalog=load(tmp_path))
    asked = ImageRequest(model="fanned-1", prompt="a cat", quality="low", n=len(order))
    prepared = prepare(tools, Generate(request=asked), Caller("key", "ws"))
    careful, careless = sorted(prepared.options, key=lambda one: one.fitted.request.quality is None)
    assert (careful.fitted.request.quality, careless.fitted.request.quality) == ("low", None)
    results = [
        replace(served((careful, careless)[who], part), produced=1, usage=Usage(input_text=7, output_image=1))
        for part, who in enumerate(order)
    ]
    scope = tools.spool.scope()
    done = await settle(tools, facts_for(prepared, "req_1"), scope, results, store=False)
    scope.release()
    (captured,) = [op.usd_micros for op in done.ops if isinstance(op, Capture)]
    exact = Fraction("10000.3") * order.count(0) + Fraction("40000.3") * order.count(1) + 7 * 3 * len(order)
    assert captured == -(-exact // 1) <= prepared.quote.hold_usd_micros
    (row,) = [op for op in done.ops if isinstance(op, RecordUsage)]
    assert row.price_usd_micros == captured
    assert row.input_text_tokens == 7 * len(order)
    lines = [(line["what"], int(line["quantity"])) for line in msgspec.json.decode(row.lines)["price"]]
    images = {what: sum(count for named, count in lines if named == what) for what, _ in lines}
    expected = {"image (low)": order.count(0), "image": order.count(1), "input text tokens": 7 * len(order)}
    assert images == {what: count for what, count in expected.items() if count}
    assert isinstance(done.answer, Generated)
    assert done.answer.usage == Usage(input_text=7 * len(order), output_image=len(order))


def test_parts_that_were_asked_for_the_same_are_one_bill(tools: Tools) -> None:
    """Whoever took the task over fitted it anew for each of them. Where one reported nothing, the reports do not add up
    to that bill; to the bill of another fit they do."""
    first, again = option(tools), option(tools)
    assert first.fitted is not again.fitted
    other = replace(first, fitted=msgspec.structs.replace(first.fitted, size=Size(512, 512)))
    usage = Usage(output_image=5)
    parts = [
        replace(served(first, 0), produced=2, usage=usage),
        replace(served(other, 1), produced=1, usage=usage),
        replace(served(again, 2), produced=1),
    ]
    alike, another = bills_of(parts)
    assert (alike.delivered, alike.produced, alike.usage) == (2, 3, None)
    assert (another.delivered, another.produced, another.usage, another.size) == (1, 1, usage, Size(512, 512))
    (together,) = bills_of([parts[0], replace(parts[2], usage=usage)])
    assert (together.delivered, together.produced, together.usage) == (2, 3, Usage(output_image=10))
