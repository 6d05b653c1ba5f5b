"""The ops of tasks on dictionaries. An attempt lives inside its task's row."""

from __future__ import annotations

from dataclasses import replace

from imageway.storage.memory.tables import Tables
from imageway.tasks import ops
from imageway.tasks.queries import Attempt, Claim, Task
from imageway.tasks.queue import QueueTask
from imageway.tasks.states import FINAL_PART, FINAL_TASK


def create_task(tables: Tables, op: ops.CreateTask) -> str | None:
    why = why_not_made(tables, op)
    if why is None:
        tables.put(tables.tasks, op.id, made_task(op, state="running", owner=op.owner))
    return why


def why_not_made(tables: Tables, op: ops.CreateTask | QueueTask) -> str | None:
    if not tables.is_good(op.key_id, op.created_ms):
        return "key_revoked"
    return "duplicate" if op.id in tables.tasks else None


def made_task(op: ops.CreateTask | QueueTask, *, state: str, owner: str) -> Task:
    return Task(
        id=op.id,
        workspace_id=op.workspace_id,
        key_id=op.key_id,
        model=op.model,
        state=state,
        owner=owner,
        fence=1,
        request=op.request,
        result=b"",
        created_ms=op.created_ms,
        deadline_ms=op.deadline_ms,
        finished_ms=None,
    )


def begin_attempt(tables: Tables, op: ops.BeginAttempt) -> str | None:
    task = tables.tasks.get(op.task_id)
    if task is None or (task.state, task.owner, task.fence) != ("running", op.owner, op.fence):
        return "not_owner"
    if op.id in tables.task_of:
        return "duplicate"
    attempt = Attempt(
        id=op.id,
        part=op.part,
        upstream_id=op.upstream_id,
        offering=op.offering,
        state="submitted",
        memo=b"",
        detail="",
        at_ms=op.at_ms,
        deadline_ms=op.deadline_ms,
        changed_ms=op.at_ms,
    )
    tables.put(tables.task_of, op.id, op.task_id)
    tables.put(tables.tasks, task.id, replace(task, attempts=(*task.attempts, attempt)))
    return None


def keep_memo(tables: Tables, op: ops.KeepMemo) -> str | None:
    found = tables.attempt(op.attempt_id)
    why = _closed(found)
    if found is None or why:
        return why
    task, attempt = found
    _put_attempt(tables, task, replace(attempt, state="polling", memo=op.memo, changed_ms=op.at_ms))
    return None


def end_attempt(tables: Tables, op: ops.EndAttempt) -> str | None:
    found = tables.attempt(op.attempt_id)
    why = _closed(found)
    if found is None or why:
        return why
    task, attempt = found
    _put_attempt(tables, task, replace(attempt, state=op.state, detail=op.detail, changed_ms=op.at_ms))
    return None


def finish_task(tables: Tables, op: ops.FinishTask) -> str | None:
    task = tables.tasks.get(op.id)
    if task is None or task.state in FINAL_TASK:
        return "task_final"
    tables.put(tables.tasks, op.id, replace(task, state=op.state, result=op.result, finished_ms=op.at_ms))
    return None


def replace_result(tables: Tables, op: ops.ReplaceResult) -> str | None:
    task = tables.tasks.get(op.id)
    if task is None or task.state not in FINAL_TASK:
        return "not_final"
    if op.was is not None and op.was != task.result:
        return "changed"
    tables.put(tables.tasks, op.id, replace(task, result=op.result))
    return None


def adopt_task(tables: Tables, op: ops.AdoptTask) -> str | None:
    task = tables.tasks.get(op.id)
    if task is None or (task.state, task.owner, task.fence) != ("running", op.from_owner, op.from_fence):
        return "not_owner"
    tables.put(tables.tasks, op.id, replace(task, owner=op.to_owner, fence=task.fence + 1))
    return None


def renew_lease(tables: Tables, op: ops.RenewLease) -> None:
    tables.put(tables.leases, op.owner, op.until_ms)


def drop_lease(tables: Tables, op: ops.DropLease) -> None:
    tables.drop(tables.leases, op.owner)


def claim_key(tables: Tables, op: ops.ClaimKey) -> str | None:
    before = tables.claims.get((op.workspace_id, op.key))
    if before is not None and before.at_ms > op.expired_ms:
        task = tables.tasks.get(before.task_id)
        if task is not None and task.state not in ("failed", "cancelled"):
            return "in_use"
    tables.put(tables.claims, (op.workspace_id, op.key), Claim(op.task_id, op.fingerprint, op.at_ms))
    return None


def _closed(found: tuple[Task, Attempt] | None) -> str | None:
    if found is None or found[0].state in FINAL_TASK:
        return "task_final"
    return "attempt_final" if found[1].state in FINAL_PART else None


def _put_attempt(tables: Tables, task: Task, changed: Attempt) -> None:
    attempts = tuple(changed if attempt.id == changed.id else attempt for attempt in task.attempts)
    tables.put(tables.tasks, task.id, replace(task, attempts=attempts))
