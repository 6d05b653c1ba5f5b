"""This process and this machine: fault points that kill, and locks that prove who is alive."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imageway.server.machine import FAULT_POINTS, KillSwitch, ProcessLocks, Sleepers, SystemClock, SystemRandom, Threads

HOLDER = """
import sys
from pathlib import Path
from imageway.server.machine import ProcessLocks
locks = ProcessLocks(Path(sys.argv[1]))
locks.hold(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""
REACHER = """
import sys
from imageway.server.machine import KillSwitch
switch = KillSwitch.from_text("after_memo:3")
for name in sys.argv[1:]:
    switch.reach(name)
    print(name, flush=True)
"""


# Fault points


@pytest.mark.parametrize(
    ("text", "switch"),
    [
        ("", KillSwitch()),
        ("after_memo:2", KillSwitch("after_memo", 2)),
        ("after_memo", KillSwitch("after_memo", 1)),
        ("after_memo:", KillSwitch("after_memo", 1)),
        *((f"{name}:1", KillSwitch(name, 1)) for name in FAULT_POINTS),
    ],
)
def test_a_fault_is_a_point_and_a_count(text: str, switch: KillSwitch) -> None:
    assert KillSwitch.from_text(text) == switch


@pytest.mark.parametrize("text", ["nowhere:1", ":1", "after_memo:x", "after_memo:0", "after_memo:-1", "after_memo:²"])
def test_any_other_text_is_refused_with_the_points_there_are(text: str) -> None:
    with pytest.raises(ValueError, match=r"write one of after_accept, after_enqueue, .*before_last_byte"):
        KillSwitch.from_text(text)


def test_the_process_ends_where_the_point_is_reached_for_the_nth_time() -> None:
    points = ["after_memo", "after_submit", "after_memo", "after_capture", "after_memo", "after_memo"]
    done = subprocess.run(
        [sys.executable, "-c", REACHER, *points], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == -9
    assert done.stdout.split() == points[:4]


# Locks


@contextmanager
def holder(directory: Path, owner: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory), owner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
    finally:
        child.kill()
        child.communicate(timeout=10)


def test_a_process_that_lives_is_not_dead(tmp_path: Path) -> None:
    locks = ProcessLocks(tmp_path)
    with holder(tmp_path, "proc_other"):
        assert not locks.is_dead("proc_other")
        assert locks.forget_dead() == ()
        assert (tmp_path / "proc_other.lock").exists()


def test_after_kill_9_it_is_dead_at_once(tmp_path: Path) -> None:
    locks = ProcessLocks(tmp_path)
    with holder(tmp_path, "proc_other") as child:
        child.kill()
        child.wait(timeout=10)
        assert locks.is_dead("proc_other")


def test_the_dead_are_forgotten_once_and_nobody_else(tmp_path: Path) -> None:
    locks = ProcessLocks(tmp_path)
    locks.hold("proc_self")
    with holder(tmp_path, "proc_dead") as dead, holder(tmp_path, "proc_alive"):
        dead.kill()
        dead.wait(timeout=10)
        assert locks.forget_dead() == ("proc_dead",)
        assert locks.forget_dead() == ()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["proc_alive.lock", "proc_self.lock"]
        assert not locks.is_dead("proc_dead"), "what was forgotten is not known any more, so nothing is certain"


def test_of_a_stranger_nothing_is_certain(tmp_path: Path) -> None:
    """A process of another machine leaves no file here: its lease has to run out."""
    assert not ProcessLocks(tmp_path).is_dead("proc_elsewhere")
    assert not ProcessLocks(tmp_path / "missing").is_dead("proc_elsewhere")
    assert ProcessLocks(tmp_path / "missing").forget_dead() == ()


def test_a_process_does_not_take_itself_for_dead(tmp_path: Path) -> None:
    locks = ProcessLocks(tmp_path)
    locks.hold("proc_self")
    assert not locks.is_dead("proc_self")
    assert locks.forget_dead() == ()
    locks.release()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_begins_is_never_seen_without_its_lock(tmp_path: Path) -> None:
    """However often somebody looks for the dead meanwhile."""
    watching, stop, seen = ProcessLocks(tmp_path), threading.Event(), []

    def watch() -> None:
        while not stop.is_set():
            seen.extend(watching.forget_dead())

    thread = threading.Thread(target=watch)
    thread.start()
    starting = ProcessLocks(tmp_path)
    for number in range(300):
        starting.hold(f"proc_{number}")
    stop.set()
    thread.join(timeout=10)
    assert seen == []
    assert len(list(tmp_path.glob("*.lock"))) == 300
    starting.release()


# The rest


async def test_work_runs_in_threads_at_most_two_at_once() -> None:
    threads, running, most = Threads(), 0, 0
    lock = threading.Lock()

    def work() -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.02)
        with lock:
            running -= 1
        return threading.get_ident()

    idents = await asyncio.gather(*(threads.run(work) for _ in range(8)))
    threads.close()
    assert most == 2
    assert threading.get_ident() not in idents


async def test_an_error_in_a_thread_is_the_callers() -> None:
    threads = Threads()
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    threads.close()


def test_time_and_chance_are_the_machines() -> None:
    clock, random = SystemClock(), SystemRandom()
    assert abs(clock.now_ms() - time.time() * 1000) < 1000
    assert clock.monotonic_s() <= clock.monotonic_s()
    assert random.token_bytes(16) != random.token_bytes(16)
    assert len(random.token_bytes(16)) == 16
    drawn = [random.token_bytes(count) for count in (5, 16, 31, 32, 64) * 300]
    assert len({*drawn}) == len(drawn)
    assert [len(token) for token in drawn] == [5, 16, 31, 32, 64] * 300
    assert all(0 <= random.uniform() < 1 for _ in range(100))


# Sleepers


async def test_everybody_wakes_in_his_turn_and_none_too_early() -> None:
    clock, woke = SystemClock(), list[str]()
    begin_s = time.monotonic()

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woke.append(name)
        assert time.monotonic() - begin_s >= seconds - 0.002

    await asyncio.gather(sleep("late", 0.06), sleep("soon", 0.02), sleep("not at all", -1), sleep("later", 0.09))
    assert woke == ["not at all", "soon", "late", "later"]
    assert time.monotonic() - begin_s < 5


async def test_who_gives_up_wakes_nobody_else() -> None:
    sleepers = Sleepers()
    first, second = (asyncio.ensure_future(sleepers.sleep(seconds)) for seconds in (0.01, 0.03))
    first.cancel()
    await second
    assert first.cancelled()
    assert not sleepers._queue


async def test_ten_thousand_sleepers_have_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), list[float]()
    call_at = loop.call_at
    monkeypatch.setattr(loop, "call_at", lambda when, *rest: timers.append(when) or call_at(when, *rest))
    sleepers = Sleepers()
    begin_s = loop.time()
    sleeping = [sleepers.sleep(begin_s + 0.1 + number / 1e7 - loop.time()) for number in range(10_000)]
    assert len(timers) < 10
    await asyncio.gather(*sleeping)


def test_a_clock_serves_one_loop_after_the_other() -> None:
    clock = SystemClock()

    async def leave_somebody_asleep() -> None:
        clock.sleep(60)

    async def sleep() -> None:
        await clock.sleep(0.01)

    asyncio.run(leave_somebody_asleep())
    asyncio.run(asyncio.wait_for(sleep(), 5))
