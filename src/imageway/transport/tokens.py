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


class _Failed(Struct, frozen=True):
    at_s: float
    kind: FailureKind
    detail: str


class Tokens:
    """Of one transport, whose `ask` posts a grant's form within so many seconds. Times are the event loop's."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._failed: dict[tuple[str, str], _Failed] = {}

    async def of(self, upstream: Upstream, scope: Scope, deadline_s: float) -> Credential | None:
        """None: its scheme needs none. Raises TransportFailed: DENIED when no token is granted, NEVER_SENT when nobody
        knows, or not within the deadline."""
        grant = granting(upstream.auth)
        if grant is None:
            return None
        kept = self._kept.get(_place(upstream))
        if kept is not None and asyncio.get_running_loop().time() < kept.until_s:
            return kept.credential
        try:
            async with asyncio.timeout(deadline_s):
                return await self._asked_for(upstream, grant, scope, min(deadline_s, DEADLINE_S))
        except TimeoutError:
            raise TransportFailed(FailureKind.NEVER_SENT, f"no token within {deadline_s:g} s") from None

    async def _asked_for(
        self, upstream: Upstream, grant: Callable[[Upstream], Grant | None], scope: Scope, deadline_s: float
    ) -> Credential | None:
        """Who waited while another asked gets what that one got, a failure too: behind an endpoint that hangs, one
        after the other would wait for it anew."""
        place, loop = _place(upstream), asyncio.get_running_loop()
        since_s = loop.time()
        async with self._locks.setdefault(place, asyncio.Lock()):
            kept, failed = self._kept.get(place), self._failed.get(place)
            if kept is not None and loop.time() < kept.until_s:
                return kept.credential
            if failed is not None and failed.at_s > since_s:
                raise TransportFailed(failed.kind, failed.detail)
            try:
                asked = grant(upstream)
                if asked is None:
                    return None
                kept = self._kept[place] = await self._granted(upstream, asked, scope, deadline_s)
            except MissingCredential as missing:
                raise TransportFailed(FailureKind.DENIED, str(missing)) from None
            except TransportFailed as failure:
                self._failed[place] = _Failed(loop.time(), failure.kind, failure.detail)
                raise
            return kept.credential

    def forget(self, upstream: Upstream, credential: Credential) -> None:
        """A token that was not taken: the next request asks for another one, unless somebody has it already."""
        kept = self._kept.get(_place(upstream))
        if kept is not None and kept.credential == credential:
            del self._kept[_place(upstream)]

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


def _place(upstream: Upstream) -> tuple[str, str]:
    return upstream.id, upstream.secrets.get(KEY, "")


def _member(tree: Tree, name: str) -> Tree:
    return tree.get(name) if isinstance(tree, dict) else None
