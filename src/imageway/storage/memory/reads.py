"""The queries on dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from typing import Any, Final, TypeVar

from imageway.core.ops import Query
from imageway.ledger import queries as ledger
from imageway.ledger import usage as sums
from imageway.ledger.access import PERIODS
from imageway.ledger.ops import RecordUsage
from imageway.ledger.reports import SumTransfers
from imageway.storage.memory import queue, reports, usage, webhooks
from imageway.storage.memory.access import ACCESS_READS
from imageway.storage.memory.sweeping import old_tasks, oldest_claim
from imageway.storage.memory.tables import Tables
from imageway.tasks import queries as tasks
from imageway.tasks import queue as waiting
from imageway.tasks import sweeping
from imageway.tasks import webhooks as asked
from imageway.tasks.states import FINAL_TASK, SENT

Made = TypeVar("Made", ledger.Workspace, ledger.Key)


def find_workspace(tables: Tables, query: ledger.FindWorkspace) -> ledger.Workspace | None:
    named = (row for row in tables.workspaces.values() if row.name == query.name_or_id)
    return tables.workspaces.get(query.name_or_id) or next(named, None)


def list_workspaces(tables: Tables, query: ledger.ListWorkspaces) -> tuple[ledger.Workspace, ...]:
    return _page(tables.workspaces.values(), query.after, query.limit)


def show_wallet(tables: Tables, query: ledger.ShowWallet) -> ledger.Wallet | None:
    return tables.wallets.get(query.workspace_id)


def find_key(tables: Tables, query: ledger.FindKey) -> ledger.Key | None:
    key_id = tables.digests.get(query.digest)
    return None if key_id is None else _shown(tables, tables.keys[key_id])


def show_key(tables: Tables, query: ledger.ShowKey) -> ledger.Key | None:
    key = tables.keys.get(query.id)
    return None if key is None else _shown(tables, key)


def list_keys(tables: Tables, query: ledger.ListKeys) -> tuple[ledger.Key, ...]:
    rows = (row for row in tables.keys.values() if query.workspace_id in (None, row.workspace_id))
    return tuple(_shown(tables, row) for row in _page(rows, query.after, query.limit))


def _shown(tables: Tables, key: ledger.Key) -> ledger.Key:
    """With its workspace's settings and its root's budgets."""
    budgets = (tables.budgets.get((key.root_id, period)) for period in sorted(PERIODS))
    settings = tables.workspaces[key.workspace_id].settings
    return replace(key, settings=settings, budgets=tuple(budget for budget in budgets if budget is not None))


def _page(rows: Iterable[Made], after: tuple[int, str], limit: int) -> tuple[Made, ...]:
    """In the order they were created."""
    left = [row for row in rows if (row.created_ms, row.id) > after]
    return tuple(sorted(left, key=lambda row: (row.created_ms, row.id))[:limit])


def list_usage(tables: Tables, query: ledger.ListUsage) -> tuple[ledger.UsageRow, ...]:
    rows = [row for row in reversed(tables.usage.values()) if query.workspace_id in (None, row.workspace_id)]
    return _usage(tables, sorted(rows, key=lambda row: -row.at_ms)[: query.limit])


def undelivered(tables: Tables, query: ledger.Undelivered) -> tuple[ledger.UsageRow, ...]:
    rows = (row for row in tables.usage.values() if row.delivery == "undelivered" and row.owner in query.owners)
    return _usage(tables, islice(rows, query.limit))


def list_transfers(tables: Tables, query: ledger.ListTransfers) -> tuple[ledger.Transfer, ...]:
    later = (row for row in tables.transfers.values() if row.seq > query.after_seq)
    return tuple(islice((row for row in later if query.workspace_id in (None, row.workspace_id)), query.limit))


def list_holds(tables: Tables, query: ledger.ListHolds) -> tuple[ledger.HoldRow, ...]:
    later = (row for row in tables.holds.values() if row.task_id > query.after_task)
    mine = (row for row in later if query.workspace_id in (None, row.workspace_id))
    return tuple(sorted(mine, key=lambda row: row.task_id)[: query.limit])


def show_task(tables: Tables, query: tasks.ShowTask) -> tasks.Task | None:
    task = tables.tasks.get(query.id)
    return task if task is not None and query.workspace_id in (None, task.workspace_id) else None


def find_tasks(tables: Tables, query: tasks.FindTasks) -> tasks.TaskPage:
    found = [
        row
        for row in tables.tasks.values()
        if row.workspace_id == query.workspace_id
        and (query.since_ms is None or row.created_ms >= query.since_ms)
        and (query.until_ms is None or row.created_ms < query.until_ms)
        and (not query.states or row.state in query.states)
        and query.model in (None, row.model)
    ]
    found.sort(key=lambda row: (row.created_ms, row.id), reverse=True)
    left = [row for row in found if query.before is None or (row.created_ms, row.id) < query.before]
    total = len(found) if query.counted else 0
    return tasks.TaskPage(tuple(left[query.skip : query.skip + query.limit]), total)


def find_claim(tables: Tables, query: tasks.FindClaim) -> tasks.Claim | None:
    return tables.claims.get((query.workspace_id, query.key))


def running_tasks(tables: Tables, query: tasks.RunningTasks) -> tuple[tasks.Task, ...]:
    running = (row for row in tables.tasks.values() if row.state not in FINAL_TASK)
    chosen = (row for row in running if query.owners is None or row.owner in query.owners)
    return tuple(sorted(chosen, key=lambda row: (row.created_ms, row.id)))


def count_under_way(tables: Tables, query: tasks.CountUnderWay) -> int:
    running = (row for row in tables.tasks.values() if row.state not in FINAL_TASK)
    sent = ([one.upstream_id for one in row.attempts if one.state in SENT] for row in running)
    return sum(query.upstream_id in upstreams for upstreams in sent)


def unknown_tasks(tables: Tables, query: tasks.UnknownTasks) -> tuple[tasks.Task, ...]:
    ended = (row for row in tables.tasks.values() if row.finished_ms is not None and row.finished_ms >= query.since_ms)
    rows = [
        (row.finished_ms or 0, row.id, row)
        for row in ended
        if (row.finished_ms or 0, row.id) < query.before
        and "unknown" in (row.state, *(attempt.state for attempt in row.attempts))
    ]
    last_first = sorted(rows, key=lambda found: found[:2], reverse=True)[: query.limit]
    return tuple(replace(row, request=b"", result=b"") for _, _, row in last_first)


def owners(tables: Tables, _: tasks.Owners) -> tuple[tuple[str, int], ...]:
    found = {row.owner: 0 for row in tables.tasks.values() if row.state not in FINAL_TASK}
    found |= {row.owner: 0 for row in tables.usage.values() if row.delivery == "undelivered"}
    found.pop(waiting.NOBODY, None)
    return tuple(sorted((found | tables.leases).items()))


def _usage(tables: Tables, rows: Iterable[RecordUsage]) -> tuple[ledger.UsageRow, ...]:
    return tuple(
        ledger.UsageRow(
            request_id=row.request_id,
            workspace=_name(tables, row.workspace_id),
            key_id=row.key_id,
            model=row.model,
            outcome=row.outcome,
            n=row.n,
            delivered=row.delivered,
            price_usd_micros=row.price_usd_micros,
            cost_usd_micros=row.cost_usd_micros,
            lines=row.lines,
            delivery=row.delivery,
            upstream_id=row.upstream_id,
            at_ms=row.at_ms,
        )
        for row in rows
    )


def _name(tables: Tables, workspace_id: str) -> str:
    workspace = tables.workspaces.get(workspace_id)
    return workspace_id if workspace is None else workspace.name


READS: Final[dict[type[Query[Any]], Callable[[Tables, Any], Any]]] = {
    ledger.FindWorkspace: find_workspace,
    ledger.ListWorkspaces: list_workspaces,
    ledger.ShowWallet: show_wallet,
    ledger.FindKey: find_key,
    ledger.ShowKey: show_key,
    ledger.ListKeys: list_keys,
    ledger.ListUsage: list_usage,
    ledger.Undelivered: undelivered,
    ledger.ListTransfers: list_transfers,
    ledger.ListHolds: list_holds,
    tasks.ShowTask: show_task,
    tasks.FindTasks: find_tasks,
    tasks.FindClaim: find_claim,
    tasks.RunningTasks: running_tasks,
    tasks.CountUnderWay: count_under_way,
    tasks.UnknownTasks: unknown_tasks,
    tasks.Owners: owners,
    sweeping.OldTasks: old_tasks,
    sweeping.OldestClaim: oldest_claim,
    waiting.QueuedTasks: queue.queued_tasks,
    waiting.OverdueTasks: queue.overdue_tasks,
    waiting.CancelMarks: queue.cancel_marks,
    waiting.TaskStates: queue.task_states,
    sums.FindUsage: usage.find_usage,
    sums.SumUsage: usage.sum_usage,
    asked.ListEndpoints: webhooks.list_endpoints,
    asked.FindEndpoint: webhooks.find_endpoint,
    asked.ListSecrets: webhooks.list_secrets,
    asked.FindDelivery: webhooks.find_delivery,
    asked.DueDeliveries: webhooks.due_deliveries,
    asked.ListDeliveries: webhooks.list_deliveries,
    SumTransfers: reports.sum_transfers,
    **ACCESS_READS,
}
