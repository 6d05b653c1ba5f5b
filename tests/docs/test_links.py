"""Whatever a document points at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, SOURCE, anchors, code_words, links, name_of, prose

_DOCUMENT = re.compile(r"docs/[\w/-]+\.(?:md|py)")
_ELSEWHERE = re.compile(r"\bDESIGN(?:\.md|,| §| section)|\bSTYLE\.md|\(law \d")
_FILE = re.compile(r"(?:[\w-]+/)+[\w*-]+\.(?:py|toml|md|txt|sql)")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_documents_that_the_code_names_are_there() -> None:
    named = {
        (name_of(path), found)
        for folder in (SOURCE, ROOT / "tests", ROOT / "benchmarks")
        for path in folder.rglob("*.py")
        for found in _DOCUMENT.findall(path.read_text())
    }
    assert {(where, found) for where, found in named if not (ROOT / found).exists()} == set()


def test_nothing_refers_to_what_only_its_writers_had() -> None:
    """Sections and laws of papers that are not in this repository."""
    folders = (SOURCE, ROOT / "tests", ROOT / "benchmarks", DOCS)
    files = [path for folder in folders for kind in ("py", "md", "sql") for path in folder.rglob(f"*.{kind}")]
    assert len(files) > 500
    assert {name_of(path) for path in files if _ELSEWHERE.search(path.read_text())} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_a_document_names_are_there(page: Path) -> None:
    """`engine/service.py` is meant below src/imageway, everything else from the root."""
    named = {word for word in code_words(prose(page)) if _FILE.fullmatch(word)}
    assert {name for name in named if not any(True for base in (ROOT, SOURCE, DOCS) for _ in base.glob(name))} == set()


@pytest.mark.parametrize("record", sorted((DOCS / "decisions").glob("0*.md")), ids=name_of)
def test_decision_records_are_short_and_complete(record: Path) -> None:
    lines = record.read_text().splitlines()
    assert len(lines) <= 25
    assert lines[0].startswith(f"# {record.name[:4]} ")
    assert [word for word in ("Context", "Decision", "Consequence") if f"**{word}.**" not in record.read_text()] == []
