"""Where the contract suite opens its stores, and the few values that its tests are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from imageway.core.ops import Committed, Op, Store
from imageway.ledger import access, sealed, terms
from imageway.ledger import ops as ledger
from imageway.ledger import queries as asked
from imageway.ledger import usage as summed
from imageway.storage import open_store
from imageway.tasks import ops as tasks
from imageway.tasks import queries as tasks_asked
from imageway.tasks import queue, webhooks

COMMITTED = Committed()
WORKSPACE = ledger.CreateWorkspace("ws_1", "studio", 1)
TOPUP = ledger.TopUp("top_1", "ws_1", 1_000_000, 2)
KEY = ledger.CreateKey("key_1", "ws_1", "laptop", b"\x00\x01" * 16, "wxyz", ("draw-*", "other"), 3)
HOLD = ledger.Hold("req_1", "ws_1", 30_000, 4)
CAPTURE = ledger.Capture("req_1", 20_000, 9)
ENDPOINT = webhooks.AddEndpoint(
    id="end_1", workspace_id="ws_1", url="https://a.example/hook", events=(), limit=9, at_ms=4
)
SECRET = webhooks.AddSecret("whs_1", "end_1", "abc=", 4)
ROTATION = webhooks.RotateSecret("whs_2", "end_1", "xyz=", 5, 50)
DELIVERY = webhooks.AddDelivery("msg_1", "ws_1", "req_1", "https://caller.example/", "task.succeeded", 5)
NAMED: tuple[summed.By, ...] = ("workspace", "key", "model", "upstream", "outcome")
"""All that sums are kept for, but when."""
RULE = terms.SetPriceRule(
    id="rule_1",
    workspace_id="ws_1",
    models="draw-*",
    multiplier_millionths=1_200_000,
    per_image_usd_micros=5,
    rows=b'[{"per":"image"}]',
    from_ms=10,
    source="by hand",
    at_ms=4,
)
UPSTREAM = sealed.PutUpstream("up_1", "maker", b'{"weight":2}', enabled=True, at_ms=5)
SEALED = sealed.PutSecret("upstream", "up_1", "k1", b"\x00nonce and more", 5)
CLAIM = webhooks.ClaimDelivery("msg_1", 0, 6, 50)


@dataclass(frozen=True)
class Place:
    """A database of one test's own."""

    name: str
    url: str

    async def open(self, *, create: bool = True) -> Store:
        return await open_store(self.url, create=create)


def task(task_id: str = "req_1", **changes: Any) -> tasks.CreateTask:
    made = tasks.CreateTask(
        id=task_id,
        workspace_id="ws_1",
        key_id="key_1",
        model="draw-1",
        owner="process_a",
        request=b'{"prompt": "a cat \xe7\x8c\xab"}',
        created_ms=5,
        deadline_ms=900_005,
    )
    return structs.replace(made, **changes)


def waiting(task_id: str = "req_1", **changes: Any) -> queue.QueueTask:
    """A task that nobody has begun."""
    made = queue.QueueTask(
        id=task_id,
        workspace_id="ws_1",
        key_id="key_1",
        model="draw-1",
        request=b'{"prompt": "a cat \xe7\x8c\xab"}',
        created_ms=5,
        deadline_ms=900_005,
        limit=100,
    )
    return structs.replace(made, **changes)


def attempt(attempt_id: str = "att_1", task_id: str = "req_1", **changes: Any) -> tasks.BeginAttempt:
    made = tasks.BeginAttempt(
        id=attempt_id,
        task_id=task_id,
        part=0,
        upstream_id="up_1",
        offering="draw-1@maker",
        owner="process_a",
        fence=1,
        at_ms=6,
        deadline_ms=300_006,
    )
    return structs.replace(made, **changes)


def usage(request_id: str = "req_1", **changes: Any) -> ledger.RecordUsage:
    made = ledger.RecordUsage(
        request_id=request_id,
        workspace_id="ws_1",
        key_id="key_1",
        model="draw-1",
        outcome="succeeded",
        n=2,
        delivered=1,
        price_usd_micros=20_000,
        cost_usd_micros=15_000,
        lines=b'[{"what": "image"}]',
        delivery="undelivered",
        owner="process_a",
        upstream_id="up_1",
        at_ms=9,
    )
    return structs.replace(made, **changes)


def finish(task_id: str = "req_1", state: str = "succeeded", **changes: Any) -> tasks.FinishTask:
    return structs.replace(tasks.FinishTask(task_id, state, b'{"images": 1}', 9), **changes)


async def commit(store: Store, *ops: Op) -> None:
    """One unit each, all of which must go through."""
    for op in ops:
        assert await store.commit(op) == COMMITTED, op


async def all_transfers(store: Store, workspace_id: str | None = None) -> tuple[asked.Transfer, ...]:
    """Page by page, however many there are."""
    found: tuple[asked.Transfer, ...] = ()
    while page := await store.read(asked.ListTransfers(workspace_id, found[-1].seq if found else 0)):
        found += page
    return found


async def all_holds(store: Store) -> tuple[asked.HoldRow, ...]:
    """Page by page, however many there are."""
    found: tuple[asked.HoldRow, ...] = ()
    while page := await store.read(asked.ListHolds(after_task=found[-1].task_id if found else "")):
        found += page
    return found


async def everything(store: Store, task_ids: tuple[str, ...] = ("req_1", "req_2")) -> dict[str, object]:
    """Every row as the queries tell it, without the numbers that only order them."""
    transfers = await all_transfers(store)
    return {
        "workspaces": await store.read(asked.ListWorkspaces()),
        "wallets": [await store.read(asked.ShowWallet(row.id)) for row in await store.read(asked.ListWorkspaces())],
        "keys": await store.read(asked.ListKeys()),
        "transfers": sorted(repr(replace(row, seq=0)) for row in transfers),
        "holds": await all_holds(store),
        "usage": sorted(map(repr, await store.read(asked.ListUsage()))),
        "details": sorted(repr(replace(row, seq=0)) for row in await store.read(summed.FindUsage())),
        "sums": [await store.read(summed.SumUsage(by=by)) for by in ((), ("hour", *NAMED), ("month", *NAMED), NAMED)],
        "undelivered": sorted(map(repr, await store.read(asked.Undelivered(("process_a", "process_b"))))),
        "claims": [await store.read(tasks_asked.FindClaim("ws_1", key)) for key in ("once", "twice")],
        "tasks": [await store.read(tasks_asked.ShowTask(task_id)) for task_id in task_ids],
        "running": await store.read(tasks_asked.RunningTasks()),
        "unknown": await store.read(tasks_asked.UnknownTasks()),
        "queued": await store.read(queue.QueuedTasks(100)),
        "turns": await store.read(queue.QueuedTasks(1, ("key_1",))),
        "overdue": await store.read(queue.OverdueTasks(5)),
        "marked": [await store.read(queue.CancelMarks(owner)) for owner in ("process_a", "process_b")],
        "states": await store.read(queue.TaskStates(task_ids)),
        "owners": await store.read(tasks_asked.Owners()),
        "endpoints": await store.read(webhooks.ListEndpoints()),
        "secrets": [await store.read(webhooks.ListSecrets(holder)) for holder in ("end_1", "end_2", "ws_1")],
        "deliveries": await store.read(webhooks.ListDeliveries()),
        "due": await store.read(webhooks.DueDeliveries(40, 100)),
        "members": [await store.read(access.ListMembers(workspace_id)) for workspace_id in ("ws_1", "ws_2")],
        "admin keys": await store.read(access.ListAdminKeys()),
        "changes": [replace(row, seq=0) for row in await store.read(access.ListChanges())],
        "low": await store.read(access.LowWallets()),
        "rules": await store.read(terms.ListPriceRules()),
        "sealed": await store.read(sealed.ListSecrets()),
        "counted": await store.read(sealed.CountSecrets()),
        "unsealed": await store.read(sealed.ListUnsealed()),
        "upstreams": await store.read(sealed.ListUpstreams()),
    }
