"""Tasks as their durable rows have them, for processes that did not accept them: what ending one asks, and how one ends
that nobody can run."""

from __future__ import annotations

from imageway.catalog.terms import DAY_MS, sold
from imageway.core.access import CATALOG_TERMS
from imageway.core.ops import Committed
from imageway.engine.facts import TaskFacts
from imageway.engine.keeping import drop_ask
from imageway.engine.limits import held_of, release_ops
from imageway.engine.memos import KeptTask, request_of, unpack_task
from imageway.engine.notices import notices_of, webhook_of
from imageway.engine.patience import surely
from imageway.engine.ports import Tools
from imageway.engine.settlement import cancelled
from imageway.ledger.ops import RecordUsage, Void
from imageway.tasks.ops import EndAttempt, FinishTask
from imageway.tasks.queries import ShowTask, Task
from imageway.tasks.queue import ClaimTask
from imageway.tasks.states import FINAL_PART
from imageway.telemetry import events, logger


def facts_of(tools: Tools, task: Task, kept: KeptTask) -> TaskFacts:
    """Raises KeyError when its model is gone."""
    terms = kept.terms or CATALOG_TERMS
    return TaskFacts(
        task_id=task.id,
        workspace_id=task.workspace_id,
        key_id=task.key_id,
        model=sold(tools.catalog.models[task.model], terms, task.created_ms // DAY_MS),
        request=request_of(kept),
        form=kept.form,
        hold_usd_micros=kept.hold_usd_micros,
        images=sum(kept.counts),
        created_ms=task.created_ms,
        warnings=kept.warnings,
        webhook=kept.webhook,
        terms=terms,
        dialect=kept.dialect,
        spending=kept.spending,
        keep_images_s=kept.keep_images_s,
    )


async def give_up(tools: Tools, task: Task, error: Exception) -> None:
    """Nothing here can read it, or could read an answer: the hold goes back."""
    logger().exception(events.TASK_CRASHED, task=task.id, model=task.model, exc_info=error)
    now_ms, store = tools.clock.now_ms(), tools.store
    open_attempts = [attempt for attempt in task.attempts if attempt.state not in FINAL_PART]
    outcome = "unknown" if open_attempts else "failed"
    usage = RecordUsage(
        request_id=task.id,
        workspace_id=task.workspace_id,
        key_id=task.key_id,
        model=task.model,
        outcome=outcome,
        n=0,
        delivered=0,
        price_usd_micros=0,
        cost_usd_micros=0,
        lines=b"[]",
        delivery="none",
        owner=tools.owner,
        upstream_id=open_attempts[-1].upstream_id if open_attempts else "",
        at_ms=now_ms,
    )
    ended = [EndAttempt(attempt.id, "unknown", "not readable here", now_ms) for attempt in open_attempts]
    finish = FinishTask(task.id, outcome, b"", now_ms)
    webhook = webhook_of(task.request)
    told = notices_of(task.id, task.workspace_id, webhook, state=outcome, at_ms=now_ms)
    given_back = Void(task.id, now_ms), *release_ops(*held_of(task.request))
    await surely(tools, lambda: store.commit(*ended, *given_back, usage, finish, *told))
    tools.tell_end(task.id, webhook, awaited=False)


async def end_waiting(tools: Tools, task_id: str, why: str) -> bool:
    """Ends a task that waits, free of charge. False: it does not wait any more."""
    task = await surely(tools, lambda: tools.store.read(ShowTask(task_id)))
    if task is None or task.state != "queued":
        return False
    # Whoever claims a task may end it: nobody else can begin it then.
    claim = ClaimTask(task.id, task.fence, tools.owner)
    try:
        kept = unpack_task(task.request)
        settlement = cancelled(tools, facts_of(tools, task, kept), (), why)
    except Exception as error:  # noqa: BLE001  # a model that is gone, a row of another version: not readable here
        if isinstance(await surely(tools, lambda: tools.store.commit(claim)), Committed):
            await give_up(tools, task, error)
        return await _is_final(tools, task_id)
    committed = await surely(tools, lambda: tools.store.commit(claim, *settlement.ops))
    if kept.ask is not None and isinstance(committed, Committed):
        await drop_ask(tools, kept.ask)
    tools.tell_end(task.id, kept.webhook, awaited=False)
    return isinstance(committed, Committed) or await _is_final(tools, task_id)


async def _is_final(tools: Tools, task_id: str) -> bool:
    """Ended by somebody else meanwhile, or by a first try of ours that nobody confirmed."""
    task = await surely(tools, lambda: tools.store.read(ShowTask(task_id)))
    return task is None or task.finished_ms is not None
