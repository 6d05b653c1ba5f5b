"""How commands print: JSON that keeps every letter, and columns that cut and awk can read."""

from __future__ import annotations

import json

import pytest

from imageway.cli.printing import Stop, print_json, print_table


def test_json_is_json_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "Größe 橘", "rows": [1, None, True]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": "Größe 橘", "rows": [1, None, True]}
    assert "Größe 橘" in out


def test_columns_are_as_wide_as_their_widest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "what"), [("1", "a"), ("12345", "")])
    assert capsys.readouterr().out == "id     what\n1      a\n12345\n"


def test_without_headings_there_is_no_empty_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("", ""), [("a", "b")])
    assert capsys.readouterr().out == "a  b\n"


def test_a_table_without_rows_is_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "what"), [])
    assert capsys.readouterr().out == "id  what\n"
    print_table(("", ""), [])
    assert capsys.readouterr().out == ""


def test_a_stop_carries_its_sentence_and_its_code() -> None:
    assert (str(Stop("why")), Stop("why").code, Stop("why", 3).code) == ("why", 1, 3)
