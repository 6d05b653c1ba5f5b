"""The ops of webhooks on dictionaries, and the questions about them."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from imageway.ledger.sealed import WEBHOOK
from imageway.storage.memory.tables import Tables
from imageway.tasks import webhooks as ops
from imageway.tasks.webhooks import PENDING, Delivery, Endpoint, Secret


def add_endpoint(tables: Tables, op: ops.AddEndpoint) -> str | None:
    workspace = tables.workspaces.get(op.workspace_id)
    if workspace is None:
        return "no_workspace"
    others = [row for row in tables.endpoints.values() if row.workspace_id == op.workspace_id]
    if op.id in tables.endpoints or any(row.url == op.url for row in others):
        return "duplicate"
    if len(others) >= op.limit:
        return "too_many"
    row = Endpoint(
        id=op.id,
        workspace_id=op.workspace_id,
        workspace=workspace.name,
        url=op.url,
        events=op.events,
        created_ms=op.at_ms,
        disabled_ms=None,
    )
    tables.put(tables.endpoints, op.id, row)
    return None


def remove_endpoint(tables: Tables, op: ops.RemoveEndpoint) -> str | None:
    if op.id not in tables.endpoints:
        return "no_endpoint"
    tables.drop(tables.endpoints, op.id)
    for row in _secrets(tables, op.id):
        _drop(tables, row)
    return None


def disable_endpoint(tables: Tables, op: ops.DisableEndpoint) -> None:
    row = tables.endpoints.get(op.id)
    if row is not None and row.disabled_ms is None:
        tables.put(tables.endpoints, op.id, replace(row, disabled_ms=op.at_ms))


def enable_endpoint(tables: Tables, op: ops.EnableEndpoint) -> str | None:
    row = tables.endpoints.get(op.id)
    if row is None or row.disabled_ms is None:
        return "not_disabled"
    tables.put(tables.endpoints, op.id, replace(row, disabled_ms=None))
    return None


def add_secret(tables: Tables, op: ops.AddSecret | ops.RotateSecret) -> str | None:
    if op.id in tables.secrets or any(row.until_ms is None for row in _secrets(tables, op.holder_id)):
        return "duplicate"
    tables.put(tables.secrets, op.id, Secret(op.id, op.holder_id, op.hint, op.at_ms, None))
    return None


def rotate_secret(tables: Tables, op: ops.RotateSecret) -> str | None:
    rows = _secrets(tables, op.holder_id)
    current = next((row for row in rows if row.until_ms is None), None)
    for row in rows:
        if row.until_ms is not None:
            _drop(tables, row)
    if current is None:
        return "no_secret"
    tables.put(tables.secrets, current.id, replace(current, until_ms=op.until_ms))
    return add_secret(tables, op)


def add_delivery(tables: Tables, op: ops.AddDelivery) -> str | None:
    if op.id in tables.deliveries:
        return "duplicate"
    tables.put(tables.deliveries, op.id, _new(op, op.id, op.url))
    return None


def notify_endpoints(tables: Tables, op: ops.NotifyEndpoints) -> None:
    for row in tables.endpoints.values():
        wanted = row.disabled_ms is None and (not row.events or op.event in row.events)
        delivery_id = ops.message_id(op.task_id, row.id)
        if row.workspace_id == op.workspace_id and wanted and delivery_id not in tables.deliveries:
            tables.put(tables.deliveries, delivery_id, _new(op, delivery_id, row.url, row.id))


def _new(op: ops.AddDelivery | ops.NotifyEndpoints, delivery_id: str, url: str, endpoint_id: str = "") -> Delivery:
    return Delivery(
        id=delivery_id,
        workspace_id=op.workspace_id,
        task_id=op.task_id,
        endpoint_id=endpoint_id,
        url=url,
        event=op.event,
        state=PENDING,
        fence=0,
        tries=0,
        due_ms=op.at_ms,
        status=0,
        detail="",
        created_ms=op.at_ms,
        changed_ms=op.at_ms,
    )


def claim_delivery(tables: Tables, op: ops.ClaimDelivery) -> str | None:
    row = tables.deliveries.get(op.id)
    if row is None or (row.state, row.fence) != (PENDING, op.fence) or row.due_ms > op.at_ms:
        return "not_due"
    claimed = replace(row, fence=row.fence + 1, tries=row.tries + 1, due_ms=op.until_ms, changed_ms=op.at_ms)
    tables.put(tables.deliveries, op.id, claimed)
    return None


def postpone_delivery(tables: Tables, op: ops.PostponeDelivery) -> str | None:
    row = tables.deliveries.get(op.id)
    if row is None or (row.state, row.fence) != (PENDING, op.fence):
        return "not_claimed"
    later = replace(row, due_ms=op.due_ms, status=op.status, detail=op.detail, changed_ms=op.at_ms)
    tables.put(tables.deliveries, op.id, later)
    return None


def end_delivery(tables: Tables, op: ops.EndDelivery) -> str | None:
    row = tables.deliveries.get(op.id)
    if row is None or (row.state, row.fence) != (PENDING, op.fence):
        return "not_claimed"
    ended = replace(row, state=op.state, status=op.status, detail=op.detail, changed_ms=op.at_ms)
    tables.put(tables.deliveries, op.id, ended)
    return None


def replay_delivery(tables: Tables, op: ops.ReplayDelivery) -> str | None:
    row = tables.deliveries.get(op.id)
    if row is None or row.state == PENDING:
        return "not_final"
    again = replace(row, state=PENDING, tries=0, due_ms=op.at_ms, changed_ms=op.at_ms)
    tables.put(tables.deliveries, op.id, again)
    return None


def forget_deliveries(tables: Tables, op: ops.ForgetDeliveries) -> None:
    ended = (row for row in tables.deliveries.values() if row.state != PENDING and row.created_ms < op.before_ms)
    for row in sorted(ended, key=_age)[: op.limit]:
        tables.drop(tables.deliveries, row.id)


def list_endpoints(tables: Tables, query: ops.ListEndpoints) -> tuple[Endpoint, ...]:
    rows = (row for row in tables.endpoints.values() if query.workspace_id in (None, row.workspace_id))
    left = [row for row in rows if (row.created_ms, row.id) > query.after]
    return tuple(sorted(left, key=lambda row: (row.created_ms, row.id))[: query.limit])


def find_endpoint(tables: Tables, query: ops.FindEndpoint) -> Endpoint | None:
    return tables.endpoints.get(query.id)


def list_secrets(tables: Tables, query: ops.ListSecrets) -> tuple[Secret, ...]:
    return tuple(sorted(_secrets(tables, query.holder_id), key=lambda row: row.until_ms is not None))


def find_delivery(tables: Tables, query: ops.FindDelivery) -> Delivery | None:
    return tables.deliveries.get(query.id)


def due_deliveries(tables: Tables, query: ops.DueDeliveries) -> tuple[Delivery, ...]:
    pending = (row for row in tables.deliveries.values() if row.state == PENDING and row.due_ms <= query.now_ms)
    due = (row for row in pending if row.workspace_id not in query.busy)
    return tuple(sorted(due, key=lambda row: (row.due_ms, row.id))[: query.limit])


def list_deliveries(tables: Tables, query: ops.ListDeliveries) -> tuple[Delivery, ...]:
    newest = sorted(tables.deliveries.values(), key=_age, reverse=True)
    return tuple(islice((row for row in newest if _is_asked_for(row, query)), query.limit))


def _is_asked_for(row: Delivery, query: ops.ListDeliveries) -> bool:
    of_workspace, in_state = query.workspace_id in (None, row.workspace_id), query.state in (None, row.state)
    return of_workspace and in_state and _age(row) < query.before


def _age(row: Delivery) -> tuple[int, str]:
    return (row.created_ms, row.id)


def _secrets(tables: Tables, holder_id: str) -> list[Secret]:
    return [row for row in tables.secrets.values() if row.holder_id == holder_id]


def _drop(tables: Tables, row: Secret) -> None:
    """With what is sealed of it."""
    tables.drop(tables.secrets, row.id)
    tables.drop(tables.sealed, (WEBHOOK, row.id))
