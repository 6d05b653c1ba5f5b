"""Everything that leaves this gateway: calls to upstreams, results that they link to, images that callers link to, and
word to those whom callers want told.

It decides who is asked over which wire and with which credential; it does not know what an answer means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import Final
from urllib.parse import urlencode, urljoin

from msgspec import Struct

from imageway.bodies import Scope, SpoolFull
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import BlobReply, FailureKind, HttpRequest, Page, Reply
from imageway.core.upstreams import Upstream
from imageway.sandbox.wire import Sandbox
from imageway.transport.addresses import is_certainly_inside
from imageway.transport.auth import Credential, Grant, MissingCredential, granting, scheme
from imageway.transport.deadlines import Deadlines
from imageway.transport.http_wire import HttpWire
from imageway.transport.links import DEFAULT_PORTS, Link, authorities, origin_of, read_link
from imageway.transport.names import Resolve, resolve
from imageway.transport.outgoing import compose, join, post
from imageway.transport.replies import read_image, read_reply, read_stream
from imageway.transport.sandbox_wire import SANDBOX_ORIGIN, SandboxWire
from imageway.transport.tokens import MOST_BYTES, Tokens
from imageway.transport.wire import UNREACHABLE, Incoming, Outgoing, Wire

MAX_REDIRECTS: Final = 3
KEEPALIVE_S: Final = 15.0  # shorter than what most servers wait for another request
_SANDBOX: Final = "sandbox:"
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_GET: Final = HttpRequest("GET", "")
_UNAUTHORIZED: Final = 401


class _Target(Struct, frozen=True):
    """Who is asked, over what, and as whom: `upstream` None sends no credential."""

    url: str
    wire: Wire
    upstream: Upstream | None


class Transport:
    """The engine's Transport. `sandbox` serves the upstreams whose base URL starts with "sandbox:". `allowed_hosts`
    ("10.0.0.5:9000", "images.internal") are where strangers' URLs may lead although it is not public, or on an
    unusual port; `told_hosts` the same for those who are told. Connections open with the first request; `close` ends
    them."""

    def __init__(
        self,
        *,
        sandbox: Sandbox | None = None,
        allowed_hosts: tuple[str, ...] = (),
        told_hosts: tuple[str, ...] = (),
        resolve: Resolve = resolve,
        connect_timeout_s: float = 10.0,
    ) -> None:
        self._sandbox = SandboxWire(sandbox) if sandbox else None
        self._allowed_hosts = _authorities(allowed_hosts)
        self._told_hosts = _authorities(told_hosts)
        self._resolve = resolve
        self._connect_timeout_s = connect_timeout_s
        self._deadlines = Deadlines()
        self._wires: dict[bool, Wire] = {}
        self._tokens = Tokens(self._ask_for_token)

    def check(self, upstream: Upstream) -> None:
        """Raises ValueError for an upstream that no request could reach: asked at start, not at the first call."""
        origin_of(_root(upstream))
        for origin in upstream.credential_origins:
            origin_of(origin)
        if upstream.base_url.startswith(_SANDBOX) and self._sandbox is None:
            raise ValueError(f'upstream "{upstream.id}" is a sandbox, and this process has none')
        scheme(upstream.auth)(upstream)

    async def send(
        self, upstream: Upstream, request: HttpRequest, scope: Scope, *, deadline_s: float, max_bytes: int
    ) -> Reply:
        """One exchange. Raises TransportFailed; FetchRefused for an absolute URL that must not be asked."""
        until_s = asyncio.get_running_loop().time() + deadline_s
        target = self._target(upstream, request.path)
        granted = await self._granted(target, scope, deadline_s)
        outgoing = _composed(target, request, granted)
        try:
            with self._deadlines.until(until_s):
                async with target.wire.exchange(outgoing) as incoming:
                    self._look_at(target, incoming, granted)
                    return await read_reply(incoming, scope, max_bytes=max_bytes)
        except TimeoutError:
            raise _too_late(outgoing, deadline_s) from None
        except (SpoolFull, OSError) as failure:
            raise _not_kept(failure) from failure

    async def stream(
        self, upstream: Upstream, request: HttpRequest, scope: Scope, *, deadline_s: float, max_bytes: int
    ) -> AsyncGenerator[Reply, None]:
        """One exchange, its answer event by event where it is a stream (see `read_stream`), else as `send` gives it.
        The deadline covers all of it. Raises as `send` does. Who stops early closes it, and with it the connection."""
        until_s = asyncio.get_running_loop().time() + deadline_s
        target = self._target(upstream, request.path)
        granted = await self._granted(target, scope, deadline_s)
        outgoing = _composed(target, request, granted)
        try:
            async with AsyncExitStack() as open_things:
                # Each wait has its own timeout: one around a `yield` would go off in whoever is reading.
                with self._deadlines.until(until_s):
                    incoming = await open_things.enter_async_context(target.wire.exchange(outgoing))
                self._look_at(target, incoming, granted)
                replies = read_stream(incoming, scope, max_bytes=max_bytes)
                await open_things.enter_async_context(aclosing(replies))
                while True:
                    with self._deadlines.until(until_s):
                        reply = await anext(replies, None)
                    if reply is None:
                        return
                    yield reply
        except TimeoutError:
            raise _too_late(outgoing, deadline_s) from None
        except (SpoolFull, OSError) as failure:
            raise _not_kept(failure) from failure

    async def download(
        self, upstream: Upstream, url: str, scope: Scope, *, deadline_s: float, max_bytes: int
    ) -> BlobReply:
        """The image behind a URL out of a reply. Raises FetchRefused when it is final that there is none,
        TransportFailed otherwise."""
        choose = partial(self._target, upstream)
        return await self._pull(choose, url, scope, deadline_s=deadline_s, max_bytes=max_bytes)

    async def fetch(self, url: str, scope: Scope, *, deadline_s: float, max_bytes: int) -> BlobReply:
        """The image behind a URL that a caller wrote, without any credential. Raises FetchRefused; TransportFailed only
        when the image came and could not be kept."""
        try:
            return await self._pull(self._stranger_target, url, scope, deadline_s=deadline_s, max_bytes=max_bytes)
        except TransportFailed as failed:
            if failed.kind is FailureKind.NEVER_SENT:
                raise FetchRefused(*UNREACHABLE) from None
            if failed.kind is FailureKind.UNKNOWN:
                raise FetchRefused("image_url_failed", "its host did not answer with a whole image in time") from None
            raise FetchRefused("image_url_spoiled", failed.detail) from None

    async def notify(self, url: str, headers: Mapping[str, str], content: bytes, *, deadline_s: float) -> Reply:
        """Posts JSON to a URL that a caller wrote, without any credential. Of the answer, whatever its status, nobody
        reads the body, and a redirect is not followed. Raises FetchRefused where it must not be asked, TransportFailed
        when no answer came."""
        link = read_link(url)
        wire = self._wire_to(link, self._told_hosts)
        outgoing = post(link.url, headers, content)
        try:
            with self._deadlines.within(deadline_s):
                async with wire.exchange(outgoing) as incoming:
                    return Reply(incoming.status, incoming.headers, Page(b""))
        except TimeoutError:
            raise _too_late(outgoing, deadline_s) from None

    def check_told(self, url: str) -> None:
        """Raises FetchRefused for a URL that `notify` would refuse whatever its host's name leads to."""
        link = read_link(url)
        self._wire_to(link, self._told_hosts)
        if link.authority not in self._told_hosts and is_certainly_inside(link.host):
            raise FetchRefused(*UNREACHABLE)

    async def close(self) -> None:
        for wire in self._wires.values():
            await wire.close()
        self._wires.clear()
        self._deadlines.close()

    async def _pull(
        self, choose: Callable[[str], _Target], url: str, scope: Scope, *, deadline_s: float, max_bytes: int
    ) -> BlobReply:
        """Follows redirects itself: each hop is chosen, and checked, as if it had come first. With a token that is not
        taken it asks again, once: who made the image waited for it, and meanwhile the token's time may be over."""
        refused = False
        try:
            with self._deadlines.within(deadline_s):
                for _ in range(MAX_REDIRECTS + 1):
                    target = choose(url)
                    granted = await self._granted(target, scope, deadline_s)
                    async with target.wire.exchange(_composed(target, _GET, granted)) as incoming:
                        self._look_at(target, incoming, granted)
                        if incoming.status == _UNAUTHORIZED and granted is not None and not refused:
                            refused = True
                            continue
                        location = _location(incoming)
                        if location is None:
                            return await read_image(incoming, scope, max_bytes=max_bytes)
                    url = urljoin(target.url, location)
                raise FetchRefused("too_many_redirects", f"its host redirects more than {MAX_REDIRECTS} times")
        except TimeoutError:
            raise TransportFailed(FailureKind.UNKNOWN, f"no image within {deadline_s:g} s") from None
        except (SpoolFull, OSError) as failure:
            raise _not_kept(failure) from failure

    async def _granted(self, target: _Target, scope: Scope, deadline_s: float) -> Credential | None:
        upstream = target.upstream
        if upstream is None or granting(upstream.auth) is None:
            return None
        return await self._tokens.of(upstream, scope, deadline_s)

    async def _ask_for_token(self, upstream: Upstream, grant: Grant, scope: Scope, deadline_s: float) -> Reply:
        """At the address in the operator's own key file, which is no stranger's."""
        content, media_type = urlencode(grant.form).encode(), "application/x-www-form-urlencoded"
        outgoing = post(grant.url, {}, content, media_type)
        try:
            with self._deadlines.within(deadline_s):
                async with self._wire(guarded=False).exchange(outgoing) as incoming:
                    return await read_reply(incoming, scope, max_bytes=MOST_BYTES)
        except TimeoutError:
            raise _too_late(outgoing, deadline_s) from None

    def _look_at(self, target: _Target, incoming: Incoming, granted: Credential | None) -> None:
        """A token that is not taken is not kept."""
        if incoming.status == _UNAUTHORIZED and target.upstream is not None and granted is not None:
            self._tokens.forget(target.upstream, granted)

    def _target(self, upstream: Upstream, place: str) -> _Target:
        """The rules for paths and absolute URLs."""
        root = _root(upstream)
        if place.startswith("/"):
            return _Target(join(root, place), self._own_wire(upstream), upstream)
        link = read_link(place)
        if link.origin == origin_of(root):
            return _Target(link.url, self._own_wire(upstream), upstream)
        trusted = any(link.origin == origin_of(origin) for origin in upstream.credential_origins)
        return _Target(link.url, self._wire_to(link, self._allowed_hosts), upstream if trusted else None)

    def _stranger_target(self, place: str) -> _Target:
        link = read_link(place)
        return _Target(link.url, self._wire_to(link, self._allowed_hosts), None)

    def _own_wire(self, upstream: Upstream) -> Wire:
        """What an operator configured is not a stranger: it may well be on his own network."""
        if not upstream.base_url.startswith(_SANDBOX):
            return self._wire(guarded=False)
        if self._sandbox is None:
            raise TransportFailed(FailureKind.NEVER_SENT, "this process has no sandbox")
        return self._sandbox

    def _wire_to(self, link: Link, allowed: Collection[str]) -> Wire:
        if link.authority in allowed:
            return self._wire(guarded=False)
        if link.port not in DEFAULT_PORTS.values():
            raise FetchRefused("invalid_image_url", f"port {link.port} is not allowed: use 80 or 443")
        return self._wire(guarded=True)

    def _wire(self, *, guarded: bool) -> Wire:
        if guarded not in self._wires:
            self._wires[guarded] = HttpWire(
                resolve=self._resolve,
                guarded=guarded,
                keepalive_s=KEEPALIVE_S,
                connect_timeout_s=self._connect_timeout_s,
            )
        return self._wires[guarded]


def _authorities(hosts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(authority for host in hosts for authority in authorities(host))


def _root(upstream: Upstream) -> str:
    """The base URL with a pretend upstream's origin written out."""
    base_url = upstream.base_url
    return SANDBOX_ORIGIN + base_url.removeprefix(_SANDBOX) if base_url.startswith(_SANDBOX) else base_url


def _composed(target: _Target, request: HttpRequest, granted: Credential | None) -> Outgoing:
    try:
        return compose(target.url, request, target.upstream, granted)
    except MissingCredential as missing:
        raise TransportFailed(FailureKind.DENIED, str(missing)) from None


def _location(incoming: Incoming) -> str | None:
    return incoming.headers.get("location") if incoming.status in _REDIRECTS else None


def _too_late(outgoing: Outgoing, deadline_s: float) -> TransportFailed:
    kind = FailureKind.UNKNOWN if outgoing.left else FailureKind.NEVER_SENT
    return TransportFailed(kind, f"no complete reply within {deadline_s:g} s")


def _not_kept(failure: Exception) -> TransportFailed:
    return TransportFailed(FailureKind.SPOILED, f"the answer could not be stored: {type(failure).__name__}")
