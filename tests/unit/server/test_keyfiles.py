"""Keys in files: made once, for their owner alone, whole or not at all."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from imageway.server import keyfiles
from imageway.server.keyfiles import key_in


def test_a_key_is_made_once_and_stays(tmp_path: Path) -> None:
    key = key_in(tmp_path / "a.key")
    assert len(key) == 32
    assert key_in(tmp_path / "a.key") == key
    assert key_in(tmp_path / "b.key") != key


def test_only_its_owner_may_read_it_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    key_in(tmp_path / "a.key")
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]


def test_of_many_who_come_at_once_all_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: key_in(tmp_path / "a.key"), range(64)))
    assert len(keys) == 1
    assert len(keys.pop()) == 32


def test_an_older_file_with_a_line_break_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text("00ff" * 16 + "\n")
    assert key_in(tmp_path / "a.key") == b"\x00\xff" * 16


def test_a_key_is_on_the_disk_before_anything_is_made_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it seals is committed durably: after a power cut the rows would be there, and a file of zero length."""
    acts: list[str] = []
    fsync, link = os.fsync, os.link

    def note_fsync(file: int) -> None:
        acts.append("sync folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "sync file")
        fsync(file)

    def note_link(draft: Path, path: Path) -> None:
        acts.append("name")
        link(draft, path)

    monkeypatch.setattr(keyfiles.os, "fsync", note_fsync)
    monkeypatch.setattr(keyfiles.os, "link", note_link)
    key_in(tmp_path / "a.key")
    assert acts == ["sync file", "name", "sync folder"]


def test_of_a_key_that_could_not_be_made_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(keyfiles.os, "link", refuse)
    with pytest.raises(PermissionError):
        key_in(tmp_path / "a.key")
    assert list(tmp_path.iterdir()) == []
