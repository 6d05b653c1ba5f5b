"""Secrets of webhooks and signed keys as Imageway had them before it sealed any: made of the owner's id and of one key
in the data directory. Whoever was given one keeps it; nothing is made like this any more."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from base64 import b64encode
from pathlib import Path
from typing import Final

from imageway.core.ops import Store
from imageway.ledger import sealed
from imageway.ledger.sealed import ListUnsealed, SealingError, Unsealed, Vault
from imageway.server.signing import PREFIX as SIGNING_PREFIX
from imageway.tasks.signatures import PREFIX, hint_of

KEY_FILE: Final = "webhook-signing.key"


def earlier_key(data: Path) -> bytes | None:
    """None: no Imageway of that time has worked here. Raises SealingError."""
    path = data / KEY_FILE
    try:
        return bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise SealingError(f'"{path}" does not hold a key: restore it, or remove it when nothing needs it') from None


def earlier_secret(data: Path, kind: str, holder_id: str) -> str:
    """Raises SealingError when there is nothing to make it of."""
    key = earlier_key(data)
    if key is None:
        raise SealingError(
            f'the secret of {kind} "{holder_id}" is not in the database, and "{data / KEY_FILE}", which an earlier '
            "Imageway would have made it of, is not there: put that file back, or rotate the secret"
        )
    return _made(key, kind, holder_id)


def first_entry(data: Path) -> str | None:
    """The first key of the ring, `ID:KEY`, where the earlier key is: replicas that have that one in common, each in a
    directory of its own, have this one in common too. Raises SealingError."""
    key = earlier_key(data)
    if key is None:
        return None
    return f"k{_mac(key, 'first key, id')[:4].hex()}:{b64encode(_mac(key, 'first key of the ring')).decode()}"


async def seal_earlier(store: Store, data: Path, vault: Vault, at_ms: int) -> int:
    """Seals what can be made anew, as it was; how many. Those that were made of another key than is here stay as they
    are. Raises SealingError, StoreFailed."""
    key, count, after = earlier_key(data), 0, ("", "")
    if key is None:
        return 0
    while page := await store.read(ListUnsealed(after)):
        after = (page[-1].kind, page[-1].holder_id)
        plains = [(one, _made(key, one.kind, one.holder_id)) for one in page]
        known = [(one, plain) for one, plain in plains if _is_that(one, plain)]
        puts = [vault.seal(one.kind, one.holder_id, plain=plain, at_ms=at_ms) for one, plain in known]
        await asyncio.gather(*map(store.commit, puts))
        count += len(puts)
    return count


def _is_that(one: Unsealed, plain: str) -> bool:
    return not one.hint or hint_of(plain) == one.hint


def _made(key: bytes, kind: str, holder_id: str) -> str:
    match kind:
        case sealed.WEBHOOK:
            return PREFIX + b64encode(_mac(key, f"webhook secret\n{holder_id}")).decode()
        case sealed.SIGNING:
            return SIGNING_PREFIX + _mac(key, f"request secret\n{holder_id}").hex()
    raise SealingError(f'no secret of {kind} "{holder_id}" is known: give it again')


def _mac(key: bytes, content: str) -> bytes:
    return hmac.new(key, content.encode(), hashlib.sha256).digest()
