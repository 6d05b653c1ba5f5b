"""Reports and price rules on the command line: times, files and tables."""

from __future__ import annotations

from pathlib import Path

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


def test_a_rule_that_leaves_the_catalogs_rows_shows_none(shell: Shell) -> None:
    shell("workspaces", "create", "studio")
    shell("prices", "set", "gpt-*", "--multiplier", "1.2", "--source", "contract")
    table = shell("prices", "rules").out
    assert "contract" in table
    assert " all " not in table
