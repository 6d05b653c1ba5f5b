"""Secrets at rest, as operators look after them: which there are, under which key each is sealed, and all of them
sealed anew under another. Never what they say."""

from __future__ import annotations

from msgspec import Struct

from imageway.core.errors import GatewayError
from imageway.core.ops import Committed
from imageway.core.wording import moment
from imageway.ledger.sealed import ListSecrets
from imageway.server.administration.office import Office
from imageway.server.sealing import Ring, SealingError, with_new_key
from imageway.server.upstreams import Installation


class SecretShown(Struct, frozen=True, kw_only=True):
    """Whose it is, and the key of the ring that seals it."""

    kind: str
    holder: str
    key: str
    changed: str


class Rotated(Struct, frozen=True, kw_only=True):
    """`key` seals everything now; `faulty` says of each secret that could not be opened why."""

    key: str
    resealed: int
    faulty: tuple[str, ...]


async def list_secrets(office: Office) -> tuple[SecretShown, ...]:
    """By kind and holder."""
    return tuple(
        SecretShown(kind=row.kind, holder=row.holder_id, key=row.key_id, changed=moment(row.changed_ms))
        for row in await office.store.read(ListSecrets())
    )


async def rotate_secrets(office: Office, installation: Installation) -> Rotated:
    """Adds a key to the ring and seals every secret with it. When an earlier rotation was cut short, that one is ended,
    with its key. Raises GatewayError where no key can be added."""
    try:
        ring = installation.ring()
        if all(row.key_id == ring.current for row in await office.store.read(ListSecrets())):
            ring = with_new_key(ring, office.random)
    except (SealingError, OSError) as error:
        raise GatewayError("invalid_value", str(error), param="secrets") from None
    resealed, faulty = await _reseal(office, ring)
    after = {"key": ring.current, "resealed": resealed, "faulty": len(faulty)}
    await office.change("secrets.rotate", ring.current, after=after)
    return Rotated(key=ring.current, resealed=resealed, faulty=faulty)


async def _reseal(office: Office, ring: Ring) -> tuple[int, tuple[str, ...]]:
    """One commit each. Whoever replaces a secret meanwhile wins: it is looked at again."""
    resealed, faulty = 0, dict[tuple[str, str], str]()
    while True:
        rows = await office.store.read(ListSecrets())
        left = [row for row in rows if row.key_id != ring.current and (row.kind, row.holder_id) not in faulty]
        if not left:
            return resealed, tuple(faulty.values())
        for row in left:
            try:
                op = ring.reseal(row, office.random)
            except SealingError as error:
                faulty[row.kind, row.holder_id] = str(error)
                continue
            resealed += op is not None and isinstance(await office.store.commit(op), Committed)
