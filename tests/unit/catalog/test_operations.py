"""Operations that a model is told to perform: which edit they become, and what the caller is told about it."""

from __future__ import annotations

import pytest

from imageway.catalog import check, fit, load
from imageway.catalog.operations import INSTRUCTIONS, as_edit
from imageway.core.requests import ImageLink, ImageRequest, Operation
from tests.unit.catalog.pictures import picture

CATALOG = load()
CUTTERS = ("gpt-image-1", "gpt-image-1-mini", "gpt-image-1.5", "gpt-image-2.5-flare", "gpt-image-2.6-sunburst")
TOLD = ("gpt-image-2", "gemini-2.5-flash-image", "doubao-seedream-4-0-250828", "qwen-image-edit-plus")


def asked(model: str, operation: Operation, **more: object) -> ImageRequest:
    return ImageRequest(model=model, operation=operation, images=(picture(300, 200),), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", CUTTERS)
def test_a_model_with_transparent_backgrounds_cuts_out_without_a_warning(model: str) -> None:
    checked = check(CATALOG.models[model], asked(model, Operation.REMOVE_BACKGROUND))
    assert (checked.problems, checked.warnings) == ((), ())
    fitted = fit(CATALOG.models[model], CATALOG.models[model].offerings[0], checked.request)
    assert (fitted.request.operation, fitted.request.background, fitted.request.output_format) == (
        "edit",
        "transparent",
        "png",
    )
    assert "transparent" in (fitted.request.prompt or "")


@pytest.mark.parametrize("model", TOLD)
@pytest.mark.parametrize("operation", INSTRUCTIONS)
def test_a_model_that_only_takes_instructions_is_told_with_a_warning(model: str, operation: Operation) -> None:
    checked = check(CATALOG.models[model], asked(model, operation))
    assert checked.problems == ()
    assert ("operation_as_edit", "operation") in [(each.code, each.param) for each in checked.warnings]
    assert checked.request.operation is Operation.EDIT
    assert checked.request.prompt == INSTRUCTIONS[operation]


def test_the_callers_own_words_come_last() -> None:
    request, _ = as_edit(CATALOG.models["gpt-image-2"], asked("gpt-image-2", Operation.VARIATION, prompt="at night"))
    assert request.prompt == f"{INSTRUCTIONS[Operation.VARIATION]}\nat night"


@pytest.mark.parametrize(("scale", "size"), [(None, (600, 400)), (4, (1200, 800))])
def test_an_upscale_asks_for_the_factor_times_the_input(scale: int | None, size: tuple[int, int]) -> None:
    request, _ = as_edit(CATALOG.models["gpt-image-2"], asked("gpt-image-2", Operation.UPSCALE, scale=scale))
    assert request.geometry is not None
    assert (request.geometry.width, request.geometry.height, request.scale) == (*size, None)
    assert request.param("geometry") == "scale"


def test_an_upscale_of_what_is_not_here_yet_leaves_the_size_to_the_model() -> None:
    linked = ImageRequest(
        model="gpt-image-2", operation=Operation.UPSCALE, images=(ImageLink("https://a.example/a.png", "image"),)
    )
    assert as_edit(CATALOG.models["gpt-image-2"], linked)[0].geometry is None


def test_a_model_without_edits_refuses() -> None:
    checked = check(CATALOG.models["qwen-image"], asked("qwen-image", Operation.UPSCALE))
    assert checked.problems[0].code == "operation_not_supported"
