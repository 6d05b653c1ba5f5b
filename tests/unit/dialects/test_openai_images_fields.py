"""The field table speaks the truth: every row leads somewhere, with values of the type that stands there."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from imageway.bodies import blob_of
from imageway.core.blobs import Tree
from imageway.core.requests import Geometry, ImageRequest
from imageway.dialects.openai_images.fields import FIELDS, MEANINGS, TABLE
from imageway.dialects.shared import kinds
from imageway.dialects.shared.kinds import Kind
from imageway.dialects.shared.table import Field

DIRECT = {*ImageRequest.__struct_fields__}
HINTS = get_type_hints(ImageRequest)
SAMPLES: dict[str, Tree] = {"integer": 3, "number": 1.5, "boolean": True, "strings": "image"}


def sample(field: Field) -> Tree:
    """A value that the field accepts."""
    if field.kind is kinds.SIZE:
        return "16:9"
    if field.kind.type == "string" and field.kind is not kinds.TEXT:
        return field.kind.accepted[0]
    return SAMPLES.get(field.kind.type, "a text")


def test_every_target_is_a_field_of_the_request_or_a_meaning() -> None:
    assert {field.target for field in FIELDS} <= DIRECT | MEANINGS.keys()
    assert not DIRECT & MEANINGS.keys()
    assert MEANINGS.keys() <= {field.target for field in FIELDS}


def test_no_place_holds_one_name_twice() -> None:
    assert len(TABLE.by_place) == sum(len(field.where) for field in FIELDS)


def test_every_place_is_an_object_of_the_table() -> None:
    containers = {field.name for field in FIELDS if field.target == "container"}
    assert {place for field in FIELDS for place in field.where} == containers | {""}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_row_is_fit_for_documents(field: Field) -> None:
    assert field.description.endswith((".", "`"))
    assert field.kind.accepted


@pytest.mark.parametrize(
    "field", [each for each in FIELDS if each.target in DIRECT - {"mask"}], ids=lambda field: field.name
)
def test_what_a_kind_reads_is_what_the_request_holds(field: Field) -> None:
    """Decode hands values over unchecked because of this test."""
    value = field.kind.read(sample(field))
    allowed = get_args(HINTS[field.target]) or (HINTS[field.target],)
    assert type(value) in allowed


def test_a_request_can_be_spelled_in_every_word_this_dialect_is_to_know() -> None:
    """What no row reaches belongs to other dialects, or is worked out."""
    worked_out = {"operation", "turns", "images", "group", "extras", "spelled", "written", "names", "family"}
    assert DIRECT - worked_out - {field.target for field in FIELDS} == {"thinking", "person"}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (kinds.INTEGER, 4, 4),
        (kinds.INTEGER, "4", 4),
        (kinds.INTEGER, "-1", -1),
        (kinds.INTEGER, 4.0, 4),
        (kinds.INTEGER, 4.5, None),
        (kinds.INTEGER, "4.0", 4),
        (kinds.INTEGER, "-4.00", -4),
        (kinds.INTEGER, "4.5", None),
        (kinds.INTEGER, "4.", None),
        (kinds.INTEGER, " 4", None),
        (kinds.INTEGER, "٤", None),
        (kinds.INTEGER, True, None),
        (kinds.INTEGER, 10**30, None),
        (kinds.INTEGER, "9" * 5000, None),
        (kinds.INTEGER, float("inf"), None),
        (kinds.INTEGER, float("nan"), None),
        (kinds.NUMBER, "1.50", 1.5),
        (kinds.NUMBER, 2, 2.0),
        (kinds.NUMBER, "1e3", None),
        (kinds.NUMBER, 10**400, None),
        (kinds.NUMBER, float("nan"), None),
        (kinds.NUMBER, False, None),
        (kinds.BOOLEAN, False, False),
        (kinds.BOOLEAN, "false", None),
        (kinds.BOOLEAN, 0, None),
        (kinds.integers(1, 10), "10", 10),
        (kinds.integers(1, 10), "3.0", 3),
        (kinds.integers(1, 10), 11, None),
        (kinds.integers(1, 10), 0, None),
        (kinds.words("png", jpg="jpeg"), "JPG", "jpeg"),
        (kinds.words("png"), "gif", None),
        (kinds.media_types("png"), "Image/PNG", "png"),
        (kinds.SIZE, "1024*768", Geometry(width=1024, height=768)),
        (kinds.SIZE, "1024x768", Geometry(width=1024, height=768)),
        (kinds.SIZE, "16:9", Geometry(ratio="16:9")),
        (kinds.SIZE, "2k", Geometry(tier="2K")),
        (kinds.SIZE, "auto", Geometry(auto=True)),
        (kinds.SIZE, "", None),
        (kinds.SIZE, 1024, None),
        (kinds.TIER, "2k", "2K"),
        (kinds.TIER, "512", "512"),
        (kinds.TIER, "16:9", None),
        (kinds.TIER, "1024x1024", None),
        (kinds.TIER, "auto", None),
        (kinds.MODALITIES, "IMAGE", False),
        (kinds.MODALITIES, "text, image", True),
        (kinds.MODALITIES, ["TEXT", "IMAGE"], True),
        (kinds.MODALITIES, ["text"], None),
        (kinds.MODALITIES, ["image", 5], None),
        (kinds.MODALITIES, [], None),
        (kinds.TEXT, "", ""),
        (kinds.TEXT, 5, None),
        (kinds.TEXT, blob_of(b"a text that looked like base64"), None),
        (kinds.OBJECT, [], None),
        (kinds.LIST, {}, None),
    ],
)
def test_reading(kind: Kind, value: Tree, expected: object) -> None:
    read = kind.read(value)
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        (kinds.integers(1, 10), 99, "invalid_value"),
        (kinds.integers(1, 10), "99", "invalid_value"),
        (kinds.integers(1, 10), "many", "invalid_type"),
        (kinds.integers(1, 10), True, "invalid_type"),
        (kinds.SIZE, "large", "invalid_size"),
        (kinds.SIZE, 1024, "invalid_type"),
        (kinds.TIER, "16:9", "invalid_size"),
        (kinds.BOOLEAN, "true", "invalid_type"),
        (kinds.MODALITIES, ["audio"], "invalid_value"),
        (kinds.TEXT, blob_of(b"text"), "invalid_type"),
    ],
)
def test_a_wrong_type_is_told_from_a_wrong_value(kind: Kind, value: Tree, code: str) -> None:
    assert kind.code(value) == code
