"""Waiting tasks on dictionaries: ops and queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from imageway.storage.memory.tables import Tables
from imageway.storage.memory.tasks import made_task, why_not_made
from imageway.tasks import queue
from imageway.tasks.queries import Task
from imageway.tasks.states import FINAL_PART, FINAL_TASK


def queue_task(tables: Tables, op: queue.QueueTask) -> str | None:
    why = why_not_made(tables, op)
    if why is None and sum(row.workspace_id == op.workspace_id for row in _waiting(tables)) >= op.limit:
        why = "queue_full"
    if why is None:
        tables.put(tables.tasks, op.id, made_task(op, state="queued", owner=queue.NOBODY))
    return why


def claim_task(tables: Tables, op: queue.ClaimTask) -> str | None:
    task = tables.tasks.get(op.id)
    if task is None or (task.state, task.fence) != ("queued", op.fence):
        return "not_queued"
    tables.put(tables.tasks, op.id, replace(task, state="running", owner=op.owner, fence=task.fence + 1))
    return None


def requeue_task(tables: Tables, op: queue.RequeueTask) -> str | None:
    task = tables.tasks.get(op.id)
    if task is None or (task.state, task.owner, task.fence) != ("running", op.owner, op.fence):
        return "not_owner"
    if any(attempt.state not in FINAL_PART for attempt in task.attempts):
        return "begun"
    tables.put(tables.tasks, op.id, replace(task, state="queued", owner=queue.NOBODY))
    return None


def mark_cancel(tables: Tables, op: queue.MarkCancel) -> str | None:
    task = tables.tasks.get(op.id)
    if task is None or task.state != "running":
        return "not_running"
    tables.put(tables.tasks, op.id, replace(task, cancel_ms=task.cancel_ms or op.at_ms))
    return None


def queued_tasks(tables: Tables, query: queue.QueuedTasks) -> tuple[queue.Waiting, ...]:
    turns: Counter[str] = Counter()
    placed = []
    for task in _by_age(row for row in _waiting(tables) if row.key_id not in query.busy):
        turns[task.workspace_id] += 1
        placed.append((turns[task.workspace_id], task.created_ms, task.id, task))
    return tuple(_shown(task) for *_, task in sorted(placed, key=lambda place: place[:3])[: query.limit])


def overdue_tasks(tables: Tables, query: queue.OverdueTasks) -> tuple[queue.Waiting, ...]:
    overdue = (row for row in _waiting(tables) if row.deadline_ms <= query.now_ms)
    return tuple(_shown(task) for task in _by_age(overdue)[: query.limit])


def cancel_marks(tables: Tables, query: queue.CancelMarks) -> tuple[str, ...]:
    mine = (row for row in tables.tasks.values() if row.owner == query.owner and row.state not in FINAL_TASK)
    return tuple(sorted(row.id for row in mine if row.cancel_ms is not None))


def task_states(tables: Tables, query: queue.TaskStates) -> tuple[queue.TaskState, ...]:
    found = (tables.tasks[task_id] for task_id in sorted(set(query.ids)) if task_id in tables.tasks)
    return tuple(queue.TaskState(task.id, task.state, task.fence, len(task.attempts)) for task in found)


def _waiting(tables: Tables) -> Iterable[Task]:
    return (row for row in tables.tasks.values() if row.state == "queued")


def _by_age(rows: Iterable[Task]) -> list[Task]:
    return sorted(rows, key=lambda row: (row.created_ms, row.id))


def _shown(task: Task) -> queue.Waiting:
    return queue.Waiting(
        id=task.id,
        workspace_id=task.workspace_id,
        key_id=task.key_id,
        fence=task.fence,
        created_ms=task.created_ms,
        deadline_ms=task.deadline_ms,
    )
