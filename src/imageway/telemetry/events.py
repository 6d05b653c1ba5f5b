"""The names of what happens, one place for logs and, later, metrics and traces."""

from __future__ import annotations

from typing import Final

REQUEST_FAILED: Final = "request.failed"
REQUEST_CRASHED: Final = "request.crashed"
ATTEMPT_FAILED: Final = "attempt.failed"
VALIDATION_HOLE: Final = "attempt.refused_our_parameters"
TASK_ADOPTED: Final = "task.adopted"
TASK_RESUMED: Final = "task.resumed"
TASK_UNKNOWN: Final = "task.unknown"
TASK_WITHOUT_ROOM: Final = "task.without_room"
TASK_CRASHED: Final = "task.crashed"
STORE_FAILED: Final = "store.failed"
REFUNDED: Final = "usage.refunded"
OVERRUN: Final = "ledger.overrun"
MEDIA_FAILED: Final = "media.failed"
MEDIA_SWEPT: Final = "media.swept"
ROUND_FAILED: Final = "recovery.failed"
WEBHOOK_FAILED: Final = "webhook.failed"
WEBHOOK_DEAD: Final = "webhook.dead"
WEBHOOK_CRASHED: Final = "webhook.crashed"
LOW_BALANCE: Final = "wallet.low_balance"
UPSTREAMS_CHANGED: Final = "upstreams.changed"
UPSTREAM_UNUSABLE: Final = "upstream.unusable"
STARTED: Final = "process.started"
STOPPED: Final = "process.stopped"
