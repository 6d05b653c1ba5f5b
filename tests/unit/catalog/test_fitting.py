"""Fitting: what one offering is asked for, and a word about everything that is not as it was asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageway.catalog import Fitted, check, fit, foreseen, load, parse_size
from imageway.catalog.parameters import CONVERTED, NAMES
from imageway.catalog.schema import Offering
from imageway.core.errors import Problem
from imageway.core.requests import Geometry, ImageRequest, Operation, RequestWarning, Size
from tests.unit.catalog.pictures import links, picture
from tests.unit.catalog.strategies import ASKED, allowed, requests
from tests.values import replace

CATALOG = load()
MODELS = list(CATALOG.models.values())
OFFERS = [(model, offering) for model in MODELS for offering in model.offerings]
SEEDREAM_45, SEEDEDIT = "doubao-seedream-4-5-251128", "doubao-seededit-3-0-i2i-250628"


def fitted(name: str, size: str | None = None, tier: str | None = None, **more: Any) -> Fitted:
    model = CATALOG.models[name]
    asked = parse_size(size) if size else None
    if tier:
        asked = Geometry(ratio=asked.ratio if asked else None, tier=tier)
    plain = {"prompt": "a cat", "images": links(model.inputs.minimum), "operation": Operation(model.operations[0])}
    request = ImageRequest(model=name, **{**plain, "geometry": asked, **more})
    result = check(model, request)
    assert result.problems == ()
    return fit(model, model.offerings[0], result.request)


def more_offering(offering: Offering, changes: dict[str, Any]) -> Offering:
    return msgspec.structs.replace(offering, **changes)


def test_an_exact_size_is_taken_without_a_word() -> None:
    result = fitted("gpt-image-2", "1536x1024")
    assert (result.size, result.warnings, result.problems) == (Size(1536, 1024), (), ())


def test_an_edit_that_is_as_large_as_its_image_is_told_so_where_a_tier_alone_was_asked_for() -> None:
    """Beside a ratio the tier is what comes; unasked there is nothing to tell."""
    assert fitted("imagen-3.0-capability-001", "1:1", "1K").size == Size(1024, 1024, "1:1")
    for size, tier in (("1:1", "1K"), ("16:9", None), (None, None)):
        assert fitted("imagen-3.0-capability-001", size, tier).warnings == ()


def test_the_size_stands_for_the_geometry() -> None:
    assert fitted("gpt-image-2", "1536x1024").request.geometry is None


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        ("gemini-3-pro-image", "1024x1024", 'my.size "1024x1024" became "1:1 1K" (1024x1024): '),
        ("gemini-3-pro-image", "8K", 'my.size "8K" became "1:1 4K" (4096x4096): '),
        ("gemini-2.5-flash-image", "4K", 'my.size "4K" became "1:1 1K" (1024x1024): '),
        (SEEDREAM_45, "1024x1024", 'my.size "1024x1024" became "2048x2048": '),
        (SEEDREAM_45, "1K", 'my.size "1K" became "2K": '),
        ("qwen-image-plus", "16:9", 'my.size "16:9" became "1664x928": '),
        (SEEDEDIT, "1024x1024", 'my.size "1024x1024" became "adaptive": '),
        ("qwen-image-edit", "1024x1024", 'my.size "1024x1024" became what the model chooses by itself: '),
        ("imagen-3.0-capability-001", "1K", 'my.size "1K" became what the model chooses by itself: '),
    ],
)
def test_another_size_comes_with_a_warning_that_says_asked_and_given(model: str, size: str, message: str) -> None:
    (warning,) = fitted(model, size, spelled={"geometry": "my.size"}).warnings
    assert (warning.code, warning.param) == ("size_adjusted", "my.size")
    assert warning.message.startswith(message)


@pytest.mark.parametrize(
    ("model", "accepted"),
    [
        ("gemini-2.5-flash-image", "16:9"),
        ("gpt-image-1", "1536x1024"),
        ("gpt-image-2", "WIDTHxHEIGHT (multiples of 16, sides of at most 3840, at most 3:1, 655360 to 8294400 pixels)"),
        (SEEDEDIT, "adaptive"),
        ("qwen-image-edit", "no size"),
    ],
)
@pytest.mark.parametrize("size", ["0x0", "100000x1"])
def test_an_impossible_size_is_a_problem_that_lists_what_is_accepted(model: str, size: str, accepted: str) -> None:
    result = fitted(model, size, spelled={"geometry": "size"})
    (problem,) = result.problems
    assert (problem.param, problem.code) == ("size", "invalid_size")
    assert accepted in problem.accepted
    assert f'"{size}"' in problem.message
    assert result.size == Size()


@pytest.mark.parametrize(
    ("model", "size", "given"),
    [
        ("gemini-2.5-flash-image", "1024x768", '"4:3" (1184x864)'),
        ("gpt-image-1", "800x600", '"1536x1024"'),
        (SEEDREAM_45, "1K", '"2K"'),
    ],
)
def test_a_warning_says_what_the_model_makes_each_form_once(model: str, size: str, given: str) -> None:
    (warning,) = fitted(model, size).warnings
    opening = f'geometry "{size}" became {given}: the nearest that {model} makes, of '
    assert warning.message.startswith(opening)
    forms = warning.message.removeprefix(opening).split(", ")
    assert len(forms) == len(set(forms))


def test_the_forms_of_an_impossible_size_are_each_named_once() -> None:
    for model in MODELS:
        for problem in fitted(model.id, "0x0").problems:
            assert len(problem.accepted) == len(set(problem.accepted))
    assert fitted(SEEDREAM_45, "0x0").problems[0].accepted[:2] == ("2K", "4K")
    assert 'a tier like "2K"' not in fitted(SEEDREAM_45, "0x0").problems[0].accepted


# Two fields for one size

APART = {"geometry": "size", "tier": "image_size"}


@pytest.mark.parametrize(
    ("model", "size", "tier", "messages"),
    [
        ("gemini-2.5-flash-image", "16:9", "2K", ['image_size "2K" became "1K": ']),
        ("gemini-3-pro-image", "16:9", "2K", []),
        ("gemini-2.5-flash-image", "1000x1000", "1K", ['size "1000x1000" became "1:1" (1024x1024): ']),
        ("gemini-3-pro-image", "5:2", "8K", ['size "5:2" became "21:9 4K" ', 'image_size "8K" became "4K": ']),
        (
            "doubao-seedream-4-0-250828",
            "2048x2048",
            "4K",
            ['image_size "4K" was not used: size "2048x2048" says how many'],
        ),
        ("doubao-seedream-4-0-250828", "2048x2048", "2K", []),
        (SEEDREAM_45, "16:9", "1K", ['size "16:9" became "2848x1600": ', 'image_size "1K" became "2K": ']),
        (SEEDREAM_45, "16:9", "4K", ['size "16:9" became "5504x3040": ']),
        (
            "qwen-image-edit",
            "1:1",
            "2K",
            ['size "1:1" became what the model', 'image_size "2K" was not used: qwen-image'],
        ),
    ],
)
def test_each_field_is_told_by_its_own_name_and_value(model: str, size: str, tier: str, messages: list[str]) -> None:
    """And only the one that is not taken as it was written."""
    asked = parse_size(size)
    assert asked is not None
    warnings = fitted(model, geometry=replace(asked, tier=tier), spelled=APART).warnings
    assert [warning.param for warning in warnings] == [message.split()[0] for message in messages]
    for warning, message in zip(warnings, messages, strict=True):
        assert warning.message.startswith(message)


def test_a_size_is_quoted_as_it_was_written() -> None:
    result = fitted("gpt-image-1", "1024*768", spelled={"geometry": "size"}, written={"geometry": '"1024*768"'})
    assert result.warnings[0].message.startswith('size "1024*768" became "')
    written = {"geometry": '"16:9"', "tier": '"0.5K"'}
    result = fitted("gemini-3-pro-image", geometry=Geometry(ratio="16:9", tier="512"), spelled=APART, written=written)
    assert result.warnings[0].message.startswith('image_size "0.5K" became "1K"')


def test_a_tier_that_won_over_quality_is_told_by_its_own_field() -> None:
    asked = Geometry(ratio="16:9", tier="4K")
    (warning,) = fitted("gemini-3-pro-image", geometry=asked, quality="high", spelled=APART).warnings
    assert warning.message == 'quality "high" was not used: image_size "4K" was asked for'


# Quality as a tier


@pytest.mark.parametrize("quality", ["hd", "high", "2K", "2k", "HIGH"])
@pytest.mark.parametrize(
    ("model", "given"),
    [("gemini-3-pro-image", "2K"), ("gemini-3.1-flash-image", "2K"), ("gemini-3.1-flash-lite-image", "1K")],
)
def test_a_high_quality_means_2k_where_sold_else_1k(model: str, given: str, quality: str) -> None:
    result = fitted(model, "16:9", quality=quality)
    assert (result.size.ratio, result.size.tier, result.request.quality) == ("16:9", given, None)
    assert [(warning.code, warning.param) for warning in result.warnings] == [("parameter_replaced", "quality")]
    assert f'"{given}"' in result.warnings[0].message


def test_an_image_size_wins_over_quality() -> None:
    result = fitted("gemini-3-pro-image", "16:9", "4K", quality="high")
    assert (result.size.tier, result.request.quality) == ("4K", None)
    assert [warning.code for warning in result.warnings] == ["parameter_ignored"]


def test_the_documents_own_examples_are_served_at_1k() -> None:
    """Ratio, quality high and image_size 2K or 3K on the model that has one tier: 200, with warnings."""
    for tier in ("2K", "3K"):
        result = fitted("gemini-2.5-flash-image", "16:9", tier, quality="high")
        assert result.size == Size(1344, 768, "16:9")
        assert [warning.code for warning in result.warnings] == ["parameter_ignored", "size_adjusted"]
        assert f'"16:9 {tier}"' in result.warnings[1].message


def test_quality_decides_the_tier_of_pixels_too() -> None:
    result = fitted("gemini-3-pro-image", "1024x1024", quality="hd")
    assert result.size == Size(2048, 2048, "1:1", "2K")
    assert {warning.code for warning in result.warnings} == {"parameter_replaced", "size_adjusted"}


# Fields


@pytest.mark.parametrize(
    ("model", "asked", "sent"),
    [
        ("gpt-image-2", "webp", "webp"),
        ("doubao-seedream-5-0-260128", "png", "png"),
        ("doubao-seedream-5-0-260128", "webp", None),
        (SEEDREAM_45, "png", None),
        ("gemini-3-pro-image", "jpeg", None),
    ],
)
def test_a_format_the_offering_cannot_be_asked_for_is_left_to_the_gateway(
    model: str, asked: str, sent: str | None
) -> None:
    result = fitted(model, output_format=asked)
    assert (result.request.output_format, result.warnings) == (sent, ())


@pytest.mark.parametrize(("model", "sent"), [("gpt-image-2", 0), ("doubao-seedream-5-0-260128", None)])
def test_so_is_a_compression(model: str, sent: int | None) -> None:
    result = fitted(model, output_format="jpeg", output_compression=0)
    assert (result.request.output_format, result.request.output_compression) == ("jpeg", sent)
    assert result.warnings == ()


def test_transparency_is_asked_for_as_png_where_the_default_would_lose_it() -> None:
    model = "doubao-seedream-5-0-pro-260628"
    for asked in (None, "webp"):
        result = fitted(model, background="transparent", images=links(1), output_format=asked)
        assert (result.request.background, result.request.output_format) == ("transparent", "png")


def test_what_one_offering_does_not_take_is_reported() -> None:
    model = CATALOG.models["gemini-3-pro-image"]
    poor = more_offering(model.offerings[0], {"parameters": ("seed",)})
    request = ImageRequest(model=model.id, prompt="a cat", seed=7, temperature=1.0, spelled={"temperature": "heat"})
    result = fit(model, poor, request)
    assert (result.request.seed, result.request.temperature) == (7, None)
    assert [(warning.code, warning.param) for warning in result.warnings] == [("parameter_ignored", "heat")]


def test_what_must_not_be_dropped_makes_the_offering_unfit() -> None:
    model = CATALOG.models["gpt-image-1"]
    poor = more_offering(model.offerings[0], {"parameters": ()})
    result = fit(model, poor, ImageRequest(model=model.id, prompt="a cat", background="transparent"))
    assert [(problem.code, problem.param) for problem in result.problems] == [("parameter_not_supported", "background")]


def test_fields_nobody_knows_go_only_where_they_are_taken() -> None:
    extras = {"complexity": "high", "deep": {"er": {}, "est": 1}}
    assert fitted("gpt-image-2", extras=extras, family="openai").request.extras == extras
    result = fitted("gemini-3-pro-image", extras=extras, family="openai")
    assert result.request.extras == {}
    told = [(warning.code, warning.param) for warning in result.warnings]
    assert told == [("parameter_ignored", name) for name in ("complexity", "deep.er", "deep.est")]


def test_a_field_at_a_wrong_place_is_not_told_that_nobody_knows_it() -> None:
    extras = {"imageConfig": {"aspectRatio": "16:9"}, "newest": 1}
    names = {"geometry": "generationConfig.imageConfig.aspectRatio"}
    result = fitted("gpt-image-2", extras=extras, family="google", names=names)
    assert [each.message for each in result.warnings if each.code == "parameter_ignored"] == [
        '"imageConfig.aspectRatio" was not sent: its place is generationConfig.imageConfig.aspectRatio',
        '"newest" was not sent: nobody knows this field here',
    ]


def test_fitting_leaves_the_request_for_the_next_candidate() -> None:
    model = CATALOG.models["gemini-3-pro-image"]
    request = ImageRequest(model=model.id, prompt="a cat", quality="hd", geometry=Geometry(ratio="16:9"))
    assert fit(model, model.offerings[0], request) == fit(model, model.offerings[0], request)


# Properties


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_fitted_request_holds_only_what_the_offering_must_be_sent(data: st.DataObject) -> None:
    """Checked, then fitted: never an exception, a size within limits or a problem, no field gone without a word."""
    model, offering = data.draw(st.sampled_from(OFFERS))
    offering = more_offering(
        offering, {"parameters": data.draw(st.none() | st.sets(st.sampled_from(sorted(NAMES))).map(tuple))}
    )
    checked = check(model, data.draw(requests(model.id)))
    if checked.problems:
        return
    request = replace(checked.request, geometry=data.draw(st.none() | ASKED))
    result = fit(model, offering, request)
    assert result.problems or allowed(model.geometry, result.size)
    assert all(isinstance(warning, RequestWarning) for warning in result.warnings)
    assert all(isinstance(problem, Problem) for problem in result.problems)
    told = {finding.param for finding in (*result.warnings, *result.problems)}
    for name in NAMES:
        before, after = getattr(request, name), getattr(result.request, name)
        if after is not None:
            takes = offering.parameters is None or name in offering.parameters
            assert takes
            assert name in model.parameters or name == "negative_prompt"
        elif before is not None and name not in CONVERTED:
            assert name in told


# Sellers that differ


def at(provider: str, model: str, **more: Any) -> Fitted:
    row = CATALOG.models[model]
    offering = next(offering for offering in row.offerings if offering.provider == provider)
    request = ImageRequest(model=model, **{"prompt": "a cat", **more})
    return fit(row, offering, check(row, request).request)


def test_who_may_be_drawn_is_a_promise_that_only_some_sellers_can_give() -> None:
    """What would be told as left out where it only restricts, is refused where it protects somebody."""
    model = "gemini-3-pro-image"
    for person in ("allow_all", "allow_adult", "dont_allow"):
        result = at("vertex", model, person=person)
        assert (result.request.person, result.warnings, result.problems) == (person, (), ())
    assert [warning.param for warning in at("google", model, person="allow_adult").warnings] == ["person"]
    (problem,) = at("google", model, person="dont_allow").problems
    assert (problem.param, problem.code) == ("person", "parameter_not_supported")


def test_a_file_is_asked_for_where_the_seller_can_be_asked() -> None:
    model = "gemini-2.5-flash-image"
    asked = {"output_format": "jpeg", "output_compression": 60}
    request = at("vertex", model, **asked).request
    assert (request.output_format, request.output_compression) == ("jpeg", 60)
    request = at("google", model, **asked).request
    assert (request.output_format, request.output_compression) == (None, None)
    assert at("vertex", model, output_format="webp").request.output_format is None


def test_an_image_may_be_too_large_for_one_seller_alone() -> None:
    images = (picture(size_bytes=7_340_033),)
    sent = {"images": images, "operation": Operation.EDIT}
    assert at("google", "gemini-3-pro-image", **sent).problems == ()
    (problem,) = at("vertex", "gemini-3-pro-image", **sent).problems
    assert (problem.param, problem.code) == ("image", "image_too_large")
    assert at("vertex", "gemini-3-pro-image", **sent | {"images": (picture(size_bytes=7_340_032),)}).problems == ()


@pytest.mark.parametrize(
    ("provider", "model", "asked", "param"),
    [
        ("volcengine", "doubao-seedream-4-0-250828", {"output_format": "jpeg"}, None),
        ("volcengine", "doubao-seedream-4-0-250828", {"output_format": "png"}, "output_format"),
        (
            "volcengine",
            "doubao-seedream-4-0-250828",
            {"output_format": "jpeg", "output_compression": 50},
            "output_compression",
        ),
        ("volcengine", "doubao-seedream-4-0-250828", {"output_format": "jpeg", "output_compression": 100}, None),
        (
            "volcengine",
            "doubao-seedream-4-0-250828",
            {"output_format": "webp", "output_compression": 50},
            "output_format",
        ),
        ("openai", "gpt-image-2", {"output_format": "webp", "output_compression": 50}, None),
        ("vertex", "gemini-3-pro-image", {"output_format": "jpeg", "output_compression": 50}, None),
        ("google", "gemini-3-pro-image", {"output_format": "jpeg", "output_compression": 50}, "output_compression"),
        ("google", "gemini-2.5-flash-image", {"output_format": "jpeg"}, "output_format"),
        ("vertex", "gemini-2.5-flash-image", {"output_format": "webp"}, "output_format"),
        ("dashscope", "qwen-image", {"output_format": "png"}, None),
        ("dashscope", "qwen-image", {}, None),
    ],
)
def test_what_will_be_converted_here_is_known_beforehand(
    provider: str, model: str, asked: dict[str, Any], param: str | None
) -> None:
    row, request = CATALOG.models[model], ImageRequest(model=model, prompt="a cat", **asked)
    told = foreseen(row, request, at(provider, model, **asked))
    assert [(warning.code, warning.param) for warning in told] == ([("transcoded", param)] if param else [])
