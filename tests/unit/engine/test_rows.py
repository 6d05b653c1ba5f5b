"""Tasks that are ended by processes which did not accept them: free, once, and told of at once."""

from __future__ import annotations

import pytest

from imageway.core.intents import Webhook
from imageway.core.ops import Committed, Op
from imageway.engine.memos import KeptAsk, KeptTask, pack_task
from imageway.engine.ports import Tools
from imageway.engine.rows import end_waiting, give_up
from imageway.ledger.ops import CreateKey, CreateWorkspace, Hold, TopUp
from imageway.ledger.queries import ShowWallet
from imageway.storage.memory import MemoryStore
from imageway.tasks.queries import ShowTask, Task
from imageway.tasks.queue import QueueTask
from imageway.tasks.webhooks import ListDeliveries
from tests.unit.engine.conftest import NOW_MS
from tests.values import replace

HOOK = Webhook("https://caller.example/hook", ("task.cancelled", "task.failed"))


async def done(store: MemoryStore, *ops: Op) -> None:
    assert isinstance(await store.commit(*ops), Committed)


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    await done(
        made,
        CreateWorkspace("ws_1", "studio", NOW_MS),
        TopUp("top_1", "ws_1", 1_000_000, NOW_MS),
        CreateKey("key_1", "ws_1", "", bytes(32), "", (), NOW_MS),
    )
    return made


@pytest.fixture
def tools(tools: Tools, store: MemoryStore) -> Tools:
    return replace(tools, store=store)


async def waiting(store: MemoryStore, webhook: Webhook | None) -> Task:
    """A task that waits, with a tenth of a dollar held for it."""
    kept = KeptTask(
        request={"model": "gpt-image-1", "prompt": "a cat"},
        counts=(1,),
        form="url",
        hold_usd_micros=100_000,
        webhook=webhook,
        ask=KeptAsk(),
    )
    queue = QueueTask(
        id="req_1",
        workspace_id="ws_1",
        key_id="key_1",
        model="gpt-image-1",
        request=pack_task(kept),
        created_ms=NOW_MS,
        deadline_ms=NOW_MS + 60_000,
        limit=10,
    )
    await done(store, queue, Hold("req_1", "ws_1", 100_000, NOW_MS))
    return await shown(store)


async def shown(store: MemoryStore) -> Task:
    task = await store.read(ShowTask("req_1"))
    assert task is not None
    return task


async def test_what_waits_ends_free_and_its_caller_is_told_at_once(tools: Tools, store: MemoryStore) -> None:
    await waiting(store, HOOK)
    assert await end_waiting(tools, "req_1", "cancelled")
    assert (await shown(store)).state == "cancelled"
    wallet = await store.read(ShowWallet("ws_1"))
    assert wallet is not None
    assert (wallet.available, wallet.held) == (1_000_000, 0)
    assert [row.event for row in await store.read(ListDeliveries())] == ["task.cancelled"]
    assert tools.outbox.is_set()


async def test_who_wants_no_word_costs_no_look(tools: Tools, store: MemoryStore) -> None:
    await waiting(store, None)
    assert await end_waiting(tools, "req_1", "cancelled")
    assert not tools.outbox.is_set()


async def test_what_ended_already_is_not_ended_again(tools: Tools, store: MemoryStore) -> None:
    await waiting(store, None)
    assert await end_waiting(tools, "req_1", "cancelled")
    assert not await end_waiting(tools, "req_1", "cancelled")


async def test_what_nobody_can_read_fails_free_and_its_caller_is_told_at_once(tools: Tools, store: MemoryStore) -> None:
    await give_up(tools, await waiting(store, HOOK), KeyError("a model that is gone"))
    assert (await shown(store)).state == "failed"
    assert [row.event for row in await store.read(ListDeliveries())] == ["task.failed"]
    assert tools.outbox.is_set()
