"""Who is to be told of a task's end: looked at when the request comes, written into the commit that ends the task."""

from __future__ import annotations

from typing import Final

import msgspec

from imageway.core.errors import Problem
from imageway.core.failures import FetchRefused
from imageway.core.intents import Webhook
from imageway.core.ops import Op
from imageway.engine.facts import TaskFacts
from imageway.engine.ports import Transport
from imageway.tasks.webhooks import AddDelivery, NotifyEndpoints, event_of, message_id

URL_CHARS: Final = 2048


class KeptWebhook(msgspec.Struct, frozen=True):
    """The part of a task's row that says whom to tell, whatever the rest of it has become."""

    webhook: Webhook | None = None


_decoder = msgspec.json.Decoder(KeptWebhook)


def webhook_of(request: bytes) -> Webhook | None:
    """Of a task's row that may not be readable otherwise; None where nobody can say."""
    try:
        return _decoder.decode(request).webhook
    except msgspec.DecodeError:
        return None


def why_not(transport: Transport, url: str) -> str:
    """What is wrong with a URL that is to be told; empty where nothing can be seen to be. Where its host's name leads
    to is looked at for each delivery."""
    if len(url) > URL_CHARS:
        return f"the URL is {len(url)} characters long, the limit is {URL_CHARS}"
    try:
        transport.check_told(url)
    except FetchRefused as refused:
        return refused.message
    return ""


def webhook_problems(transport: Transport, webhook: Webhook | None) -> tuple[Problem, ...]:
    why = why_not(transport, webhook.url) if webhook else ""
    if webhook is None or not why:
        return ()
    return (Problem(webhook.param, "invalid_webhook_url", f"{webhook.param} cannot be called: {why}"),)


def notices(facts: TaskFacts, state: str, at_ms: int) -> tuple[Op, ...]:
    """What the commit that ends a task holds beside its end: nobody is told of anything else, and of nothing twice."""
    return notices_of(facts.task_id, facts.workspace_id, facts.webhook, state=state, at_ms=at_ms)


def notices_of(task_id: str, workspace_id: str, webhook: Webhook | None, *, state: str, at_ms: int) -> tuple[Op, ...]:
    event = event_of(state)
    endpoints = NotifyEndpoints(task_id, workspace_id, event, at_ms)
    if webhook is None or (webhook.events and event not in webhook.events):
        return (endpoints,)
    return (AddDelivery(message_id(task_id), workspace_id, task_id, webhook.url, event, at_ms), endpoints)
