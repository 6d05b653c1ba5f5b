"""/admin/v1/webhooks: who is told when tasks have ended, and what became of each message."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from imageway.server.admin.endpoints import Endpoint, Page, Visit
from imageway.server.administration.usage import iso
from imageway.server.webhook_endpoints import EndpointMade, SecretMade, WebhookDesk
from imageway.tasks.webhooks import Delivery


class WebhookAsked(Struct, frozen=True, kw_only=True):
    """`events` null or absent: all of them."""

    workspace: str
    url: str
    events: tuple[str, ...] | None = None


class AskedWebhooks(Struct, frozen=True, kw_only=True):
    workspace: str | None = None


class AskedDeliveries(Struct, frozen=True, kw_only=True):
    workspace: str | None = None
    dead: bool = False
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class RotationAsked(Struct, frozen=True, kw_only=True):
    """`at_once`: the old secret signs no more."""

    at_once: bool = False


class DeliveryShown(Struct, frozen=True, kw_only=True):
    """`state`: pending, delivered, dead. `endpoint` null: the address came with the request. `status` and `detail` tell
    of the last try; `next` is when it is tried again."""

    id: str
    workspace_id: str
    task: str
    endpoint: str | None
    url: str
    event: str
    state: str
    tries: int
    status: int | None
    detail: str
    created: str
    next: str | None


class Replayed(Struct, frozen=True):
    replayed: tuple[str, ...]


def _desk(visit: Visit) -> WebhookDesk:
    return WebhookDesk(visit.office, visit.settings, visit.vault)


async def _list(visit: Visit) -> Page:
    return Page(data=tuple(await _desk(visit).endpoints(visit.query.workspace)))


async def _add(visit: Visit) -> EndpointMade:
    asked: WebhookAsked = visit.body
    return await _desk(visit).add(asked.workspace, asked.url, asked.events)


async def _remove(visit: Visit) -> None:
    await _desk(visit).remove(visit.params["endpoint"])


async def _enable(visit: Visit) -> None:
    await _desk(visit).enable(visit.params["endpoint"])


async def _rotate(visit: Visit) -> SecretMade:
    return await _desk(visit).rotate(visit.params["endpoint"], at_once=visit.body.at_once)


async def _deliveries(visit: Visit) -> Page:
    asked: AskedDeliveries = visit.query
    found = await _desk(visit).deliveries(asked.workspace, dead=asked.dead, limit=asked.limit)
    return Page(data=tuple(map(_shown, found)))


async def _replay(visit: Visit) -> Replayed:
    delivery = visit.params["delivery"]
    await _desk(visit).replay(delivery)
    return Replayed((delivery,))


def _shown(delivery: Delivery) -> DeliveryShown:
    return DeliveryShown(
        id=delivery.id,
        workspace_id=delivery.workspace_id,
        task=delivery.task_id,
        endpoint=delivery.endpoint_id or None,
        url=delivery.url,
        event=delivery.event,
        state=delivery.state,
        tries=delivery.tries,
        status=delivery.status or None,
        detail=delivery.detail,
        created=iso(delivery.created_ms),
        next=iso(delivery.due_ms) if delivery.state == "pending" else None,
    )


_ONE: Final = "webhooks/{endpoint}"

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="webhooks",
        name="listWebhooks",
        summary="Who is told when tasks have ended.",
        work=_list,
        query=AskedWebhooks,
        answer=Page,
    ),
    Endpoint(
        method="POST",
        path="webhooks",
        name="addWebhook",
        summary="Adds an address. Its secret is shown once.",
        work=_add,
        body=WebhookAsked,
        answer=EndpointMade,
        status=201,
    ),
    Endpoint(method="DELETE", path=_ONE, name="removeWebhook", summary="Removes an address.", work=_remove, status=204),
    Endpoint(
        method="POST",
        path=f"{_ONE}/enable",
        name="enableWebhook",
        summary="Tells an address again that was gone.",
        work=_enable,
        status=204,
    ),
    Endpoint(
        method="POST",
        path=f"{_ONE}/rotate",
        name="rotateWebhookSecret",
        summary="Makes a new secret; the old one signs beside it for a while.",
        work=_rotate,
        body=RotationAsked,
        answer=SecretMade,
    ),
    Endpoint(
        method="GET",
        path="webhooks/deliveries",
        name="listDeliveries",
        summary="Messages, newest first.",
        work=_deliveries,
        query=AskedDeliveries,
        answer=Page,
    ),
    Endpoint(
        method="POST",
        path="webhooks/deliveries/{delivery}/replay",
        name="replayDelivery",
        summary="Sends a message again.",
        work=_replay,
        answer=Replayed,
    ),
)
