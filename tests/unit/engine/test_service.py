"""What becomes of a request while it is being accepted (the simulation plays all the rest)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from imageway.bodies import Scope
from imageway.core.errors import GatewayError
from imageway.core.failures import StoreFailed
from imageway.core.intents import Generate
from imageway.core.ops import Committed, Op, Refused
from imageway.core.requests import Caller, ImageRequest
from imageway.engine.ports import Tools
from imageway.engine.service import Engine
from imageway.storage.memory import MemoryStore
from imageway.tasks.ops import CreateTask
from tests.store.places import KEY, WORKSPACE, commit, task
from tests.turns import some_turns, until
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


class Full:
    """Takes nothing, and says so of every commit."""

    def __init__(self) -> None:
        self.commits = 0

    async def commit(self, *ops: Op) -> Committed:
        self.commits += 1
        raise StoreFailed("nothing was committed: the disk is full", undone=True)


async def test_where_certainly_nothing_was_committed_nobody_asks_what_became_of_it(tools: Tools) -> None:
    """A disk may be full for hours, and whatever is left running would be so for each request that comes meanwhile."""
    books = Full()
    engine, scope = Engine(replace(tools, store=books, faults=NoFaults())), tools.spool.scope()
    with pytest.raises(GatewayError) as told:
        await engine.start(CAT, CALLER, scope).outcome()
    with pytest.raises(GatewayError) as queued:
        await asyncio.wait_for(engine.enqueue(CAT, CALLER), 5)
    assert (told.value.code, queued.value.code, books.commits) == ("overloaded", "overloaded", 2)
    await some_turns()
    assert not engine._running
    await ends(engine, scope)


async def test_whoever_waits_for_news_is_let_go_when_the_engine_closes(tools: Tools) -> None:
    """At once, as things stand: his wait would hold up the end of the process."""
    store, caller = MemoryStore(), Caller("key_1", "ws_1")
    await commit(store, WORKSPACE, KEY, task(request=b""))
    engine = Engine(replace(tools, store=store))
    looking = asyncio.create_task(engine.show_task("req_1", caller, 60))
    await some_turns()
    assert not looking.done()
    await engine.close(0)
    await until(looking.done)
    assert (await looking).status == "running"
