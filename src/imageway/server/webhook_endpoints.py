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
from imageway.ledger.access import RecordChange
from imageway.server.administration.office import Conflict, Office
from imageway.server.configuration import Settings
from imageway.server.keyfiles import WEBHOOK_KEY, key_in
from imageway.tasks.signatures import PREFIX, WrongKey, new_secret, signing, spelled
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
    """Every method raises GatewayError: 404 for what is not there, 400 and 409 for what cannot be done, 500 when the
    file with the signing key is not what secrets were made with. Workspaces are named by name or id."""

    office: Office
    settings: Settings

    async def add(self, workspace: str, url: str, events: Sequence[str] = ()) -> EndpointMade:
        """An endpoint that is told of every end, or of `events` alone."""
        self._check(url, events)
        office, limit = self.office, self.settings.engine.webhook_endpoints
        owner, now_ms, endpoint_id = await office.workspace(workspace), office.now_ms(), office.new_id("end")
        key = self._key()
        secret = new_secret(key, endpoint_id, office.random, now_ms)
        endpoint = AddEndpoint(
            id=endpoint_id,
            workspace_id=owner.id,
            url=url,
            events=tuple(dict.fromkeys(events)),
            limit=limit,
            at_ms=now_ms,
        )
        kept = AddSecret(secret.id, endpoint_id, secret.hint, now_ms)
        about = {"workspace": owner.id, "url": url, "events": list(endpoint.events)}
        added = await self._change("webhook.add", endpoint_id, endpoint, kept, after=_encode(about))
        if isinstance(added, Refused):
            if added.why == "too_many":
                message = f'the workspace "{workspace}" has {limit} endpoints already: [limits] webhook_endpoints'
                raise InvalidRequest(Problem("url", "invalid_value", message))
            raise Conflict("duplicate", f'the workspace "{workspace}" tells "{url}" already', param="url")
        return EndpointMade(endpoint_id, spelled(key, secret))

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
        office, key = self.office, self._key()
        endpoint, now_ms = await office.store.read(FindEndpoint(holder)), office.now_ms()
        holder_id = endpoint.id if endpoint else (await office.workspace(holder)).id
        until_ms = now_ms + (0 if at_once else int(self.settings.engine.webhook_overlap_s * 1000))
        secret = new_secret(key, holder_id, office.random, now_ms)
        rotate = RotateSecret(secret.id, holder_id, secret.hint, now_ms, until_ms)
        if isinstance(await self._change("webhook.rotate", holder_id, rotate), Refused):
            raise GatewayError("not_found", f'"{holder}" has no secret yet', param="id")
        return SecretMade(spelled(key, secret), until_ms, endpoint is not None)

    async def secrets(self, workspace: str) -> list[SecretShown]:
        """What signs for the addresses that come with the workspace's own requests, the current one first; made when
        there is none."""
        office, key = self.office, self._key()
        holder_id, now_ms = (await office.workspace(workspace)).id, office.now_ms()
        if not await office.store.read(ListSecrets(holder_id)):
            first = new_secret(key, holder_id, office.random, now_ms)
            await office.store.commit(AddSecret(first.id, holder_id, first.hint, now_ms))  # refused: another was faster
        try:
            known = signing(key, await office.store.read(ListSecrets(holder_id)), now_ms)
        except WrongKey:
            path = self.settings.data / WEBHOOK_KEY
            message = f'"{path}" is not the key that the secret was made with: restore that file, or rotate the secret'
            raise GatewayError("internal_error", message) from None
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

    def _check(self, url: str, events: Sequence[str]) -> None:
        if unknown := [name for name in events if name not in EVENTS]:
            message = f'the event "{unknown[0]}" is none of {", ".join(EVENTS)}'
            raise InvalidRequest(Problem("events", "invalid_value", message, tuple(EVENTS)))
        try:
            transport = Transport(told_hosts=self.settings.webhook_allow)
        except ValueError as error:
            raise GatewayError("internal_error", f"webhook_allow: {error}") from None
        if why := why_not(transport, url):
            message = f"the URL cannot be called: {why}; hosts of your own are named in webhook_allow"
            raise InvalidRequest(Problem("url", "invalid_webhook_url", message))

    def _key(self) -> bytes:
        path = self.settings.data / WEBHOOK_KEY
        try:
            return key_in(path)
        except ValueError:
            raise GatewayError("internal_error", f'"{path}" does not hold a key') from None

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
