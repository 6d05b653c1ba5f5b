"""What golden conversations cannot show well: credentials, every error's status, and tables that speak the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args, get_type_hints

import pytest

from imageway.bodies import blob_of
from imageway.core.blobs import Tree
from imageway.core.errors import KINDS, GatewayError, InvalidRequest
from imageway.core.intents import Generate, Inbound, ModelList, ShowTask, UploadGrant, Where
from imageway.core.requests import Geometry, ImageLink, ImageRequest, Operation
from imageway.dialects import gemini, imagen
from imageway.dialects.gemini import kinds as own
from imageway.dialects.gemini.fields import MEANINGS
from imageway.dialects.gemini.fields import TABLE as GENERATE
from imageway.dialects.imagen.fields import FACTOR
from imageway.dialects.imagen.fields import MEANINGS as PREDICTED
from imageway.dialects.imagen.fields import TABLE as PREDICT
from imageway.dialects.shared import kinds
from imageway.dialects.shared.cloud import STATUSES
from imageway.dialects.shared.kinds import Kind
from imageway.dialects.shared.table import Field, snaked

HINTS = get_type_hints(ImageRequest)
DIRECT = {*ImageRequest.__struct_fields__}
TABLES = {"generateContent": (GENERATE, MEANINGS), "predict": (PREDICT, PREDICTED)}
SAMPLES: dict[str, Tree] = {"integer": 3, "number": 1.5, "boolean": True, "strings": "image", "string": "a text"}
FOX: Tree = {"contents": [{"parts": [{"text": "a fox"}]}]}


def left_of(body: Tree, *, route: str = "v1.generate") -> Generate | None:
    """What a refusal leaves to be judged."""
    dialect = imagen.DIALECT if route.endswith("predict") else gemini.DIALECT
    with pytest.raises(InvalidRequest) as caught:
        dialect.decode(Inbound(route=route, params={"model": "m"}, body=body))
    return caught.value.partial


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({"x-goog-api-key": " sk-test-1 "}, {}, "sk-test-1"),
        ({}, {"key": "sk-test-2"}, "sk-test-2"),
        ({"authorization": "Bearer sk-test-3"}, {}, "sk-test-3"),
        ({"x-goog-api-key": "sk-test-1", "authorization": "Bearer sk-test-3"}, {"key": "sk-test-2"}, "sk-test-1"),
        ({"authorization": "Bearer sk-test-3"}, {"key": ""}, "sk-test-3"),
        ({"authorization": "Basic dTpw"}, {}, None),
        ({}, {}, None),
    ],
)
def test_a_key_comes_three_ways(headers: Mapping[str, str], query: Mapping[str, str], expected: str | None) -> None:
    assert gemini.DIALECT.credential(headers, query) == expected
    assert imagen.DIALECT.credential(headers, query) == expected


@pytest.mark.parametrize("code", [*KINDS, "invalid_value"])
@pytest.mark.parametrize("dialect", [gemini.DIALECT, imagen.DIALECT], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("route", [None, "v1beta.generate", "vertex_v1.generate"])
def test_every_error_has_its_canonical_status(code: str, dialect: gemini.Dialect, route: str | None) -> None:
    """The three places where a client looks agree."""
    where = Where(route.replace("generate", dialect.routes[0].name.partition(".")[2]) if route else None, "req_1")
    answer = dialect.encode_error(where, GatewayError(code, "why"))
    body = answer.body
    assert isinstance(body, dict)
    error = body.get("error")
    if error is None:
        assert (answer.status, code, dialect.name) == (200, "content_policy_violation", "gemini")
        return
    assert isinstance(error, dict)
    assert (error["code"], error["status"]) == (answer.status, STATUSES[answer.status])
    bad_key = code == "invalid_api_key" and route == "v1beta.generate"
    assert answer.status == (400 if bad_key else GatewayError(code, "why").kind.status)


def test_every_status_of_the_table_is_one_that_core_gives() -> None:
    assert {kind.status for kind in KINDS.values()} | {400} == set(STATUSES)


def test_outcomes_of_others_are_a_mistake() -> None:
    grant = UploadGrant(url="u", fields={}, folder="f", max_bytes=1, expires_s=1)
    for dialect in (gemini.DIALECT, imagen.DIALECT):
        with pytest.raises(TypeError):
            dialect.encode(ShowTask("req_1"), grant)
    with pytest.raises(TypeError):
        imagen.DIALECT.encode(ShowTask("req_1"), ModelList(()))


def test_a_stream_is_asked_for_by_path_and_query() -> None:
    def asked(route: str, **query: str) -> bool | None:
        intent = gemini.DIALECT.decode(Inbound(route=route, params={"model": "m"}, query=query, body=FOX))
        assert isinstance(intent, Generate)
        return intent.request.stream

    assert asked("v1.stream", alt="sse") is True
    assert asked("v1.stream", alt="json") is None
    assert asked("v1.list") is None
    assert asked("v1.generate", alt="sse") is None


def test_a_refusal_leaves_what_could_be_read() -> None:
    body: Tree = {"contents": [{"parts": [{"text": "a fox"}]}], "generationConfig": {"seed": "x", "topP": 0.5}}
    left = left_of(body)
    assert left is not None
    assert (left.request.prompt, left.request.top_p, left.request.seed) == ("a fox", 0.5, None)
    assert left_of({"contents": 7}) is None
    upscale = left_of({"instances": [{}], "parameters": {"mode": "upscale"}}, route="v1.predict")
    assert upscale is None  # nobody knows what was to be enlarged
    unread = left_of(
        {
            "instances": [{"image": {"bytesBase64Encoded": blob_of(b"x")}}],
            "parameters": {"mode": "upscale", "seed": []},
        },
        route="v1.predict",
    )
    assert unread is not None
    assert unread.request.operation is Operation.UPSCALE


def test_a_link_to_anywhere_else_is_a_link() -> None:
    parts: list[Tree] = [{"text": "a"}, {"fileData": {"fileUri": "https://pictures.example/v1beta/files/a"}}]
    intent = gemini.DIALECT.decode(
        Inbound(route="v1.generate", params={"model": "m"}, body={"contents": {"parts": parts}})
    )
    assert isinstance(intent, Generate)
    param = "contents[0].parts[1].fileData.fileUri"
    assert intent.request.images == (ImageLink("https://pictures.example/v1beta/files/a", param),)


# Tables


def sample(field: Field) -> Tree:
    """A value that the field accepts."""
    if field.kind in (own.RATIO, kinds.SIZE):
        return "16:9"
    if field.kind in (own.SIZE_TIER, kinds.TIER):
        return "2K"
    if field.kind.type == "string" and field.kind is not kinds.TEXT:
        return field.kind.accepted[0]
    return SAMPLES[field.kind.type]


@pytest.mark.parametrize("name", TABLES)
def test_every_row_leads_somewhere(name: str) -> None:
    table, meanings = TABLES[name]
    targets = {field.target for field in table.fields}
    assert targets <= DIRECT | meanings.keys()
    assert meanings.keys() <= targets
    assert not DIRECT & meanings.keys()
    containers = {field.name for field in table.fields if field.target == "container"}
    assert {place for field in table.fields for place in field.where} == containers | {""}
    assert set(table.open_places) == containers | {""}
    for field in table.fields:
        assert field.description.endswith("."), field.name
        assert field.kind.accepted


@pytest.mark.parametrize("name", TABLES)
def test_no_place_holds_one_name_twice(name: str) -> None:
    written = [
        (place, spelled)
        for field in TABLES[name][0].fields
        for place in field.where
        for spelled in {field.name, snaked(field.name), *field.also}
    ]
    assert len(written) == len(set(written))
    assert set(written) == set(TABLES[name][0].by_place)


@pytest.mark.parametrize("name", TABLES)
def test_what_a_kind_reads_is_what_the_request_holds(name: str) -> None:
    """Decode hands values over unchecked because of this test."""
    for field in TABLES[name][0].fields:
        if field.target in DIRECT:
            value = field.kind.read(sample(field))
            assert type(value) in (get_args(HINTS[field.target]) or (HINTS[field.target],)), field.name


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (own.RATIO, "21:9", Geometry(ratio="21:9")),
        (own.RATIO, "ASPECT_RATIO_TWENTY_ONE_BY_NINE", Geometry(ratio="21:9")),
        (own.RATIO, "ASPECT_RATIO_ONE_BY_EIGHT", Geometry(ratio="1:8")),
        (own.RATIO, "ASPECT_RATIO_ONE_BY_SEVEN", None),
        (own.RATIO, "1024x1024", None),
        (own.RATIO, "2K", None),
        (own.RATIO, 2, None),
        (own.SIZE_TIER, "IMAGE_SIZE_FIVE_TWELVE", "512"),
        (own.SIZE_TIER, "IMAGE_SIZE_FOUR_K", "4K"),
        (own.SIZE_TIER, "IMAGE_SIZE_NINE_K", None),
        (own.SIZE_TIER, "1k", "1K"),
        (own.SIZE_TIER, 512, None),
        (own.ONE_OR_MORE, {"a": 1}, [{"a": 1}]),
        (own.ONE_OR_MORE, [], []),
        (own.ONE_OR_MORE, "a", None),
        (own.CONTENT, "be nice", {"parts": [{"text": "be nice"}]}),
        (own.CONTENT, [], None),
        (own.MEDIA_TYPE, "image/jpeg", "jpeg"),
        (own.MEDIA_TYPE, "IMAGE_PNG", "png"),
        (own.MEDIA_TYPE, "image/gif", None),
        (own.PERSON, "ALLOW_NONE", "dont_allow"),
        (own.PERSON, "DONT_ALLOW", "dont_allow"),
        (own.PERSON, "ALLOW_SOME", None),
        (own.harmless("x", "standard"), "standard", False),
        (own.harmless("x", "standard"), "flex", "flex"),
        (own.harmless("x", "standard"), [{}], [{}]),
        (FACTOR, "x4", 4),
        (FACTOR, "x5", None),
        (FACTOR, 2, None),
    ],
)
def test_reading(kind: Kind, value: Tree, expected: object) -> None:
    read = kind.read(value)
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize("name", ["responseModalities", "response_modalities"])
@pytest.mark.parametrize(
    ("written", "want_text"),
    [
        ([], None),
        (["MODALITY_UNSPECIFIED"], None),
        (["TEXT", "IMAGE", "MODALITY_UNSPECIFIED"], True),
        (["IMAGE"], None),
        ("IMAGE", None),
    ],
)
def test_modalities_that_say_nothing_are_absent(name: str, written: Tree, want_text: bool | None) -> None:
    contents: Tree = [{"parts": [{"text": "a fox"}]}]
    body: Tree = {"contents": contents, "generationConfig": {name: written}}
    intent = gemini.DIALECT.decode(Inbound(route="v1.generate", params={"model": "m"}, body=body))
    assert isinstance(intent, Generate)
    assert intent.request.want_text is want_text
