"""Keys: made once, shown once, stored as a digest; found again for every request.

A found key is trusted for half a second; revoking is exact all the same, since accepting a task checks the key again
in the same commit as the hold."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from dataclasses import dataclass, field

from imageway.core.errors import GatewayError
from imageway.core.ops import Store
from imageway.core.ports import Clock, Random
from imageway.core.requests import Caller
from imageway.ledger.queries import FindKey

PREFIX = "sk-iw-"
TRUST_S = 0.5
_LONGEST_KEY = 256
_KEPT_KEYS = 10_000


def new_key(random: Random) -> str:
    """256 bits of chance after `sk-iw-`; no slow hash is needed for such a key."""
    return PREFIX + b32encode(random.token_bytes(32)).decode().rstrip("=").lower()


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


@dataclass(slots=True)
class KeyRing:
    """Finds callers by key."""

    store: Store
    clock: Clock
    _trusted: dict[str, tuple[Caller, float]] = field(default_factory=dict)

    async def caller(self, key: str | None) -> Caller:
        """Raises GatewayError `invalid_api_key`."""
        if not key:
            raise GatewayError("invalid_api_key", "an API key is needed: send it as `Authorization: Bearer sk-iw-…`")
        now_s = self.clock.monotonic_s()
        trusted = self._trusted.get(key)
        if trusted and trusted[1] > now_s:
            return trusted[0]
        found = await self.store.read(FindKey(digest_of(key))) if len(key) <= _LONGEST_KEY else None
        if found is None or found.revoked_ms is not None:
            self._trusted.pop(key, None)
            raise GatewayError("invalid_api_key", "this API key is not valid")
        caller = Caller(found.id, found.workspace_id, found.models)
        if len(self._trusted) >= _KEPT_KEYS:
            self._trusted.clear()
        self._trusted[key] = (caller, now_s + TRUST_S)
        return caller
