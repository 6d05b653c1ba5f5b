"""The documents as tests see them: fences, headings, sections, tables and links of Markdown pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "imageway"
DOCS = ROOT / "docs"
PAGES = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "benchmarks/README.md", "requirements/README.md")),
    *sorted(DOCS.rglob("*.md")),
)
_FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Fence:
    """```language tag; `line` is where it opens."""

    page: Path
    line: int
    language: str
    tag: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def fences(page: Path) -> list[Fence]:
    text = page.read_text()
    return [
        Fence(page, text.count("\n", 0, found.start()) + 1, found[1], found[2].strip(), found[3])
        for found in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """The page without its fences."""
    return _FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """What `#…` may follow the page's name, as GitHub makes them of headings."""
    return {slug(heading) for _, heading in _HEADING.findall(prose(page))}


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


def code_words(text: str) -> set[str]:
    return set(_CODE.findall(text))


def section(page: Path, heading: str) -> str:
    """Everything under a heading, up to the next of its level or above."""
    lines = page.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip("#").strip() == heading and line.startswith("#"))
    level = len(lines[start]) - len(lines[start].lstrip("#"))
    ends = (i for i, line in enumerate(lines) if i > start and re.match(rf"#{{1,{level}}} ", line))
    return "\n".join(lines[start + 1 : next(ends, len(lines))])


def rows(text: str) -> list[list[str]]:
    """The cells of every table row whose first cell is code; pages keep their facts in such rows."""
    found = (re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in text.splitlines() if line.startswith("| `"))
    return [[cell.strip() for cell in row] for row in found]


def first_words(text: str) -> list[str]:
    """The code in the first cell of each such row."""
    return [word for row in rows(text) for word in _CODE.findall(row[0])]


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def texts_in(node: ast.AST) -> set[str]:
    """Every string written anywhere in an expression."""
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
