"""commands.md names every command and option with its default, no other, and shows the JSON that they print; whatever
any page or message tells people to run is there."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from collections.abc import Iterator
from functools import reduce
from itertools import pairwise
from pathlib import Path

import pytest
from cyclopts import App, ArgumentCollection

from imageway.cli.main import app
from imageway.server.administration.reconciliation import CURRENCY, NAMES
from imageway.server.configuration import Settings
from imageway.storage.migrations import HEAD
from tests.docs.pages import DOCS, PAGES, Fence, code_words, fences, modules, name_of, rows, section, texts_in
from tests.docs.shapes import differing, ids_in, shape, with_ids
from tests.integration.processes import House, Process, call

PAGE = DOCS / "commands.md"
SHARED = {"--data", "--config"}
OTHERS = {"--help", "--version", "--check"}  # the last of docs/generate.py
# What is different here: the request is the tests' own, by a pretend upstream, and the database is of today.
HERE = {
    "imageway usage --json": {"workspace": "w"},
    "imageway db status --json": {"version": HEAD, "newest": HEAD},
    "imageway db upgrade --json": {"from": HEAD, "to": HEAD},
}


def commands(group: App = app, path: tuple[str, ...] = ("imageway",)) -> Iterator[tuple[str, set[str]]]:
    """Every command with its options; a positional one by its name in capitals."""
    for name in group:
        if name.startswith("-"):
            continue
        command = group[name]
        if command.default_command is None:
            yield from commands(command, (*path, name))
        else:
            names = {each for argument in command.assemble_argument_collection() for each in argument.names}
            yield " ".join((*path, name)), names


COMMANDS = dict(commands())
GROUPS = {name.split()[1] for name in COMMANDS if name.count(" ") > 1}
# What `--help` and `commands.md` say of an option that the parser leaves to the settings.
IN_SETTINGS = {"--host": "host", "--port": "port", "--workers": "workers", "--drain": "drain_s"}


def test_every_command_has_a_section_and_no_other() -> None:
    assert set(re.findall(r"^## (imageway .+)$", PAGE.read_text(), re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented_and_no_other(command: str) -> None:
    assert {word for row in rows(section(PAGE, command)) for word in code_words(row[0])} == COMMANDS[command]


def told_default(default: object) -> re.Pattern[str]:
    """What the column `default` says: a value as code, `off` of a switch, any words of what may be left out."""
    if default is inspect.Parameter.empty:
        return re.compile("required")
    if default is False:
        return re.compile("off")
    if default is None or default == "" or default == ():
        return re.compile("(?!required$|off$).+")
    return re.compile(re.escape(f"`{default:g}`" if isinstance(default, float) else f"`{default}`"))


@pytest.mark.parametrize("command", COMMANDS)
def test_defaults_and_help_of_every_option(command: str) -> None:
    """The page's default is the parser's, or that of the setting behind it; `--help` says something of each."""
    told = {word: row[1] for row in rows(section(PAGE, command)) for word in code_words(row[0])}
    for argument in arguments(command):
        name = argument.names[0]
        if name in SHARED:
            continue
        default = argument.field_info.default
        if default is None and name in IN_SETTINGS:
            default = Settings.__dataclass_fields__[IN_SETTINGS[name]].default
        assert told_default(default).fullmatch(told[name]), f"{name}: {told[name]!r}, not {default!r}"
        assert argument.parameter.help, f"--help says nothing of {name}"


def arguments(command: str) -> ArgumentCollection:
    """As `--help` shows them."""
    found = reduce(lambda group, name: group[name], command.split()[1:], app)
    return found.assemble_argument_collection(parse_docstring=True)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_that_a_page_names_are_there(page: Path) -> None:
    """Whole (`imageway keys create --signed`), by their group (`keys create`), or an option alone."""
    wrong = {word for word in code_words(page.read_text()) if word.strip() and not is_there(word.split())}
    assert wrong == set()


def is_there(words: list[str]) -> bool:
    """Text that is no command at all is."""
    if words[0].startswith("--"):
        return any(words[0].partition("=")[0] in options for options in COMMANDS.values()) or words[0] in OTHERS
    whole = words[0] == "imageway"
    words = words[1:] if whole else words
    if not words or words[0] in ("COMMAND", "--help", "--version") or (words[0] in GROUPS and len(words) == 1):
        return True
    command = next((name for n in (2, 1) if (name := " ".join(("imageway", *words[:n]))) in COMMANDS), None)
    given = {word.partition("=")[0] for word in words if word.startswith("-")} - {"--help"}
    return given <= COMMANDS[command] if command else not whole and words[0] not in GROUPS


def test_commands_that_messages_name_are_there() -> None:
    """What an error or `doctor` tells people to run."""
    named = {
        words
        for _, tree in modules()
        for text in texts_in(tree)
        for words in re.findall(r"\bimageway ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", text)
    }
    known = {tuple(name.split()[1:]) for name in COMMANDS}
    assert len(named) > 10
    assert {words for words in named if words not in known and words[:1] not in known and words[1]} == set()


def test_every_name_of_an_invoice_s_columns_is_told() -> None:
    table = {row[0].strip("`"): row[2] for row in rows(section(PAGE, "imageway report reconcile"))}
    assert code_words(table["--invoice"]) == {CURRENCY, *(name for names in NAMES.values() for name in names)}


def test_the_shared_options_are_shared_by_every_command() -> None:
    assert not {command for command, options in COMMANDS.items() if not options >= SHARED}


def outputs() -> list[tuple[str, Fence]]:
    """Command lines and the JSON that follows each."""
    found = fences(PAGE)
    return [(line.text.strip(), shown) for line, shown in pairwise(found) if shown.tag == "output"]


def test_the_json_that_commands_print_is_as_documented(
    house: House, gateway: Process, own_place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the page, on the data of a running gateway: what one makes the next ones show."""
    body = {"model": "gpt-image-2", "prompt": "A fox", "size": "1024x1024", "quality": "low"}
    assert call(f"{gateway.url}/v1/images/generations", body, key=house.key).status == 200
    known: dict[str, str] = {}
    assert len(outputs()) >= 9
    for line, shown in outputs():
        with pytest.raises(SystemExit) as ended:
            app(shlex.split(with_ids(line, known))[1:])
        assert not ended.value.code, line
        printed = json.loads(capsys.readouterr().out)
        expected = json.loads(shown.text.replace('"upstream": "openai"', '"upstream": "sandbox-openai"'))
        assert shape(printed) == shape(expected), shown.place
        documented, real = ([each] if isinstance(each, dict) else each for each in (expected, printed))
        for item in documented:  # others may be listed beside it
            item = {**item, **HERE.get(line, {})}
            assert any(not differing(item, each) for each in real), f"{shown.place}: {item} is none of {real}"
        known |= ids_in(expected, printed)
