"""The queries about tasks that wait, that are under way and that are old, as `selects` has the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from imageway.core.ops import Query
from imageway.storage.rows import Select, all_as, first_as, marks
from imageway.tasks import queries, queue, sweeping
from imageway.tasks.states import SENT

_FIELDS: Final = "id, workspace_id, key_id, fence, created_ms, deadline_ms"
_NAMES: Final = tuple(_FIELDS.split(", "))
# Word for word what the partial indexes say, or they are not used.
_QUEUED: Final = "state = 'queued'"
_ENDED: Final = "finished_ms > 0"
NOT_FINAL: Final = "state IN ('queued', 'running')"
_SENT: Final = ", ".join(f"'{state}'" for state in sorted(SENT))


def queued_tasks(query: queue.QueuedTasks) -> Select:
    others = f" AND key_id NOT IN ({marks(query.busy)})" if query.busy else ""
    turn = "ROW_NUMBER() OVER (PARTITION BY workspace_id ORDER BY created_ms, id) AS turn"
    placed = f"SELECT {_FIELDS}, {turn} FROM tasks WHERE {_QUEUED}{others}"  # noqa: S608  (names of ours)
    sql = f"SELECT {_FIELDS} FROM ({placed}) AS placed ORDER BY turn, created_ms, id LIMIT ?"  # noqa: S608
    return Select(sql, (*query.busy, query.limit), _waiting)


def overdue_tasks(query: queue.OverdueTasks) -> Select:
    sql = f"SELECT {_FIELDS} FROM tasks WHERE {_QUEUED} AND deadline_ms <= ? ORDER BY created_ms, id LIMIT ?"  # noqa: S608
    return Select(sql, (query.now_ms, query.limit), _waiting)


def cancel_marks(query: queue.CancelMarks) -> Select:
    sql = "SELECT id FROM tasks WHERE cancel_ms IS NOT NULL AND finished_ms IS NULL AND owner = ? ORDER BY id"
    return Select(sql, (query.owner,), all_as(lambda row: row[0]))


def task_states(query: queue.TaskStates) -> Select:
    counted = "(SELECT COUNT(*) FROM attempts WHERE task_id = tasks.id)"
    sql = f"SELECT id, state, fence, {counted} FROM tasks WHERE id IN ({marks(query.ids)}) ORDER BY id"  # noqa: S608
    return Select(sql, query.ids, all_as(lambda row: queue.TaskState(*row)))


def count_under_way(query: queries.CountUnderWay) -> Select:
    # As a value of each task, as below: few run, however many attempts there were.
    sent = f"(SELECT COUNT(*) FROM attempts WHERE task_id = tasks.id AND upstream_id = ? AND state IN ({_SENT}))"  # noqa: S608
    sql = f"SELECT COUNT(*) FROM tasks WHERE {NOT_FINAL} AND {sent} > 0"  # noqa: S608
    return Select(sql, (query.upstream_id,), lambda rows: rows[0][0])


def old_tasks(query: sweeping.OldTasks) -> Select:
    # As values, not as conditions of a join: who has millions of rows is asked for those of one task.
    answer = "COALESCE((SELECT delivery FROM usage WHERE request_id = tasks.id), '')"
    to_tell = (
        "(SELECT COUNT(*) FROM webhook_deliveries WHERE task_id = tasks.id AND state NOT IN ('delivered', 'dead'))"
    )
    sql = (
        f"SELECT id FROM tasks WHERE {_ENDED} AND finished_ms < ? AND {answer} <> 'undelivered' AND {to_tell} = 0"  # noqa: S608
        " ORDER BY finished_ms, id LIMIT ?"
    )
    return Select(sql, (query.before_ms, query.limit), all_as(lambda row: row[0]))


def oldest_claim(_: sweeping.OldestClaim) -> Select:
    return Select("SELECT MIN(at_ms) FROM claims", (), first_as(lambda row: row[0]))


_waiting: Final = all_as(lambda row: queue.Waiting(**dict(zip(_NAMES, row, strict=True))))

QUEUE_SELECTS: Final[dict[type[Query[Any]], Callable[[Any], Select]]] = {
    queue.QueuedTasks: queued_tasks,
    queue.OverdueTasks: overdue_tasks,
    queue.CancelMarks: cancel_marks,
    queue.TaskStates: task_states,
    queries.CountUnderWay: count_under_way,
    sweeping.OldTasks: old_tasks,
    sweeping.OldestClaim: oldest_claim,
}
