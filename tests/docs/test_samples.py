"""Every sample in the documents runs: Python and curl against real processes, command lines through the parser, JSON
and TOML through the readers that would read them."""

from __future__ import annotations

import json
import os
import shlex
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from imageway.catalog import load
from imageway.cli.main import app
from imageway.engine.settings import EngineSettings
from imageway.server.configuration import read_settings
from tests.docs.pages import PAGES, ROOT, Fence, fences, name_of
from tests.docs.shapes import differing, ids_in, shape, with_ids
from tests.integration.processes import Answer, House, Process, call

KNOWN = {"", "sh", "python", "json", "toml", "mermaid", "text"}
SAMPLED = [page for page in PAGES if any(fence.language in ("sh", "python") for fence in fences(page))]
DOCUMENTED_KEY = "sk-iw-…"


def of_language(*languages: str) -> list[Fence]:
    return [fence for page in PAGES for fence in fences(page) if fence.language in languages]


def place(fence: Fence) -> str:
    return fence.place


@dataclass
class World:
    """What stands behind the addresses and the key that documents show. `ids`: a page's own, and the real ones."""

    gateway: str
    sandbox: str
    key: str
    admin_key: str
    ids: dict[str, str] = field(default_factory=dict)

    def real(self, text: str) -> str:
        text = text.replace("http://127.0.0.1:8400", self.gateway).replace("http://127.0.0.1:8500", self.sandbox)
        text = text.replace("$ADMIN_KEY", self.admin_key)
        return with_ids(text.replace("$IMAGEWAY_KEY", self.key).replace(DOCUMENTED_KEY, self.key), self.ids)


def test_fences_are_of_languages_that_are_checked() -> None:
    assert {fence.place for page in PAGES for fence in fences(page) if fence.language not in KNOWN} == set()


@pytest.mark.parametrize("page", SAMPLED, ids=name_of)
def test_samples_run_in_the_order_of_the_page(
    page: Path, house: House, gateway: Process, sandbox: Process, admin_key: str, own_place: Path
) -> None:
    """A JSON block marked `answer` is what the curl line before it got; `answer at last`: after some asking;
    `answer holds`: stands somewhere in it."""
    world = World(gateway.url, sandbox.url, house.key, admin_key)
    last: Answer | None = None
    asked: Fence | None = None
    for fence in fences(page):
        if fence.language == "python":
            run_python(fence, world)
        elif fence.language == "sh":
            asked, last = fence, run_shell(fence, world)
        elif fence.tag == "answer at last":
            assert asked is not None, f"{fence.place}: an answer to nothing"
            check_answer(fence, answered(asked, fence, world), world)
        elif fence.tag == "answer holds":
            assert last is not None, f"{fence.place}: an answer to nothing"
            assert any(is_shown(json.loads(fence.text), each) for each in values_in(last.json)), fence.place
        elif fence.tag == "answer":
            assert last is not None, f"{fence.place}: an answer to nothing"
            check_answer(fence, last, world)
            last = None


def run_python(fence: Fence, world: World) -> None:
    code = compile(world.real(fence.text), fence.place, "exec")
    exec(code, {"__name__": "sample"})  # noqa: S102  # our own documents


def run_shell(fence: Fence, world: World) -> Answer | None:
    """Runs what asks the gateway, parses what would start or change something. The last curl line's answer."""
    answer = None
    for words in command_lines(world.real(fence.text)):
        program = words[0].rpartition("/")[2]
        if program == "curl":
            answer = run_curl(words[1:])
        elif program == "imageway":
            app.parse_args(words[1:], print_error=False, exit_on_error=False)
        elif words[0].startswith("./"):
            assert os.access(ROOT / words[0], os.X_OK), f"{fence.place}: {words[0]} is not there"
        else:
            assert words[0] == "export", f"{fence.place}: nobody checks {words[0]}"
    return answer


def answered(asked: Fence, shown: Fence, world: World) -> Answer | None:
    """The first answer with the words that the page shows, or the one after which nobody asks any more."""
    for _ in range(100):
        answer = run_shell(asked, world)
        assert answer is not None
        if shape(answer.json) == shape(json.loads(shown.text)):
            return answer
        time.sleep(0.1)
    return answer


def values_in(tree: Any) -> Iterator[Any]:
    """The whole, and whatever stands in it."""
    yield tree
    if isinstance(tree, dict | list):
        for inner in tree.values() if isinstance(tree, dict) else tree:
            yield from values_in(inner)


def is_shown(documented: Any, real: Any) -> bool:
    return shape(documented) == shape(real) and not differing(documented, real)


def command_lines(text: str) -> Iterator[list[str]]:
    """Each command as its words: continued lines joined, quotes over several lines kept, comments and `&` left out."""
    pending = ""
    for line in text.splitlines():
        pending += line.removesuffix("\\") + ("" if line.endswith("\\") else "\n")
        if line.endswith("\\"):
            continue
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # a quotation goes on in the next line
            continue
        pending = ""
        if words := [word for word in words if word != "&"]:
            yield words
    assert not pending, pending


def run_curl(words: list[str]) -> Answer:
    """The few options of curl that documents use."""
    headers: dict[str, str] = {}
    url, body = "", None
    rest = iter(words)
    for word in rest:
        if word == "-H":
            name, _, value = next(rest).partition(":")
            headers[name.lower()] = value.strip()
        elif word == "-d":
            body = next(rest).encode()
        elif word.startswith("http"):
            url = word
        elif word == "-o":
            next(rest)
        else:
            assert word in ("-s", "-sN"), f"curl {word}"
    return call(url, body, headers=headers)


def check_answer(fence: Fence, answer: Answer | None, world: World) -> None:
    assert answer is not None
    expected: Any = json.loads(fence.text)
    failed = isinstance(expected, dict) and "error" in expected and "status" not in expected
    assert (answer.status >= 400) == failed, f"{fence.place}: {answer.status} {answer.content[:300]!r}"
    assert shape(answer.json) == shape(expected), fence.place
    shown = json.loads(fence.text.replace("http://127.0.0.1:8400", world.gateway))
    assert differing(shown, answer.json) == [], fence.place
    world.ids |= ids_in(expected, answer.json)


@pytest.mark.parametrize("fence", of_language("json"), ids=place)
def test_json_is_json(fence: Fence) -> None:
    json.loads(fence.text)


@pytest.mark.parametrize("fence", of_language("toml"), ids=place)
def test_toml_would_be_taken(fence: Fence, tmp_path: Path) -> None:
    """A catalog directory's rows are loaded as one; everything else is read as imageway.toml."""
    (tmp_path / "sample.toml").write_text(fence.text)
    if tomllib.loads(fence.text).keys() & {"models", "providers", "rates"}:
        assert load(tmp_path).models
    else:
        settings = read_settings({"config": tmp_path / "sample.toml"}, {})
        assert settings.media_options or settings.engine != EngineSettings()
        assert settings.media_options or settings.upstream_rows


def test_json_of_another_shape_would_be_noticed() -> None:
    """The comparison itself: a missing name, another type, an item less."""
    real = {"data": [{"url": "x"}], "n": 1, "error": None, "ok": True}
    assert shape(real) == shape({"data": [{"url": "y"}, {}], "n": 2.5, "error": None, "ok": False})
    for other in (
        {**real, "more": 1},
        {**real, "n": "1"},
        {**real, "data": []},
        {**real, "error": {}},
        {**real, "ok": 1},
    ):
        assert shape(other) != shape(real)
    assert msgspec.json.encode(shape(real))
