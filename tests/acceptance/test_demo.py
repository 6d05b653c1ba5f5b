"""`imageway demo`: pictures of every family from one command, and nothing left behind, however the command ends."""

from __future__ import annotations

import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.processes import call, clean_environment, wait_for

PICTURES = 7


def demo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "imageway.cli.main", "demo", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=clean_environment(),
    )  # fmt: skip


def address_in(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    line = started.stdout.readline()
    assert line.startswith("The gateway answers at http://127.0.0.1:"), line
    return line.split()[-1]


def is_silent(url: str) -> bool:
    try:
        call(f"{url}/healthz", timeout_s=1)
    except OSError:
        return True
    return False


def test_two_at_once_both_work_and_end_what_they_started(tmp_path: Path) -> None:
    """In one directory, on the same data: the second finds another port. What no longer runs is not offered."""
    for one in [demo(tmp_path, "--stop") for _ in range(2)]:
        out, err = one.communicate(timeout=90)
        assert (one.returncode, err) == (0, ""), out
        assert "curl" not in out
        address = out.split()[4]
        assert is_silent(address)
        _, _, again = out.rpartition("\n\n")
        assert shlex.split(again)[:2] == ["imageway", "demo"]
        prices = re.findall(r" \$0\.\d{6} ", out)
        assert len(prices) == PICTURES
    pictures = sorted((tmp_path / "demo-output").glob("*.*"))
    assert len([Image.open(path).size for path in pictures if path.suffix in (".png", ".jpg", ".webp")]) == PICTURES


def test_the_curl_line_works_while_the_gateway_stays(tmp_path: Path) -> None:
    one = demo(tmp_path)
    try:
        assert one.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            said += (line := one.stdout.readline())
            assert line, said
        curl = said[said.index("curl -s") : said.index("The gateway keeps running")]
        words = shlex.split(curl)
        headers = dict(word.split(": ", 1) for flag, word in pairwise(words) if flag == "-H")
        answer = call(words[2], words[-1].encode(), headers=headers)
        assert answer.status == 200
        assert call(answer.json["data"][0]["url"]).status == 200
    finally:
        one.send_signal(signal.SIGINT)
        out, err = one.communicate(timeout=40)
    assert (one.returncode, out.strip(), err) == (0, "", "")
    assert is_silent(words[2].removesuffix("/v1/images/generations"))


@pytest.mark.parametrize(
    ("name", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 0), (signal.SIGKILL, -9)]
)
def test_no_gateway_outlives_its_demo(tmp_path: Path, name: signal.Signals, code: int) -> None:
    """Neither one that was asked to end, nor one that was not asked."""
    one = demo(tmp_path)
    url = address_in(one)
    assert call(f"{url}/healthz").status == 200
    one.send_signal(name)
    one.communicate(timeout=40)
    assert one.returncode == code
    wait_for(lambda: is_silent(url), seconds=10)


def test_a_gateway_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("prot = 1")
    one = demo(tmp_path, "--config", "wrong.toml")
    out, err = one.communicate(timeout=40)
    assert (one.returncode, out) == (1, "")
    assert re.fullmatch(r"imageway: .*prot.*\n", err)


def test_a_port_that_is_taken_is_no_hindrance(tmp_path: Path) -> None:
    with closing(socket.socket()) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 8400))
            other.listen()
        except OSError:
            pass  # somebody else has it: as good
        one = demo(tmp_path)
        url = address_in(one)
        one.terminate()
        one.communicate(timeout=40)
    assert not url.endswith(":8400")
