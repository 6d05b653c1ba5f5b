"""commands.md names every command and option, no other, and shows the JSON that they print."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from cyclopts import App

from imageway.cli.main import app
from tests.docs.pages import DOCS, Fence, code_words, fences, rows, section
from tests.docs.shapes import ids_in, shape, with_ids
from tests.integration.processes import House, Process, call

PAGE = DOCS / "commands.md"
SHARED = {"--data", "--config"}


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
            yield " ".join((*path, name)), {each for each in names if not each.startswith("--empty-")}


COMMANDS = dict(commands())


def test_every_command_has_a_section_and_no_other() -> None:
    assert set(re.findall(r"^## (imageway .+)$", PAGE.read_text(), re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented_and_no_other(command: str) -> None:
    assert {word for row in rows(section(PAGE, command)) for word in code_words(row[0])} == COMMANDS[command]


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
        expected = json.loads(shown.text)
        assert shape(printed) == shape(expected), shown.place
        known |= ids_in(expected, printed)
