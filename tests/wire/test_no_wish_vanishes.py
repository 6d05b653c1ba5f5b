"""Law 1 from end to end: whatever a caller writes, in any dialect, to any family of models, is sent, done here, told
or refused. Only what happens anyway leaves no trace."""

from __future__ import annotations

import pytest

from imageway.catalog import check, fit, load
from imageway.core.blobs import Tree
from imageway.core.errors import InvalidRequest
from imageway.core.intents import Generate, Inbound
from imageway.core.steps import Call
from imageway.dialects import DIALECTS
from imageway.dialects.shared.table import Field
from imageway.providers import ADAPTERS
from tests.unit.dialects.test_names import FORMATS, INLINE, TABLES_OF, merged, sample, way_to

CATALOG = load()
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
MODELS = (
    "gpt-image-1",
    "gpt-image-2",
    "gemini-2.5-flash-image",
    "gemini-3.1-flash-image",
    "doubao-seedream-4-0-250828",
    "doubao-seedream-5-0-pro-260628",
    "qwen-image-plus",
    "imagen-4.0-generate-001",
)
HAPPENS_ANYWAY: dict[str, set[Tree]] = {
    "sequential_image_generation": {"disabled"},
    "operation": {"generate"},
    "action": {"generate"},
    "response_format": {"url"},
    "delivery": {"inline"},
    "n": {1},
    "input_fidelity": {"auto"},
    "size": {"auto"},
    "image_size": {"auto"},
}
SIZES = {"size", "image_size", "imageSize", "sampleImageSize", "resolution", "aspectRatio", "aspect_ratio"}
MADE_ANYWAY: dict[str, set[Tree]] = {
    "gpt-image-1": {"1024x1024", "square_hd"},
    "gemini-2.5-flash-image": {"1K", "1:1"},
    "gemini-3.1-flash-image": {"1K", "1:1"},
    "imagen-4.0-generate-001": {"1K", "1:1"},
    "doubao-seedream-5-0-pro-260628": {"2K"},
}
"""By each model, where nobody names a size."""
OTHER_SIZES = ("2K", "16:9", "1536x1024")
MEANT_FOR_ITSELF = "result_format"  # by the vendor's library
SPOKEN = [name for name in FORMATS if not name.startswith("omixa")]
SPEAKERS = [
    *[(name, model) for name in SPOKEN for model in MODELS],
    *[("omixa-gpt" if model.startswith("gpt") else "omixa", model) for model in MODELS],
]


def happens_anyway(model: str, field: str, value: Tree) -> bool:
    if isinstance(value, list | dict):
        return False
    return value in HAPPENS_ANYWAY.get(field, set()) or (field in SIZES and value in MADE_ANYWAY.get(model, set()))


def outcome(name: str, model: str, body: Tree) -> object:
    """Everything that can come of a request: what is sent, what is left to the gateway, what is told."""
    dialect, route, _ = FORMATS[name]
    known = CATALOG.models[model]
    inbound = Inbound(
        route=route,
        path="/v1beta/models/m:generateContent",
        params={"model": model},
        headers={"x-dashscope-async": "enable"} if name == "dashscope-flat" else {},
        body=body,
        family_of=lambda named: CATALOG.models[named].family if named in CATALOG.models else None,
    )
    try:
        intent = BY_NAME[dialect.name].decode(inbound)
    except InvalidRequest as refused:
        return refused.details
    assert isinstance(intent, Generate)
    checked = check(known, intent.request)
    offering = known.offerings[0]
    fitted = fit(known, offering, checked.request)
    if problems := (*checked.problems, *fitted.problems):
        return problems
    call = Call(model=known.id, request=fitted.request, size=fitted.size, options=offering.options)
    left = checked.request
    done_here = (left.n, left.output_format, left.output_compression, left.stream, left.partial_images, left.user)
    told = (*intent.warnings, *checked.warnings, *fitted.warnings)
    how = (intent.form, intent.shape, intent.background, intent.webhook)
    return repr(ADAPTERS[offering.adapter].encode(call)), done_here, told, how


def wishes(field: Field) -> list[Tree]:
    """Some different values that the field takes."""
    match field.kind.type:
        case "object":
            return [{"a": 1}]
        case "array":
            return [[{"type": "image_url", "image_url": {"url": INLINE}}]]
        case "string":
            others = OTHER_SIZES if field.name in SIZES else ()
            words = (word for word in (*others, *field.kind.accepted) if field.kind.read(word) is not None)
            return list(dict.fromkeys((str(sample(field)), *words)))[: 4 + len(others)]
        case "any":
            return ["https://a.example/b.png"]
    return [sample(field)]


@pytest.mark.parametrize(("name", "model"), SPEAKERS)
def test_whatever_is_written_leaves_a_trace(name: str, model: str) -> None:
    table, body = TABLES_OF[name], FORMATS[name][2]
    if ("", "model") in table.by_place and name not in ("gemini", "imagen"):
        body = body | {"model": model}
    plain = outcome(name, model, body)
    silent = [
        (field.name, value)
        for field in table.fields
        if field.target not in ("container", "model", "prompt", "contents", "instances")
        and field.name != MEANT_FOR_ITSELF
        for place in field.where
        for value in wishes(field)
        if outcome(name, model, merged(body, [*way_to(table, place), field.name], value)) == plain
    ]
    assert [each for each in silent if not happens_anyway(model, *each)] == []
