"""Tasks that wait: whose turn it is, who gets them, how they are put back, and marks on those that run."""

from __future__ import annotations

import asyncio

import pytest

from imageway.core.ops import Committed, Refused, Store
from imageway.ledger.ops import CreateKey
from imageway.tasks import ops, queries, queue
from tests.store.places import COMMITTED, KEY, WORKSPACE, attempt, commit, finish, task, waiting

OTHER_KEY = CreateKey("key_2", "ws_1", "phone", b"\x02" * 32, "2222", (), 3)


@pytest.fixture
async def store(store: Store) -> Store:
    """With keys, without which nothing is accepted."""
    await commit(store, WORKSPACE, KEY, OTHER_KEY)
    return store


async def shown(store: Store, task_id: str = "req_1") -> queries.Task:
    found = await store.read(queries.ShowTask(task_id))
    assert found is not None
    return found


async def turns(store: Store, limit: int = 100, busy: tuple[str, ...] = ()) -> list[str]:
    return [row.id for row in await store.read(queue.QueuedTasks(limit, busy))]


async def test_what_waits_is_nobodys(store: Store) -> None:
    """No process is looked for that could have left it, and it is not final."""
    await commit(store, waiting())
    found = await shown(store)
    assert (found.state, found.owner, found.fence, found.finished_ms) == ("queued", "", 1, None)
    assert await store.read(queries.Owners()) == ()
    assert [row.id for row in await store.read(queries.RunningTasks())] == ["req_1"]
    assert await store.read(queue.QueuedTasks(9)) == (
        queue.Waiting(id="req_1", workspace_id="ws_1", key_id="key_1", fence=1, created_ms=5, deadline_ms=900_005),
    )


async def test_owners_after_nobody_are_still_found(store: Store) -> None:
    await commit(store, waiting("req_1"), waiting("req_2"), task("req_3"), task("req_4", owner="process_b"))
    assert await store.read(queries.Owners()) == (("process_a", 0), ("process_b", 0))


async def test_who_claims_it_owns_it(store: Store) -> None:
    await commit(store, waiting(), queue.ClaimTask("req_1", 1, "process_b"))
    found = await shown(store)
    assert (found.state, found.owner, found.fence) == ("running", "process_b", 2)
    assert await turns(store) == []
    await commit(store, attempt(owner="process_b", fence=2), finish())


async def test_of_many_who_claim_at_once_one_gets_it(store: Store) -> None:
    await commit(store, waiting())
    claims = [store.commit(queue.ClaimTask("req_1", 1, f"process_{number}")) for number in range(8)]
    outcomes = await asyncio.gather(*claims)
    assert outcomes.count(COMMITTED) == 1
    assert {found.why for found in outcomes if isinstance(found, Refused)} == {"not_queued"}


async def test_turns_go_round_the_workspaces_the_oldest_first(store: Store) -> None:
    """A workspace that brings a hundred at once waits behind every other's first."""
    for number, (workspace, created_ms) in enumerate([("ws_a", 1), ("ws_a", 2), ("ws_a", 3), ("ws_b", 9), ("ws_c", 4)]):
        await commit(store, waiting(f"req_{number}", workspace_id=workspace, created_ms=created_ms))
    assert await turns(store) == ["req_0", "req_4", "req_3", "req_1", "req_2"]
    assert await turns(store, 2) == ["req_0", "req_4"]
    await commit(store, queue.ClaimTask("req_0", 1, "process_a"))
    assert await turns(store, 3) == ["req_1", "req_4", "req_3"]


async def test_keys_that_have_enough_are_passed_over(store: Store) -> None:
    await commit(store, waiting("req_1"), waiting("req_2", key_id="key_2"), waiting("req_3", created_ms=9))
    assert await turns(store, 9, ("key_1",)) == ["req_2"]
    assert await turns(store, 9, ("key_1", "key_2")) == []


async def test_a_full_line_takes_no_more_of_that_workspace(store: Store) -> None:
    """What is claimed makes room."""
    await commit(store, waiting("req_1", limit=2), waiting("req_2", limit=2))
    refused = waiting("req_3", limit=2)
    assert await store.commit(refused) == Refused(refused, "queue_full")
    await commit(store, waiting("req_4", limit=2, workspace_id="ws_2"), queue.ClaimTask("req_1", 1, "process_a"))
    await commit(store, refused)


async def test_two_who_queue_at_once_cannot_both_be_the_last(store: Store) -> None:
    wanted = [waiting(f"req_{number}", limit=3) for number in range(12)]
    outcomes = await asyncio.gather(*(store.commit(one) for one in wanted))
    assert sum(isinstance(one, Committed) for one in outcomes) == 3
    assert len(await turns(store)) == 3


async def test_what_nothing_was_sent_of_can_be_put_back(store: Store) -> None:
    """In its old place, with another fence for whoever claims it next."""
    await commit(store, waiting("req_1"), waiting("req_2", created_ms=6), queue.ClaimTask("req_1", 1, "process_a"))
    await commit(store, attempt(fence=2), ops.EndAttempt("att_1", "cancelled", "", 7))
    await commit(store, queue.RequeueTask("req_1", "process_a", 2))
    assert await turns(store) == ["req_1", "req_2"]
    late = attempt("att_2", fence=2)
    assert await store.commit(late) == Refused(late, "not_owner")
    await commit(store, queue.ClaimTask("req_1", 2, "process_b"), attempt("att_3", owner="process_b", fence=3))


async def test_what_is_overdue_is_told_the_oldest_first(store: Store) -> None:
    await commit(store, waiting("req_1", deadline_ms=10, created_ms=6), waiting("req_2", deadline_ms=11))
    await commit(store, waiting("req_3", deadline_ms=9), task("req_4", deadline_ms=1))

    async def overdue(now_ms: int, limit: int = 9) -> list[str]:
        return [row.id for row in await store.read(queue.OverdueTasks(now_ms, limit))]

    assert await overdue(8) == []
    assert await overdue(11) == ["req_2", "req_3", "req_1"]
    assert await overdue(10) == ["req_3", "req_1"]
    assert await overdue(11, 1) == ["req_2"]


async def test_a_mark_is_told_to_the_owner_until_the_task_ends(store: Store) -> None:
    await commit(store, task("req_1"), task("req_2"), task("req_3", owner="process_b"))
    await commit(store, queue.MarkCancel("req_2", 7), queue.MarkCancel("req_1", 8), queue.MarkCancel("req_1", 9))
    await commit(store, queue.MarkCancel("req_3", 9))
    assert await store.read(queue.CancelMarks("process_a")) == ("req_1", "req_2")
    assert (await shown(store)).cancel_ms == 8
    await commit(store, finish("req_2"))
    assert await store.read(queue.CancelMarks("process_a")) == ("req_1",)
    await commit(store, ops.AdoptTask("req_1", "process_a", 1, "process_b"))
    assert await store.read(queue.CancelMarks("process_b")) == ("req_1", "req_3")


async def test_states_differ_when_something_happened(store: Store) -> None:
    await commit(store, waiting("req_1"), task("req_2"), attempt("att_1", "req_2"), attempt("att_2", "req_2", part=1))
    assert await store.read(queue.TaskStates(("req_2", "req_1", "req_2", "req_9"))) == (
        queue.TaskState("req_1", "queued", 1, 0),
        queue.TaskState("req_2", "running", 1, 2),
    )
    assert await store.read(queue.TaskStates(())) == ()
