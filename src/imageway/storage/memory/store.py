"""The memory executor: a unit is applied op by op, and taken back whole when one of them refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from imageway.core.ops import Committed, Op, Query, Refused
from imageway.ledger import ops as ledger_ops
from imageway.storage.errors import StorageClosed, assert_known
from imageway.storage.memory import ledger, queue, tasks, webhooks
from imageway.storage.memory.access import ACCESS_WRITES
from imageway.storage.memory.reads import READS
from imageway.storage.memory.sweeping import SWEEPING_WRITES
from imageway.storage.memory.tables import Tables
from imageway.storage.pump import COMMITTED
from imageway.tasks import ops as task_ops
from imageway.tasks import queue as queue_ops
from imageway.tasks import webhooks as webhook_ops

T = TypeVar("T")
Apply = Callable[[Tables, Any], str | None]

WRITES: Final[dict[type[Op], Apply]] = {
    ledger_ops.CreateWorkspace: ledger.create_workspace,
    ledger_ops.TopUp: ledger.top_up,
    ledger_ops.Grant: ledger.grant,
    ledger_ops.Adjust: ledger.adjust,
    ledger_ops.Hold: ledger.hold,
    ledger_ops.Capture: ledger.capture,
    ledger_ops.Void: ledger.void,
    ledger_ops.Refund: ledger.refund,
    ledger_ops.BookCost: ledger.book_cost,
    ledger_ops.BookOverrun: ledger.book_overrun,
    ledger_ops.SpendBudget: ledger.spend_budget,
    ledger_ops.ReleaseBudget: ledger.release_budget,
    ledger_ops.CreateKey: ledger.create_key,
    ledger_ops.RevokeKey: ledger.revoke_key,
    ledger_ops.RecordUsage: ledger.record_usage,
    ledger_ops.MarkDelivery: ledger.mark_delivery,
    task_ops.CreateTask: tasks.create_task,
    task_ops.BeginAttempt: tasks.begin_attempt,
    task_ops.KeepMemo: tasks.keep_memo,
    task_ops.EndAttempt: tasks.end_attempt,
    task_ops.FinishTask: tasks.finish_task,
    task_ops.ReplaceResult: tasks.replace_result,
    task_ops.AdoptTask: tasks.adopt_task,
    task_ops.RenewLease: tasks.renew_lease,
    task_ops.DropLease: tasks.drop_lease,
    task_ops.ClaimKey: tasks.claim_key,
    queue_ops.QueueTask: queue.queue_task,
    queue_ops.ClaimTask: queue.claim_task,
    queue_ops.RequeueTask: queue.requeue_task,
    queue_ops.MarkCancel: queue.mark_cancel,
    webhook_ops.AddEndpoint: webhooks.add_endpoint,
    webhook_ops.RemoveEndpoint: webhooks.remove_endpoint,
    webhook_ops.DisableEndpoint: webhooks.disable_endpoint,
    webhook_ops.EnableEndpoint: webhooks.enable_endpoint,
    webhook_ops.AddSecret: webhooks.add_secret,
    webhook_ops.RotateSecret: webhooks.rotate_secret,
    webhook_ops.AddDelivery: webhooks.add_delivery,
    webhook_ops.NotifyEndpoints: webhooks.notify_endpoints,
    webhook_ops.ClaimDelivery: webhooks.claim_delivery,
    webhook_ops.PostponeDelivery: webhooks.postpone_delivery,
    webhook_ops.EndDelivery: webhooks.end_delivery,
    webhook_ops.ReplayDelivery: webhooks.replay_delivery,
    webhook_ops.ForgetDeliveries: webhooks.forget_deliveries,
    **SWEEPING_WRITES,
    **ACCESS_WRITES,
}


class MemoryStore:
    """Commits at once and never waits: a simulation sees the same order every time."""

    def __init__(self) -> None:
        self._tables = Tables()
        self._closed = False

    async def commit(self, *ops: Op) -> Committed | Refused:
        self._assert_open()
        assert_known(ops, WRITES)
        try:
            for op in ops:
                why = WRITES[type(op)](self._tables, op)
                if why is not None:
                    self._tables.take_back()
                    return Refused(op, why)
        except BaseException:
            self._tables.take_back()
            raise
        self._tables.keep()
        return COMMITTED

    async def read(self, query: Query[T]) -> T:
        self._assert_open()
        ask = READS.get(type(query))
        if ask is None:
            raise TypeError(f'the store knows no query "{type(query).__name__}"')
        return cast("T", ask(self._tables, query))

    async def close(self) -> None:
        self._closed = True

    def _assert_open(self) -> None:
        if self._closed:
            raise StorageClosed("the store is closed")
