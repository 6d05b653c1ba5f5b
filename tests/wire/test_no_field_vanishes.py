"""Law 1, for every offering of the catalog and every field of a request: refused, warned about, or sent.

Each field is set to every value its row names and to one that no row names, on an otherwise plain request, once without
and once with an input image; then checked, fitted and encoded as it would be. When nobody complained, something that is
sent must differ from what the plain request sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from imageway.catalog import Catalog, Fitted, check, fit, load, parse_size
from imageway.catalog.parameters import CONVERTED
from imageway.catalog.schema import Model, Offering, Parameter
from imageway.core.requests import Group, ImageData, ImageRequest, Operation, RequestWarning, Size, Turn
from imageway.core.steps import Adapter, Call
from imageway.providers import ADAPTERS
from tests.values import replace
from tests.wire.providers.conversation import NamedBlob, show

NOT_PARAMETERS = {"model", "family", "spelled", "written", "names"}  # who is asked, and the caller's own words
BY_THE_GATEWAY = set(CONVERTED)  # honoured by converting the image that came, where they are not sent
SAME_THING = [("partial_images", 0), ("stream", False), ("want_text", False), ("scale", 2)]  # what happens anyway

Encode = Callable[[Call], Any]


def image(name: str) -> ImageData:
    return ImageData(NamedBlob(name, "png"), "image")


def plain_requests(model: Model) -> Iterator[ImageRequest]:
    """What the model takes without any parameter: without an input image, and with one, to edit or to enlarge; and as a
    stream, where that has parameters of its own."""
    plain = ImageRequest(model=model.id, prompt="a cat")
    if model.inputs.minimum == 0:
        yield plain
    if "partial_images" in model.parameters:
        yield replace(plain, stream=True)
    if model.inputs.maximum > 0:
        images = tuple(image(f"plain{number}") for number in range(max(1, model.inputs.minimum)))
        if "edit" in model.operations:
            yield replace(plain, operation=Operation.EDIT, images=images)
        else:
            yield replace(plain, operation=Operation.UPSCALE, images=images, prompt=None)


def changes(model: Model, plain: ImageRequest) -> Iterator[dict[str, Any]]:
    """Every field at every value worth trying, as changes to the plain request."""
    structured = structured_values(plain)
    for name, kind in ImageRequest.__annotations__.items():
        if name in NOT_PARAMETERS:
            continue
        values = structured.get(name)
        if values is None:
            values = scalar_values(kind, model.parameters.get(name))
        news = (value for value in values if value != getattr(plain, name))
        yield from ({name: value} for value in news if (name, value) not in SAME_THING)
    yield from ({"geometry": size} for size in sizes(model))
    for format_ in ("jpeg", "webp"):
        yield {"output_format": format_, "output_compression": 50}


def structured_values(plain: ImageRequest) -> dict[str, list[Any]]:
    return {
        "operation": [Operation.UPSCALE, Operation.REMOVE_BACKGROUND, Operation.VARIATION],
        "prompt": ["a dog"],
        "turns": [
            (Turn("user", (*plain.images, "a cat")), Turn("model", (image("drawn"),)), Turn("user", ("redder",)))
        ],
        "images": [(*plain.images, image("another"))],
        "mask": [image("mask")],
        "n": [2, 10],
        "group": [Group(3), Group(None)],
        "geometry": [],
        "extras": [{"a_field_of_nobody": 1}],
    }


def scalar_values(type_: str, row: Parameter | None) -> list[Any]:
    if row is not None and row.values and row.type == "string":
        return ["a value of nobody", *row.values, *row.replace, *row.tiers]
    low = row.minimum if row and row.minimum is not None else 0
    high = row.maximum if row and row.maximum is not None else 1
    return {
        "str | None": ["a value of nobody"],
        "bool | None": [True, False],
        "int | None": [int(low), int(high), int(high) + 1],
        "float | None": [float(low), float(high), float(high) + 1],
    }[type_]


def sizes(model: Model) -> Iterator[Any]:
    """Sizes in every form, except the one that is sent anyway; "auto" and its like only where they are words."""
    usual = {model.geometry.default, model.geometry.default_edit, model.geometry.default_tier}
    words = {"1024x1024", "1536x1024", "2048x2048", "16:9", "1:1", "9:16", "1K", "2K", "4K", *model.geometry.words}
    yield from map(parse_size, sorted(words - usual))


def sent(model: Model, offering: Offering, request: ImageRequest, encode: Encode) -> tuple[list[Any], set[str]] | None:
    """Everything that would leave, and everything the caller would be told; None when he is refused."""
    checked = check(model, request)
    fitted = fit(model, offering, checked.request)
    if checked.problems or fitted.problems:
        return None
    warnings: tuple[RequestWarning, ...] = (*checked.warnings, *fitted.warnings)
    return [show(encode(call)) for call in calls(offering, fitted)], {warning.message for warning in warnings}


def calls(offering: Offering, fitted: Fitted) -> Iterator[Call]:
    """As the engine fans n out: a group is one call, else as many as one call may give."""
    request = fitted.request
    images = (request.group.max_images if request.group else request.n) or 1
    at_once = images if request.group else offering.max_n
    for start in range(0, images, at_once):
        count = min(at_once, images - start)
        yield Call(
            model=offering.upstream_name, request=request, size=fitted.size, count=count, options=offering.options
        )


def vanished(catalog: Catalog, adapters: Mapping[str, Adapter]) -> set[tuple[str, str, str]]:
    """(adapter, model, change) of everything that was neither refused nor told nor sent."""
    found = set()
    for model in catalog.models.values():
        for offering in model.offerings:
            if offering.adapter not in adapters:
                continue
            encode = adapters[offering.adapter].encode
            for request in plain_requests(model):
                plain = replace(request, family=offering.forwards)
                before = sent(model, offering, plain, encode)
                assert before is not None, f"the plain request to {model.id} is refused: nothing can be learned from it"
                for change in changes(model, plain):
                    if lost(model, offering, (plain, change), before, encode):
                        found.add((offering.adapter, model.id, " ".join(change)))
    return found


def lost(
    model: Model,
    offering: Offering,
    asked: tuple[ImageRequest, dict[str, Any]],
    before: tuple[list[Any], set[str]],
    encode: Encode,
) -> bool:
    plain, change = asked
    after = sent(model, offering, replace(plain, **change), encode)
    if after is None or after[1] - before[1] or after[0] != before[0]:
        return False
    if set(change) <= BY_THE_GATEWAY:
        return False
    return not is_left_out_by_the_row(model, change)


def is_left_out_by_the_row(model: Model, change: dict[str, Any]) -> bool:
    """A value that the row says is what the provider does by itself (`omit`)."""
    return all((row := model.parameters.get(name)) and str(value) in row.omit for name, value in change.items())


def test_every_field_is_refused_or_told_or_sent() -> None:
    assert sorted(vanished(load(), ADAPTERS)) == []


def without(adapter: Adapter, name: str) -> Adapter:
    """Planted: the same adapter with one field forgotten."""
    blank = replace(ImageRequest(model=""))

    def encode(call: Call) -> Any:
        request = replace(call.request, **{name: getattr(blank, name)})
        return adapter.encode(replace(call, request=request))

    return replace(adapter, encode=encode)


FORGOTTEN = {
    "openai_images": "prompt images mask quality background moderation user input_fidelity partial_images extras",
    "gemini": "prompt turns images temperature top_p thinking want_text person",
    "ark_images": "prompt images group seed guidance watermark enhance_mode",
    "dashscope": "prompt images negative_prompt enhance_prompt watermark seed",
    "imagen": "prompt mask person enhance_prompt watermark scale extras",
}


@pytest.mark.parametrize(("adapter", "name"), [(a, name) for a, names in FORGOTTEN.items() for name in names.split()])
def test_a_field_that_an_adapter_forgets_is_found(adapter: str, name: str) -> None:
    """Nothing vanishes otherwise: see the first test."""
    found = vanished(load(), {adapter: without(ADAPTERS[adapter], name)})
    assert {(row[0], row[2]) for row in found} >= {(adapter, name)}


def test_a_size_that_an_adapter_forgets_is_found() -> None:
    for adapter in ADAPTERS.values():
        blind = replace(adapter, encode=lambda call, a=adapter: a.encode(replace(call, size=Size())))
        found = vanished(load(), {adapter.name: blind})
        assert {(row[0], row[2]) for row in found} >= {(adapter.name, "geometry")}
