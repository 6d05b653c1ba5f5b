"""Forgetting what ended long ago, a little at a time: the hot path has the same tables, and SQLite one writer."""

from __future__ import annotations

from typing import Final

from imageway.engine.acceptance import expired_claims_ms
from imageway.engine.ports import Tools
from imageway.tasks.sweeping import ForgetClaims, ForgetTasks, OldestClaim, OldTasks
from imageway.telemetry import events, logger

TASKS_AT_ONCE: Final = 100  # with their attempts and deliveries, a few hundred rows
CLAIMS_AT_ONCE: Final = 500
PAUSE_S: Final = 0.05


async def forget_old(tools: Tools) -> None:
    """Until nothing old is left. Several processes may be at it: what one has removed is not there for the others."""
    await _forget_claims(tools)
    removed = await _forget_tasks(tools)
    if removed:
        logger().info(events.TASKS_SWEPT, removed=removed)


async def _forget_claims(tools: Tools) -> None:
    expired_ms = expired_claims_ms(tools, tools.clock.now_ms())
    while (oldest_ms := await tools.store.read(OldestClaim())) is not None and oldest_ms <= expired_ms:
        await tools.store.commit(ForgetClaims(expired_ms, CLAIMS_AT_ONCE))
        await tools.clock.sleep(PAUSE_S)


async def _forget_tasks(tools: Tools) -> int:
    """No task goes before its claim has, however short tasks are kept."""
    kept_s = max(tools.settings.keep_tasks_s, tools.settings.idempotency_keep_s)
    before_ms, removed = tools.clock.now_ms() - int(kept_s * 1000), 0
    while ids := await tools.store.read(OldTasks(before_ms, TASKS_AT_ONCE)):
        await tools.store.commit(ForgetTasks(ids))
        removed += len(ids)
        await tools.clock.sleep(PAUSE_S)
    return removed
