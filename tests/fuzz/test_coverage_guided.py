"""A bounded run of the coverage-guided fuzzer for everything that reads what strangers send. Whatever it finds stays in
the failure's message; `fuzz_decode.py` runs it for as long as one likes."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imageway.dialects import DIALECTS
from tests.fuzz.checks import FOLDER, golden_forms, golden_requests

ROOT = Path(__file__).parents[2]
RUNS, SECONDS = 20_000, 8
LONGEST_BYTES = 4096
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
STREAMS = (
    b'event: image_generation.completed\ndata: {"type": "image_generation.completed", "b64_json": "iVBORw0KGgo="}\n\n',
    b'data: {"candidates": [\ndata: {"finishReason": "STOP"}]}\r\n\r\n: waiting\n\ndata: [DONE]\n\n',
    b"\xef\xbb\xbfid: 1\rretry: 5\revent: a\rdata\rdata: plain text\r\r",
)


@pytest.fixture(autouse=True)
def fuzzer() -> None:
    """Wheels of it exist for Linux on x86-64 and Pythons before 3.14."""
    if importlib.util.find_spec("atheris") is None:
        python = f"Python {sys.version_info.major}.{sys.version_info.minor} on {sys.platform}"
        if os.environ.get("CI") == "true" and sys.platform == "linux" and sys.version_info < (3, 14):
            pytest.fail(f"atheris is not installed for {python}: it stands in requirements/test.txt")
        pytest.skip(f"atheris has no wheel for {python}")


def bodies() -> Iterator[bytes]:
    """Every golden body at its own path; the two bytes before it choose path and headers."""
    number = 0
    for dialect in DIALECTS:
        requests = golden_requests(dialect.name)
        urls = [*dict.fromkeys(url for url, _ in requests)]
        for index, (url, body) in enumerate(requests):
            text = re.sub(r"\$(PNG|LARGE|URLSAFE)", PIXEL, json.dumps(body))
            yield bytes([number + urls.index(url), index % 4]) + text.encode()
        number += len(urls)


def filled_forms() -> Iterator[bytes]:
    number = 0
    for dialect in DIALECTS:
        forms = golden_forms(dialect.name)
        urls = [*dict.fromkeys(url for url, _ in forms)]
        for url, parts in forms:
            text = b"".join(part(name, content) for name, content in parts)
            yield bytes([number + urls.index(url)]) + text + b"--edge--\r\n"
        number += len(urls)


def part(name: str, content: Any) -> bytes:
    head = f'--edge\r\nContent-Disposition: form-data; name="{name}"'
    if isinstance(content, str):
        return f"{head}\r\n\r\n{content}\r\n".encode()
    file = f'; filename="{content["name"]}"\r\nContent-Type: {content["type"]}'
    return f"{head}{file}\r\n\r\n".encode() + b"\x89PNG\r\n\x1a\n\r\n"


def images() -> Iterator[bytes]:
    for name in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        for mode in ("L", "RGB", "RGBA"):
            if mode != "RGBA" or name not in ("JPEG", "BMP"):
                file = io.BytesIO()
                Image.new(mode, (3, 2)).save(file, name)
                yield file.getvalue()[:LONGEST_BYTES]


SEEDS = {"decode": bodies, "forms": filled_forms, "events": lambda: iter(STREAMS), "headers": images}


def words() -> str:
    """The dictionary: every name and word of golden requests."""
    text = "".join(file.read_text() for file in FOLDER.rglob("*.txt"))
    found = {word for word in re.findall(r'"([A-Za-z0-9_./:*-]{2,40})"', text) if word.isascii()}
    return "".join(f'"\\"{word}\\""\n' for word in sorted(found))


@pytest.mark.parametrize("target", SEEDS)
def test_nothing_breaks_it(target: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS[target]()):
        (corpus / f"{number:03}").write_bytes(seed[:LONGEST_BYTES])
    (tmp_path / "words").write_text(words())
    options = [f"-runs={RUNS}", f"-max_total_time={SECONDS}", f"-max_len={LONGEST_BYTES}", "-timeout=10"]
    options += [f"-dict={tmp_path / 'words'}", f"-artifact_prefix={tmp_path}/found-", str(corpus)]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.fuzz_decode", target, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = {file.name: file.read_bytes()[:500] for file in tmp_path.glob("found-*")}
    assert done.returncode == 0, f"{found}\n{done.stdout[-4000:]}\n{done.stderr[-1000:]}"
    assert not found
    executed = re.search(r"Done (\d+) runs", done.stderr)
    assert executed is not None
    assert int(executed[1]) > len(list(corpus.iterdir())) // 2
