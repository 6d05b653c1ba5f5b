"""Secrets at rest, as operators look after them: which there are, under which key each is sealed, whether they open,
and all of them sealed anew under another. Never what they say."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from imageway.core.errors import GatewayError
from imageway.core.ops import Committed, Store
from imageway.core.wording import moment
from imageway.ledger.sealed import CountSecrets, ListSecrets, ListUnsealed, ResealSecret, SealingError, Secret
from imageway.server.administration.office import Office
from imageway.server.earlier import seal_earlier
from imageway.server.sealing import Ring, with_new_key
from imageway.server.upstreams import Installation
from imageway.server.vault import RingVault

CURRENT: Final = "current"
OLDER: Final = "older"
MISSING: Final = "missing"
UNSEALED: Final = "unsealed"


class SecretShown(Struct, frozen=True, kw_only=True):
    """Whose it is, and the key of the ring that seals it."""

    kind: str
    holder: str
    key: str
    changed: str


class SecretsCounted(Struct, frozen=True, kw_only=True):
    """Of one kind under one key. `state`: current (that key seals), older (it opens), missing (the ring does not hold
    it), unsealed (`key` None: an earlier Imageway made them of its key file)."""

    kind: str
    key: str | None
    secrets: int
    state: str


class Rotated(Struct, frozen=True, kw_only=True):
    """`key` seals everything now; `faulty` says of each secret that could not be opened why."""

    key: str
    resealed: int
    faulty: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """Secrets of one kind that do not open. `why`: of the first of them."""

    kind: str
    count: int
    why: str


async def list_secrets(office: Office) -> tuple[SecretShown, ...]:
    """By kind and holder."""
    return tuple(
        [
            SecretShown(kind=row.kind, holder=row.holder_id, key=row.key_id, changed=moment(row.changed_ms))
            async for page in _pages(office.store)
            for row in page
        ]
    )


async def count_secrets(store: Store, installation: Installation) -> tuple[SecretsCounted, ...]:
    """By kind and key; what is not sealed yet comes last."""
    try:
        ring = installation.opening_ring()
    except SealingError:
        ring = None
    sealed = [
        SecretsCounted(kind=row.kind, key=row.key_id, secrets=row.count, state=_state(ring, row.key_id))
        for row in await store.read(CountSecrets())
    ]
    unsealed = Counter([kind async for kind in _every_unsealed(store)])
    return (
        *sealed,
        *(SecretsCounted(kind=kind, key=None, secrets=count, state=UNSEALED) for kind, count in unsealed.items()),
    )


async def find_closed(store: Store, installation: Installation) -> tuple[Closed, ...]:
    """Opens every one. Those of upstreams too."""
    counts, first = Counter[str](), dict[str, str]()
    async for page in _pages(store):
        for kind, why in _closed(page, installation):
            counts[kind] += 1
            first.setdefault(kind, why)
    return tuple(Closed(kind, count, first[kind]) for kind, count in counts.items())


async def rotate_secrets(office: Office, installation: Installation) -> Rotated:
    """Adds a key to the ring and seals every secret with it, also those that were not sealed before. When an earlier
    rotation was cut short, that one is ended, with its key. Gateways may run, and others may rotate meanwhile. Raises
    GatewayError where no key can be added."""
    store, data = office.store, installation.settings.data
    vault = RingVault(store, data, installation.environment, office.random)
    try:
        ring = installation.ring()
        await seal_earlier(store, data, vault, office.now_ms())
        resealed, faulty = await _reseal(office, installation)
        if not resealed:
            with_new_key(ring, office.random)
            resealed, faulty = await _reseal(office, installation)
        current = installation.opening_ring().current
    except (SealingError, OSError) as error:
        raise GatewayError("invalid_value", str(error), param="secrets") from None
    after = {"key": current, "resealed": resealed, "faulty": len(faulty)}
    await office.change("secrets.rotate", current, after=after)
    return Rotated(key=current, resealed=resealed, faulty=faulty)


async def _reseal(office: Office, installation: Installation) -> tuple[int, tuple[str, ...]]:
    """How many, and what is wrong with others. Whoever replaces a secret, or seals one with the key before, while this
    goes on is found by another round; so the last round has nothing to do."""
    resealed, store = 0, office.store
    while True:
        done, faulty, after = 0, list[str](), ("", "")
        ring = installation.opening_ring()
        while page := await store.read(ListSecrets(not_under=ring.current, after=after)):
            after = (page[-1].kind, page[-1].holder_id)
            ops = [op for op in (_resealed(office, ring, row, faulty) for row in page) if op is not None]
            outcomes = await asyncio.gather(*map(store.commit, ops))
            resealed += sum(isinstance(outcome, Committed) for outcome in outcomes)
            done += len(ops)
        if not done:
            return resealed, tuple(faulty)


def _resealed(office: Office, ring: Ring, row: Secret, faulty: list[str]) -> ResealSecret | None:
    try:
        return ring.reseal(row, office.random)
    except SealingError as error:
        faulty.append(str(error))
        return None


def _closed(page: tuple[Secret, ...], installation: Installation) -> Iterator[tuple[str, str]]:
    """Kind and reason of each. The ring is read after the rows: it holds by then what a rotation has added."""
    try:
        ring = installation.opening_ring()
    except SealingError as error:
        yield from ((row.kind, str(error)) for row in page)
        return
    for row in page:
        try:
            ring.open(row)
        except SealingError as error:
            yield row.kind, str(error)


def _state(ring: Ring | None, key_id: str) -> str:
    if ring is None or key_id not in ring.keys:
        return MISSING
    return CURRENT if key_id == ring.current else OLDER


async def _pages(store: Store) -> AsyncIterator[tuple[Secret, ...]]:
    after = ("", "")
    while page := await store.read(ListSecrets(after=after)):
        yield page
        after = (page[-1].kind, page[-1].holder_id)


async def _every_unsealed(store: Store) -> AsyncIterator[str]:
    """The kind of each."""
    after = ("", "")
    while page := await store.read(ListUnsealed(after)):
        for one in page:
            yield one.kind
        after = (page[-1].kind, page[-1].holder_id)
