"""Keys: made once, shown once, stored as a digest; found again for every request.

Nothing is remembered here: a revoked key is worth nothing from the next request on, whichever process revoked it. The
embedded store itself remembers keys, for as long as it can tell that nobody has changed anything."""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import lru_cache

from msgspec import json

from imageway.core.access import NO_SCOPE, NO_SETTINGS, KeyScope, WorkspaceSettings
from imageway.core.errors import GatewayError
from imageway.core.ops import Store
from imageway.core.ports import Clock, Random
from imageway.core.requests import Caller
from imageway.core.wording import moment
from imageway.ledger.queries import FindKey, Key
from imageway.server.routes import Head
from imageway.server.scopes import Network, check_entry
from imageway.server.signing import Seal, Signatures

PREFIX = "sk-iw-"
_LONGEST_KEY = 256
_REMEMBERED = 4096  # readings of rows that are alike
_NOTHING = b"{}"
_KEY = re.compile(rf"{PREFIX}(?:admin-)?[A-Za-z0-9]{{8,}}")
_HIDDEN = f"{PREFIX}…"


def new_key(random: Random) -> str:
    """256 bits of chance after `sk-iw-`; no slow hash is needed for such a key."""
    return PREFIX + b32encode(random.token_bytes(32)).decode().rstrip("=").lower()


def without_keys(error: GatewayError) -> GatewayError:
    """Messages repeat what a caller wrote, and some write their key where it does not belong: what is repeated ends up
    in logs of theirs."""
    if PREFIX in error.message or any(PREFIX in problem.message for problem in error.details):
        error.message = _KEY.sub(_HIDDEN, error.message)
        error.details = tuple(replace(one, message=_KEY.sub(_HIDDEN, one.message)) for one in error.details)
    return error


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Finds callers by key, and holds them to how their keys may be used. `proxies`: whose word is taken for where a
    request comes from."""

    store: Store
    clock: Clock
    signatures: Signatures
    proxies: tuple[Network, ...] = ()

    async def caller(self, key: str | None) -> Caller:
        """Raises GatewayError `invalid_api_key`."""
        if not key:
            raise GatewayError("invalid_api_key", "an API key is needed: send it as `Authorization: Bearer sk-iw-…`")
        found = await self.store.read(FindKey(digest_of(key))) if len(key) <= _LONGEST_KEY else None
        if found is None or found.revoked_ms is not None:
            raise GatewayError("invalid_api_key", "this API key is not valid")
        if found.expires_ms and self.clock.now_ms() >= found.expires_ms:
            raise GatewayError("invalid_api_key", f"this API key expired at {moment(found.expires_ms)}")
        return _caller(found)

    def admit(self, caller: Caller, dialect: str, head: Head) -> None:
        """Whether the key may be used in this format, from there. Raises GatewayError 403."""
        check_entry(caller.scope, dialect, head, self.proxies)

    async def seal(self, caller: Caller, head: Head, chunks: AsyncIterator[bytes]) -> Seal:
        """What the body of a signed request is read through. Raises GatewayError 401, or 500 when its secret does not
        open."""
        return await self.signatures.begin(caller.key_id, head, chunks)


def _caller(key: Key) -> Caller:
    return Caller(
        key_id=key.id,
        workspace_id=key.workspace_id,
        models=key.models,
        scope=NO_SCOPE if key.scope == _NOTHING else read_scope(key.scope),
        settings=NO_SETTINGS if key.settings == _NOTHING else read_settings(key.settings),
        budget_id=(key.root_id or key.id) if key.budgets else "",
        budgets=key.budgets,
        signed=key.signed,
    )


@lru_cache(_REMEMBERED)
def read_scope(content: bytes) -> KeyScope:
    """As a key's row has it. Raises ValidationError for what a later Imageway wrote: half a rule lets nobody in."""
    return json.decode(content, type=KeyScope)


@lru_cache(_REMEMBERED)
def read_settings(content: bytes) -> WorkspaceSettings:
    """As a workspace's row has them. Raises ValidationError."""
    return json.decode(content, type=WorkspaceSettings)
