"""The page on billing and the tests of the billing law have the same rows: nothing is promised that is not tested, and
nothing tested that is not promised."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from imageway.ledger.accounts import OPERATOR_KINDS, WALLET_KINDS
from imageway.ledger.ops import DELIVERIES
from tests.docs.pages import DOCS, ROOT, code_words, first_words, section

PAGE = DOCS / "billing.md"
LAW = ROOT / "tests" / "acceptance" / "test_billing_law.py"


def promised() -> list[list[str]]:
    """What happened, what the caller pays, what the books say."""
    lines = section(PAGE, "What a request costs").splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert table[0] == ["what happened", "the caller pays", "the books say"]
    return table[2:]


def kept(place: Path) -> Iterator[list[str]]:
    """The rows in the docstrings of a module's tests."""
    for node in ast.parse(place.read_text()).body:
        told = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
        if told and told.count("\n|") == 2:
            yield [" ".join(cell.split()) for cell in told.split("|")]


def test_every_row_of_the_law_is_a_test_and_every_test_a_row() -> None:
    """In the same order."""
    assert promised() == list(kept(LAW))
    assert len(promised()) == 13


def test_every_way_out_is_explained() -> None:
    assert set(first_words(section(PAGE, "Delivery"))) == DELIVERIES


def test_every_transfer_is_explained() -> None:
    table = section(PAGE, "Holds, captures, refunds")
    assert {*WALLET_KINDS, *OPERATOR_KINDS} <= code_words(table)
