"""Explicit nulls mean absent, in every dialect: client libraries send one for every option that they were not given."""

from __future__ import annotations

import pytest

from imageway.core.blobs import Tree
from imageway.dialects.shared.table import TOP, Table
from tests.unit.dialects.test_names import FORMATS, TABLES_OF, bare, decoded, merged, way_to

ADDRESSED = "webhook"  # who writes the object wants to be told, and must say where


@pytest.mark.parametrize("name", FORMATS)
def test_a_null_in_the_place_of_every_field_says_nothing(name: str) -> None:
    body = FORMATS[name][2]
    for path in places_of(TABLES_OF[name]):
        if not stands(body, path):
            body = merged(body, path, None)
    assert decoded(name, body) == bare(name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_null_in_the_place_of_every_object_says_nothing(name: str) -> None:
    table = TABLES_OF[name]
    objects: dict[str, Tree] = {
        field.name: None for field in table.fields if field.target == "container" and TOP in field.where
    }
    assert decoded(name, objects | FORMATS[name][2]) == bare(name)


def places_of(table: Table) -> list[list[str]]:
    return [
        [*way_to(table, place), spelled]
        for (place, spelled), field in table.by_place.items()
        if field.target != "container" and place != ADDRESSED
    ]


def stands(body: Tree, path: list[str]) -> bool:
    for name in path:
        if not isinstance(body, dict) or name not in body:
            return False
        body = body[name]
    return True
