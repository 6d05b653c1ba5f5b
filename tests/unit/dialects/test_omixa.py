"""The resale gateway's dialect beside its conversations: one table for each kind of model, inline images alone."""

from __future__ import annotations

import base64
from typing import get_args, get_type_hints

import pytest

from imageway.bodies import blob_of
from imageway.catalog import load
from imageway.core.blobs import Encoding, Tree
from imageway.core.errors import KINDS, GatewayError, InvalidRequest
from imageway.core.intents import Estimated, Generate, Inbound, ShowModels, TaskView, Where
from imageway.core.requests import Geometry, ImageData, ImageRequest
from imageway.dialects.omixa import DIALECT
from imageway.dialects.omixa.decode import INLINE_BYTES
from imageway.dialects.omixa.fields import ANY, MEANINGS, OTHERS, TABLES, table_of
from imageway.dialects.shared import kinds
from imageway.dialects.shared.table import Field, Table
from tests.values import replace

DIRECT = {*ImageRequest.__struct_fields__}
HINTS = get_type_hints(ImageRequest)
SAMPLES: dict[str, Tree] = {"integer": 3, "boolean": True}
GPT = TABLES["gpt_image"]
READ = [each for table in (OTHERS, GPT) for each in table.fields if each.target in DIRECT - {"mask"}]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()


def inbound(**body: Tree) -> Inbound:
    family = {"gpt": "gpt_image", "other": "gemini"}.get
    return Inbound(route="generate", body={"model": "other", "prompt": "a boat", **body}, family_of=family)


def decoded(**body: Tree) -> Generate:
    intent = DIALECT.decode(inbound(**body))
    assert isinstance(intent, Generate)
    return intent


def refused(**body: Tree) -> dict[str | None, str]:
    with pytest.raises(InvalidRequest) as error:
        DIALECT.decode(inbound(**body))
    return {problem.param: problem.code for problem in error.value.details}


# The field tables


def test_the_tables_are_those_of_the_vendors_pages() -> None:
    common = ("model", "prompt", "n", "output_format", "input_images", "stream")
    assert OTHERS.names("") == (
        *common,
        *("aspect_ratio", "size", "person_generation", "enhance_prompt", "add_watermark", "reasoning_effort"),
    )
    assert GPT.names("") == (*common, "size", "quality", "background", "moderation", "input_fidelity", "mask")


def test_every_family_with_a_table_of_its_own_is_in_the_catalog() -> None:
    assert TABLES.keys() <= {model.family for model in load().models.values()}


@pytest.mark.parametrize("table", [OTHERS, GPT, ANY])
def test_a_table_is_closed_and_every_target_is_known(table: Table) -> None:
    assert table.strict
    assert len(table.by_place) == len(table.fields)
    assert {field.target for field in table.fields} <= DIRECT | MEANINGS.keys() | {"geometry", "silent"}


def test_a_model_that_nobody_has_may_be_asked_for_anything_that_some_model_takes() -> None:
    assert table_of(None) is ANY
    assert set(ANY.names("")) == {*OTHERS.names(""), *GPT.names("")}


@pytest.mark.parametrize("field", READ, ids=lambda field: field.name)
def test_what_a_kind_reads_is_what_the_request_holds(field: Field) -> None:
    """Decode hands values over unchecked because of this test."""
    own = "a text" if field.kind is kinds.TEXT else field.kind.accepted[0]
    value = field.kind.read(own if field.kind.type == "string" else SAMPLES[field.kind.type])
    allowed = get_args(HINTS[field.target]) or (HINTS[field.target],)
    assert type(value) in allowed


@pytest.mark.parametrize(("size", "tier"), [("0.5K", "512"), ("0.5k", "512"), ("1K", "1K"), ("2k", "2K"), ("4K", "4K")])
def test_every_tier_of_the_table_is_read(size: str, tier: str) -> None:
    asked = decoded(size=size, aspect_ratio="4:3").request
    assert asked.geometry == Geometry(ratio="4:3", tier=tier)
    assert (asked.param("geometry"), asked.param("tier")) == ("aspect_ratio", "size")


@pytest.mark.parametrize("size", ["512", "3K", "1024x1024", "16:9", "auto", "", 1024])
def test_no_other_size_is(size: Tree) -> None:
    assert refused(size=size).keys() == {"size"}


@pytest.mark.parametrize(
    ("size", "geometry"),
    [("auto", Geometry(auto=True)), ("1024x1536", Geometry(width=1024, height=1536)), ("2K", None), ("1:1", None)],
)
def test_the_other_table_has_pixels(size: str, geometry: Geometry | None) -> None:
    if geometry is None:
        assert refused(model="gpt", size=size) == {"size": "invalid_size"}
    else:
        assert decoded(model="gpt", size=size).request.geometry == geometry


# Inline images


@pytest.mark.parametrize(
    "written",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high"}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"},
        {"image_url": {"url": f"data:image/png;base64,{PNG}", "detail": None}, "file": None},
        {"url": f"data:image/png;base64,{PNG}"},
        f"data:image/png;base64,{PNG}",
    ],
)
def test_a_data_url_is_read_in_the_vendors_object_or_less(written: Tree) -> None:
    (image,) = decoded(input_images=[written]).request.images
    assert isinstance(image, ImageData)
    assert image.blob.declared_type == "image/png"


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("https://pictures.example/a.png", "invalid_image_url"),
        ({"image_url": {"url": "HTTP://pictures.example/a.png"}}, "invalid_image_url"),
        ({"image_url": "oss://a/b.png"}, "invalid_image_url"),
        (PNG, "invalid_image"),
        (blob_of(b"long base64", encoding=Encoding.BINARY), "invalid_image"),
        ("", "invalid_image"),
        ("a.png", "invalid_image"),
        (7, "invalid_image"),
        ({}, "invalid_image"),
        ({"type": "image_url"}, "invalid_image"),
        ({"image_url": {"url": f"data:image/png;base64,{PNG}", "crop": 1}}, "invalid_image"),
        ({"image_url": {"image_url": {"url": f"data:image/png;base64,{PNG}"}}}, "invalid_image"),
        ([f"data:image/png;base64,{PNG}"], "invalid_image"),
    ],
)
def test_nothing_else_is_an_image(written: Tree, code: str) -> None:
    assert [*refused(input_images=[written]).values()] == [code]


def test_a_refused_image_says_nothing_of_its_content() -> None:
    with pytest.raises(InvalidRequest) as error:
        decoded(input_images=[PNG])
    assert PNG[:20] not in error.value.message


def test_a_mask_is_inline_too() -> None:
    assert refused(model="gpt", mask="https://pictures.example/a.png") == {"mask": "invalid_image_url"}
    assert refused(mask=f"data:image/png;base64,{PNG}") == {"mask": "unknown_parameter"}


def test_all_inline_images_together_have_a_limit() -> None:
    whole = replace(blob_of(b"\x89PNG", declared_type="image/png"), decoded_bytes=INLINE_BYTES - 10)
    rest = blob_of(bytes(10), declared_type="image/png")
    decoded(model="gpt", input_images=[whole], mask=rest)
    more = blob_of(bytes(11), declared_type="image/png")
    assert refused(model="gpt", input_images=[whole], mask=more) == {"input_images": "image_too_large"}


# Errors and the rest


@pytest.mark.parametrize("code", [*KINDS, "invalid_value", "something_of_a_later_day"])
def test_only_what_is_wrong_with_a_request_is_a_422(code: str) -> None:
    answer = DIALECT.encode_error(Where("generate", "req_1"), GatewayError(code, "Why."))
    assert answer.status == (KINDS[code].status if code in KINDS else 422)


def test_what_could_be_read_of_a_wrong_request_goes_on_to_be_judged() -> None:
    with pytest.raises(InvalidRequest) as error:
        decoded(prompt="", n=11, input_images=[7])
    partial = error.value.partial
    assert partial is not None
    assert (partial.request.operation, len(partial.request.images)) == ("edit", 1)


def test_models_are_asked_for_without_a_body() -> None:
    assert DIALECT.decode(Inbound(route="models", method="GET")) == ShowModels()


def test_only_a_bearer_key_is_a_key() -> None:
    assert DIALECT.credential({"authorization": "Bearer omx_live_xxx"}, {}) == "omx_live_xxx"
    assert DIALECT.credential({"x-api-key": "omx_live_xxx"}, {"key": "omx_live_xxx"}) is None


@pytest.mark.parametrize(
    "outcome",
    [
        Estimated(hold_usd_micros=1, worst_usd_micros=1, expected_usd_micros=1),
        TaskView(id="req_1", status="running", model="m", created_s=0),
    ],
)
def test_what_this_dialect_never_asks_for_has_no_answer_in_it(outcome: Estimated | TaskView) -> None:
    with pytest.raises(TypeError, match=type(outcome).__name__):
        DIALECT.encode(decoded(), outcome)


def test_the_schema_names_the_fields_of_all_tables() -> None:
    schema = DIALECT.schema("generate")
    assert schema is not None
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert set(properties) == set(ANY.names(""))
    assert DIALECT.schema("models") is None
