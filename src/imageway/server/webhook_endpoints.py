"""What operators do about webhooks: endpoints, what signs for them, and deliveries. It works beside a running gateway,
which takes notice with the next delivery. Every change of an endpoint stands in the audit log, without any secret."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct

from imageway.core.errors import GatewayError, InvalidRequest, Problem
from imageway.core.ops import Committed, Op, Refused
from imageway.engine.notices import why_not
from imageway.engine.webhook_secrets import WebhookSecrets
from imageway.ledger.access import RecordChange
from imageway.ledger.queries import FindWorkspace
from imageway.ledger.sealed import Vault
from imageway.server.administration.office import Conflict, Office, sealing
from imageway.server.configuration import Settings
from imageway.tasks.signatures import PREFIX
from imageway.tasks.webhooks import (
    EVENTS,
    AddEndpoint,
    AddSecret,
    Delivery,
    EnableEndpoint,
    Endpoint,
    FindDelivery,
    FindEndpoint,
    ListDeliveries,
    ListEndpoints,
    ListSecrets,
    RemoveEndpoint,
    ReplayDelivery,
    RotateSecret,
)
from imageway.transport import Transport

PAGE: Final = 200
ENDPOINT_PREFIX: Final = "end_"
_NOTHING: Final = b"null"
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class EndpointShown(Struct, frozen=True, kw_only=True):
    """`events` empty: all of them. `hint`: how its secret begins and ends, None when it has none. `disabled_ms` None:
    it is told."""

    id: str
    workspace: str
    url: str
    events: tuple[str, ...]
    hint: str | None
    created_ms: int
    disabled_ms: int | None


class EndpointMade(Struct, frozen=True):
    """`secret` is shown this once."""

    id: str
    secret: str


class SecretMade(Struct, frozen=True):
    """`old_until_ms`: until then the one before signs as well. `endpoint`: it is an endpoint's, shown this once; a
    workspace's own can be shown again."""

    secret: str
    old_until_ms: int
    endpoint: bool


class SecretShown(Struct, frozen=True):
    """`until_ms` None: the current one."""

    secret: str
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class WebhookDesk:
    """Every method raises GatewayError: 404 for what is not there, 400 and 409 for what cannot be done, 500 when a
    secret cannot be sealed or opened. Workspaces are named by name or id."""

    office: Office
    settings: Settings
    vault: Vault

    async def add(self, workspace: str, url: str, events: Sequence[str] | None = None) -> EndpointMade:
        """An endpoint that is told of every end, or of `events` alone; to want none at all is a mistake."""
        self._check(url, events)
        office, limit = self.office, self.settings.engine.webhook_endpoints
        owner, now_ms, endpoint_id = await office.workspace(workspace), office.now_ms(), office.new_id("end")
        with sealing():
            secret = self._secrets.make(now_ms)
        endpoint = AddEndpoint(
            id=endpoint_id,
            workspace_id=owner.id,
            url=url,
            events=tuple(dict.fromkeys(events or ())),
            limit=limit,
            at_ms=now_ms,
        )
        kept = AddSecret(secret.id, endpoint_id, secret.hint, now_ms), secret.put
        about = {"workspace": owner.id, "url": url, "events": list(endpoint.events)}
        added = await self._change("webhook.add", endpoint_id, endpoint, *kept, after=_encode(about))
        if isinstance(added, Refused):
            if added.why == "too_many":
                message = f'the workspace "{workspace}" has {limit} endpoints already: [limits] webhook_endpoints'
                raise InvalidRequest(Problem("url", "invalid_value", message))
            raise Conflict("duplicate", f'the workspace "{workspace}" tells "{url}" already', param="url")
        return EndpointMade(endpoint_id, secret.plain)

    async def endpoints(self, workspace: str | None = None) -> list[EndpointShown]:
        """In the order they were made; of all workspaces, when none is named."""
        owner_id = (await self.office.workspace(workspace)).id if workspace else None
        return [await self._shown(one) for one in await self._every_endpoint(owner_id)]

    async def remove(self, endpoint_id: str) -> None:
        """It is told nothing any more, not even what waits for it."""
        if isinstance(await self._change("webhook.remove", endpoint_id, RemoveEndpoint(endpoint_id)), Refused):
            raise GatewayError("not_found", f'there is no endpoint "{endpoint_id}"', param="id")

    async def enable(self, endpoint_id: str) -> None:
        """One that was disabled because its receiver said that it is gone."""
        if isinstance(await self._change("webhook.enable", endpoint_id, EnableEndpoint(endpoint_id)), Refused):
            raise GatewayError("not_found", f'there is no disabled endpoint "{endpoint_id}"', param="id")

    async def rotate(self, holder: str, *, at_once: bool = False) -> SecretMade:
        """A new secret for an endpoint, by its id, or for a workspace's own. `at_once`: the old one signs no more."""
        office = self.office
        endpoint, now_ms = await office.store.read(FindEndpoint(holder)), office.now_ms()
        holder_id = endpoint.id if endpoint else await self._workspace_id(holder)
        until_ms = now_ms + (0 if at_once else int(self.settings.engine.webhook_overlap_s * 1000))
        with sealing():
            secret = self._secrets.make(now_ms)
        rotate = RotateSecret(secret.id, holder_id, secret.hint, now_ms, until_ms)
        if isinstance(await self._change("webhook.rotate", holder_id, rotate, secret.put), Refused):
            raise GatewayError("not_found", f'"{holder}" has no secret yet', param="id")
        return SecretMade(secret.plain, until_ms, endpoint is not None)

    async def secrets(self, workspace: str) -> list[SecretShown]:
        """What signs for the addresses that come with the workspace's own requests, the current one first; made when
        there is none."""
        holder_id = (await self.office.workspace(workspace)).id
        with sealing():
            known = await self._secrets.signing(holder_id, self.office.now_ms())
        return [SecretShown(secret, one.until_ms) for one, secret in known]

    async def deliveries(
        self, workspace: str | None = None, *, dead: bool = False, limit: int = 100
    ) -> tuple[Delivery, ...]:
        """Newest first."""
        owner_id = (await self.office.workspace(workspace)).id if workspace else None
        return await self.office.store.read(ListDeliveries(owner_id, "dead" if dead else None, limit=limit))

    async def replay(self, delivery_id: str) -> None:
        """Sends one again, from the first try on, under its own id."""
        store = self.office.store
        row = await store.read(FindDelivery(delivery_id))
        if row is None:
            raise GatewayError("not_found", f'there is no delivery "{delivery_id}"', param="id")
        endpoint = await store.read(FindEndpoint(row.endpoint_id)) if row.endpoint_id else None
        if row.endpoint_id and endpoint is None:
            raise Conflict("duplicate", "its endpoint was removed: nobody would be told", param="id")
        if endpoint is not None and endpoint.disabled_ms is not None:
            raise Conflict("duplicate", f"its endpoint is disabled; first enable {endpoint.id}", param="id")
        if isinstance(await store.commit(ReplayDelivery(delivery_id, self.office.now_ms())), Refused):
            raise Conflict("duplicate", f'"{delivery_id}" is being delivered already', param="id")

    async def replay_dead(self, workspace: str | None = None) -> list[str]:
        """All that nobody took, page by page: however many there are. Their ids."""
        store, now_ms, replayed = self.office.store, self.office.now_ms(), list[str]()
        owner_id = (await self.office.workspace(workspace)).id if workspace else None
        query = ListDeliveries(owner_id, "dead", limit=PAGE)
        while page := await store.read(query):
            done = await asyncio.gather(*(store.commit(ReplayDelivery(row.id, now_ms)) for row in page))
            replayed += [row.id for row, outcome in zip(page, done, strict=True) if isinstance(outcome, Committed)]
            query = ListDeliveries(owner_id, "dead", before=(page[-1].created_ms, page[-1].id), limit=PAGE)
        return replayed

    @property
    def _secrets(self) -> WebhookSecrets:
        return WebhookSecrets(self.office.store, self.vault, self.office.random)

    async def _workspace_id(self, holder: str) -> str:
        """Of what is no endpoint."""
        found = await self.office.store.read(FindWorkspace(holder))
        if found is None:
            other = "" if holder.startswith(ENDPOINT_PREFIX) else " and no workspace"
            raise GatewayError("not_found", f'there is no endpoint{other} "{holder}"', param="id")
        return found.id

    def _check(self, url: str, events: Sequence[str] | None) -> None:
        if events is not None and not events:
            message = "no events are named, so nothing would be told: leave events out for all of them"
            raise InvalidRequest(Problem("events", "invalid_value", message, tuple(EVENTS)))
        if unknown := [name for name in events or () if name not in EVENTS]:
            message = f'the event "{unknown[0]}" is none of {", ".join(EVENTS)}'
            raise InvalidRequest(Problem("events", "invalid_value", message, tuple(EVENTS)))
        try:
            transport = Transport(told_hosts=self.settings.webhook_allow)
        except ValueError as error:
            raise GatewayError("internal_error", f"webhook_allow: {error}") from None
        if why := why_not(transport, url):
            message = f"the URL cannot be called: {why}; hosts of your own are named in webhook_allow"
            raise InvalidRequest(Problem("url", "invalid_webhook_url", message))

    async def _change(self, action: str, target: str, *ops: Op, after: bytes = _NOTHING) -> Committed | Refused:
        office = self.office
        record = RecordChange(office.actor, action, target, _NOTHING, after, office.now_ms())
        return await office.store.commit(*ops, record)

    async def _every_endpoint(self, workspace_id: str | None) -> list[Endpoint]:
        """Page by page, too."""
        found: list[Endpoint] = []
        while page := await self.office.store.read(ListEndpoints(workspace_id, after=_last(found))):
            found += page
        return found

    async def _shown(self, one: Endpoint) -> EndpointShown:
        secrets = await self.office.store.read(ListSecrets(one.id))
        return EndpointShown(
            id=one.id,
            workspace=one.workspace,
            url=one.url,
            events=one.events,
            hint=f"{PREFIX}…{secrets[0].hint}" if secrets else None,
            created_ms=one.created_ms,
            disabled_ms=one.disabled_ms,
        )


def _last(found: list[Endpoint]) -> tuple[int, str]:
    return (found[-1].created_ms, found[-1].id) if found else (-1, "")
