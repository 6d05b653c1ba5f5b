"""Upstreams that operators keep in the database: put, switched on and off, dropped, listed beside those of the
configuration. A credential goes in and never comes out."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from imageway.core.errors import GatewayError
from imageway.core.upstreams import PRETEND, Upstream
from imageway.core.wording import moment
from imageway.ledger.sealed import (
    UPSTREAM,
    DropSecret,
    DropUpstream,
    ListUpstreams,
    PutSecret,
    PutUpstream,
    StoredUpstream,
)
from imageway.server.administration.office import Conflict, Office, sealing, unless
from imageway.server.administration.written import Reader
from imageway.server.configuration import ConfigurationError, upstream_of
from imageway.server.upstreams import Document, Installation, as_row, kept_upstreams
from imageway.tasks.queries import CountUnderWay
from imageway.transport import Transport

MOST_WEIGHT: Final = 1_000_000
MOST_CREDENTIAL: Final = 16_384
DATABASE: Final = "database"
UNSEEN: Final = "a credential that is there and stays"
CONFIGURATION: Final = "configuration"
DROPPING: Final = (
    "disable it, and remove it when they have ended; or force it, and nobody can ask for what a gateway that restarts "
    "meanwhile had sent there"
)
MOVING: Final = (
    "its provider, base URL and values stay until they have ended: add another upstream, or disable this one and wait; "
    "or force it, and a gateway that restarts meanwhile asks the new place for what was sent to the old one"
)


class UpstreamAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An upstream as an operator writes it, as in the configuration file. `id` empty: the provider's name. `key` empty:
    the credential that it has stays."""

    provider: str
    id: str = ""
    key: str = ""
    base_url: str = ""
    weight: int = 1
    values: dict[str, str] = {}
    enabled: bool = True

    def __repr__(self) -> str:
        return f"UpstreamAsked(provider={self.provider!r}, id={self.id!r}, base_url={self.base_url!r})"


class UpstreamShown(Struct, frozen=True, kw_only=True):
    """An upstream as operators see it, without its credential. `kept_in`: database, or configuration (where it is
    changed by editing the file or the environment). `changed`: None for the latter."""

    id: str
    provider: str
    base_url: str
    weight: int
    values: dict[str, str]
    enabled: bool
    kept_in: str
    changed: str | None


async def put_upstream(
    office: Office, installation: Installation, asked: UpstreamAsked, *, force: bool = False
) -> UpstreamShown:
    """Makes or replaces; every gateway uses it within a second. Raises InvalidRequest with everything that is wrong;
    GatewayError 409 where it would lead elsewhere while tasks are under way there, unless `force`."""
    reader, upstream_id, now_ms = Reader(), asked.id or asked.provider, office.now_ms()
    reader.name("id", upstream_id)
    if upstream_id.startswith(PRETEND):
        reader.wrong("id", f'"{PRETEND}…" is how pretend upstreams are called: choose another id')
    if not 1 <= asked.weight <= MOST_WEIGHT:
        reader.wrong("weight", f'weight "{asked.weight}": write a number from 1 to {MOST_WEIGHT}')
    if len(asked.key) > MOST_CREDENTIAL or not _is_text(asked.key):
        reader.wrong("key", f"a credential is text of at most {MOST_CREDENTIAL} characters")
    if upstream_id in {upstream.id for upstream in installation.configured()}:
        reader.wrong("id", f'the configuration has an upstream "{upstream_id}" already: choose another id')
    unless(reader.problems)
    rows, secrets = await kept_upstreams(office.store)
    before = next((row for row in rows if row.id == upstream_id), None)
    has_secret = any(secret.holder_id == upstream_id for secret in secrets)
    if not asked.key and (before is None or not has_secret or before.provider != asked.provider):
        reader.wrong("key", "a new upstream needs its credential")
    document = Document(base_url=asked.base_url.rstrip("/"), weight=asked.weight, values=asked.values)
    put = PutUpstream(upstream_id, asked.provider, msgspec.json.encode(document), asked.enabled, now_ms)
    after = StoredUpstream(put.id, put.provider, put.document, put.enabled, now_ms)
    _check(reader, installation, after, asked.key)
    unless(reader.problems)
    secret = [_sealed(office, installation, upstream_id, asked.key)] if asked.key else []
    shown = _shown(installation, after)
    was = None if before is None else _shown(installation, before)
    if was is not None and not force and _leads_to(was) != _leads_to(shown):
        await _refuse_in_use(office, upstream_id, MOVING)
    await office.change("upstream.put", upstream_id, put, *secret, before=was, after=shown)
    return shown


def _is_text(key: str) -> bool:
    """A key file in several lines too."""
    return all(char.isprintable() or char in "\t\r\n" for char in key)


async def switch_upstream(
    office: Office, installation: Installation, upstream_id: str, *, enabled: bool
) -> UpstreamShown:
    """On or off: what is off is asked by no new request. Raises GatewayError 404."""
    before, now_ms = await _found(office, upstream_id), office.now_ms()
    after = StoredUpstream(before.id, before.provider, before.document, enabled, now_ms)
    put = PutUpstream(before.id, before.provider, before.document, enabled, now_ms)
    was, shown = _shown(installation, before), _shown(installation, after)
    await office.change(f"upstream.{'enable' if enabled else 'disable'}", upstream_id, put, before=was, after=shown)
    return shown


async def drop_upstream(office: Office, installation: Installation, upstream_id: str, *, force: bool = False) -> None:
    """With its credential. Raises GatewayError: 404; 409 while tasks are under way there, unless `force`."""
    row = await _found(office, upstream_id)
    if not force:
        await _refuse_in_use(office, upstream_id, DROPPING)
    _, secrets = await kept_upstreams(office.store)
    secret = [DropSecret(UPSTREAM, row.id)] if any(one.holder_id == row.id for one in secrets) else []
    await office.change("upstream.drop", row.id, DropUpstream(row.id), *secret, before=_shown(installation, row))


async def list_upstreams(office: Office, installation: Installation) -> tuple[UpstreamShown, ...]:
    """Those of the configuration, then those of the database, disabled ones too."""
    configured = tuple(_configured(upstream) for upstream in installation.configured())
    return (*configured, *(_shown(installation, row) for row in await office.store.read(ListUpstreams())))


def _leads_to(shown: UpstreamShown) -> tuple[str, str, dict[str, str]]:
    """Where what was sent by it is asked for."""
    return shown.provider, shown.base_url, shown.values


async def _refuse_in_use(office: Office, upstream_id: str, advice: str) -> None:
    """Raises GatewayError 409 with the number of tasks under way there, when there are any."""
    under_way = await office.store.read(CountUnderWay(upstream_id))
    if under_way:
        tasks = "1 task is" if under_way == 1 else f"{under_way} tasks are"
        message = f'{tasks} under way at the upstream "{upstream_id}": {advice}'
        raise Conflict("upstream_in_use", message, param="upstream")


async def _found(office: Office, upstream_id: str) -> StoredUpstream:
    rows = await office.store.read(ListUpstreams())
    found = next((row for row in rows if row.id == upstream_id), None)
    if found is None:
        raise GatewayError("not_found", f'the database holds no upstream "{upstream_id}"', param="upstream")
    return found


def _check(reader: Reader, installation: Installation, row: StoredUpstream, key: str) -> None:
    """What the configuration file would not take is not taken here either."""
    transport = Transport(allowed_hosts=installation.settings.fetch_allow)
    try:
        transport.check(upstream_of(installation.catalog, as_row(row), key=key or UNSEEN, upstream_id=row.id))
    except (ConfigurationError, ValueError) as error:
        reader.wrong("upstream", str(error))


def _sealed(office: Office, installation: Installation, upstream_id: str, key: str) -> PutSecret:
    """Raises GatewayError: the operator of this machine must see to the ring first."""
    with sealing():
        ring = installation.ring()
    return ring.seal(UPSTREAM, upstream_id, plain=key, random=office.random, at_ms=office.now_ms())


def _shown(installation: Installation, row: StoredUpstream) -> UpstreamShown:
    written = as_row(row)
    provider = installation.catalog.providers.get(row.provider)
    return UpstreamShown(
        id=row.id,
        provider=row.provider,
        base_url=written.base_url or (provider.base_url if provider else ""),
        weight=written.weight,
        values=written.values,
        enabled=row.enabled,
        kept_in=DATABASE,
        changed=moment(row.changed_ms),
    )


def _configured(upstream: Upstream) -> UpstreamShown:
    return UpstreamShown(
        id=upstream.id,
        provider=upstream.provider,
        base_url=upstream.base_url,
        weight=upstream.weight,
        values=dict(upstream.values),
        enabled=True,
        kept_in=CONFIGURATION,
        changed=None,
    )
