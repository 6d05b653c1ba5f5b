"""How old rows are removed from memory, and found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from imageway.core.ops import Op
from imageway.storage.memory.tables import Tables
from imageway.tasks import sweeping
from imageway.tasks.queries import Task
from imageway.tasks.states import FINAL_TASK
from imageway.tasks.webhooks import PENDING


def forget_tasks(tables: Tables, op: sweeping.ForgetTasks) -> None:
    for task_id in op.ids:
        task = tables.tasks.get(task_id)
        if task is None or not _is_over(tables, task):
            continue
        tables.drop(tables.tasks, task_id)
        for attempt in task.attempts:
            tables.drop(tables.task_of, attempt.id)
        for delivery in [row.id for row in tables.deliveries.values() if row.task_id == task_id]:
            tables.drop(tables.deliveries, delivery)


def forget_claims(tables: Tables, op: sweeping.ForgetClaims) -> None:
    over = sorted((claim.at_ms, key) for key, claim in tables.claims.items() if claim.at_ms <= op.expired_ms)
    for _, key in over[: op.limit]:
        tables.drop(tables.claims, key)


def old_tasks(tables: Tables, query: sweeping.OldTasks) -> tuple[str, ...]:
    ended = ((task.finished_ms, task.id) for task in tables.tasks.values() if _is_over(tables, task))
    old = sorted((at_ms, task_id) for at_ms, task_id in ended if at_ms is not None and at_ms < query.before_ms)
    return tuple(task_id for _, task_id in old[: query.limit])


def oldest_claim(tables: Tables, _: sweeping.OldestClaim) -> int | None:
    return min((claim.at_ms for claim in tables.claims.values()), default=None)


def _is_over(tables: Tables, task: Task) -> bool:
    """Final, and nobody needs it."""
    usage = tables.usage.get(task.id)
    if task.state not in FINAL_TASK or (usage is not None and usage.delivery == "undelivered"):
        return False
    return not any(row.task_id == task.id and row.state == PENDING for row in tables.deliveries.values())


SWEEPING_WRITES: Final[dict[type[Op], Callable[[Tables, Any], None]]] = {
    sweeping.ForgetTasks: forget_tasks,
    sweeping.ForgetClaims: forget_claims,
}
