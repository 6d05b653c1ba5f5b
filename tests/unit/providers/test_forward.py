"""Fields that nobody knows are merged into what an adapter wrote: beside it, never in its place."""

from __future__ import annotations

import pytest

from imageway.core.blobs import Tree
from imageway.providers.fields import forward

CASES: list[tuple[dict[str, Tree], dict[str, Tree], dict[str, Tree]]] = [
    # written, invented, sent
    ({"a": 1}, {}, {"a": 1}),
    ({"a": 1}, {"b": [None, {}]}, {"a": 1, "b": [None, {}]}),
    ({"a": 1}, {"a": 2}, {"a": 1}),
    ({"a": None}, {"a": 2}, {"a": None}),
    ({"a": {"b": 1}}, {"a": {"b": 2, "c": {"d": 3}}}, {"a": {"b": 1, "c": {"d": 3}}}),
    ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2, "d": 3}}}, {"a": {"b": {"c": 1, "d": 3}}}),
    ({"a": {"b": 1}}, {"a": [2]}, {"a": {"b": 1}}),
    ({"a": [1]}, {"a": {"b": 2}}, {"a": [1]}),
]


@pytest.mark.parametrize(("written", "invented", "sent"), CASES)
def test_what_stands_is_never_overridden(
    written: dict[str, Tree], invented: dict[str, Tree], sent: dict[str, Tree]
) -> None:
    before = str(written)
    assert forward(written, invented) == sent
    assert str(written) == before
