"""Reports and price rules on the command line: times, files and tables."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.cli.conftest import Shell


@pytest.mark.parametrize("written", ["soon", "9999999d", "99999999999d", "d"])
def test_a_time_that_is_none_is_a_sentence(shell: Shell, written: str) -> None:
    shell("workspaces", "create", "studio")
    ran = shell("report", "sums", "--since", written)
    assert (ran.code, f'"{written}" is not a time' in ran.err) == (1, True)


def test_a_file_that_cannot_be_written_is_named(shell: Shell, tmp_path: Path) -> None:
    shell("workspaces", "create", "studio")
    ran = shell("report", "export", "--output", str(tmp_path / "missing" / "usage.csv"))
    assert (ran.code, ran.err) == (
        1,
        f"imageway: {tmp_path}/missing/usage.csv cannot be written: No such file or directory\n",
    )


class Gone:
    """A reader that has left, or a disk that is full."""

    def __init__(self, error: OSError) -> None:
        self.error = error

    def write(self, content: bytes) -> None:
        raise self.error

    def close(self) -> None: ...


def test_a_reader_of_an_export_that_leaves_is_no_fault(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """`report export | head` ends as every program does whose reader has enough."""
    shell("workspaces", "create", "studio")
    monkeypatch.setattr(
        "imageway.cli.reports.sys",
        SimpleNamespace(stdout=SimpleNamespace(buffer=Gone(BrokenPipeError(32, "Broken pipe")))),
    )
    ran = shell("report", "export")
    assert (ran.code, ran.err) == (141, "")


def test_a_file_that_grows_too_large_is_named(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("workspaces", "create", "studio")
    full = Gone(OSError(28, "No space left on device"))
    monkeypatch.setattr("imageway.cli.reports._writable", lambda file: full)
    ran = shell("report", "export", "--output", str(tmp_path / "usage.csv"))
    assert (ran.code, ran.err) == (1, f"imageway: {tmp_path}/usage.csv cannot be written: No space left on device\n")


def test_a_rule_that_leaves_the_catalogs_rows_shows_none(shell: Shell) -> None:
    shell("workspaces", "create", "studio")
    shell("prices", "set", "gpt-*", "--multiplier", "1.2", "--source", "contract")
    table = shell("prices", "rules").out
    assert "contract" in table
    assert " all " not in table


def test_a_rules_own_rows_stand_in_its_line_as_words(shell: Shell, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text('[{"per": "image", "amount": "0.10"}, {"per": "token", "tokens": "input_text", "amount": "5"}]')
    assert shell("prices", "set", "gpt-image-2", "--rows", str(rows)).code == 0
    assert "  image 0.10, token input_text 5  " in shell("prices", "rules").out


def test_a_price_for_a_tier_that_no_such_model_has_is_a_mistake(shell: Shell, tmp_path: Path) -> None:
    """It would never apply, and leave its images to the dearest of the other rows."""
    rows = tmp_path / "rows.json"
    rows.write_text(
        '[{"per": "image", "amount": "0.1", "tiers": ["1k", "2K"]}, {"per": "image", "amount": "9", "tiers": ["4K"]}]'
    )
    ran = shell("prices", "set", "gemini-3-*", "--rows", str(rows))
    assert (ran.code, ran.err) == (
        1,
        'imageway: prices[0].tiers: "1k" is a tier of no model that "gemini-3-*" fits; accepted: 1K, 2K, 4K\n',
    )
    rows.write_text(rows.read_text().replace("1k", "1K"))
    assert shell("prices", "set", "gemini-3-*", "--rows", str(rows)).code == 0
