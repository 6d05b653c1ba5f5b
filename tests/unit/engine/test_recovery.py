"""What a dead process left to refund, and when it is nobody else's to refund any more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from imageway.core.ops import Committed, Op, Refused
from imageway.engine import recovery
from imageway.engine.ports import Tools
from imageway.engine.recovery import Recovery
from imageway.ledger.ops import Capture, Hold, Refund, TopUp
from imageway.ledger.queries import ShowWallet, Undelivered
from imageway.storage.memory.store import MemoryStore
from imageway.tasks.ops import RenewLease
from imageway.tasks.queries import Owners, ShowTask
from tests.store.places import KEY, WORKSPACE, commit, finish, task, usage
from tests.turns import some_turns

COUNT = 10
PRICE = 7


@dataclass(slots=True)
class Door(MemoryStore):
    """A store where something happens after the n-th refund, or where all of them are refused."""

    after: int = 0
    then: tuple[Op, ...] = ()
    refuses: bool = False
    refunds: int = 0
    renewals: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        MemoryStore.__init__(self)

    async def commit(self, *ops: Op) -> Committed | Refused:
        await asyncio.sleep(0)
        self.renewals.extend(op.owner for op in ops if isinstance(op, RenewLease))
        if not any(isinstance(op, Refund) for op in ops):
            return await MemoryStore.commit(self, *ops)
        if self.refuses:
            return Refused(ops[0], "not_captured")
        done = await MemoryStore.commit(self, *ops)
        self.refunds += 1
        if self.refunds == self.after:
            await MemoryStore.commit(self, *self.then)
        return done


def life(task_id: str) -> tuple[Op, ...]:
    """Of a task that was captured and not delivered."""
    create, row = task(task_id, owner="proc_dead"), usage(task_id, price_usd_micros=PRICE, owner="proc_dead")
    return create, Hold(task_id, "ws_1", PRICE, 1), Capture(task_id, PRICE, 1), row, finish(task_id)


async def opened(tools: Tools, monkeypatch: pytest.MonkeyPatch, **about: Any) -> tuple[Recovery, Door]:
    """Ten answers that proc_dead has not delivered; four are refunded at once."""
    monkeypatch.setattr(recovery, "REFUNDS_AT_ONCE", 4)
    door = Door(**about)
    await commit(door, WORKSPACE, TopUp("top_1", "ws_1", 1000, 1), KEY)
    for number in range(COUNT):
        assert isinstance(await door.commit(*life(f"req_{number}")), Committed)
    found = replace(tools, store=door, owner="proc_self", liveness=SimpleNamespace(is_dead=lambda owner: False))
    engine = SimpleNamespace(tools=found, closing=False)
    return Recovery(cast("Any", engine)), door


async def undelivered(door: Door) -> int:
    return len(await door.read(Undelivered(("proc_dead",))))


async def test_all_that_was_captured_and_not_delivered_is_given_back(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: a part of them is read at a time."""
    found, door = await opened(tools, monkeypatch)
    await found.take_over()
    wallet = await door.read(ShowWallet("ws_1"))
    assert wallet is not None
    assert (wallet.available, wallet.spent, await undelivered(door)) == (1000, 0, 0)
    assert await door.read(Owners()) == ()


async def test_who_has_come_back_keeps_what_is_not_refunded_yet(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is delivering: its loop stood still for longer than its lease, no more."""
    alive = RenewLease("proc_dead", 10**15)
    found, door = await opened(tools, monkeypatch, after=2, then=(alive,))
    await found.take_over()
    assert (door.refunds, await undelivered(door)) == (4, COUNT - 4)


async def test_nothing_at_all_is_taken_from_who_has_come_back(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what it runs nor its lease: without that, every other process would take it for dead."""
    alive = RenewLease("proc_dead", 10**15)
    found, door = await opened(tools, monkeypatch, after=2, then=(alive,))
    await commit(door, task("req_running", owner="proc_dead"))
    await found.take_over()
    running = await door.read(ShowTask("req_running"))
    assert running is not None
    assert (running.owner, running.fence) == ("proc_dead", 1)
    assert dict(await door.read(Owners())) == {"proc_dead": 10**15}


async def test_where_another_process_is_faster_the_rest_is_left_to_it(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, door = await opened(tools, monkeypatch, refuses=True)
    await asyncio.wait_for(found.take_over(), 5)
    assert await undelivered(door) == COUNT


async def test_a_process_that_takes_over_at_start_goes_on_renewing_its_lease(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would look dead itself before it has served anybody."""
    found, door = await opened(tools, monkeypatch)
    await found.begin()
    assert door.renewals.count("proc_self") > 0
    assert await undelivered(door) == 0
    renewed = len(door.renewals)
    await some_turns()
    assert len(door.renewals) == renewed, "the rounds that come next do it"
