"""`scripts/install` with a stand-in for Python that only writes down what it was asked: when something is installed and
when not. What a real one makes of it is seen whenever these tests run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """#!/bin/sh
home=$(dirname "$0")
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo venv >>"$LOG" ;;
  "-m pip")
    echo "pip begins" >>"$LOG"
    sleep "${PIP_S:-0}"
    : >"$home/imageway"; chmod +x "$home/imageway"
    echo "pip ends" >>"$LOG" ;;
  *) PYTHONPATH="$home/../../src" exec "$REAL" "$@" ;;
esac
if [ "${FAIL:-}" = "$2" ]; then exit 1; fi
if [ "${DIE:-}" = "$2" ]; then kill -9 $PPID; fi
"""
PIP = ["pip begins", "pip ends"]
ALL = ["venv", *PIP, *PIP]


@dataclass(frozen=True)
class Clone:
    """What of the repository an installation looks at, in a directory that a person named."""

    folder: Path
    python: Path
    log: Path

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        given = {"PYTHON": str(self.python), "REAL": sys.executable, "LOG": str(self.log), **more}
        return subprocess.Popen([str(self.folder / "scripts" / "install"), *arguments], env={**os.environ, **given})

    def install(self, *arguments: str, **more: str) -> tuple[int, list[str]]:
        """The exit code, and what was asked of Python."""
        self.log.write_text("")
        code = self.start(*arguments, **more).wait(timeout=30)
        return code, self.log.read_text().splitlines()


@pytest.fixture(params=["plain", 'it\'s "mine" & $HOME'])
def clone(request: pytest.FixtureRequest, tmp_path: Path) -> Clone:
    folder = tmp_path / request.param
    for name in ("scripts/install", "pyproject.toml", "requirements/run.txt", "requirements/test.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "src" / "imageway").mkdir(parents=True)
    (folder / "src" / "imageway" / "__init__.py").touch()
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    log = tmp_path / "log"
    log.touch()
    return Clone(folder, python, log)


def test_it_installs_once_and_then_has_nothing_to_do(clone: Clone) -> None:
    assert clone.install() == (0, ALL)
    assert clone.install() == (0, [])
    assert clone.install("--test") == (0, [*PIP, *PIP])
    assert clone.install("--test") == (0, [])
    assert clone.install() == (0, [])


def test_another_lock_is_installed(clone: Clone) -> None:
    clone.install("--test")
    with (clone.folder / "requirements" / "run.txt").open("a") as lock:
        lock.write("# another\n")
    assert clone.install() == (0, [*PIP, *PIP])
    assert clone.install() == (0, [])


def test_two_at_the_same_time_work_one_after_the_other(clone: Clone) -> None:
    both = [clone.start(PIP_S="0.4") for _ in range(2)]
    assert [one.wait(timeout=30) for one in both] == [0, 0]
    assert clone.log.read_text().splitlines() == ALL


@pytest.mark.parametrize("step", ["venv", "pip"])
def test_what_an_interrupted_one_left_is_thrown_away(clone: Clone, step: str) -> None:
    assert clone.install(DIE=step)[0] == -9
    (clone.folder / ".venv" / "half a package").touch()
    assert clone.install() == (0, ALL)
    assert not (clone.folder / ".venv" / "half a package").exists()
    assert clone.install() == (0, [])


def test_what_failed_in_order_is_tried_again(clone: Clone) -> None:
    code, asked = clone.install(FAIL="pip")
    assert (code, asked) == (1, ["venv", *PIP])
    assert clone.install() == (0, [*PIP, *PIP])


def test_a_copy_elsewhere_does_not_pass_for_installed(clone: Clone) -> None:
    """A directory that was moved still leads to the old one."""
    clone.install()
    (clone.folder / "src" / "imageway" / "__init__.py").write_text("__file__ = '/elsewhere/imageway/__init__.py'")
    assert clone.install() == (0, [*PIP, *PIP])
