"""How pages stand together: every one is led to, lines are of one length, names stand where a page says, figures are
those of the settings that they are told with."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import GROUPS
from imageway.catalog import load
from imageway.engine.settings import EngineSettings
from imageway.server.configuration import Settings
from imageway.server.limits import ConnectionLimits
from tests.docs.pages import (
    DOCS,
    PAGES,
    ROOT,
    SOURCE,
    code_words,
    links,
    modules,
    name_of,
    prose,
    rows,
    section,
    slug,
)

LINE_CHARS = 126
DECISIONS = sorted((DOCS / "decisions").glob("0*.md"))
_GENERATED = re.compile(r"<!-- generated: ([a-z ]+) -->\n.*?\n<!-- end of \1 -->", re.DOTALL)
_LINKED_CODE = re.compile(r"\[`([^`]+)`\]\(([^)#\s]*)#([^)\s]+)\)")
_TOLD = re.compile(r"([\d.]+) (KiB|MiB|GiB|s|min|minutes|h|hours|days)\s\(\[?`(\w+)`")
_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "s": 1, "min": 60, "minutes": 60, "h": 3600, "hours": 3600}
UNITS = {**_UNITS, "days": 86_400}


def written(page: Path) -> list[str]:
    """The lines of a page that somebody has wrapped: no tables, no fences, nothing generated."""
    return [line for line in _GENERATED.sub("", prose(page)).splitlines() if not line.startswith("|")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_line_is_longer_than_those_around_it(page: Path) -> None:
    assert [line for line in written(page) if len(line) > LINE_CHARS and " " in line] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_within_a_line_ends_in_that_line(page: Path) -> None:
    """What is looked for in pages is looked for in lines."""
    assert [line for line in written(page) if line.count("`") % 2] == []


def test_every_page_is_led_to() -> None:
    """By the readme itself; records of decisions by their list."""
    readme, index = ROOT / "README.md", DOCS / "decisions" / "README.md"
    for page, led_to in ((readme, set(PAGES) - {readme, *DECISIONS}), (index, set(DECISIONS))):
        near = {(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link}
        assert {name_of(target) for target in led_to - near} == set()


def test_the_maps_of_the_house_are_the_contract_that_is_checked() -> None:
    """Floors and rooms of both tables, from the top."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = [set(floor.split(" | ")) for floor in contracts[0]["layers"]]
    for page, heading in ((ROOT / "README.md", "The map of the house"), (DOCS / "architecture.md", "Rooms")):
        lines = re.findall(r"^\| (\d) \| ([^|]+) \|", section(page, heading), re.MULTILINE)
        assert [set(re.findall(r"`(\w+)`", rooms)) for _, rooms in lines] == floors
        assert [int(floor) for floor, _ in lines] == sorted((int(floor) for floor, _ in lines), reverse=True)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_link_names_stands_where_it_leads(page: Path) -> None:
    """[`keep_images_s`](configuration.md#limits), [`imageway keys show`](commands.md#imageway-keys-show)."""
    wrong = []
    for name, path, anchor in _LINKED_CODE.findall(page.read_text()):
        target = (page.parent / path) if path else page
        heading = next(h for h in re.findall(r"^#+ (.+)$", prose(target), re.MULTILINE) if slug(h) == anchor)
        command = re.match(r"imageway(?: [a-z][a-z-]*)+", name)
        if command and target.name == "commands.md":
            wrong += [name] if heading != command[0] else []
        else:
            words = [word for word in name.split(", ") if re.fullmatch(r"\w+", word)]
            wrong += [name] if any(word not in section(target, heading) for word in words) else []
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_figures_told_with_a_setting_are_its_default(page: Path) -> None:
    """24 hours ([`keep_images_s`](…)), 10 s (`heartbeat_s`)."""
    kinds: tuple[type[Any], ...] = (Settings, EngineSettings, ConnectionLimits)
    defaults = {field.name: field.default for kind in kinds for field in fields(kind)}
    told = _TOLD.findall(" ".join(prose(page).split()))
    assert {name: float(number) * UNITS[unit] for number, unit, name in told} == {
        name: defaults[name] for _, _, name in told
    }


def test_figures_in_words_beside_a_default_say_the_same() -> None:
    """| `request_bytes` | … | `33554432` | the largest request body in bytes (32 MiB) |"""
    checked = 0
    for row in rows((DOCS / "configuration.md").read_text()):
        value = next((cell for cell in row[1:-1] if re.fullmatch(r"`[\d.]+`", cell)), None)
        for number, unit in re.findall(rf"\(([\d.]+) ({'|'.join(UNITS)})\)", row[-1]) if value else ():
            assert float(number) * UNITS[unit] == float(value.strip("`")), row[0]
            checked += 1
    assert checked >= 10


def test_variables_of_providers_are_those_of_the_catalog() -> None:
    """And the readme names all of them."""
    known = {name for one in load().providers.values() for name in (one.key_env, one.base_url_env)}
    text = {page: page.read_text() for page in PAGES}
    named = {name for each in text.values() for name in re.findall(r"\b[A-Z]+_(?:API_KEY|BASE_URL)\b", each)}
    assert named == known
    readme = text[ROOT / "README.md"]
    assert {name for name in known if name not in readme and name.removesuffix("API_KEY") not in readme} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_are_in_the_file_that_is_named_with_them(page: Path) -> None:
    """`KeyRing` (`server/auth.py`): the file has it, or defines what comes before the dot."""
    for name, file in re.findall(r"`([A-Za-z_.]+)`\s+\(`([\w/]+\.py)`\)", prose(page)):
        text = (SOURCE / file).read_text()
        assert all(re.search(rf"\b{part}\b", text) for part in name.split(".")), (name, file)


def test_settings_fields_and_codes_that_pages_name_are_somewhere_in_the_code() -> None:
    """Words like `keep_tasks_s`: a stale one was renamed or removed. Others' own are named in their own places."""
    files = [path for kind in ("py", "toml", "sql") for path in SOURCE.rglob(f"*.{kind}")]
    known = {word for path in files for word in re.findall(r"[a-z0-9]+(?:_[a-z0-9]+)+", path.read_text())}
    known |= {path.stem for path in files}
    others = {"extra_body", "azure_endpoint", "http_status_codes"}  # of clients' libraries
    for heading in ("PostgreSQL's own settings", "Media store"):
        others |= code_words(section(DOCS / "configuration.md", heading))
    named = {
        (page.name, word)
        for page in PAGES
        for word in code_words(prose(page))
        if re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)+", word) and word not in known | others
    }
    assert named == set()


def members(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Classes, with the names of their fields and methods."""
    for node in (each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)):
        named = {
            each.target.id
            for each in node.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        }
        yield (
            node.name,
            named | {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)},
        )


def test_what_the_walk_through_the_rooms_names_is_there() -> None:
    """`KeyRing`, `Store.commit(*ops)`: a class, and a member of it; `bodies.lift_json`: what a room offers."""
    classes: dict[str, set[str]] = {}
    for _, tree in modules():
        for name, own in members(tree):
            classes[name] = classes.get(name, set()) | own
    checked = 0
    for word in sorted(code_words(prose(DOCS / "architecture.md"))):
        if found := re.fullmatch(r"([A-Z][a-z]\w+)(?:\.(\w+))?(?:[(\[].*)?", word):
            assert found[1] in classes, word
            assert not found[2] or found[2] in classes[found[1]], word
        elif found := re.fullmatch(r"(bodies|catalog|routing)\.(\w+)", word):
            assert hasattr(import_module(f"imageway.{found[1]}"), found[2]), word
        checked += found is not None
    assert checked > 40


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_folders_that_a_page_names_are_there(page: Path) -> None:
    """`tests/wire`, `dialects/shared`, `src/imageway`: from the root, or below src/imageway."""
    tops = {path.name for base in (ROOT, SOURCE) for path in base.iterdir() if path.is_dir()}
    named = {word for word in re.findall(r"`((?:[\w-]+/)+[\w-]*)`", prose(page)) if word.split("/")[0] in tops}
    assert {name for name in named if not any((base / name).exists() for base in (ROOT, SOURCE))} == set()


def test_the_page_of_benchmarks_names_what_can_be_run() -> None:
    """Modules, and the groups of the one command, in their order."""
    text = (ROOT / "benchmarks" / "README.md").read_text()
    named = set(re.findall(r"\bbenchmarks[./](\w+)(?:\.py)?\b", text)) - {"run"}
    assert {name for name in named if not (ROOT / "benchmarks" / f"{name}.py").exists()} == set()
    told = re.search(r"# ([a-z, ]+): the groups", text)
    assert told
    assert told[1].split(", ") == list(GROUPS)


def test_every_dependency_is_explained() -> None:
    folder = ROOT / "requirements"
    named = {re.split(r"[>=<;\[ ]", line)[0] for name in ("run.in", "test.in") for line in lines_of(folder / name)}
    told = set(re.findall(r"[\w-]+", (folder / "README.md").read_text()))
    by_family = {"pytest-asyncio": "asyncio", "pytest-timeout": "timeout", "pytest-xdist": "xdist"}
    assert {name for name in named if by_family.get(name, name) not in told} == set()
    assert len(named) > 25


def lines_of(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line and not line.startswith("-r")]


# Decisions


@pytest.mark.parametrize("record", DECISIONS, ids=name_of)
def test_a_superseded_record_says_by_which_and_as_to_what(record: Path) -> None:
    """Above everything else; the index repeats it."""
    lines = record.read_text().splitlines()
    if lines[2].startswith("**Context.**"):
        return
    text = " ".join(lines[2:5])
    newer = re.match(r"Superseded by (?:and )?(?:\[\d{4}\]\([\w.-]+\.md\)[ ,and]*)+as to .+\.", text)
    assert newer, lines[2]
    for path in re.findall(r"\]\(([\w.-]+\.md)\)", newer[0]):
        assert path > record.name
