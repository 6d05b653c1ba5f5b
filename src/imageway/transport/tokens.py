"""Access tokens of upstreams whose scheme is granted them: asked for when first needed, by one for all who wait, and
kept until shortly before they expire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from imageway.bodies import Scope
from imageway.core.blobs import Tree
from imageway.core.failures import TransportFailed
from imageway.core.steps import FailureKind, JsonReply, Reply
from imageway.core.upstreams import Upstream
from imageway.transport.auth import KEY, Credential, Grant, MissingCredential, granting

EARLY_S: Final = 225.0  # before a token expires another one is asked for, as the vendor's own library does
USUAL_S: Final = 3600.0
MOST_BYTES: Final = 1 << 16
DEADLINE_S: Final = 30.0
_DENIED: Final = frozenset({400, 401, 403})

Ask = Callable[[Upstream, Grant, Scope, float], Awaitable[Reply]]


class _Kept(Struct, frozen=True):
    credential: Credential
    until_s: float


class Tokens:
    """Of one transport, whose `ask` posts a grant's form within so many seconds. Times are the event loop's."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}

    async def of(self, upstream: Upstream, scope: Scope, deadline_s: float) -> Credential | None:
        """None: its scheme needs none. Raises TransportFailed: DENIED when no token is granted, NEVER_SENT when nobody
        knows."""
        grant = granting(upstream.auth)
        if grant is None:
            return None
        place = upstream.id, upstream.secrets.get(KEY, "")
        lock = self._locks.setdefault(place, asyncio.Lock())
        async with lock:
            kept, now_s = self._kept.get(place), asyncio.get_running_loop().time()
            if kept is not None and now_s < kept.until_s:
                return kept.credential
            try:
                asked = grant(upstream)
            except MissingCredential as missing:
                raise TransportFailed(FailureKind.DENIED, str(missing)) from None
            if asked is None:
                return None
            kept = await self._granted(upstream, asked, scope, min(deadline_s, DEADLINE_S))
            self._kept[place] = kept
            return kept.credential

    def forget(self, upstream: Upstream) -> None:
        """A token that was not taken: the next request asks for another one."""
        self._kept.pop((upstream.id, upstream.secrets.get(KEY, "")), None)

    async def _granted(self, upstream: Upstream, grant: Grant, scope: Scope, deadline_s: float) -> _Kept:
        try:
            reply = await self._ask(upstream, grant, scope, deadline_s)
        except TransportFailed as failed:
            raise TransportFailed(FailureKind.NEVER_SENT, f"the token endpoint: {failed.detail}") from failed
        told = reply.body.tree if isinstance(reply.body, JsonReply) else None
        token, lives_s = _member(told, "access_token"), _member(told, "expires_in")
        if reply.status >= 300 or not isinstance(token, str) or not token.isprintable():
            kind = FailureKind.DENIED if reply.status in _DENIED else FailureKind.NEVER_SENT
            why = _member(told, "error_description") or _member(told, "error") or "no token"
            raise TransportFailed(kind, f"the token endpoint answered {reply.status}: {why}")
        known = isinstance(lives_s, int | float) and not isinstance(lives_s, bool) and lives_s > 0
        until_s = asyncio.get_running_loop().time() + (float(str(lives_s)) if known else USUAL_S) - EARLY_S
        return _Kept(Credential(headers=(("authorization", f"Bearer {token}"),)), until_s)


def _member(tree: Tree, name: str) -> Tree:
    return tree.get(name) if isinstance(tree, dict) else None
