"""What becomes of a request while it is being accepted (the simulation plays all the rest)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from imageway.bodies import Scope
from imageway.core.errors import GatewayError
from imageway.core.intents import Generate
from imageway.core.ops import Committed, Op, Refused
from imageway.core.requests import Caller, ImageRequest
from imageway.engine.ports import Tools
from imageway.engine.service import Engine
from imageway.storage.memory import MemoryStore
from imageway.tasks.ops import CreateTask
from tests.store.places import KEY, WORKSPACE, commit, task
from tests.values import replace

CALLER = Caller("key", "ws")
CAT = Generate(request=ImageRequest(model="gpt-image-2", prompt="a cat"))


class Books:
    """`accepting` is what happens to the commit that accepts; there is no task that any other could change."""

    def __init__(self, accepting: Callable[[], Refused | Committed]) -> None:
        self.accepting = accepting

    async def commit(self, *ops: Op) -> Refused | Committed:
        await asyncio.sleep(0)
        return self.accepting() if isinstance(ops[0], CreateTask) else Refused(ops[0], "task_final")

    async def read(self, query: object) -> None:
        return None


class NoFaults:
    """Nothing is planted here."""

    def reach(self, point: str) -> None: ...


def hole() -> Committed:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("accepting", "code"),
    [(lambda: Refused(cast("Any", None), "insufficient_balance"), "insufficient_balance"), (hole, "internal_error")],
)
async def test_who_was_not_accepted_is_told_why_and_leaves_nothing_behind(
    tools: Tools, accepting: Callable[[], Refused], code: str
) -> None:
    engine, scope = Engine(replace(tools, store=Books(accepting), faults=NoFaults())), tools.spool.scope()
    handle = engine.start(CAT, CALLER, scope)
    for word in (handle.accepted, handle.outcome):
        with pytest.raises(GatewayError) as told:
            await word()
        assert told.value.code == code
        assert told.value.request_id is None  # there is no such task
    await ends(engine, scope)


async def test_whoever_leaves_before_he_was_refused_leaves_nothing_behind(tools: Tools) -> None:
    refusing = Books(lambda: Refused(cast("Any", None), "no_workspace"))
    engine, scope = Engine(replace(tools, store=refusing, faults=NoFaults())), tools.spool.scope()
    handle = engine.start(CAT, CALLER, scope)
    waiting = asyncio.create_task(handle.outcome())
    await asyncio.sleep(0)
    waiting.cancel()
    engine.leave(handle)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ends(engine, scope)


async def ends(engine: Engine, scope: Scope) -> None:
    """Nothing runs, nobody is counted, and the scope is its owner's alone."""
    await engine.close(1.0)
    await asyncio.sleep(0)
    assert not engine._running
    assert engine._admission._of_all == 0
    scope.release()
    assert scope.closed


async def test_whoever_waits_for_news_is_let_go_when_the_engine_closes(tools: Tools) -> None:
    """At once, as things stand: his wait would hold up the end of the process."""
    store, caller = MemoryStore(), Caller("key_1", "ws_1")
    await commit(store, WORKSPACE, KEY, task(request=b""))
    engine = Engine(replace(tools, store=store))
    looking = asyncio.create_task(engine.show_task("req_1", caller, 60))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not looking.done()
    await engine.close(0)
    async with asyncio.timeout(5):
        assert (await looking).status == "running"
