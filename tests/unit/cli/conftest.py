"""The command line in this very process, on a data directory of the test's own."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from imageway.cli.main import main


@dataclass(frozen=True)
class Ran:
    """How a command ended. `err` is what a person is told."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """`shell("wallet", "show", "w")`: the data directory is added."""

    data: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *arguments: str) -> Ran:
        return self.plain(*arguments, "--data", str(self.data))

    def plain(self, *arguments: str) -> Ran:
        self.monkeypatch.setattr(sys, "argv", ["imageway", *arguments])
        self.capsys.readouterr()
        code: object = 0
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Cyclopts application invoked without tokens")
                main()
        except SystemExit as ended:
            code = ended.code
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return Ran(code if isinstance(code, int) else 0, out, err)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A command that serves sends logs to its standard error, which is gone after the test: so they do not stay."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    for name in [
        name for name in os.environ if name.startswith("IMAGEWAY") or name.endswith(("_API_KEY", "_BASE_URL"))
    ]:
        monkeypatch.delenv(name)
    yield Shell(tmp_path / "data", capsys, monkeypatch)
    structlog.reset_defaults()
