"""Checking: everything wrong at once, in the caller's own words; nothing dropped without a word."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageway.catalog import Catalog, Checked, check, load
from imageway.catalog.parameters import NAMES
from imageway.core.requests import (
    Geometry,
    Group,
    ImageInput,
    ImageRequest,
    Operation,
    RequestWarning,
    Turn,
)
from tests.unit.catalog.pictures import links, picture
from tests.unit.catalog.strategies import requests

CATALOG = load()
MODELS = list(CATALOG.models.values())
TEXT_ONLY, EDITOR = "doubao-seedream-3-0-t2i-250415", "doubao-seededit-3-0-i2i-250628"
GROUPS = ("doubao-seedream-4-0-250828", "doubao-seedream-4-5-251128", "doubao-seedream-5-0-260128")


def checked(model: str, **more: Any) -> Checked:
    return check(CATALOG.models[model], ImageRequest(model=model, **{"prompt": "a cat", **more}))


def codes(result: Checked) -> list[tuple[str | None, str]]:
    return [(problem.param, problem.code) for problem in result.problems]


def warned(result: Checked) -> list[tuple[str | None, str]]:
    return [(warning.param, warning.code) for warning in result.warnings]


def test_a_plain_request_passes_every_model_untouched() -> None:
    for model in MODELS:
        operation, images = Operation(model.operations[0]), links(model.inputs.minimum)
        prompt = None if operation is Operation.UPSCALE else "a cat"
        request = ImageRequest(model=model.id, prompt=prompt, images=images, operation=operation)
        assert check(model, request) == Checked(request, (), ())


def test_the_request_goes_on_under_the_models_own_id() -> None:
    model = CATALOG.models["doubao-seedream-4-0-250828"]
    assert check(model, ImageRequest(model="seedream-4.0-base", prompt="a cat")).request.model == model.id


# Text


@pytest.mark.parametrize("prompt", [None, "", "  \n"])
def test_a_missing_prompt_is_refused_for_edits_too(prompt: str | None) -> None:
    for images in ((), links(1)):
        assert codes(checked("gemini-2.5-flash-image", prompt=prompt, images=images)) == [
            ("prompt", "missing_required_parameter")
        ]


def test_text_in_a_conversation_is_a_prompt() -> None:
    assert not checked("gemini-2.5-flash-image", prompt=None, turns=(Turn("user", ("a cat",)),)).problems
    silent = (Turn("user", (picture(),)), Turn("model", ("here you are",)))
    assert codes(checked("gemini-2.5-flash-image", prompt=None, turns=silent)) == [
        ("prompt", "missing_required_parameter")
    ]


@pytest.mark.parametrize("operation", [Operation.UPSCALE, Operation.REMOVE_BACKGROUND])
def test_upscaling_and_removing_backgrounds_need_no_prompt(operation: Operation) -> None:
    """Where a model can neither perform the operation nor be told to, that alone is what is wrong."""
    found = checked("qwen-image", prompt=None, operation=operation, images=links(1)).problems
    assert found[0].code == "operation_not_supported"
    assert found[0].accepted == ("generate",)
    assert "missing_required_parameter" not in [problem.code for problem in found]
    assert not checked("gemini-2.5-flash-image", prompt=None, operation=operation, images=links(1)).problems


def test_a_prompt_over_the_hard_limit_is_refused_with_the_limit() -> None:
    assert not checked("gpt-image-2", prompt="x" * 32_000).problems
    problem = checked("gpt-image-2", prompt="x" * 32_001, spelled={"prompt": "input.prompt"}).problems[0]
    assert (problem.param, problem.code) == ("input.prompt", "prompt_too_long")
    assert "32,001" in problem.message
    assert problem.accepted == ("at most 32000 characters",)


@pytest.mark.parametrize(
    ("prompt", "told"), [("猫" * 300, 0), ("猫" * 301, 1), ("a cat " * 300, 0), ("cat " * 601, 1), ("x" * 2000, 0)]
)
def test_advice_on_the_length_of_prompts_is_a_warning(prompt: str, told: int) -> None:
    """300 Chinese characters or 600 English words."""
    result = checked("doubao-seedream-4-0-250828", prompt=prompt)
    assert result.problems == ()
    assert warned(result) == [("prompt", "advice")] * told


# Conversations

OLD, NEWEST, FIRST, LATE = (picture(param=name) for name in ("old", "newest", "first", "late"))
TALK = (
    Turn("user", ("draw it", FIRST)),
    Turn("model", (OLD, "done")),
    Turn("model", (NEWEST,)),
    Turn("user", (LATE, "bluer")),
)


def test_a_conversation_stays_whole_where_the_model_has_conversations() -> None:
    result = checked("gemini-3-pro-image", prompt=None, turns=TALK)
    assert result.request.turns == TALK
    assert (result.warnings, result.problems) == ((), ())


def test_elsewhere_it_becomes_one_prompt_with_a_warning() -> None:
    """The users' texts by lines; their images and the model's last one, as they appeared."""
    result = checked("doubao-seedream-4-0-250828", prompt=None, turns=TALK, spelled={"turns": "contents"})
    assert result.request.turns == ()
    assert result.request.prompt == "draw it\nbluer"
    assert result.request.images == (FIRST, NEWEST, LATE)
    assert warned(result) == [("contents", "contents_flattened")]


def test_what_the_dialect_worked_out_for_such_models_is_kept() -> None:
    result = checked("doubao-seedream-4-0-250828", prompt="both texts", images=(LATE,), turns=TALK)
    assert (result.request.prompt, result.request.images) == ("both texts", (LATE,))


def test_a_single_entry_is_no_conversation_to_warn_of() -> None:
    result = checked("qwen-image-plus", prompt=None, turns=(Turn("user", ("a cat",)),))
    assert (result.request.prompt, result.warnings, result.problems) == ("a cat", (), ())


def test_the_images_of_a_conversation_count() -> None:
    turns = (Turn("user", ("mix", *links(4, "contents"))),)
    assert codes(checked("gemini-2.5-flash-image", prompt=None, turns=turns)) == [("contents[3]", "too_many_images")]


# Input images


def test_an_image_on_a_text_only_model_names_the_model_that_edits() -> None:
    for operation in (Operation.GENERATE, Operation.EDIT):
        problem = checked(TEXT_ONLY, images=links(1), operation=operation).problems[0]
        assert (problem.param, problem.code) == ("image[0]", "image_not_supported")
        assert problem.accepted == (EDITOR,)
        assert EDITOR in problem.message
    assert checked("qwen-image-plus", images=links(1)).problems[0].accepted == ("qwen-image-edit-plus",)


def test_an_edit_model_without_an_image_names_the_model_that_draws() -> None:
    problem = checked(EDITOR, spelled={"images": "image"}).problems[0]
    assert (problem.param, problem.code, problem.accepted) == ("image", "image_required", (TEXT_ONLY,))


def test_an_edit_needs_an_image_on_any_model() -> None:
    assert codes(checked("gpt-image-2", operation=Operation.EDIT)) == [("images", "image_required")]
    assert codes(checked(TEXT_ONLY, operation=Operation.EDIT)) == [("images", "image_not_supported")]


def test_more_images_than_the_model_takes_are_refused() -> None:
    assert not checked("gemini-2.5-flash-image", images=links(3)).problems
    problem = checked("gemini-2.5-flash-image", images=links(5)).problems[0]
    assert (problem.param, problem.code) == ("image[3]", "too_many_images")
    assert "5 input images" in problem.message
    assert "at most 3" in problem.message


def test_a_mask_is_refused_where_there_is_none_and_needs_an_image() -> None:
    mask = picture(param="mask")
    assert not checked("gpt-image-2", images=links(1), mask=mask).problems
    assert codes(checked("gpt-image-2", mask=mask)) == [("images", "image_required")]
    assert codes(checked("qwen-image-2.0", images=links(1), mask=mask)) == [("mask", "parameter_not_supported")]


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (picture(640, 480, param="mask", alpha=True), None),
        (picture(640, 480, param="mask"), None),  # its header did not say
        (picture(640, 480, param="mask", alpha=False), "has no transparency"),
        (picture(480, 640, param="mask", alpha=True), "480x640 pixels and the first image 640x480"),
        (picture(640, 480, param="mask", form="webp"), 'mask is "webp"; accepted: png'),
        (links(1)[0], None),
    ],
)
def test_a_mask_has_the_format_transparency_and_size_that_the_model_needs(mask: ImageInput, told: str | None) -> None:
    """As far as headers say; what is linked is looked at once it was fetched."""
    images = (picture(640, 480), picture(10, 10))
    result = checked("gpt-image-2", images=images, mask=mask)
    assert codes(result) == ([("mask", "invalid_mask")] if told else [])
    assert (told or "") in "".join(problem.message for problem in result.problems)
    assert not checked("gpt-image-2", images=links(1), mask=picture(1, 2, alpha=True)).problems


def test_everything_wrong_with_a_mask_is_said() -> None:
    mask = picture(480, 640, param="mask", alpha=False)
    assert codes(checked("gpt-image-1", images=(picture(),), mask=mask)) == [("mask", "invalid_mask")] * 2


@pytest.mark.parametrize(
    ("model", "image", "code"),
    [
        (EDITOR, picture(14, 30), "image_too_small"),
        (EDITOR, picture(400, 100), "invalid_image"),
        (EDITOR, picture(300, 100), None),
        ("gemini-2.5-flash-image", picture(size_bytes=15_000_001), "image_too_large"),
    ],
)
def test_images_outside_the_models_edges_proportions_and_bytes_are_refused(
    model: str, image: ImageInput, code: str | None
) -> None:
    assert codes(checked(model, images=(image,))) == ([("image", code)] if code else [])


def test_images_may_be_too_large_together() -> None:
    images = (picture(size_bytes=8_000_000, param="a"), picture(size_bytes=8_000_000, param="b"))
    assert codes(checked("gemini-2.5-flash-image", images=images)) == [("b", "image_too_large")]


def test_a_vendors_advice_on_edges_is_a_warning() -> None:
    assert warned(checked("qwen-image-2.0", images=(picture(200, 400),))) == [("image", "advice")]
    assert warned(checked("qwen-image-2.0", images=(picture(400, 4000),))) == [("image", "advice")]
    assert warned(checked("qwen-image-2.0", images=(picture(400, 400),))) == []


# How many


@pytest.mark.parametrize("n", [0, -1, 11, 10**30])
def test_n_is_one_to_ten_for_every_model(n: int) -> None:
    for model in MODELS:
        operation, images = Operation(model.operations[0]), links(model.inputs.minimum)
        request = ImageRequest(model=model.id, prompt="a cat", n=n, images=images, operation=operation)
        problem = check(model, request).problems[0]
        assert (problem.param, problem.accepted) == ("n", ("1 to 10",))
        assert problem.message == f"n is {n}; accepted: 1 to 10"
    assert not checked("gemini-2.5-flash-image", n=10).problems


@pytest.mark.parametrize("model", [model.id for model in MODELS if model.id not in GROUPS and not model.inputs.minimum])
def test_groups_are_refused_elsewhere(model: str) -> None:
    result = checked(model, group=Group(), spelled={"group": "sequential_image_generation"})
    assert codes(result) == [("sequential_image_generation", "parameter_not_supported")]


@pytest.mark.parametrize("model", GROUPS)
@pytest.mark.parametrize(
    ("n", "asked", "size"), [(None, None, 4), (1, None, 4), (6, None, 6), (None, 15, 15), (1, 2, 2)]
)
def test_a_group_is_one_call_of_a_known_size(model: str, n: int | None, asked: int | None, size: int) -> None:
    result = checked(model, n=n, group=Group(asked))
    group = Group(size, counted=bool(n and n > 1))
    assert (result.problems, result.request.group, result.request.n) == ((), group, None)
    assert result.warnings == ()


@pytest.mark.parametrize("asked", [0, 16, -3])
def test_a_groups_size_is_one_to_fifteen(asked: int) -> None:
    problem = checked(GROUPS[0], group=Group(asked)).problems[0]
    assert (problem.code, problem.accepted) == ("invalid_value", ("1 to 15",))


def test_n_and_max_images_together_are_refused() -> None:
    assert codes(checked(GROUPS[0], n=2, group=Group(3))) == [("n", "invalid_value")]


@pytest.mark.parametrize(
    ("inputs", "n", "asked", "right"),
    [(14, None, 1, True), (14, None, 2, False), (10, None, 5, True), (10, 6, None, False), (14, None, None, True)],
)
def test_inputs_and_outputs_of_a_group_share_fifteen_places(
    inputs: int, n: int | None, asked: int | None, right: bool
) -> None:
    """An open group takes the room that is left."""
    result = checked(GROUPS[0], images=links(inputs), n=n, group=Group(asked))
    assert (not result.problems) is right
    if inputs == 14 and right:
        assert result.request.group == Group(1)


@pytest.mark.parametrize(("inputs", "size"), [(11, 4), (12, 3), (14, 1)])
def test_an_open_group_that_has_less_room_than_usual_is_told(inputs: int, size: int) -> None:
    """Who named a size himself has it or is refused."""
    result = checked(GROUPS[0], images=links(inputs), group=Group(), spelled={"group": "sequential_image_generation"})
    assert result.request.group == Group(size)
    told = [("sequential_image_generation", "group_reduced")] if size < 4 else []
    assert warned(result) == told
    assert all(f"{inputs} input images leave room for a group of {size}" in w.message for w in result.warnings)
    assert checked(GROUPS[0], images=links(inputs), group=Group(size)).warnings == ()


# Fields


def test_every_field_of_a_request_is_judged_or_is_structure() -> None:
    structure = {
        "model",
        "operation",
        "prompt",
        "turns",
        "images",
        "mask",
        "n",
        "group",
        "geometry",
        "extras",
        "family",
        "spelled",
        "written",
        "names",
    }
    assert {*ImageRequest.__struct_fields__} == structure | set(NAMES)


FIELD_CASES: list[tuple[str, str, object, object, list[str]]] = [
    # model, field, asked, sent, codes
    ("gpt-image-2", "quality", "high", "high", []),
    ("gpt-image-2", "quality", "HIGH", "high", []),
    ("gpt-image-2", "quality", "standard", "medium", ["parameter_replaced"]),
    ("gpt-image-1", "quality", "hd", "high", ["parameter_replaced"]),
    ("gpt-image-1", "quality", "xhigh", None, ["invalid_value"]),
    ("gpt-image-1", "quality", "ultra", None, ["invalid_value"]),
    ("gpt-image-2.5-flare", "quality", "xhigh", "xhigh", []),
    ("gemini-3-pro-image", "quality", "hd", "hd", []),  # becomes a tier when it is fitted
    ("gemini-3-pro-image", "quality", "low", None, ["parameter_ignored"]),
    ("doubao-seedream-4-0-250828", "quality", "high", None, ["parameter_ignored"]),
    ("qwen-image-plus", "quality", "high", None, ["parameter_ignored"]),
    ("gpt-image-2", "style", "vivid", None, ["parameter_ignored"]),
    ("gemini-3-pro-image", "style", "vivid", None, ["parameter_ignored"]),
    (TEXT_ONLY, "seed", -1, -1, []),
    (TEXT_ONLY, "seed", -2, None, ["invalid_value"]),
    (TEXT_ONLY, "seed", 2**31, None, ["invalid_value"]),
    ("doubao-seedream-4-0-250828", "seed", 7, 7, ["parameter_ignored"]),
    ("qwen-image-plus", "seed", 0, 0, []),
    ("qwen-image-plus", "seed", -1, None, ["invalid_value"]),
    ("gpt-image-2", "seed", 7, None, ["parameter_ignored"]),
    (TEXT_ONLY, "guidance", 2.5, 2.5, []),
    (TEXT_ONLY, "guidance", 10.5, None, ["invalid_value"]),
    (TEXT_ONLY, "guidance", float("nan"), None, ["invalid_type"]),
    ("doubao-seedream-4-5-251128", "guidance", 2.5, None, ["parameter_ignored"]),
    ("doubao-seedream-4-0-250828", "enhance_mode", "fast", "fast", []),
    ("doubao-seedream-5-0-pro-260628", "enhance_mode", "fast", "fast", []),
    ("doubao-seedream-4-5-251128", "enhance_mode", "fast", None, ["invalid_value"]),
    ("doubao-seedream-5-0-260128", "enhance_mode", "fast", None, ["invalid_value"]),
    (TEXT_ONLY, "enhance_mode", "fast", None, ["parameter_not_supported"]),
    ("gpt-image-2", "enhance_mode", "fast", None, ["parameter_not_supported"]),
    ("gpt-image-2", "enhance_mode", "standard", None, ["parameter_ignored"]),
    ("doubao-seedream-4-0-250828", "watermark", False, False, []),
    ("gemini-3-pro-image", "watermark", False, None, ["parameter_ignored"]),
    ("gemini-3-pro-image", "temperature", 1.1, 1.1, []),
    ("gemini-3-pro-image", "temperature", 2.1, None, ["invalid_value"]),
    ("gpt-image-2", "temperature", 1.0, None, ["parameter_ignored"]),
    ("gemini-3-pro-image", "want_text", True, True, []),
    ("gpt-image-2", "want_text", True, None, ["parameter_ignored"]),
    ("gemini-3.1-flash-image", "thinking", "high", "high", []),
    ("gemini-3.1-flash-image", "thinking", "medium", "high", ["parameter_replaced"]),
    ("gemini-nano-banana-2.1", "thinking", "medium", "medium", []),
    ("gemini-3-pro-image", "thinking", "high", None, ["parameter_ignored"]),
    ("gpt-image-2", "person", "allow_adult", None, ["parameter_ignored"]),
    ("gpt-image-2", "person", "dont_allow", None, ["parameter_not_supported"]),
    ("gemini-3-pro-image", "person", "dont_allow", "dont_allow", []),  # some seller may take it
    ("gemini-3-pro-image", "person", "nobody", None, ["invalid_value"]),
    ("imagen-4.0-generate-001", "seed", 7, 7, ["parameter_replaced"]),  # and watermark false
    ("imagen-4.0-generate-001", "seed", 2**31, None, ["invalid_value"]),
    ("gpt-image-1", "background", "transparent", "transparent", []),
    ("gpt-image-2", "background", "transparent", None, ["invalid_value"]),
    ("gemini-3-pro-image", "background", "transparent", None, ["parameter_not_supported"]),
    ("gemini-3-pro-image", "background", "opaque", None, ["parameter_ignored"]),
    ("doubao-seedream-5-0-pro-260628", "background", "transparent", "transparent", ["invalid_value"]),  # no image
    ("qwen-image-plus", "negative_prompt", "x" * 500, "x" * 500, []),
    ("qwen-image-plus", "negative_prompt", "x" * 501, None, ["invalid_value"]),
    ("gemini-3-pro-image", "negative_prompt", "dogs", None, ["parameter_ignored"]),
    ("gpt-image-2", "output_format", "webp", "webp", []),
    ("gemini-3-pro-image", "output_format", "webp", "webp", []),
    ("gemini-3-pro-image", "output_format", "gif", None, ["invalid_value"]),
    ("gpt-image-2", "output_compression", 101, None, ["invalid_value"]),
    ("gpt-image-2", "output_compression", 50, None, ["parameter_ignored"]),  # of a PNG
    ("gpt-image-1", "input_fidelity", "high", None, ["parameter_ignored"]),  # to no image
    ("gpt-image-1", "input_fidelity", "auto", None, []),  # says nothing, to no image either
    ("gpt-image-2", "stream", False, None, []),
    ("gpt-image-2", "stream", True, True, []),
    ("qwen-image-plus", "stream", True, True, []),  # by the gateway
    ("gpt-image-2", "partial_images", 0, None, []),
    ("gpt-image-2", "partial_images", 2, None, ["parameter_ignored"]),
    ("gemini-3-pro-image", "partial_images", 2, None, ["parameter_ignored"]),
    ("gpt-image-2", "user", "u-1", "u-1", []),
    ("gemini-3-pro-image", "user", "u-1", None, ["parameter_ignored"]),
    ("gpt-image-2", "enhance_prompt", True, None, ["parameter_ignored"]),
    ("qwen-image-plus", "enhance_prompt", True, True, []),
]


@pytest.mark.parametrize(("model", "name", "asked", "sent", "told"), FIELD_CASES)
def test_a_field_is_sent_replaced_reported_or_refused(
    model: str, name: str, asked: object, sent: object, told: list[str]
) -> None:
    result = checked(model, **{name: asked}, spelled={name: f"my.{name}"})
    assert getattr(result.request, name) == sent
    findings = [*result.warnings, *result.problems]
    assert [finding.code for finding in findings] == told
    assert [finding.param for finding in findings] == [f"my.{name}"] * len(told)


IMAGEN, UPSCALER = "imagen-4.0-generate-001", "imagen-4.0-upscale-preview"


def test_what_a_field_goes_with_alone_is_sent_with_it_and_told() -> None:
    result = checked(IMAGEN, seed=7, spelled={"seed": "my.seed"})
    (warning,) = result.warnings
    assert (result.request.seed, result.request.watermark) == (7, False)
    assert (warning.code, warning.param) == ("parameter_replaced", "my.seed")
    assert warning.message == f"watermark was sent as false: {IMAGEN} takes my.seed 7 with nothing else"


def test_what_a_field_goes_with_may_be_said_by_the_caller_himself() -> None:
    result = checked(IMAGEN, seed=7, watermark=False)
    assert (result.warnings, result.problems) == ((), ())
    (problem,) = checked(IMAGEN, seed=7, watermark=True, spelled={"watermark": "mark"}).problems
    assert (problem.param, problem.code) == ("seed", "invalid_value")
    assert "seed 7 goes only with mark false" in problem.message


def test_a_field_that_is_not_sent_needs_nothing() -> None:
    """The seed is refused for itself: nothing is said of the watermark."""
    result = checked(IMAGEN, seed=-1)
    assert [problem.param for problem in result.problems] == ["seed"]
    assert (result.request.watermark, result.warnings) == (None, ())


def upscaled(**more: Any) -> Checked:
    asked = {"operation": Operation.UPSCALE, "prompt": None, "images": (picture(1000, 1000),), **more}
    return checked(UPSCALER, **asked)


def test_an_upscale_of_its_own_follows_the_image_alone() -> None:
    result = upscaled(prompt="sharper", scale=3)
    (warning,) = result.warnings
    assert (result.request.prompt, result.request.scale) == (None, 3)
    assert (warning.code, warning.param) == ("parameter_ignored", "prompt")
    assert result.problems == ()


@pytest.mark.parametrize(
    ("width", "height", "scale", "fits"),
    [
        *((4250, 1000, 2, True), (4251, 1000, 2, False), (2061, 2061, None, True), (2062, 2062, None, False)),
        *((1000, 1062, 4, True), (1000, 1063, 4, False), (9999, 9999, 5, False)),
    ],
)
def test_what_an_upscale_would_make_has_a_limit(width: int, height: int, scale: int | None, fits: bool) -> None:
    result = upscaled(images=(picture(width, height),), scale=scale)
    about_image = [problem for problem in result.problems if problem.param == "image"]
    assert [problem.code for problem in about_image] == ([] if fits else ["image_too_large"])
    if not fits:
        assert f"{width}x{height} pixels and would have {width * (scale or 2)}x" in about_image[0].message


@pytest.mark.parametrize("operation", [Operation.EDIT, Operation.GENERATE, Operation.VARIATION])
def test_a_model_that_only_enlarges_does_nothing_else(operation: Operation) -> None:
    """Not even where the caller sends an image without a word about what is to become of it."""
    problems = upscaled(operation=operation, prompt="a cat", spelled={"operation": "mode"}).problems
    assert [(problem.param, problem.code, problem.accepted) for problem in problems] == [
        ("mode", "operation_not_supported", ("upscale",))
    ]


@pytest.mark.parametrize(("model", "sent", "told"), [("gpt-image-2", 2, []), ("qwen-image", None, ["partial_images"])])
def test_previews_belong_to_streams_of_models_that_have_them(model: str, sent: int | None, told: list[str]) -> None:
    result = checked(model, stream=True, partial_images=2)
    assert (result.request.stream, result.request.partial_images) == (True, sent)
    assert [warning.param for warning in result.warnings] == told


@pytest.mark.parametrize(
    ("model", "asked", "sent", "told"),
    [
        ("gpt-image-1", "auto", None, []),
        ("gpt-image-1", "high", "high", []),
        ("gpt-image-1", "medium", "low", ["parameter_replaced"]),
        ("gpt-image-1-mini", "high", "low", ["parameter_replaced"]),
        ("gpt-image-2", "high", None, ["parameter_ignored"]),
    ],
)
def test_input_fidelity_with_an_input(model: str, asked: str, sent: str | None, told: list[str]) -> None:
    result = checked(model, images=links(1), input_fidelity=asked)
    assert result.request.input_fidelity == sent
    assert [warning.code for warning in result.warnings] == told


def test_a_message_repeats_the_value_and_the_problem_lists_what_is_accepted() -> None:
    problem = checked("gpt-image-1", quality="ultra", spelled={"quality": "parameters.quality"}).problems[0]
    assert problem.message == ('parameters.quality is "ultra"; accepted: low, medium, high, auto, standard, hd')
    assert problem.accepted == ("low", "medium", "high", "auto", "standard", "hd")
    assert checked("qwen-image-plus", seed=-5).problems[0].accepted == ("0 to 2147483647",)


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        ("gpt-image-2", {"seed": 12345}, "seed 12345 was not sent: gpt-image-2 does not take it"),
        ("gpt-image-2", {"want_text": False}, 'response_modalities "image" was not sent: '),
        ("gpt-image-2", {"watermark": True}, "watermark true was not sent: "),
        ("doubao-seedream-4-0-250828", {"seed": 7}, "seed 7 was sent, but "),
        ("gpt-image-1", {"quality": "hd"}, 'quality "hd" was sent as "high" to gpt-image-1'),
        (TEXT_ONLY, {"guidance": 99.5}, "guidance_scale is 99.5; accepted: 1 to 10"),
        ("qwen-image", {"seed": -5}, 'seed is "-5"; accepted: 0 to 2147483647'),
    ],
)
def test_a_value_is_said_as_the_caller_wrote_it(model: str, values: dict[str, Any], message: str) -> None:
    """As JSON: text in quotes, numbers and truth without; by his own word for it where ours is another."""
    written = {"want_text": '"image"'} | ({"seed": '"-5"'} if model == "qwen-image" else {})
    spelled = {"want_text": "response_modalities", "guidance": "guidance_scale"}
    result = checked(model, **values, spelled=spelled, written=written)
    (finding,) = (*result.problems, *result.warnings)
    assert finding.message.startswith(message)


def test_a_long_or_unprintable_value_is_not_repeated_whole() -> None:
    message = checked("gpt-image-1", quality="\x1b[31m" + "x" * 1_000_000).problems[0].message
    assert len(message) < 200
    assert "\x1b" not in message


def test_a_jpeg_cannot_be_transparent() -> None:
    result = checked("gpt-image-1", background="transparent", output_format="jpeg")
    assert [(problem.param, problem.accepted) for problem in result.problems] == [("output_format", ("png", "webp"))]


def test_transparency_that_needs_one_input_image() -> None:
    model = "doubao-seedream-5-0-pro-260628"
    assert not checked(model, background="transparent", images=links(1)).problems
    assert codes(checked(model, background="transparent", images=links(2))) == [("background", "invalid_value")]


def test_the_compression_of_a_jpeg_is_kept_for_the_gateway() -> None:
    request = checked("gemini-3-pro-image", output_format="jpeg", output_compression=80).request
    assert (request.output_format, request.output_compression) == ("jpeg", 80)


def test_everything_wrong_is_said_at_once() -> None:
    result = checked(
        TEXT_ONLY, prompt="", n=11, images=links(1), mask=picture(param="mask"), group=Group(3), seed=-2, guidance=99.0
    )
    assert codes(result) == [
        ("prompt", "missing_required_parameter"),
        ("image[0]", "image_not_supported"),
        ("mask", "parameter_not_supported"),
        ("n", "invalid_value"),
        ("group", "parameter_not_supported"),
        ("seed", "invalid_value"),
        ("guidance", "invalid_value"),
    ]


def test_checking_twice_changes_nothing_more(catalog: Catalog) -> None:
    once = checked("gpt-image-1", quality="hd", seed=7, n=3, geometry=Geometry(ratio="1:1"))
    again = check(catalog.models["gpt-image-1"], once.request)
    assert again == Checked(once.request, (), ())


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_checking_never_raises_and_never_forgets(data: st.DataObject) -> None:
    """Whatever was asked for is passed on, refused or reported, by name."""
    model = data.draw(st.sampled_from(MODELS))
    request = data.draw(requests(model.id))
    result = check(model, request)
    told = {finding.param for finding in (*result.problems, *result.warnings)}
    for name in NAMES:
        before, after = getattr(request, name), getattr(result.request, name)
        meant_nothing = (name, before) in {("stream", False), ("partial_images", 0)}
        left_out = name in model.parameters and str(before).lower() in model.parameters[name].omit
        became_a_size = name == "scale" and request.geometry is None and result.request.geometry is not None
        if before is not None and after is None and not (meant_nothing or left_out or became_a_size):
            assert name in told
    if not result.problems:
        assert result.request.n is None or 1 <= result.request.n <= 10
        assert len(result.request.images) <= model.inputs.maximum or result.request.turns


def test_warnings_are_warnings() -> None:
    result = checked("gemini-3-pro-image", style="vivid")
    assert all(isinstance(warning, RequestWarning) for warning in result.warnings)
    assert '"vivid"' in result.warnings[0].message
