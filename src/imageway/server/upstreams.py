"""Upstreams of a running gateway: those it was started with, and those that operators keep in the database, their
credentials sealed. What changes there is in use within a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from imageway.catalog import Catalog
from imageway.core.failures import StoreFailed
from imageway.core.ops import Store
from imageway.core.ports import Random
from imageway.core.upstreams import Upstream
from imageway.engine.ports import Tools
from imageway.ledger.sealed import UPSTREAM, ListSecrets, ListUpstreams, SealingError, Secret, StoredUpstream
from imageway.server.configuration import (
    ConfigurationError,
    Settings,
    UpstreamRow,
    configured_upstreams,
    upstream_of,
    with_pretend,
)
from imageway.server.sealing import Ring, ring_of
from imageway.telemetry import events, logger
from imageway.transport import Transport

LOOK_EVERY_S: Final = 0.5
MOST_UPSTREAMS: Final = 1_000_000

Kept = tuple[tuple[StoredUpstream, ...], tuple[Secret, ...]]
"""What the database holds of upstreams."""


class Document(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything of a stored upstream but its provider and its credential."""

    base_url: str = ""
    weight: int = 1
    values: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Installation:
    """What a process was started with, as far as upstreams are concerned."""

    settings: Settings
    catalog: Catalog
    environment: Mapping[str, str]
    random: Random

    def ring(self) -> Ring:
        """To seal with; it is made when there is none. Raises SealingError."""
        return ring_of(self.settings.data, self.environment, self.random)

    def opening_ring(self) -> Ring:
        """To open with: one that is made now would open nothing. Raises SealingError."""
        return ring_of(self.settings.data, self.environment)

    def configured(self) -> tuple[Upstream, ...]:
        """Those of the file and the environment. Raises ConfigurationError."""
        return configured_upstreams(self.settings, self.catalog, self.environment)


@dataclass(slots=True)
class LiveUpstreams:
    """Keeps the engine's tools at what configuration and database say."""

    installation: Installation
    tools: Tools
    transport: Transport
    _seen: tuple[Kept, Ring | None] | None = None

    async def keep_going(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.tools.clock.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except StoreFailed as error:
                logger().error(events.STORE_FAILED, detail=str(error))
            except Exception as error:  # noqa: BLE001  # the next round comes, whatever hole this one fell into
                logger().exception(events.ROUND_FAILED, exc_info=error)

    async def look(self) -> None:
        """One round: nothing happens unless rows or ring have changed. An upstream that cannot be used is told and left
        out; the others go on."""
        found = await kept_upstreams(self.tools.store)
        seen = found, self._ring() if found[1] else None
        if seen == self._seen:
            return
        stored, faulty = opened_upstreams(self.installation, self.transport, found)
        real = (*self.installation.configured(), *stored)
        settings, catalog = self.installation.settings, self.installation.catalog
        self.tools.upstreams = with_pretend(settings, catalog, real, (row.provider for row in found[0]))
        for upstream_id, why in faulty:
            logger().error(events.UPSTREAM_UNUSABLE, upstream=upstream_id, detail=why)
        if self._seen is not None:
            logger().info(events.UPSTREAMS_CHANGED, upstreams=[upstream.id for upstream in self.tools.upstreams])
        self._seen = seen

    def _ring(self) -> Ring | None:
        """None: none that can be read just now, which somebody may mend."""
        try:
            return self.installation.opening_ring()
        except SealingError:
            return None  # whoever opens a secret with it is told why


async def kept_upstreams(store: Store) -> Kept:
    return await store.read(ListUpstreams()), await store.read(ListSecrets(UPSTREAM, limit=MOST_UPSTREAMS))


def opened_upstreams(
    installation: Installation, transport: Transport, found: Kept
) -> tuple[tuple[Upstream, ...], tuple[tuple[str, str], ...]]:
    """The enabled ones with their credentials; and of those that cannot be used, id and why."""
    rows, secrets = found[0], {secret.holder_id: secret for secret in found[1]}
    taken = {upstream.id for upstream in installation.configured()}
    opened: list[Upstream] = []
    faulty: list[tuple[str, str]] = []
    for row in rows:
        if not row.enabled:
            continue
        try:
            if row.id in taken:
                raise ConfigurationError("the configuration has an upstream of that id, which is used instead")
            opened.append(_opened(installation, transport, row, secrets.get(row.id)))
        except (ConfigurationError, SealingError, ValueError) as error:
            faulty.append((row.id, str(error)))
    return tuple(opened), tuple(faulty)


def _opened(installation: Installation, transport: Transport, row: StoredUpstream, secret: Secret | None) -> Upstream:
    """Raises ConfigurationError, SealingError, ValueError."""
    key = installation.opening_ring().open(secret) if secret is not None else ""
    upstream = upstream_of(installation.catalog, as_row(row), key=key, upstream_id=row.id)
    transport.check(upstream)
    return upstream


def as_row(stored: StoredUpstream) -> UpstreamRow:
    """As the configuration file would have it, without the credential. Raises ValueError."""
    document = msgspec.json.decode(stored.document, type=Document)
    return UpstreamRow(
        provider=stored.provider,
        id=stored.id,
        base_url=document.base_url,
        weight=document.weight,
        values=document.values,
    )
