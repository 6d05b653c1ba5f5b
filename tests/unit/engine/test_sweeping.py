"""How old tasks and claims are forgotten: a little at a time, until nothing old is left."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from imageway.core.ops import Committed, Op
from imageway.engine import sweeping
from imageway.engine.ports import Tools
from imageway.ledger.access import SetWorkspace
from imageway.ledger.ops import CreateWorkspace
from imageway.storage.memory.store import MemoryStore
from imageway.tasks.ops import ClaimKey
from imageway.tasks.queries import FindClaim, FindTasks
from imageway.tasks.sweeping import ForgetClaims, ForgetTasks
from tests.store.places import KEY, WORKSPACE, commit, finish, task

DAY_MS = 24 * 3600 * 1000


@dataclass(slots=True)
class Clock:
    pauses: list[float] = field(default_factory=list)

    def now_ms(self) -> int:
        return 1000 * DAY_MS

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


class Counting(MemoryStore):
    """Remembers what was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Op] = []

    async def commit(self, *ops: Op):  # type: ignore[no-untyped-def]
        self.seen.extend(ops)
        return await super().commit(*ops)


@pytest.fixture
async def tools(tools: Tools) -> Tools:
    """A store of its own, on day 1,000."""
    found = replace(tools, store=Counting(), clock=Clock())
    await commit(found.store, WORKSPACE, KEY)
    return found


async def end(tools: Tools, task_id: str, *, day: int, key: str = "") -> None:
    """A task that ended on that day, claimed on the same."""
    at_ms = day * DAY_MS
    create = task(task_id, created_ms=at_ms, deadline_ms=at_ms)
    claim = (ClaimKey("ws_1", key, task_id, at_ms),) if key else ()
    done = await tools.store.commit(create, *claim, finish(task_id, at_ms=at_ms))
    assert isinstance(done, Committed)


async def left(tools: Tools) -> list[str]:
    return sorted(task.id for task in (await tools.store.read(FindTasks(workspace_id="ws_1"))).tasks)


async def test_tasks_are_kept_for_ninety_days(tools: Tools) -> None:
    await end(tools, "req_old", day=909)
    await end(tools, "req_young", day=910)
    await sweeping.forget_old(tools)
    assert await left(tools) == ["req_young"]


async def test_the_operator_says_for_how_long(tools: Tools) -> None:
    tools = replace(tools, settings=replace(tools.settings, keep_tasks_s=5 * 24 * 3600.0))
    await end(tools, "req_old", day=994)
    await end(tools, "req_young", day=996)
    await sweeping.forget_old(tools)
    assert await left(tools) == ["req_young"]


async def test_no_task_goes_while_its_idempotency_key_stands(tools: Tools) -> None:
    """However short tasks are kept: the key's second request would buy the images again."""
    short = replace(tools.settings, keep_tasks_s=0.0, keep_images_s=0.0, idempotency_keep_s=2 * 24 * 3600.0)
    tools = replace(tools, settings=short)
    await end(tools, "req_old", day=997, key="old")
    await end(tools, "req_young", day=999, key="young")
    await sweeping.forget_old(tools)
    assert await left(tools) == ["req_young"]
    assert await tools.store.read(FindClaim("ws_1", "old")) is None
    assert await tools.store.read(FindClaim("ws_1", "young"))


async def test_no_task_goes_while_any_workspace_may_keep_its_images(tools: Tools) -> None:
    """By key, an image is found, and removed, by the task that made it."""
    settings = b'{"keep_images_s":%d}' % (200 * 24 * 3600)
    await tools.store.commit(CreateWorkspace("ws_2", "archive", 2), CreateWorkspace("ws_3", "other", 3))
    await tools.store.commit(SetWorkspace("ws_2", settings, None))
    await end(tools, "req_old", day=799)
    await end(tools, "req_young", day=801)
    await sweeping.forget_old(tools)
    assert await left(tools) == ["req_young"]


async def test_many_go_in_small_steps_with_pauses(tools: Tools) -> None:
    """Nobody who commits in between waits for all of them."""
    for number in range(1100):
        await end(tools, f"req_{number}", day=1, key=str(number))
    await sweeping.forget_old(tools)
    assert await left(tools) == []
    steps = [op for op in tools.store.seen if isinstance(op, ForgetTasks | ForgetClaims)]  # type: ignore[attr-defined]
    assert {len(op.ids) for op in steps if isinstance(op, ForgetTasks)} == {100}
    assert [op.limit for op in steps if isinstance(op, ForgetClaims)] == [500] * 3
    assert tools.clock.pauses == [0.05] * len(steps)  # type: ignore[attr-defined]
