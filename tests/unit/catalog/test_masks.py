"""Masks: whoever wrote one in his own form, a model gets it in its own, or is told about it, and the caller as well."""

from __future__ import annotations

from typing import Any

import pytest

from imageway.catalog import Checked, check, load
from imageway.catalog.schema import Model
from imageway.core.requests import ImageInput, ImageLink, ImageRequest, MaskForm, Operation, Turn
from tests.unit.catalog.pictures import links, picture
from tests.values import replace

CATALOG = load()
ALPHA, LIGHT = MaskForm.ALPHA, MaskForm.LIGHT
READERS = [model for model in CATALOG.models.values() if model.inputs.mask]
TOLD = [model for model in CATALOG.models.values() if model.inputs.mask_instruction]
FIRST = picture(640, 480)
MASK = picture(640, 480, param="mask", alpha=True)
of_each = pytest.mark.parametrize("model", [*READERS, *TOLD], ids=lambda model: model.id)


def masked(model: Model, mask: ImageInput | None = MASK, **more: Any) -> Checked:
    plain = {"prompt": "a hat", "operation": Operation.EDIT, "images": (FIRST,), "mask": mask}
    return check(model, ImageRequest(model=model.id, **{**plain, **more}))


def test_every_family_that_edits_takes_a_mask_is_told_of_it_or_refuses_it() -> None:
    """The rows say which; nobody drops one."""
    kinds = {"takes": set[str](), "is told": set[str](), "refuses": set[str]()}
    for model in CATALOG.models.values():
        if "edit" in model.operations:
            kind = "takes" if model in READERS else "is told" if model in TOLD else "refuses"
            kinds[kind].add(model.family)
            codes = [problem.code for problem in masked(model).problems]
            assert codes == (["parameter_not_supported"] if kind == "refuses" else [])
    assert kinds == {
        "takes": {"gpt_image", "imagen"},
        "is told": {"gemini", "seedream"},
        "refuses": {"qwen_image", "seedream"},  # SeedEdit takes one image
    }


@pytest.mark.parametrize("model", READERS, ids=lambda model: model.id)
@pytest.mark.parametrize("marks", [None, ALPHA, LIGHT])
def test_a_mask_comes_in_the_form_that_the_model_reads(model: Model, marks: MaskForm | None) -> None:
    own = MaskForm(model.inputs.mask_marks)
    result = masked(model, replace(MASK, marks=marks))
    assert (result.warnings, result.problems) == ((), ())
    assert result.request.mask is not None
    assert result.request.mask.wanted == (None if (marks or ALPHA) is own else own)
    assert result.request.images == (FIRST,)


def test_the_two_who_read_masks_read_them_differently() -> None:
    assert {model.family: model.inputs.mask_marks for model in READERS} == {"gpt_image": "alpha", "imagen": "light"}


@pytest.mark.parametrize("model", TOLD, ids=lambda model: model.id)
def test_a_model_without_masks_sees_it_as_its_last_image_and_is_told(model: Model) -> None:
    (warning,) = (result := masked(model)).warnings
    assert (warning.code, warning.param) == ("mask_as_instruction", "mask")
    assert model.id in warning.message
    assert result.request.prompt == f"a hat\n{model.inputs.mask_instruction}"
    assert result.request.images == (FIRST, replace(MASK, marks=ALPHA, wanted=LIGHT))
    assert (result.request.mask, result.problems) == (None, ())


def test_a_mask_of_light_pixels_goes_to_them_as_it_is() -> None:
    (_, mask) = masked(TOLD[0], replace(MASK, marks=LIGHT)).request.images
    assert mask.marks is mask.wanted is LIGHT


@pytest.mark.parametrize(
    ("last", "said"), [("user", ("redder", "MASK", "TOLD")), ("model", ("MASK", "TOLD"))], ids=["user", "model"]
)
def test_in_a_conversation_the_user_says_it_last(last: str, said: tuple[str, ...]) -> None:
    model = next(model for model in TOLD if model.turns)
    drawn = Turn("model", (FIRST,))
    turns = (Turn("user", ("a cat",)), drawn, *((Turn("user", ("redder",)),) if last == "user" else ()))
    result = masked(model, images=(), turns=turns, prompt=None)
    whole = {"MASK": replace(MASK, marks=ALPHA, wanted=LIGHT), "TOLD": model.inputs.mask_instruction}
    assert result.request.turns[-1] == Turn("user", tuple(whole.get(part, part) for part in said))
    assert result.request.turns[:2] == turns[:2]
    assert result.problems == ()


def test_the_mask_counts_among_the_images_of_who_is_told() -> None:
    model = CATALOG.models["gemini-2.5-flash-image"]
    assert not masked(model, images=links(2)).problems
    (problem,) = masked(model, images=links(3)).problems
    assert (problem.param, problem.code) == ("mask", "too_many_images")


@of_each
@pytest.mark.parametrize("operation", [Operation.GENERATE, Operation.EDIT])
def test_a_mask_needs_an_image_that_it_masks(model: Model, operation: Operation) -> None:
    result = masked(model, images=(), operation=operation)
    assert "image_required" in {problem.code for problem in result.problems}
    assert result.request.mask == MASK or model.inputs.mask


@of_each
@pytest.mark.parametrize("opaque", [picture(640, 480, param="mask", alpha=False)])
def test_what_marks_by_transparency_has_some(model: Model, opaque: ImageInput) -> None:
    (problem,) = masked(model, opaque).problems
    assert (problem.param, problem.code) == ("mask", "invalid_mask")
    assert "has no transparency" in problem.message
    assert masked(model, replace(opaque, marks=LIGHT)).problems == ()


@of_each
def test_a_jpeg_is_a_mask_by_its_light_pixels_alone(model: Model) -> None:
    jpeg = picture(640, 480, param="mask", form="jpeg")
    assert [problem.code for problem in masked(model, jpeg).problems] == ["invalid_mask"]
    assert masked(model, replace(jpeg, marks=LIGHT)).problems == ()


@pytest.mark.parametrize("model", READERS, ids=lambda model: model.id)
def test_a_mask_is_as_large_as_what_it_masks(model: Model) -> None:
    (problem,) = masked(model, picture(480, 640, param="mask", alpha=True)).problems
    assert "480x640 pixels and the first image 640x480" in problem.message


@of_each
def test_a_linked_mask_says_nothing_before_it_is_here(model: Model) -> None:
    assert masked(model, ImageLink("https://example.com/mask.jpg", "mask")).problems == ()
