"""Ops on tasks, attempts, leases and claims: what each does, seen through the queries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from imageway.core.ops import Committed, Refused, Store
from imageway.ledger.ops import RevokeKey
from imageway.tasks import ops, queries
from tests.store.places import KEY, WORKSPACE, attempt, commit, finish, task, usage, waiting


@pytest.fixture
async def store(store: Store) -> Store:
    """With a key, without which nothing is accepted."""
    await commit(store, WORKSPACE, KEY)
    return store


async def shown(store: Store, task_id: str = "req_1") -> queries.Task:
    found = await store.read(queries.ShowTask(task_id))
    assert found is not None
    return found


async def test_a_new_task_runs_with_fence_one(store: Store) -> None:
    await commit(store, task())
    assert await shown(store) == queries.Task(
        id="req_1",
        workspace_id="ws_1",
        key_id="key_1",
        model="draw-1",
        state="running",
        owner="process_a",
        fence=1,
        request=b'{"prompt": "a cat \xe7\x8c\xab"}',
        result=b"",
        created_ms=5,
        deadline_ms=900_005,
        finished_ms=None,
    )


async def test_an_id_that_was_used_up_is_accepted_no_more(store: Store) -> None:
    """Made and ended in one unit, side by side with others: a commit of which nobody heard is refused when it comes."""
    ids = [f"req_{number}" for number in range(4)]
    units = (store.commit(task(task_id), finish(task_id, "cancelled")) for task_id in ids)
    assert await asyncio.gather(*units) == [Committed()] * len(ids)
    assert {(await shown(store, task_id)).state for task_id in ids} == {"cancelled"}
    for late in (task("req_1"), waiting("req_1")):
        assert await store.commit(late, attempt(task_id="req_1")) == Refused(late, "duplicate")


async def test_what_was_accepted_goes_on_when_its_key_is_revoked(store: Store) -> None:
    await commit(store, task(), attempt(), RevokeKey("key_1", 6), attempt("att_2"), finish())


async def test_a_task_is_shown_to_its_own_workspace_alone(store: Store) -> None:
    await commit(store, task())
    assert await store.read(queries.ShowTask("req_1", "ws_1")) == await shown(store)
    assert await store.read(queries.ShowTask("req_1", "ws_2")) is None
    assert await store.read(queries.ShowTask("req_2")) is None


async def test_a_workspace_pages_through_its_tasks(store: Store) -> None:
    """Newest first, with their attempts; the count is of all that match, also beyond the last page."""
    for number, (model, created_ms) in enumerate((("draw-1", 10), ("draw-2", 20), ("draw-1", 30), ("draw-1", 30))):
        await commit(store, task(f"req_{number}", model=model, created_ms=created_ms))
    await commit(store, attempt("att_1"), attempt("att_2", part=1), finish("req_0"))
    await commit(store, task("req_9", workspace_id="ws_2"))

    async def found(**query: Any) -> tuple[list[str], int]:
        page = await store.read(queries.FindTasks(workspace_id="ws_1", **query))
        return [row.id for row in page.tasks], page.total

    assert await found() == (["req_3", "req_2", "req_1", "req_0"], 4)
    assert await found(limit=2, skip=1) == (["req_2", "req_1"], 4)
    assert await found(skip=4) == ([], 4)
    assert await found(model="draw-1", until_ms=30) == (["req_0"], 1)
    assert await found(since_ms=20, until_ms=31) == (["req_3", "req_2", "req_1"], 3)
    assert await found(states=("running", "unknown"), since_ms=30) == (["req_3", "req_2"], 2)
    assert await found(states=("failed",)) == ([], 0)
    page = await store.read(queries.FindTasks(workspace_id="ws_1", limit=9))
    assert page.tasks == tuple([await shown(store, row.id) for row in page.tasks])
    assert [one.id for one in page.tasks[2].attempts] == ["att_1", "att_2"]


async def test_attempts_stand_in_their_task_in_the_order_they_began(store: Store) -> None:
    """Whatever their ids and times say."""
    await commit(store, task(), attempt("att_2", part=1), attempt("att_1"))
    second, first = (await shown(store)).attempts
    assert second == queries.Attempt(
        id="att_2",
        part=1,
        upstream_id="up_1",
        offering="draw-1@maker",
        state="submitted",
        memo=b"",
        detail="",
        at_ms=6,
        deadline_ms=300_006,
        changed_ms=6,
    )
    assert first.id == "att_1"


async def test_a_memo_makes_its_attempt_polling_and_may_change(store: Store) -> None:
    await commit(store, task(), attempt(), ops.KeepMemo("att_1", b'{"id":"a"}', 7), ops.KeepMemo("att_1", b"{}", 8))
    (kept,) = (await shown(store)).attempts
    assert (kept.state, kept.memo, kept.changed_ms, kept.at_ms) == ("polling", b"{}", 8, 6)


async def test_an_end_keeps_memo_and_says_why(store: Store) -> None:
    memo = ops.KeepMemo("att_1", b"{}", 7)
    await commit(store, task(), attempt(), memo, ops.EndAttempt("att_1", "failed", "503 from up_1", 8))
    (ended,) = (await shown(store)).attempts
    assert (ended.state, ended.memo, ended.detail, ended.changed_ms) == ("failed", b"{}", "503 from up_1", 8)


async def test_evidence_is_accepted_from_anybody_while_the_task_runs(store: Store) -> None:
    """Neither a memo nor an end names an owner: a process that lost the task may still bring what it knows."""
    await commit(store, task(), attempt(), ops.AdoptTask("req_1", "process_a", 1, "process_b"))
    await commit(store, ops.KeepMemo("att_1", b"{}", 7), ops.EndAttempt("att_1", "proved", "", 8))


async def test_a_task_ends_with_its_result(store: Store) -> None:
    await commit(store, task(), finish())
    ended = await shown(store)
    assert (ended.state, ended.result, ended.finished_ms) == ("succeeded", b'{"images": 1}', 9)


async def test_the_result_of_a_final_task_may_be_replaced(store: Store) -> None:
    await commit(store, task(), finish(), ops.ReplaceResult("req_1", b"{}"))
    ended = await shown(store)
    assert (ended.state, ended.result, ended.finished_ms) == ("succeeded", b"{}", 9)


async def test_a_result_may_be_replaced_on_condition_that_nobody_else_did(store: Store) -> None:
    was = finish().result
    await commit(store, task(), finish(), ops.ReplaceResult("req_1", b"{}", was))
    again = ops.ReplaceResult("req_1", b"[]", was)
    assert await store.commit(again) == Refused(again, "changed")
    assert (await shown(store)).result == b"{}"


async def test_adoption_changes_owner_and_fence(store: Store) -> None:
    await commit(store, task(), ops.AdoptTask("req_1", "process_a", 1, "process_b"))
    adopted = await shown(store)
    assert (adopted.owner, adopted.fence) == ("process_b", 2)
    await commit(store, attempt(owner="process_b", fence=2))


async def test_running_tasks_are_told_by_owner_oldest_first(store: Store) -> None:
    await commit(store, task("req_3", created_ms=1), task("req_1", owner="process_b", created_ms=2))
    await commit(store, task("req_2", created_ms=2), task("req_4"), finish("req_4"), attempt("att_1", "req_3"))

    async def found(owners: tuple[str, ...] | None) -> list[str]:
        return [row.id for row in await store.read(queries.RunningTasks(owners))]

    assert await found(None) == ["req_3", "req_1", "req_2"]
    assert await found(("process_a",)) == ["req_3", "req_2"]
    assert await found(("process_a", "process_b")) == ["req_3", "req_1", "req_2"]
    assert await found(()) == []
    oldest = (await store.read(queries.RunningTasks()))[0]
    assert [row.id for row in oldest.attempts] == ["att_1"]


async def test_tasks_under_way_at_an_upstream_are_counted_once_each(store: Store) -> None:
    """Those that have ended there, or altogether, are not; those that poll are."""
    await commit(store, *(task(f"req_{number}") for number in (1, 2, 3, 4)), waiting("req_5"))
    assert await store.read(queries.CountUnderWay("up_1")) == 0
    await commit(store, attempt(), attempt("att_1b", part=1), attempt("att_2", "req_2"), attempt("att_3", "req_3"))
    await commit(store, attempt("att_4", "req_4", upstream_id="up_2"))
    assert [await store.read(queries.CountUnderWay(name)) for name in ("up_1", "up_2", "up_3")] == [3, 1, 0]
    await commit(store, ops.KeepMemo("att_2", b"{}", 7), ops.EndAttempt("att_1", "failed", "", 7))
    assert await store.read(queries.CountUnderWay("up_1")) == 3
    await commit(store, ops.EndAttempt("att_1b", "proved", "", 7), ops.EndAttempt("att_3", "unknown", "", 7))
    assert await store.read(queries.CountUnderWay("up_1")) == 1
    await commit(store, ops.EndAttempt("att_2", "proved", "", 8), finish("req_2"))
    assert await store.read(queries.CountUnderWay("up_1")) == 0


async def test_unknown_tasks_are_told_newest_first_with_their_attempts(store: Store) -> None:
    """The limit counts tasks, not attempts."""
    for number in (1, 2, 3):
        task_id = f"req_{number}"
        await commit(store, task(task_id), attempt(f"att_{number}", task_id), attempt(f"att_{number}b", task_id))
        await commit(store, finish(task_id, "unknown", at_ms=number))
    await commit(store, task("req_4"), finish("req_4", "failed"))
    newest, older = await store.read(queries.UnknownTasks(limit=2))
    assert (newest.id, older.id) == ("req_3", "req_2")
    assert [row.id for row in newest.attempts] == ["att_3", "att_3b"]
    assert len(await store.read(queries.UnknownTasks())) == 3


async def test_unknown_tasks_of_a_time_are_told_page_by_page_and_no_others(store: Store) -> None:
    """From its first millisecond until before its end; those that ended at one moment by their ids, the last first.
    What was asked and answered stays where it is: a page of thousands is no more than their names."""
    ends = {"req_1": 9, "req_2": 10, "req_3": 15, "req_4": 15, "req_5": 15, "req_6": 19, "req_7": 20}
    for task_id, at_ms in ends.items():
        lost = f"att_{task_id}"
        await commit(store, task(task_id), attempt(lost, task_id), attempt(f"{lost}b", task_id, part=1))
        if task_id == "req_4":
            await commit(store, ops.EndAttempt(lost, "unknown", "cut", 8))
        await commit(store, finish(task_id, "succeeded" if task_id == "req_4" else "unknown", at_ms=at_ms))

    async def told(before: tuple[int, str], limit: int = 100) -> list[queries.Task]:
        return list(await store.read(queries.UnknownTasks(limit, since_ms=10, before=before)))

    whole = await told((20, ""))
    assert [row.id for row in whole] == ["req_6", "req_5", "req_4", "req_3", "req_2"]
    assert [(row.request, row.result) for row in whole] == [(b"", b"")] * 5
    assert [[one.id for one in row.attempts] for row in whole[2:3]] == [["att_req_4", "att_req_4b"]]
    paged, before = list[queries.Task](), (20, "")
    while page := await told(before, limit=2):
        paged += page
        assert (len(page) <= 2, len(paged) <= len(whole)) == (True, True)
        before = (page[-1].finished_ms or 0, page[-1].id)
    assert paged == whole
    assert await told((10, "")) == []


async def test_a_task_with_an_unknown_part_is_told_however_it_ended_and_only_once(store: Store) -> None:
    """k of n delivered, and nobody knows what became of the others: the provider may bill them. Not while it runs."""

    async def told() -> list[str]:
        return [row.id for row in await store.read(queries.UnknownTasks())]

    states = {"req_1": "succeeded", "req_2": "cancelled", "req_3": "unknown"}
    for number, task_id in enumerate(states):
        good, lost = f"att_{number}", f"att_{number}x"
        await commit(store, task(task_id), attempt(good, task_id), attempt(lost, task_id, part=1))
        await commit(store, ops.EndAttempt(good, "proved", "", 7), ops.EndAttempt(lost, "unknown", "", 8))
    await commit(store, task("req_4"), attempt("att_4", "req_4"), ops.EndAttempt("att_4", "failed", "", 7))
    assert await told() == []
    for at_ms, (task_id, state) in enumerate(states.items()):
        await commit(store, finish(task_id, state, at_ms=at_ms))
    await commit(store, finish("req_4", "failed"))
    assert await told() == ["req_3", "req_2", "req_1"]
    (partly,) = [row for row in await store.read(queries.UnknownTasks()) if row.id == "req_1"]
    assert [row.state for row in partly.attempts] == ["proved", "unknown"]
    assert len(await store.read(queries.UnknownTasks(limit=2))) == 2


async def test_owners_are_whoever_has_a_lease_a_running_task_or_something_to_deliver(store: Store) -> None:
    await commit(store, ops.RenewLease("process_l", 100), ops.RenewLease("process_t", 200))
    await commit(store, task("req_1", owner="process_t"), task("req_2", owner="process_x"), finish("req_2"))
    await commit(store, usage("req_3", owner="process_u"), usage("req_4", owner="process_y", delivery="stored"))
    assert await store.read(queries.Owners()) == (("process_l", 100), ("process_t", 200), ("process_u", 0))


async def test_a_lease_is_renewed_and_dropped(store: Store) -> None:
    await commit(store, ops.RenewLease("process_a", 100), ops.RenewLease("process_a", 250))
    assert await store.read(queries.Owners()) == (("process_a", 250),)
    await commit(store, ops.DropLease("process_a"), ops.DropLease("process_a"))
    assert await store.read(queries.Owners()) == ()


def claim(task_id: str, **changes: Any) -> ops.ClaimKey:
    return replace(ops.ClaimKey("ws_1", "once", task_id, 5, b"\x00digest"), **changes)


TAKEN = (task(), claim("req_1"), task("req_2"))


async def test_a_claim_is_per_workspace_and_key(store: Store) -> None:
    await commit(store, *TAKEN, claim("req_2", workspace_id="ws_2"), claim("req_2", key="twice"))


async def test_a_claim_is_found_in_its_own_workspace_with_what_was_asked(store: Store) -> None:
    await commit(store, *TAKEN, claim("req_2", workspace_id="ws_2", fingerprint=b""))
    assert await store.read(queries.FindClaim("ws_1", "once")) == queries.Claim("req_1", b"\x00digest", 5)
    assert await store.read(queries.FindClaim("ws_2", "once")) == queries.Claim("req_2", b"", 5)
    assert await store.read(queries.FindClaim("ws_3", "once")) is None
    assert await store.read(queries.FindClaim("ws_1", "ONCE")) is None


@pytest.mark.parametrize("state", ["succeeded", "unknown", "failed", "cancelled", None])
async def test_a_claim_binds_while_its_task_runs_and_when_that_was_paid(store: Store, state: str | None) -> None:
    """A failed task is no answer that an honest retry should be given for ever."""
    await commit(store, *TAKEN, *(() if state is None else (finish("req_1", state),)))
    again = claim("req_2", fingerprint=b"other", at_ms=6)
    is_over = state in ("failed", "cancelled")
    assert await store.commit(again) == (Committed() if is_over else Refused(again, "in_use"))
    taken = queries.Claim("req_2", b"other", 6) if is_over else queries.Claim("req_1", b"\x00digest", 5)
    assert await store.read(queries.FindClaim("ws_1", "once")) == taken


async def test_a_claim_whose_task_is_gone_may_be_taken_anew(store: Store) -> None:
    await commit(store, claim("req_0"), task("req_1"), claim("req_1"))
    assert await store.commit(claim("req_2")) == Refused(claim("req_2"), "in_use")


async def test_a_claim_ends_with_its_time(store: Store) -> None:
    await commit(store, *TAKEN, finish("req_1"))
    early, late = claim("req_2", at_ms=9, expired_ms=4), claim("req_2", at_ms=10, expired_ms=5)
    assert await store.commit(early) == Refused(early, "in_use")
    await commit(store, late)
    assert await store.read(queries.FindClaim("ws_1", "once")) == queries.Claim("req_2", b"\x00digest", 10)


async def test_of_many_that_claim_a_key_anew_at_once_one_gets_it(store: Store) -> None:
    await commit(store, *TAKEN, finish("req_1", "failed"))
    rivals = [(task(f"req_{number}"), claim(f"req_{number}")) for number in range(10, 20)]
    outcomes = await asyncio.gather(*(store.commit(*unit) for unit in rivals))
    assert outcomes.count(Committed()) == 1
