"""Each query as one SELECT, the same for SQLite and PostgreSQL, and the shapes made of its rows. One statement each, so
that an answer is one moment of the database. `?` stands for a parameter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from itertools import groupby
from typing import Any, Final

from imageway.core.ops import Query
from imageway.ledger import queries as ledger
from imageway.storage.access_selects import ACCESS_SELECTS
from imageway.storage.queue_selects import NOT_FINAL, QUEUE_SELECTS
from imageway.storage.report_selects import REPORT_SELECTS
from imageway.storage.rows import Row, Rows, Select, all_as, first_as, marks
from imageway.storage.usage_selects import USAGE_SELECTS
from imageway.tasks import queries as tasks
from imageway.tasks import webhooks

_USAGE: Final = (
    "SELECT request_id, COALESCE(workspaces.name, workspace_id), key_id, model, outcome, n, delivered,"
    " price_usd_micros, cost_usd_micros, lines, delivery, upstream_id, at_ms"
    " FROM usage LEFT JOIN workspaces ON workspaces.id = usage.workspace_id"
)
_TRANSFER: Final = "SELECT seq, kind, workspace_id, task_id, account, usd_micros, at_ms FROM transfers"
_HOLD: Final = "SELECT task_id, workspace_id, usd_micros, captured, state FROM holds"
_ENDPOINT: Final = (
    "SELECT made.id, workspace_id, workspaces.name, url, events, made.created_ms, disabled_ms"
    " FROM webhook_endpoints AS made JOIN workspaces ON workspaces.id = workspace_id"
)
_STATES: Final = {state: state for state in (webhooks.PENDING, *webhooks.ENDS)}
# The columns of a row are the fields of its shape, in the same order.
_ENDPOINT_FIELDS: Final = tuple(field.name for field in fields(webhooks.Endpoint))
_DELIVERY_FIELDS: Final = tuple(field.name for field in fields(webhooks.Delivery))
_DELIVERY: Final = f"SELECT {', '.join(_DELIVERY_FIELDS)} FROM webhook_deliveries"  # noqa: S608  (names of ours)
_USAGE_FIELDS: Final = tuple(field.name for field in fields(ledger.UsageRow))
_TASK_FIELDS: Final = tuple(field.name for field in fields(tasks.Task) if field.name != "attempts")
_ATTEMPT_FIELDS: Final = tuple(field.name for field in fields(tasks.Attempt))
_BODIES: Final[dict[str, bytes]] = {"request": b"", "result": b""}
_BRIEF_FIELDS: Final = tuple(name for name in _TASK_FIELDS if name not in _BODIES)


def _columns(task_fields: Iterable[str]) -> str:
    return ", ".join((*(f"task.{name}" for name in task_fields), *(f"attempts.{name}" for name in _ATTEMPT_FIELDS)))


_TASK_COLUMNS: Final = _columns(_TASK_FIELDS)
_ATTEMPTS: Final = "LEFT JOIN attempts ON attempts.task_id = task.id"
# Word for word what the partial indexes say, or they are not used.
_UNDELIVERED: Final = "delivery = 'undelivered'"


def show_wallet(query: ledger.ShowWallet) -> Select:
    sql = (
        "SELECT workspace_id, workspaces.name, available, held, spent, topped_up, granted, adjusted"
        " FROM wallets JOIN workspaces ON workspaces.id = workspace_id WHERE workspace_id = ?"
    )
    return Select(sql, (query.workspace_id,), first_as(lambda row: ledger.Wallet(*row)))


def list_usage(query: ledger.ListUsage) -> Select:
    where, values = _of_workspace(query.workspace_id)
    sql = f"{_USAGE} WHERE {where} ORDER BY at_ms DESC, seq DESC LIMIT ?"
    return Select(sql, (*values, query.limit), all_as(_usage))


def undelivered(query: ledger.Undelivered) -> Select:
    # In no order: the planner would walk the whole table in it, rather than sort what a limit may cut.
    sql = f"{_USAGE} WHERE {_UNDELIVERED} AND owner IN ({marks(query.owners)}) LIMIT ?"
    return Select(sql, (*query.owners, query.limit), all_as(_usage))


def list_transfers(query: ledger.ListTransfers) -> Select:
    where, values = _of_workspace(query.workspace_id)
    sql = f"{_TRANSFER} WHERE {where} AND seq > ? ORDER BY seq LIMIT ?"
    return Select(sql, (*values, query.after_seq, query.limit), all_as(lambda row: ledger.Transfer(*row)))


def list_holds(query: ledger.ListHolds) -> Select:
    where, values = _of_workspace(query.workspace_id)
    sql = f"{_HOLD} WHERE {where} AND task_id > ? ORDER BY task_id LIMIT ?"
    return Select(sql, (*values, query.after_task, query.limit), all_as(lambda row: ledger.HoldRow(*row)))


def show_task(query: tasks.ShowTask) -> Select:
    if query.workspace_id is None:
        return _tasks("WHERE id = ?", (query.id,), shape=_one_task)
    return _tasks("WHERE id = ? AND workspace_id = ?", (query.id, query.workspace_id), shape=_one_task)


def find_tasks(query: tasks.FindTasks) -> Select:
    """The count stands before each row, and alone in one where the page is empty."""
    all_where, all_values = _matching(query)
    where, values = all_where, all_values
    if query.before is not None:
        where, values = f"{where} AND (created_ms, id) < (?, ?)", (*values, *query.before)
    count = f"SELECT COUNT(*) AS total FROM tasks WHERE {all_where}" if query.counted else "SELECT 0 AS total"  # noqa: S608
    page = f"SELECT * FROM tasks WHERE {where} ORDER BY created_ms DESC, id DESC LIMIT ? OFFSET ?"  # noqa: S608
    chosen = f"({count}) AS counted LEFT JOIN ({page}) AS task ON TRUE"
    sql = (
        f"SELECT counted.total, {_TASK_COLUMNS} FROM {chosen} {_ATTEMPTS}"  # noqa: S608
        " ORDER BY task.created_ms DESC, task.id DESC, attempts.seq"
    )
    return Select(sql, (*(all_values if query.counted else ()), *values, query.limit, query.skip), _page)


def _matching(query: tasks.FindTasks) -> tuple[str, tuple[str | int, ...]]:
    conditions: list[tuple[str, tuple[str | int, ...]]] = [("workspace_id = ?", (query.workspace_id,))]
    if query.since_ms is not None:
        conditions.append(("created_ms >= ?", (query.since_ms,)))
    if query.until_ms is not None:
        conditions.append(("created_ms < ?", (query.until_ms,)))
    if query.states:
        conditions.append((f"state IN ({marks(query.states)})", query.states))
    if query.model is not None:
        conditions.append(("model = ?", (query.model,)))
    return " AND ".join(text for text, _ in conditions), tuple(value for _, values in conditions for value in values)


def find_claim(query: tasks.FindClaim) -> Select:
    sql = "SELECT task_id, fingerprint, at_ms FROM claims WHERE workspace_id = ? AND key = ?"
    return Select(sql, (query.workspace_id, query.key), first_as(lambda row: tasks.Claim(*row)))


def running_tasks(query: tasks.RunningTasks) -> Select:
    if query.owners is None:
        return _tasks(f"WHERE {NOT_FINAL}", (), order="created_ms")
    where = f"WHERE {NOT_FINAL} AND owner IN ({marks(query.owners)})"
    return _tasks(where, query.owners, order="created_ms")


def unknown_tasks(query: tasks.UnknownTasks) -> Select:
    """Without what was asked and answered, which lies beside the rows and is not read."""
    span, values = "finished_ms >= ? AND (finished_ms, id) < (?, ?)", (query.since_ms, *query.before)
    chosen = (
        f"SELECT {', '.join(_BRIEF_FIELDS)} FROM tasks WHERE {span}"  # noqa: S608
        f" AND id IN (SELECT id FROM tasks WHERE state = 'unknown' AND {span}"
        " UNION SELECT task_id FROM attempts WHERE state = 'unknown') ORDER BY finished_ms DESC, id DESC LIMIT ?"
    )
    sql = (
        f"SELECT {_columns(_BRIEF_FIELDS)} FROM ({chosen}) AS task {_ATTEMPTS}"  # noqa: S608
        " ORDER BY task.finished_ms DESC, task.id DESC, attempts.seq"
    )
    return Select(sql, (*values, *values, query.limit), _brief_tuple)


def owners(_: tasks.Owners) -> Select:
    running, delivering = _each_owner("running", "tasks", NOT_FINAL), _each_owner("delivering", "usage", _UNDELIVERED)
    found = (
        "SELECT owner, until_ms FROM leases UNION ALL SELECT owner, 0 FROM running"
        " UNION ALL SELECT owner, 0 FROM delivering"
    )
    sql = (
        f"WITH RECURSIVE {running}, {delivering} SELECT owner, MAX(until_ms) FROM ({found}) AS found"  # noqa: S608  (all of it is written here)
        " WHERE owner <> '' GROUP BY owner ORDER BY owner"  # nobody's are the tasks that wait
    )
    return Select(sql, (), all_as(tuple))


def list_endpoints(query: webhooks.ListEndpoints) -> Select:
    where, values = _of_workspace(query.workspace_id)
    sql = f"{_ENDPOINT} WHERE {where} AND (made.created_ms, made.id) > (?, ?) ORDER BY made.created_ms, made.id LIMIT ?"
    return Select(sql, (*values, *query.after, query.limit), all_as(_endpoint))


def find_endpoint(query: webhooks.FindEndpoint) -> Select:
    return Select(f"{_ENDPOINT} WHERE made.id = ?", (query.id,), first_as(_endpoint))


def list_secrets(query: webhooks.ListSecrets) -> Select:
    sql = (
        "SELECT id, holder_id, hint, created_ms, until_ms FROM webhook_secrets WHERE holder_id = ?"
        " ORDER BY until_ms IS NOT NULL"
    )
    return Select(sql, (query.holder_id,), all_as(lambda row: webhooks.Secret(*row)))


def find_delivery(query: webhooks.FindDelivery) -> Select:
    return Select(f"{_DELIVERY} WHERE id = ?", (query.id,), first_as(_delivery))


def due_deliveries(query: webhooks.DueDeliveries) -> Select:
    others = f" AND workspace_id NOT IN ({marks(query.busy)})" if query.busy else ""
    sql = f"{_DELIVERY} WHERE state = 'pending' AND due_ms <= ?{others} ORDER BY due_ms, id LIMIT ?"
    return Select(sql, (query.now_ms, *query.busy, query.limit), all_as(_delivery))


def list_deliveries(query: webhooks.ListDeliveries) -> Select:
    where, values = _of_workspace(query.workspace_id)
    # Written out, because an index of the dead alone is used only where the statement says so itself.
    of_state = "TRUE" if query.state is None else f"state = '{_STATES[query.state]}'"
    where = f"{where} AND {of_state} AND (created_ms, id) < (?, ?)"
    sql = f"{_DELIVERY} WHERE {where} ORDER BY created_ms DESC, id DESC LIMIT ?"
    return Select(sql, (*values, *query.before, query.limit), all_as(_delivery))


def _each_owner(name: str, table: str, where: str) -> str:
    """Each owner once, by stepping through the index from name to name, not through their thousands of rows. Besides,
    PostgreSQL notes what it finds dead in an index only when it follows it like this, and skips that the next time."""
    least = f"SELECT MIN(owner) FROM {table} WHERE {where}"  # noqa: S608  (all of it is written here)
    following = f"({least} AND {table}.owner > {name}.owner)"
    return f"{name} (owner) AS ({least} UNION ALL SELECT {following} FROM {name} WHERE {name}.owner IS NOT NULL)"  # noqa: S608


def _tasks(
    where: str, values: tuple[str | int, ...], *, order: str = "id", shape: Callable[[Rows], Any] | None = None
) -> Select:
    """A row per attempt, its task's columns first; one row for a task without attempts."""
    chosen = f"(SELECT * FROM tasks {where}) AS task"  # noqa: S608  (callers' words are parameters)
    sql = f"SELECT {_TASK_COLUMNS} FROM {chosen} {_ATTEMPTS} ORDER BY task.{order}, task.id, attempts.seq"  # noqa: S608
    return Select(sql, values, shape or _task_tuple)


def _page(rows: Rows) -> tasks.TaskPage:
    found = [row[1:] for row in rows if row[1] is not None]
    return tasks.TaskPage(_task_tuple(found), rows[0][0])


def _task_tuple(rows: Rows) -> tuple[tasks.Task, ...]:
    return tuple(_task(list(group)) for _, group in groupby(rows, key=lambda row: row[0]))


def _brief_tuple(rows: Rows) -> tuple[tasks.Task, ...]:
    return tuple(_task(list(group), _BRIEF_FIELDS, **_BODIES) for _, group in groupby(rows, key=lambda row: row[0]))


def _one_task(rows: Rows) -> tasks.Task | None:
    return _task(rows) if rows else None


def _task(rows: Rows, names: tuple[str, ...] = _TASK_FIELDS, **left_out: Any) -> tasks.Task:
    width = len(names)
    attempts = tuple(
        tasks.Attempt(**dict(zip(_ATTEMPT_FIELDS, row[width:], strict=True))) for row in rows if row[width] is not None
    )
    return tasks.Task(**dict(zip(names, rows[0][:width], strict=True)), **left_out, attempts=attempts)


def _endpoint(row: Row) -> webhooks.Endpoint:
    values = dict(zip(_ENDPOINT_FIELDS, row, strict=True))
    return webhooks.Endpoint(**values | {"events": tuple(json.loads(values["events"]))})


def _delivery(row: Row) -> webhooks.Delivery:
    return webhooks.Delivery(**dict(zip(_DELIVERY_FIELDS, row, strict=True)))


def _usage(row: Row) -> ledger.UsageRow:
    return ledger.UsageRow(**dict(zip(_USAGE_FIELDS, row, strict=True)))


def _of_workspace(workspace_id: str | None) -> tuple[str, tuple[str, ...]]:
    return ("TRUE", ()) if workspace_id is None else ("workspace_id = ?", (workspace_id,))


_SELECTS: Final[dict[type[Query[Any]], Callable[[Any], Select]]] = {
    ledger.ShowWallet: show_wallet,
    ledger.ListUsage: list_usage,
    ledger.Undelivered: undelivered,
    ledger.ListTransfers: list_transfers,
    ledger.ListHolds: list_holds,
    tasks.ShowTask: show_task,
    tasks.FindTasks: find_tasks,
    tasks.FindClaim: find_claim,
    tasks.RunningTasks: running_tasks,
    tasks.UnknownTasks: unknown_tasks,
    tasks.Owners: owners,
    webhooks.ListEndpoints: list_endpoints,
    webhooks.FindEndpoint: find_endpoint,
    webhooks.ListSecrets: list_secrets,
    webhooks.FindDelivery: find_delivery,
    webhooks.DueDeliveries: due_deliveries,
    webhooks.ListDeliveries: list_deliveries,
    **QUEUE_SELECTS,
    **USAGE_SELECTS,
    **REPORT_SELECTS,
    **ACCESS_SELECTS,
}


def select(query: Query[Any]) -> Select:
    """Raises TypeError for a query that nobody taught the store."""
    make = _SELECTS.get(type(query))
    if make is None:
        raise TypeError(f'the store knows no query "{type(query).__name__}"')
    return make(query)
