"""What the documents repeat of the code's tables is exactly what the tables say."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from imageway.catalog import load
from imageway.tasks.states import PART, TASK
from tests.docs.pages import DOCS, section


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    found = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_generated_parts_are_as_the_tables_give_them_now(generate: ModuleType) -> None:
    """Run `.venv/bin/python docs/generate.py` when this fails."""
    assert [path.name for path in generate.behind()] == []


def test_every_generated_part_stands_in_one_place(generate: ModuleType) -> None:
    marks = [name for page in DOCS.rglob("*.md") for name in re.findall("<!-- generated: (.+) -->", page.read_text())]
    assert sorted(marks) == sorted(generate.PARTS)


@pytest.mark.parametrize("table", [TASK, PART])
def test_a_diagram_has_every_transition_and_no_other(generate: ModuleType, table: dict[str, frozenset[str]]) -> None:
    """Read back from the page by a reader that knows nothing of the writer."""
    text = section(DOCS / "architecture.md", "A task's life")
    diagrams = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    drawn = [set(re.findall(r"^ *(\w+) --> (\w+)$", diagram, re.MULTILINE)) for diagram in diagrams]
    assert {(before, after) for before, following in table.items() for after in following} in drawn


def test_every_model_has_a_section(generate: ModuleType) -> None:
    text = (DOCS / "models.md").read_text()
    assert [model for model in load().models if f"\n### `{model}`\n" not in text] == []
