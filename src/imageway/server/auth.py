"""Keys: made once, shown once, stored as a digest; found again for every request.

Nothing is remembered here: a revoked key is worth nothing from the next request on, whichever process revoked it. The
embedded store itself remembers keys, for as long as it can tell that nobody has changed anything."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from dataclasses import dataclass

from imageway.core.errors import GatewayError
from imageway.core.ops import Store
from imageway.core.ports import Random
from imageway.core.requests import Caller
from imageway.ledger.queries import FindKey

PREFIX = "sk-iw-"
_LONGEST_KEY = 256


def new_key(random: Random) -> str:
    """256 bits of chance after `sk-iw-`; no slow hash is needed for such a key."""
    return PREFIX + b32encode(random.token_bytes(32)).decode().rstrip("=").lower()


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Finds callers by key."""

    store: Store

    async def caller(self, key: str | None) -> Caller:
        """Raises GatewayError `invalid_api_key`."""
        if not key:
            raise GatewayError("invalid_api_key", "an API key is needed: send it as `Authorization: Bearer sk-iw-…`")
        found = await self.store.read(FindKey(digest_of(key))) if len(key) <= _LONGEST_KEY else None
        if found is None or found.revoked_ms is not None:
            raise GatewayError("invalid_api_key", "this API key is not valid")
        return Caller(found.id, found.workspace_id, found.models)
