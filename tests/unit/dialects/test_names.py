"""Whatever an error or a warning is about goes by the name that its caller's format has for it: also a field that he
did not write, and one that only the catalog or the engine found wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from imageway.catalog import check, load
from imageway.core.blobs import Tree
from imageway.core.errors import InvalidRequest
from imageway.core.intents import Dialect, Generate, Inbound
from imageway.core.requests import ImageLink, ImageRequest, Operation
from imageway.dialects import ark, dashscope, gemini, imagen, mountsea, omixa, openai_images
from imageway.dialects.ark.fields import TABLE as ARK
from imageway.dialects.dashscope.fields import TABLE as DASHSCOPE
from imageway.dialects.gemini.fields import TABLE as GEMINI
from imageway.dialects.imagen.fields import TABLE as IMAGEN
from imageway.dialects.mountsea.fields import GENERATION, HUB
from imageway.dialects.omixa.fields import OTHERS, TABLES
from imageway.dialects.openai_images.fields import TABLE as OPENAI
from imageway.dialects.shared.table import TOP, Field, Table
from imageway.dialects.shared.written import DIRECT, NAMED

CATALOG = load()
EDITOR = CATALOG.models["qwen-image-edit-plus"]
PLAIN = replace(CATALOG.models["gpt-image-1"], operations=("generate",))

# route → what it takes where nothing but a prompt is said
FORMATS: dict[str, tuple[Dialect, str, dict[str, Tree]]] = {
    "openai": (openai_images.DIALECT, "generate", {"model": "m", "prompt": "a hat"}),
    "gemini": (gemini.DIALECT, "v1beta.generate", {"contents": [{"parts": [{"text": "a hat"}]}]}),
    "imagen": (imagen.DIALECT, "vertex_v1.predict", {"instances": [{"prompt": "a hat"}]}),
    "dashscope": (
        dashscope.DIALECT,
        "generate",
        {"model": "m", "input": {"messages": [{"role": "user", "content": [{"text": "a hat"}]}]}},
    ),
    "dashscope-flat": (dashscope.DIALECT, "text", {"model": "m", "input": {"prompt": "a hat"}}),
    "ark": (ark.DIALECT, "generate", {"model": "m", "prompt": "a hat"}),
    "omixa": (omixa.DIALECT, "generate", {"model": "m", "prompt": "a hat"}),
    "omixa-gpt": (omixa.DIALECT, "generate", {"model": "gpt-image-1", "prompt": "a hat"}),
    "mountsea": (mountsea.DIALECT, "generate", {"prompt": "a hat", "action": "generate"}),
    "mountsea-hub": (mountsea.DIALECT, "hub", {"model": "m", "input": {"prompt": "a hat"}}),
}
TABLES_OF: dict[str, Table] = {
    "openai": OPENAI,
    "gemini": GEMINI,
    "imagen": IMAGEN,
    "dashscope": DASHSCOPE,
    "dashscope-flat": DASHSCOPE,
    "ark": ARK,
    "omixa": OTHERS,
    "omixa-gpt": TABLES["gpt_image"],
    "mountsea": GENERATION,
    "mountsea-hub": HUB,
}
# What is worked out of other fields, or goes by quite another name; of each format what it has.
CALLED: dict[str, dict[str, str | None]] = {
    "openai": {"images": "image", "turns": "contents", "group": "sequential_image_generation", "prompt": "prompt"},
    "gemini": {
        "images": "contents",
        "prompt": "contents",
        "n": "generationConfig.candidateCount",
        "geometry": "generationConfig.imageConfig.aspectRatio",
        "output_format": "generationConfig.imageConfig.imageOutputOptions.mimeType",
        "operation": None,
    },
    "imagen": {
        "images": "instances[0].referenceImages",
        "prompt": "instances[0].prompt",
        "n": "parameters.sampleCount",
    },
    "dashscope": {"images": "input.messages", "prompt": "input.messages", "n": "parameters.n"},
    "dashscope-flat": {"images": "input.base_image_url", "prompt": "input.prompt", "n": "parameters.n"},
    "ark": {"images": "image", "group": "sequential_image_generation", "guidance": "guidance_scale", "operation": None},
    "omixa": {"images": "input_images", "tier": "size", "geometry": "aspect_ratio", "operation": None},
    "omixa-gpt": {"images": "input_images", "geometry": "size", "operation": None},
    "mountsea": {"images": "image_urls", "n": "num_images", "geometry": "aspect_ratio", "operation": "action"},
    "mountsea-hub": {"images": "input.image_urls", "n": "input.num_images", "prompt": "input.prompt"},
}
LINK, INLINE = "https://a.example/b.png", "data:image/png;base64,iVBORw0KGgo="
UNUSUAL: dict[str, Tree] = {"mask": INLINE, "mask_url": LINK, "mask_image_url": LINK}
SAMPLES: dict[str, Tree] = {"integer": 1, "number": 1, "boolean": True, "image": LINK, "strings": ["text", "image"]}


def decoded(name: str, body: Tree) -> ImageRequest:
    dialect, route, _ = FORMATS[name]
    path = "/v1beta/models/m:generateContent"
    inbound = Inbound(
        route=route,
        path=path,
        params={"model": "m"},
        headers={"x-dashscope-async": "enable"},
        body=body,
        family_of=lambda model: "gpt_image" if model.startswith("gpt") else "other",
    )
    intent = dialect.decode(inbound)
    assert isinstance(intent, Generate)
    return intent.request


def bare(name: str) -> ImageRequest:
    return decoded(name, FORMATS[name][2])


@pytest.mark.parametrize("name", CALLED)
def test_what_was_not_written_goes_by_the_name_that_the_format_has_for_it(name: str) -> None:
    request = bare(name)
    assert {field: request.named(field) for field in CALLED[name]} == CALLED[name]
    assert {field: request.param(field) for field in CALLED[name]} == {
        field: called or field for field, called in CALLED[name].items()
    }


def test_every_format_says_what_it_calls_input_images() -> None:
    assert all("images" in called for called in CALLED.values())
    assert CALLED.keys() == TABLES_OF.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", CALLED)
def test_an_image_that_a_model_misses_is_looked_for_where_the_format_has_images(name: str) -> None:
    """Neither name nor message says a word of ours."""
    (problem,) = check(EDITOR, bare(name)).problems
    assert (problem.code, problem.param) == ("image_required", CALLED[name]["images"])
    assert problem.message.startswith(f"{problem.param} is missing: {EDITOR.id} edits images")
    (masked,) = check(CATALOG.models["gpt-image-1"], replace(bare(name), mask=ImageLink(LINK, "mask"))).problems
    assert (masked.code, masked.param) == ("image_required", CALLED[name]["images"])
    missing = check(CATALOG.models["gpt-image-1"], replace(bare(name), operation=Operation.EDIT)).problems
    assert [(each.param, each.message) for each in missing] == [
        (CALLED[name]["images"], f"{CALLED[name]['images']} is missing: there is nothing to edit")
    ]


@pytest.mark.parametrize("name", CALLED)
def test_an_operation_that_a_model_has_not_is_looked_for_where_the_format_has_it(name: str) -> None:
    upscale = replace(bare(name), operation=Operation.UPSCALE)
    (problem,) = (each for each in check(PLAIN, upscale).problems if each.code == "operation_not_supported")
    assert problem.param == bare(name).named("operation")


def fields_of(table: Table) -> Iterator[Field]:
    """Those that the request has under a name of its own, and that count by themselves."""
    for field in table.fields:
        if field.target in NAMED - {"model", "prompt", "images", "stream", "scale"}:
            yield field


@pytest.mark.parametrize(
    ("name", "field", "place"),
    [
        pytest.param(name, field, place, id=f"{name}-{place}.{field.name}")
        for name, table in TABLES_OF.items()
        for field in fields_of(table)
        for place in field.where
    ],
)
def test_what_was_written_goes_by_the_name_and_place_that_it_was_written_at(
    name: str, field: Field, place: str
) -> None:
    """In every object that may hold it, in every spelling."""
    table = TABLES_OF[name]
    spellings = [spelled for at, spelled in table.by_place if at == place and table.by_place[at, spelled] is field]
    assert spellings
    for spelled in spellings:
        path = [*way_to(table, place), spelled]
        request = as_read(name, merged(FORMATS[name][2], path, sample(field)))
        alone = "geometry" if field.target == "tier" else field.target  # a tier beside which no shape is named
        assert request.param(alone) == ".".join(path)


@pytest.mark.parametrize("name", TABLES_OF)
def test_what_is_worked_out_is_named_after_no_field_of_a_request(name: str) -> None:
    """So that where nothing but such fields was written, nobody needs to look for what they were worked out of."""
    assert not {theirs for _, theirs in TABLES_OF[name].synonyms} & DIRECT


def as_read(name: str, body: Tree) -> ImageRequest:
    """A mask lacks its image here, which is said of the image."""
    try:
        return decoded(name, body)
    except InvalidRequest as refused:
        if refused.partial is None or [problem.code for problem in refused.details] != ["image_required"]:
            raise
        return refused.partial.request


def way_to(table: Table, place: str) -> list[str]:
    if place == TOP:
        return []
    holder = next(field for field in table.fields if field.target == "container" and field.name == place)
    return [*way_to(table, holder.where[0]), place]


def merged(body: dict[str, Tree], path: list[str], value: Tree) -> dict[str, Tree]:
    first, *rest = path
    inner = body.get(first)
    held = inner if isinstance(inner, dict) else {}
    return body | {first: merged(held, rest, value) if rest else value}


def sample(field: Field) -> Tree:
    if field.name in UNUSUAL:
        return UNUSUAL[field.name]
    for value in (SAMPLES.get(field.kind.type), "1K", "1:1", "1024x1024", LINK, *field.kind.accepted):
        if value is not None and field.kind.read(value) is not None:
            return value
    raise AssertionError(f"{field.name} takes none of the samples")
