"""The one command: every measure, one table. `python -m benchmarks --help` for less of it."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import measures
from benchmarks.processes import BenchmarkFailed, Running, upstream, work_folder


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `expected` is a limit: figures with `at_least` should reach it, the others stay below;
    None: it is there to compare by."""

    name: str
    measured: float
    unit: str
    expected: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        if self.expected is None:
            return True
        return self.measured >= self.expected if self.at_least else self.measured <= self.expected

    def row(self) -> tuple[str, ...]:
        limit = "" if self.expected is None else f"{'≥' if self.at_least else '≤'} {self.expected:,g}"
        digits = 0 if self.measured >= 100 else 2
        return self.name, limit, f"{self.measured:,.{digits}f}", self.unit, "" if self.met else "missed", self.note


@dataclass(frozen=True, slots=True)
class Plan:
    seconds: float
    starts: int
    place: Path | None


def machine_figures(plan: Plan, provider: Running) -> Iterator[Figure]:
    """Of no gateway: where these are lower than elsewhere, all the others are too."""
    yield Figure("this machine: interpreter", measures.interpreter_speed(), "rounds/CPU-s", note=sys.version.split()[0])
    yield Figure("this machine: files written, read, deleted", measures.file_speed(plan.place), "MB/CPU-s")


def start_figures(plan: Plan, provider: Running) -> Iterator[Figure]:
    found = measures.starts(plan.place, provider, plan.starts)
    for name, values, limit_s in (
        ("start to ready, warm", found.warm_s, 0.6),
        ("first start, with migrations", found.first_s, 1.5),
    ):
        yield Figure(name, statistics.median(values), "s", limit_s, note=f"best {min(values):.2f} s")
    yield Figure("idle memory", found.idle_bytes / measures.MEGABYTE, "MB", 100)


def small_figures(plan: Plan, provider: Running) -> Iterator[Figure]:
    with measures.serving(plan.place, provider, "small") as ready:
        for connections in (32, 64):
            done = measures.work(ready, connections, plan.seconds)
            note = f"{done.report.requests / done.report.wall_s:,.0f}/s wall"
            name = f"1 KB answers, {connections} connections"
            yield Figure(name, done.requests_per_cpu_s, "requests/CPU-s", 3000, at_least=True, note=note)
        added_s = measures.added_latency_s(ready, provider, plan.seconds / 2)
        yield Figure("added latency, one connection, p50", added_s * 1000, "ms", 5)


def large_figures(plan: Plan, provider: Running) -> Iterator[Figure]:
    with measures.serving(plan.place, provider, "large") as ready:
        for connections in (32, 64):
            done = measures.work(ready, connections, plan.seconds)
            note = f"{done.report.body_bytes / measures.MEGABYTE / done.report.wall_s:,.0f} MB/s wall"
            name = f"8 MB answers, {connections} connections"
            yield Figure(name, done.megabytes_per_cpu_s, "MB/CPU-s", 800, at_least=True, note=note)
        health_s = measures.health_during_load(ready, 64, plan.seconds)
        note = f"p50 {statistics.median(health_s) * 1000:.1f} ms"
        yield Figure("/healthz p99 during 64 x 8 MB", measures.percentile(health_s, 0.99) * 1000, "ms", 50, note=note)


def memory_figures(plan: Plan, provider: Running) -> Iterator[Figure]:
    """Each on a gateway of its own: what one load made the process keep would hide what the next one needs."""
    for slow, readers in ((False, "fast"), (True, "slow")):
        with measures.serving(plan.place, provider, "large") as ready:
            idle_bytes = ready.process.memory_bytes()
            grown = measures.memory_per_answer(ready, 64, idle_bytes, slow=slow)
            yield Figure(f"memory per 8 MB answer, 64 at once, {readers} readers", grown, "MB", 2)


GROUPS = {
    "machine": machine_figures,
    "start": start_figures,
    "small": small_figures,
    "large": large_figures,
    "memory": memory_figures,
}


def figures(plan: Plan, groups: list[str]) -> Iterator[Figure]:
    with work_folder(plan.place) as folder, upstream(folder) as provider:
        for name in groups:
            yield from GROUPS[name](plan, provider)


def print_table(found: list[Figure]) -> None:
    rows = [("", "expected", "measured", "", "", ""), *(figure.row() for figure in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        cells = (
            text.rjust(width) if column in (1, 2) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def main() -> int:
    """Exit code 0 whatever the figures are: a shared machine proves nothing. 1: they could not be taken."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measures one gateway process.")
    parser.add_argument("groups", nargs="*", help=f"some of {', '.join(GROUPS)}; all when left out")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each load lasts [5]")
    parser.add_argument("--starts", type=int, default=5, help="how often the gateway is started [5]")
    parser.add_argument("--place", type=Path, help="where data directories are made; a real disk, not memory")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    asked = parser.parse_args()
    unknown = set(asked.groups) - set(GROUPS)
    if unknown:
        parser.error(f'there is no "{unknown.pop()}"; there are {", ".join(GROUPS)}')
    try:
        found = list(figures(Plan(asked.seconds, asked.starts, asked.place), asked.groups or list(GROUPS)))
    except BenchmarkFailed as failed:
        print(f"benchmarks: {failed}", file=sys.stderr)
        return 1
    if asked.json:
        print(json.dumps([asdict(figure) | {"met": figure.met} for figure in found], indent=1))
    else:
        print_table(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
