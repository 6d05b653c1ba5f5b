"""The house rules that are numbers: sizes of files and functions, parameters, names in their own places.

A debt is a line in DEBTS with the figure it may not pass; the list may only shrink."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "imageway"
MODULE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 5
MEDIAN_FUNCTION_LINES = 10
TRANSLATOR_MODULE_LINES = 250
PACKAGE_LINES = {"providers": 600, "dialects": 600}
LARGER_PACKAGES = {"dialects/openai_images": 1000, "dialects/shared": 1000}  # the widest one; what all share
DEBTS: dict[str, int] = {}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def name(path: Path, function: Function | None = None) -> str:
    place = path.relative_to(SOURCE).as_posix()
    return f"{place}:{function.name}" if function else place


def over(limit: int, sizes: dict[str, int]) -> list[str]:
    return [f"{place}: {size} > {limit}" for place, size in sizes.items() if size > max(limit, DEBTS.get(place, 0))]


def test_a_module_is_one_thing() -> None:
    assert not over(MODULE_LINES, {name(p): len(p.read_text().splitlines()) for p in modules()})


def test_translators_are_small() -> None:
    for room, limit in PACKAGE_LINES.items():
        packages: dict[str, int] = {}
        for path in (SOURCE / room).rglob("*.py"):
            top = path.relative_to(SOURCE / room).parts[0]
            size = len(path.read_text().splitlines())
            packages[f"{room}/{top}"] = packages.get(f"{room}/{top}", 0) + size
            assert size <= TRANSLATOR_MODULE_LINES, f"{name(path)}: {size} > {TRANSLATOR_MODULE_LINES}"
        allowed = {place: LARGER_PACKAGES.get(place, limit) for place in packages}
        assert not [f"{place}: {size} > {allowed[place]}" for place, size in packages.items() if size > allowed[place]]


def test_a_function_fits_a_screen() -> None:
    assert not over(FUNCTION_LINES, {name(p, f): lines_of(f) for p in modules() for f in functions(p)})


def test_most_functions_are_short() -> None:
    sizes = [lines_of(f) for p in modules() for f in functions(p)]
    assert statistics.median(sizes) <= MEDIAN_FUNCTION_LINES


def test_functions_take_few_parameters() -> None:
    """Fewer than six, `self` aside. Constructors of errors and commands of the command line speak for themselves."""
    found: dict[str, int] = {}
    for path in modules():
        if "cli" in path.relative_to(SOURCE).parts:
            continue
        for function in functions(path):
            arguments = function.args
            count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
            names = [a.arg for a in arguments.posonlyargs + arguments.args]
            found[name(path, function)] = count - (1 if names[:1] in (["self"], ["cls"]) else 0)
    assert not over(PARAMETERS, {place: n for place, n in found.items() if not place.endswith("errors.py:__init__")})


def test_every_module_says_what_it_knows() -> None:
    silent = [name(p) for p in modules() if not ast.get_docstring(ast.parse(p.read_text()))]
    assert not silent


# Law 7: names of models and providers are data.
NAMES = re.compile(
    r"gemini|seedream|seededit|doubao|gpt-image|dall-e|qwen|dashscope|volc|openai|google|imagen|nano-banana|flux", re.I
)
OWN_PLACES = ("providers/", "dialects/", "sandbox/", "catalog/data/", "transport/auth/google_jwt.py")


def names_in_code(path: Path) -> list[str]:
    """Identifiers and strings that name somebody, docstrings and comments aside."""
    tree = ast.parse(path.read_text())
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | Function)
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and isinstance(node.body[0].value, ast.Constant)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            if NAMES.search(node.value):
                found.append(f"{name(path)}:{node.lineno} {node.value!r}")
        elif isinstance(node, ast.Name) and NAMES.search(node.id):
            found.append(f"{name(path)}:{node.lineno} {node.id}")
    return found


def test_no_provider_or_model_is_named_outside_its_own_place() -> None:
    found = [
        hit
        for path in modules()
        if not path.relative_to(SOURCE).as_posix().startswith(OWN_PLACES)
        for hit in names_in_code(path)
    ]
    assert not found


@pytest.mark.parametrize("room", ["dialects", "providers"])
def test_translators_do_not_know_their_neighbours(room: str) -> None:
    """Each package inside is independent of the others."""
    for path in (SOURCE / room).rglob("*.py"):
        relative = path.relative_to(SOURCE / room)
        if relative.name == "__init__.py" and len(relative.parts) == 1:
            continue
        own = relative.parts[0].removesuffix(".py")
        assert own != "shared" or "openai" not in path.read_text(), f"{name(path)} names a dialect"
        for node in ast.walk(ast.parse(path.read_text())):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            if module and module.startswith(f"imageway.{room}."):
                assert module.split(".")[2] in (own, "fields", "shared"), f"{name(path)} imports {module}"


def test_the_repository_speaks_of_imageway_alone() -> None:
    """No package index addresses, machine paths or left-over markers in anything committed."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    hosts = re.compile(
        "pypi" + r"\.org|python" + r"hosted|registry\." + "npmjs|deb\\." + "debian|/wo" + "rk/|TO" + "DO|FIX" + "ME"
    )
    hits = []
    for entry in listed.decode().split("\0"):
        path = ROOT / entry
        if entry and path.is_file() and path.stat().st_size < 2_000_000:
            text = path.read_bytes().decode("utf-8", "replace")
            hits += [f"{entry}: {m.group()}" for m in hosts.finditer(text)]
    assert not hits
