"""A gateway as the child of a command. It ends with the command, however that ends: done, by a signal, or killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from imageway.cli.printing import Stop

END_S = 40  # more than the gateway's own drain
ENDING = (signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Child:
    """A gateway that answers at `url`."""

    process: subprocess.Popen[str]
    url: str

    def wait(self) -> int:
        return self.process.wait()


@contextlib.contextmanager
def child_gateway(
    arguments: Sequence[str], ports: Sequence[int], log: Path, environment: Mapping[str, str]
) -> Iterator[Child]:
    """`imageway serve` on the first of `ports` that it gets: another may take one at the same moment. Raises Stop with
    what the gateway said when it cannot start."""
    with _signals_raise(), contextlib.ExitStack() as stack:
        said = ""
        for port in ports:
            begins = log.stat().st_size if log.exists() else 0
            command = [sys.executable, "-m", "imageway.cli.main", "serve", "--port", str(port), *arguments]
            process = stack.enter_context(_running(command, log, environment))
            line = process.stdout.readline() if process.stdout else ""
            if line.startswith("ready "):
                yield Child(process, line.split()[1])
                return
            process.wait()
            said = _last_words(log, begins)
        raise Stop(f"the gateway did not start{said}; see {log}")


@contextlib.contextmanager
def _running(command: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    with log.open("a") as errors:
        process = subprocess.Popen(  # noqa: S603  # our own program
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(environment),
            text=True,
            preexec_fn=_ending_with(os.getpid()),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _ending_with(parent: int) -> Callable[[], None]:
    """What the child does before it becomes the gateway: asks the kernel for SIGTERM when `parent` dies (prctl(2)).
    Elsewhere than on Linux a parent that is killed leaves it behind."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)

    def ask() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before it could be asked for
            os._exit(1)

    return ask


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the command as Ctrl-C does; the exit code is the shell's for them. One that is ignored,
    as under nohup, stays so."""

    def end(number: int, frame: FrameType | None) -> None:
        for name in ENDING:
            signal.signal(name, signal.SIG_IGN)  # the ending is not to be ended
        sys.exit(128 + number)

    before = {name: signal.getsignal(name) for name in ENDING}
    for name, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(name, end)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _last_words(log: Path, begins: int) -> str:
    """The last sentence for people that was written to the log from `begins` on."""
    with log.open(errors="replace") as file:
        file.seek(begins)
        said = [line.strip() for line in file if line.startswith("imageway: ")]
    return f": {said[-1].removeprefix('imageway: ')}" if said else ""
