"""The one commit that accepts a request: to be begun at once, or to wait until somebody has a hand free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from imageway.bodies import Scope
from imageway.core.access import CATALOG_TERMS, Budget
from imageway.core.errors import GatewayError
from imageway.core.failures import StoreFailed
from imageway.core.ids import new_id
from imageway.core.intents import TaskView
from imageway.core.money import format_usd
from imageway.core.ops import Op, Refused
from imageway.core.requests import Caller
from imageway.engine.arrivals import Arrivals
from imageway.engine.attempts import PartRun
from imageway.engine.facts import TaskFacts
from imageway.engine.feeds import Feed
from imageway.engine.limits import exceeded, spend_ops, spending_of
from imageway.engine.memos import KeptAsk, KeptTask, pack_task, plain_fields
from imageway.engine.ports import Tools
from imageway.engine.preparation import Option, Prepared, all_images
from imageway.engine.results import KeptResult, accepted, pack_result
from imageway.engine.runs import TaskRun
from imageway.ledger.access import FindBudgets
from imageway.ledger.ops import Hold, SpendBudget
from imageway.tasks.ops import ClaimKey, CreateTask, FinishTask
from imageway.tasks.queue import QueueTask

NOT_ACCEPTED: Final = "the request could not be accepted just now"
QUEUE_FULL_RETRY_S: Final = 5.0


class KeyTaken(GatewayError):
    """An earlier request was accepted under this Idempotency-Key: engine.replay finds it."""


def facts_for(prepared: Prepared, task_id: str) -> TaskFacts:
    """A task begins when it is priced: taken over by another process, it is sold by the same prices and rates."""
    return TaskFacts(
        task_id=task_id,
        workspace_id=prepared.caller.workspace_id,
        key_id=prepared.caller.key_id,
        model=prepared.model,
        request=prepared.request,
        form=prepared.form,
        hold_usd_micros=prepared.quote.hold_usd_micros,
        images=prepared.images,
        created_ms=prepared.priced_ms,
        warnings=prepared.warnings,
        webhook=prepared.intent.webhook,
        terms=prepared.terms,
        dialect=prepared.intent.dialect,
        spending=spending_of(prepared.caller, prepared.priced_ms),
        keep_images_s=prepared.caller.settings.keep_images_s,
    )


def task_for(tools: Tools, prepared: Prepared, scope: Scope) -> TaskRun:
    """The task of a request that is begun at once, before it is accepted."""
    now_ms = prepared.priced_ms
    task_id = new_id("req", tools.random, now_ms)
    task_deadline_s = tools.clock.monotonic_s() + deadline_s(tools, prepared)
    facts = facts_for(prepared, task_id)
    follows = prepared.request.stream
    arrivals = Arrivals(tools, facts, scope, Feed(tools.settings.events_kept)) if follows else None
    parts = [
        PartRun(
            tools=tools,
            scope=scope,
            task_id=task_id,
            part=index,
            count=count,
            options=prepared.options,
            attempt_id=new_id("att", tools.random, now_ms),
            deadline_s=task_deadline_s,
            arrivals=arrivals,
        )
        for index, count in enumerate(prepared.counts)
    ]
    # Whoever asks for it again, or is told of it, finds the images where its view says.
    store_images = prepared.intent.idempotency_key is not None or prepared.intent.webhook is not None
    return TaskRun(tools, facts, scope, tuple(parts), store_images, arrivals)


def begin_ops(tools: Tools, prepared: Prepared, facts: TaskFacts, parts: Sequence[PartRun]) -> tuple[Op, ...]:
    """Task, claim, hold, what it takes of budgets, and first attempts of a request that is begun at once."""
    return (
        _create(tools, prepared, facts),
        *_claim_and_hold(tools, prepared, facts),
        *[part.begin() for part in parts],
    )


def never_ops(tools: Tools, prepared: Prepared, facts: TaskFacts) -> tuple[CreateTask, FinishTask]:
    """Uses up the id of a request, and nothing else, so that it cannot be accepted any more: a commit that nobody heard
    of may still be on its way. Refused: "duplicate", where it has arrived."""
    result = pack_result(KeptResult(error=("overloaded", NOT_ACCEPTED)))
    finish = FinishTask(facts.task_id, "cancelled", result, tools.clock.now_ms())
    return _create(tools, prepared, facts), finish


def _create(tools: Tools, prepared: Prepared, facts: TaskFacts) -> CreateTask:
    return CreateTask(
        id=facts.task_id,
        workspace_id=facts.workspace_id,
        key_id=facts.key_id,
        model=facts.model.id,
        owner=tools.owner,
        request=pack_task(_kept(prepared, facts)),
        created_ms=facts.created_ms,
        deadline_ms=facts.created_ms + int(deadline_s(tools, prepared) * 1000),
    )


def queue_ops(tools: Tools, prepared: Prepared, facts: TaskFacts, ask: KeptAsk) -> tuple[Op, ...]:
    """Task, claim, hold and what it takes of budgets of a request that waits."""
    queue = QueueTask(
        id=facts.task_id,
        workspace_id=facts.workspace_id,
        key_id=facts.key_id,
        model=facts.model.id,
        request=pack_task(_kept(prepared, facts, ask)),
        created_ms=facts.created_ms,
        deadline_ms=facts.created_ms + int(queue_deadline_s(tools, prepared) * 1000),
        limit=tools.settings.queued_per_workspace,
    )
    return (queue, *_claim_and_hold(tools, prepared, facts))


def _kept(prepared: Prepared, facts: TaskFacts, ask: KeptAsk | None = None) -> KeptTask:
    request = prepared.request
    return KeptTask(
        request=plain_fields(request),
        counts=prepared.counts,
        form=prepared.form,
        hold_usd_micros=prepared.quote.hold_usd_micros,
        inputs=len(all_images(request)),
        geometry=request.geometry,
        group=request.group,
        spelled=dict(request.spelled),
        warnings=prepared.warnings,
        webhook=prepared.intent.webhook,
        ask=ask,
        terms=prepared.terms if prepared.terms is not CATALOG_TERMS else None,
        dialect=prepared.intent.dialect,
        spending=facts.spending,
        keep_images_s=facts.keep_images_s,
    )


def _claim_and_hold(tools: Tools, prepared: Prepared, facts: TaskFacts) -> tuple[Op, ...]:
    hold: tuple[Op, ...] = (Hold(facts.task_id, facts.workspace_id, facts.hold_usd_micros, facts.created_ms),)
    if facts.spending is not None:
        hold += spend_ops(facts.spending, facts.hold_usd_micros)
    if (key := prepared.intent.idempotency_key) is None:
        return hold
    now_ms, mark = facts.created_ms, prepared.intent.fingerprint
    expired_ms = expired_claims_ms(tools, now_ms)
    return ClaimKey(facts.workspace_id, key, facts.task_id, now_ms, mark, expired_ms), *hold


def expired_claims_ms(tools: Tools, now_ms: int) -> int:
    """Keys that were claimed then, or before, are free again."""
    return now_ms - int(tools.settings.idempotency_keep_s * 1000)


def room_bytes(facts: TaskFacts, parts: int) -> int:
    """What the answers may take of the spool, whoever gives them. A preview is as large as an image."""
    most = max((offering.max_answer_bytes for offering in facts.model.offerings), default=0)
    return most * (1 + (facts.request.partial_images or 0)) * parts


def run_for_s(tools: Tools, options: Sequence[Option]) -> float:
    """How long a task may run: the longest of the candidates' own deadlines, else the setting."""
    longest_s = 0.0
    for option in options:
        longest_s = max(longest_s, option.candidate.offering.task_deadline_s or 0.0)
    return longest_s or tools.settings.task_deadline_s


def deadline_s(tools: Tools, prepared: Prepared) -> float:
    """Of a task that is begun at once; its caller may give it less time."""
    own_s = run_for_s(tools, prepared.options)
    return min(own_s, prepared.intent.deadline_s or own_s)


def queue_deadline_s(tools: Tools, prepared: Prepared) -> float:
    """Of a task that waits, the waiting included; once it runs it has no more time than any other."""
    return prepared.intent.deadline_s or tools.settings.queue_deadline_s


async def refusal(tools: Tools, refused: Refused, prepared: Prepared) -> GatewayError:
    """Why the request was not accepted, in words for the caller."""
    if isinstance(refused.op, ClaimKey):
        return KeyTaken("idempotency_key_in_use", "this Idempotency-Key was used before", param="Idempotency-Key")
    if refused.why == "insufficient_balance":
        needed = format_usd(prepared.quote.hold_usd_micros)
        return GatewayError(
            "insufficient_balance",
            f"the wallet does not cover this request: ${needed} must be held for {prepared.images} image(s)",
        )
    if isinstance(refused.op, SpendBudget):
        return exceeded(refused.op, await _budgets(tools, prepared.caller))
    if refused.why in ("key_revoked", "no_workspace"):
        return GatewayError("invalid_api_key", "this API key is not valid any more")
    if isinstance(refused.op, QueueTask) and refused.why == "queue_full":
        message = f"this workspace has {refused.op.limit} tasks waiting already"
        return GatewayError("rate_limit_exceeded", message, retry_after_s=QUEUE_FULL_RETRY_S)
    return not_accepted()


def receipt(facts: TaskFacts, prepared: Prepared) -> TaskView:
    """A task that waits. What is known already not to be honoured, provided that nobody else serves it in the end, is
    told with it."""
    warnings = dict.fromkeys((*facts.warnings, *prepared.options[0].fitted.warnings))
    sandbox = any(option.candidate.upstream.sandbox for option in prepared.options)
    return replace(accepted(facts), warnings=tuple(warnings), sandbox=sandbox)


def not_accepted() -> GatewayError:
    """Nothing was held, and nothing will be."""
    return GatewayError("overloaded", NOT_ACCEPTED, retry_after_s=1)


async def _budgets(tools: Tools, caller: Caller) -> tuple[Budget, ...]:
    """As they stand now, or, where the store does not answer, as they were when the caller came."""
    try:
        return await tools.store.read(FindBudgets(caller.budget_id))
    except StoreFailed:
        return caller.budgets
