"""The page on keys names what keys can be limited to, what is refused, and what workspaces set: all of it, and nothing
else."""

from __future__ import annotations

import re

from imageway.cli.access import limits_in
from imageway.core.access import WorkspaceSettings
from imageway.core.errors import KINDS
from imageway.engine.settings import EngineSettings
from imageway.ledger.access import PERIODS
from imageway.server.administration.written import FORMATS, OPERATIONS
from imageway.server.signing import HEADERS, PREFIX
from tests.docs.pages import DOCS, code_words, fences, first_words, rows, section

PAGE = DOCS / "keys.md"


def options() -> dict[str, set[str]]:
    return {row[0].strip("`"): code_words(row[1]) for row in rows(section(PAGE, "Scopes"))}


def test_every_operation_and_format_is_named() -> None:
    assert options()["--operations"] == set(OPERATIONS)
    assert {word for word in options()["--dialects"] if not word.startswith("/")} == set(FORMATS)


def test_every_refusal_of_a_signature_is_explained() -> None:
    text = section(PAGE, "Signed requests")
    told = {word for word in first_words(text) if word.startswith("signature_")}
    assert told == {code for code in KINDS if code.startswith("signature_") and KINDS[code].status == 401}
    assert f"more than {EngineSettings().signature_tolerance_s:g} s" in text
    assert f"`{PREFIX}`" in text
    assert {f"{name}-{part}" for name in HEADERS for part in ("timestamp", "signature")} <= {
        word.lower() for word in code_words(text)
    }


def test_every_period_of_a_budget_is_shown() -> None:
    (line,) = [found for fence in fences(PAGE) for found in re.findall(r"keys budget \S+ (.+)", fence.text)]
    assert set(limits_in(line.split())) == PERIODS


def test_every_setting_of_a_workspace_is_explained() -> None:
    told = set(first_words(section(PAGE, "Workspaces")))
    assert {name.partition(".")[0] for name in told} == {
        *(name.replace("aliases", "alias") for name in WorkspaceSettings.__struct_fields__),
        "alert_below",
    }
