"""Every setting, variable, error, warning, route and fixed limit is documented, and nothing that does not exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from typing import Any

from imageway.catalog import load
from imageway.core.errors import INVALID, KINDS
from imageway.dialects import DIALECTS
from imageway.engine.settings import EngineSettings
from imageway.server.configuration import FileSettings, Settings, UpstreamRow
from imageway.server.limits import ConnectionLimits
from imageway.server.machine import FAULT_POINTS
from imageway.telemetry import events
from tests.docs.pages import DOCS, PAGES, code_words, first_words, modules, rows, section, texts_in

CONFIGURATION = DOCS / "configuration.md"
API = DOCS / "api.md"
VARIABLE = re.compile(r"IMAGEWAY_[A-Z_]+")


# Settings


def documented(heading: str) -> dict[str, list[str]]:
    return {row[0].strip("`"): row for row in rows(section(CONFIGURATION, heading))}


def value_in(cell: str) -> Any:
    found = code_words(cell)
    return ast.literal_eval(found.pop()) if found else None


def test_every_key_of_the_configuration_file_is_documented() -> None:
    assert set(documented("Settings")) == set(FileSettings.__struct_fields__)


def test_documented_defaults_are_the_defaults() -> None:
    table = documented("Settings")
    for name in ("port", "drain_s", "request_bytes", "spool_bytes"):
        assert value_in(table[name][3]) == Settings.__dataclass_fields__[name].default, name
    for name in ("host", "log_level"):
        assert code_words(table[name][3]) == {Settings.__dataclass_fields__[name].default}, name


def test_every_key_of_an_upstream_is_documented() -> None:
    assert {row[0].strip("`") for row in rows(section(CONFIGURATION, "Upstreams")) if len(row) == 3} == set(
        UpstreamRow.__struct_fields__
    )


def test_every_limit_is_documented_with_its_default() -> None:
    """Of requests, and of connections."""
    own, connections = section(CONFIGURATION, "Limits").split("### Connections")
    assert table_of_defaults(own) == {field.name: field.default for field in fields(EngineSettings)}
    found = table_of_defaults(connections.partition("###")[0])
    assert found == {field.name: field.default for field in fields(ConnectionLimits)}


def table_of_defaults(text: str) -> dict[str, Any]:
    return {row[0].strip("`"): value_in(row[1]) for row in rows(text)}


def test_fixed_limits_are_what_the_code_says() -> None:
    """Rows of the form: what, `value`, `dotted.name`."""
    found = re.findall(
        r"^\| [^|`]+ \| `([\d.]+)`[^|]*\| `(imageway[\w.]+)` \|$", CONFIGURATION.read_text(), re.MULTILINE
    )
    assert len(found) >= 8
    for value, name in found:
        assert ast.literal_eval(value) == resolve(name), name


def resolve(name: str) -> Any:
    """`imageway.room.module.NAME`, or a field of a class in it by its default."""
    parts = name.split(".")
    at = next(i for i, part in enumerate(parts) if not part.islower())
    holder: Any = getattr(import_module(".".join(parts[:at])), parts[at])
    if at + 1 < len(parts):
        return holder.__dataclass_fields__[parts[at + 1]].default
    return holder


def variables_read() -> set[str]:
    own = {text for _, tree in modules() for text in texts_in(tree) if VARIABLE.fullmatch(text)}
    providers = {name for one in load().providers.values() for name in (one.key_env, one.base_url_env)}
    return own | providers


def test_every_environment_variable_is_documented() -> None:
    text = CONFIGURATION.read_text()
    assert {name for name in variables_read() if f"`{name}" not in text} == set()


def test_no_document_names_a_variable_that_nobody_reads() -> None:
    named = {name for page in PAGES for name in VARIABLE.findall(page.read_text())}
    assert named - variables_read() == set()


def test_every_fault_point_is_documented() -> None:
    assert set(FAULT_POINTS) <= code_words(section(CONFIGURATION, "Settings"))


# Errors and warnings

# Functions whose first text is a code; a Problem's first argument is where it is.
CODES = {"GatewayError": 0, "LiftError": 0, "Problem": 1, "problem": 0, "_refuse": 0}
WARNINGS = {"RequestWarning": 0, "warn": 0}


def codes_given(functions: dict[str, int]) -> Iterator[str]:
    """Every text that some call may give as a code. The sandbox speaks for itself; what is wrong with an upstream's
    stream is no caller's."""
    for path, tree in modules():
        if "sandbox" in path.parts or path.name == "event_reader.py":
            continue
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            skipped = functions.get(called(call))
            if skipped is not None:
                yield from next(filter(None, map(choices, call.args[skipped:])), ())


def choices(argument: ast.expr) -> set[str]:
    """The texts that an argument may be, when it is written as one: `"a"`, `"a" if x else "b"`."""
    return texts_in(argument) if isinstance(argument, ast.Constant | ast.IfExp) else set()


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def named_codes() -> set[str]:
    """Codes given by keyword or as defaults: `code="invalid_type"`, `def wrong(..., *, code="invalid_value")`."""
    found: set[str] = set()
    for path, tree in modules():
        if "sandbox" in path.parts:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) in ("wrong", "missing", "_refused"):
                found |= {text for each in node.keywords if each.arg == "code" for text in texts_in(each.value)}
            elif isinstance(node, ast.FunctionDef):
                names = [each.arg for each in node.args.kwonlyargs]
                defaults = dict(zip(names, node.args.kw_defaults, strict=True))
                found |= texts_in(defaults["code"]) if defaults.get("code") is not None else set()
    return found


def test_every_error_code_is_documented_with_its_status_and_type() -> None:
    table = {row[0].strip("`"): row for row in rows(section(API, "Errors")) if len(row) == 6}
    assert {code: (row[1], row[2].strip("`")) for code, row in table.items()} == {
        code: (str(kind.status), kind.type) for code, kind in KINDS.items()
    }
    assert all(all(row) for row in table.values())


def test_every_conflict_is_documented_and_no_other() -> None:
    """The admin API's own codes."""
    assert set(first_words((DOCS / "admin.md").read_text().partition("Three codes")[2])) == set(
        codes_given({"Conflict": 0})
    )


def test_every_plain_400_is_documented_and_no_other() -> None:
    """And the two that come before a request can be read, which have a status beside them."""
    table = [row[0].strip("`") for row in rows(section(API, "Errors")) if len(row) in (3, 4)]
    assert len(table) == len(set(table))
    assert set(table) == (set(codes_given(CODES)) | named_codes()) - set(KINDS) - {""}
    assert "`invalid_request_error`" in section(API, "Errors")
    assert INVALID.type == "invalid_request_error"


def test_every_warning_is_documented_and_no_other() -> None:
    assert set(first_words(section(API, "Warnings"))) == set(codes_given(WARNINGS))


# The rest of the surface


def test_every_route_is_documented() -> None:
    text = API.read_text() + "".join(page.read_text() for page in sorted((DOCS / "dialects").glob("*.md")))
    assert {route.path for dialect in DIALECTS for route in dialect.routes if route.path not in text} == set()


def test_every_event_of_the_log_is_explained_and_no_other() -> None:
    named = {value for name, value in vars(events).items() if name.isupper()}
    assert set(first_words(section(CONFIGURATION, "Logs"))) == named


def test_every_provider_has_a_sandbox_address() -> None:
    text = (DOCS / "sandbox.md").read_text()
    assert {
        one.sandbox for one in load().providers.values() if f"http://127.0.0.1:8500{one.sandbox}`" not in text
    } == set()


def test_every_option_of_every_kind_of_delivery_is_explained() -> None:
    """The words that a usage row may hold, from the table's own check."""
    from imageway.storage.tables import USAGE

    check = next(str(each.sqltext) for each in USAGE.constraints if each.name == "usage_delivery")  # type: ignore[attr-defined]
    words = set(re.findall(r"'(\w+)'", check))
    assert set(first_words(section(DOCS / "billing.md", "Delivery"))) == words
