"""The processes of a benchmark and what the kernel says about them. What is started here is ended here, by its id."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.load import Order, Report

ROOT: Final = Path(__file__).resolve().parents[1]
IMAGEWAY: Final = Path(sys.executable).with_name("imageway")
_START_LIMIT_S: Final = 30.0
_STOP_LIMIT_S: Final = 20.0
_LOAD_LIMIT_S: Final = 120.0
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class BenchmarkFailed(Exception):
    """A figure would not mean anything: answers were wrong, connections were lost, or the books do not balance."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process that answers at `url`, `ready_s` seconds after it was started."""

    process: subprocess.Popen[str]
    url: str
    ready_s: float

    @property
    def id(self) -> int:
        return self.process.pid

    def cpu_s(self) -> float:
        """User and system time of all its threads so far."""
        fields = Path(f"/proc/{self.id}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def memory_bytes(self, name: str = "VmRSS") -> int:
        """VmRSS now, or VmHWM, its highest; pages that only the kernel's cache holds are in neither."""
        lines = Path(f"/proc/{self.id}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))

    def forget_highest_memory(self) -> None:
        Path(f"/proc/{self.id}/clear_refs").write_text("5")


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str], errors: Path) -> Iterator[Running]:
    """Starts a command that prints "ready URL", and ends it."""
    with errors.open("a") as log:
        start_s = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            yield Running(process, _ready_url(process, errors), time.perf_counter() - start_s)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready_url(process: subprocess.Popen[str], errors: Path) -> str:
    assert process.stdout is not None
    until_s = time.perf_counter() + _START_LIMIT_S
    while time.perf_counter() < until_s:
        line = process.stdout.readline()
        if line.startswith("ready "):
            return line.split()[1]
        if not line:
            break
    raise BenchmarkFailed(f"process {process.pid} did not start: {errors.read_text()[-2000:]}")


@contextlib.contextmanager
def upstream(folder: Path) -> Iterator[Running]:
    with running([sys.executable, "-m", "benchmarks.upstream"], {}, folder / "upstream.log") as provider:
        yield provider


@contextlib.contextmanager
def gateway(folder: Path, provider_url: str) -> Iterator[Running]:
    """`imageway serve` on a data directory below `folder`, with one upstream."""
    environment = {"OPENAI_API_KEY": "sk-test-benchmark", "OPENAI_BASE_URL": provider_url}
    command = [str(IMAGEWAY), "serve", "--port", "0", "--data", str(folder / "data")]
    with running(command, environment, folder / "gateway.log") as serving:
        yield serving


def imageway(folder: Path, *words: str) -> str:
    """One command of the command line on the data directory below `folder`; returns what it prints."""
    command = [str(IMAGEWAY), *words, "--data", str(folder / "data")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_START_LIMIT_S, check=False)
    if done.returncode:
        raise BenchmarkFailed(f"{command} failed: {done.stderr[-2000:]}")
    return done.stdout


@contextlib.contextmanager
def work_folder(place: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="imageway-benchmark-", dir=place) as name:
        yield Path(name)


def order_for(url: str, **values: Any) -> Order:
    parts = urlsplit(url)
    return Order(host=parts.hostname or "", port=parts.port or 0, **values)


def start_load(order: Order) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    json.dump(asdict(order), process.stdin)
    process.stdin.close()
    process.stdin = None
    return process


def finish_load(process: subprocess.Popen[str]) -> Report:
    """Raises BenchmarkFailed for anything but answers that are all 200."""
    try:
        written, _ = process.communicate(timeout=_LOAD_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise BenchmarkFailed(f"the load did not end within {_LOAD_LIMIT_S:.0f} s") from None
    report = Report(**json.loads(written))
    if report.lost or set(report.statuses) - {"200"} or not report.requests:
        raise BenchmarkFailed(f"answers {report.statuses}, {report.lost} connections lost")
    return report


def load(order: Order) -> Report:
    return finish_load(start_load(order))
