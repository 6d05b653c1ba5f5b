"""Forgetting what ended long ago, a little at a time: the hot path has the same tables, and SQLite one writer."""

from __future__ import annotations

from typing import Final

import msgspec

from imageway.core.access import WorkspaceSettings
from imageway.engine.acceptance import expired_claims_ms
from imageway.engine.ports import Tools
from imageway.ledger.queries import ListWorkspaces
from imageway.tasks.sweeping import ForgetClaims, ForgetTasks, OldestClaim, OldTasks
from imageway.telemetry import events, logger

TASKS_AT_ONCE: Final = 100  # with their attempts and deliveries, a few hundred rows
CLAIMS_AT_ONCE: Final = 500
PAUSE_S: Final = 0.05
_settings: Final = msgspec.json.Decoder(WorkspaceSettings)


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
    """However short tasks are kept, none goes before its claim has, nor before images, found by their task, have."""
    settings = tools.settings
    kept_s = max(settings.keep_tasks_s, settings.idempotency_keep_s, settings.keep_images_s, await _longest_s(tools))
    before_ms, removed = tools.clock.now_ms() - int(kept_s * 1000), 0
    while ids := await tools.store.read(OldTasks(before_ms, TASKS_AT_ONCE)):
        await tools.store.commit(ForgetTasks(ids))
        removed += len(ids)
        await tools.clock.sleep(PAUSE_S)
    return removed


async def _longest_s(tools: Tools) -> int:
    """How long images are kept in the workspace that keeps them longest of those that have set it."""
    longest_s, after = 0, (-1, "")
    while page := await tools.store.read(ListWorkspaces(after)):
        set_s = [_settings.decode(one.settings).keep_images_s for one in page if b"keep_images_s" in one.settings]
        longest_s = max(longest_s, *(one_s or 0 for one_s in set_s), 0)
        after = (page[-1].created_ms, page[-1].id)
    return longest_s
