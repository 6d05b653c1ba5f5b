"""The scenarios: each starts what it needs, puts one kind of load on a gateway and returns figures."""

from __future__ import annotations

import base64
import contextlib
import json
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.load import Order, Report
from benchmarks.pictures import large_picture, small_picture
from benchmarks.processes import (
    BenchmarkFailed,
    Running,
    finish_load,
    gateway,
    imageway,
    load,
    order_for,
    start_load,
    work_folder,
)

IMAGES_PATH: Final = "/v1/images/generations"
PROVIDER_PATH: Final = "/images/generations"
WALLET_USD: Final = "1000000"
BODY: Final = json.dumps(
    {
        "model": "gpt-image-1",
        "prompt": "a watercolour of a lighthouse on a cliff at dawn, gulls above the water",
        "n": 1,
        "size": "1024x1024",
        "quality": "low",
    }
)
PICTURES: Final = {"small": small_picture, "large": large_picture}
SETTLED_S: Final = 0.5  # after a load: what is committed behind the last answer belongs to it
SLOW_BYTES_PER_S: Final = 2_000_000
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Serving:
    """A gateway with a key and a full wallet; `kind` is what its upstream answers."""

    folder: Path
    kind: str
    process: Running
    key: str

    def order(self, connections: int, *, seconds: float = 5.0, requests_each: int = 0, slow: bool = False) -> Order:
        return order_for(
            self.process.url,
            path=IMAGES_PATH,
            key=self.key,
            body=BODY,
            connections=connections,
            seconds=seconds,
            requests_each=requests_each,
            read_bytes_per_s=SLOW_BYTES_PER_S if slow else 0,
        )


@contextlib.contextmanager
def serving(place: Path | None, provider: Running, kind: str) -> Iterator[Serving]:
    """One answer is compared with the upstream's picture before, and the books are checked after."""
    with work_folder(place) as folder, gateway(folder, f"{provider.url}/{kind}") as process:
        key = json.loads(imageway(folder, "keys", "create", "--json"))["key"]
        imageway(folder, "wallet", "topup", "default", WALLET_USD)
        ready = Serving(folder, kind, process, key)
        _prove(ready)
        yield ready
        time.sleep(SETTLED_S)
        _audit(ready)


def _prove(ready: Serving) -> None:
    request = urllib.request.Request(  # noqa: S310  # a gateway of our own
        ready.process.url + IMAGES_PATH,
        BODY.encode(),
        {"authorization": f"Bearer {ready.key}", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            got = json.load(answer)
    except urllib.error.HTTPError as error:
        raise BenchmarkFailed(f"the gateway answered {error.code}: {error.read()[:500]!r}") from None
    if base64.b64decode(got["data"][0]["b64_json"]) != PICTURES[ready.kind]():
        raise BenchmarkFailed("the picture that came is not the picture that was sent")


def _audit(ready: Serving) -> None:
    """Nothing is held any more, and what was spent is what the usage records say."""
    wallet = json.loads(imageway(ready.folder, "wallet", "show", "default", "--json"))
    usage = json.loads(imageway(ready.folder, "usage", "--json"))
    if float(wallet["held_usd"]) or not float(wallet["spent_usd"]) or not all(row["delivered"] == 1 for row in usage):
        raise BenchmarkFailed(f"the books do not balance: {wallet}")


@dataclass(frozen=True, slots=True)
class Work:
    """What a load cost the gateway."""

    report: Report
    cpu_s: float

    @property
    def requests_per_cpu_s(self) -> float:
        return self.report.requests / self.cpu_s

    @property
    def megabytes_per_cpu_s(self) -> float:
        return self.report.body_bytes / MEGABYTE / self.cpu_s


def work(ready: Serving, connections: int, seconds: float) -> Work:
    """The CPU time of everything that one load set in motion, after a moment of warming up."""
    load(ready.order(connections, seconds=min(1.0, seconds)))
    time.sleep(SETTLED_S)
    before_s = ready.process.cpu_s()
    report = load(ready.order(connections, seconds=seconds))
    time.sleep(SETTLED_S)
    return Work(report, ready.process.cpu_s() - before_s)


def memory_per_answer(ready: Serving, connections: int, idle_bytes: int, *, slow: bool) -> float:
    """Megabytes of the process, above what it takes when idle, per answer in flight. Slow readers take one answer each,
    so that all of them are in flight at once for seconds."""
    ready.process.forget_highest_memory()
    load(ready.order(connections, requests_each=1 if slow else 4, seconds=60, slow=slow))
    return (ready.process.memory_bytes("VmHWM") - idle_bytes) / MEGABYTE / connections


def health_during_load(ready: Serving, connections: int, seconds: float) -> list[float]:
    """Seconds that /healthz took, every 10 ms on one connection, while large answers went through."""
    busy = start_load(ready.order(connections, seconds=seconds + 1))
    time.sleep(0.5)
    probe = order_for(ready.process.url, path="/healthz", method="GET", seconds=seconds, pause_s=0.01)
    report = load(probe)
    finish_load(busy)
    return report.latencies_s


def added_latency_s(ready: Serving, provider: Running, seconds: float) -> float:
    """Median on one connection through the gateway, less the median of asking the upstream directly."""
    direct = order_for(provider.url, path=f"/{ready.kind}{PROVIDER_PATH}", body=BODY, seconds=min(1.0, seconds))
    asked, through = load(direct), load(ready.order(1, seconds=seconds))
    return statistics.median(through.latencies_s) - statistics.median(asked.latencies_s)


@dataclass(frozen=True, slots=True)
class Starts:
    """Seconds to "ready": with an empty data directory, and again with what that one left."""

    first_s: Sequence[float]
    warm_s: Sequence[float]
    idle_bytes: int


def starts(place: Path | None, provider: Running, times: int) -> Starts:
    first_s, warm_s, idle = [], [], []
    for _ in range(times):
        with work_folder(place) as folder:
            with gateway(folder, f"{provider.url}/small") as made:
                first_s.append(made.ready_s)
            with gateway(folder, f"{provider.url}/small") as again:
                warm_s.append(again.ready_s)
                time.sleep(SETTLED_S)
                idle.append(again.memory_bytes())
    return Starts(first_s, warm_s, max(idle))


def interpreter_speed() -> float:
    """Small objects made and dropped per CPU-second, the best of five."""
    return 100_000 / min(_interpreted_s() for _ in range(5))


def _interpreted_s() -> float:
    start_s = time.process_time()
    kept: dict[tuple[str, int], list[object]] = {}
    for number in range(100_000):
        kept["a", number % 500] = [number, str(number), {"number": number}]
    return time.process_time() - start_s


def file_speed(place: Path | None) -> float:
    """Of large spool files, kernel included: the best of five."""
    return max(_file_pass(place) for _ in range(5))


def _file_pass(place: Path | None) -> float:
    pieces, piece = 22, bytes(384 << 10)
    start_s = time.process_time()
    with work_folder(place) as folder:
        for number in range(16):
            path = folder / str(number)
            with path.open("wb", buffering=0) as file:
                for _ in range(pieces):
                    file.write(piece)
            with path.open("rb", buffering=0) as file:
                while file.read(64 << 10):
                    pass
            path.unlink()
    return 16 * pieces * len(piece) / MEGABYTE / (time.process_time() - start_s)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
