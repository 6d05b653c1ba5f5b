"""What messages repeat of a request: JSON, short, printable, and no image."""

from __future__ import annotations

import time

import pytest

from imageway.bodies import blob_of
from imageway.core.blobs import Embed, Tree
from imageway.core.wording import QUOTED_CHARS, printable, quoted

BLOB = blob_of(b"0123456789")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (-1.5, "-1.5"),
        ("16:9", '"16:9"'),
        ('say "x"\\', '"say \\"x\\"\\\\"'),
        ("猫", '"猫"'),
        ("a\x1b\ud800", '"a��"'),
        (["text"], '["text"]'),
        ([], "[]"),
        ({}, "{}"),
        ({"a": [1, None], "b": {"c": False}}, '{"a": [1, null], "b": {"c": false}}'),
        (BLOB, "10 bytes of base64 data"),
        ([Embed(BLOB, "data:image/png;base64,")], "[10 bytes of base64 data]"),
        (10**30, "1" + "0" * 30),
        (1 << 130, "a number without end"),
    ],
)
def test_a_value_is_said_as_json(value: Tree, told: str) -> None:
    assert quoted(value) == told


@pytest.mark.parametrize("value", [["a text"] * 1_000_000, {"a" * 100: "b" * 1_000_000}, [[[["deep" * 30]]]]])
def test_of_much_only_the_beginning_is_said(value: Tree) -> None:
    started_s = time.process_time()
    told = quoted(value)
    assert len(told) == QUOTED_CHARS
    assert told.endswith("…")
    assert time.process_time() - started_s < 0.5


def test_of_a_long_text_the_beginning_is_said_in_quotes() -> None:
    told = quoted("x" * 1_000_000)
    assert told == f'"{printable("x" * 1_000_000)}"'
    assert len(told) == QUOTED_CHARS + 2
