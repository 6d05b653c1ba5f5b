"""New connections: name to addresses, address to socket, TLS. Here a guarded wire looks at the very address that the
socket is about to use."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import FailureKind
from imageway.transport.addresses import is_public
from imageway.transport.connections import Connection
from imageway.transport.names import Resolve
from imageway.transport.origins import Origin
from imageway.transport.wire import UNREACHABLE

# An image may take minutes in which nothing is said. Routers forget silent connections sooner than that.
_PROBE_S: Final = 45
_PROBES: Final = 4


class AddressRefused(OSError):
    """An address that is not public was to be connected, or a name led to one."""


class Dialer:
    """Opens connections. A guarded one refuses a name when any of its addresses is not public: trying the others would
    let whoever owns the name choose."""

    def __init__(self, resolve: Resolve, *, guarded: bool, timeout_s: float) -> None:
        self._resolve = resolve
        self._guarded = guarded
        self._timeout_s = timeout_s

    async def dial(self, origin: Origin, made: Callable[[], Connection]) -> Connection:
        """Raises TransportFailed(NEVER_SENT), or FetchRefused for an address that must not be connected."""
        try:
            async with asyncio.timeout(self._timeout_s):
                opened = await self._open(await self._addresses(origin), origin.port)
                return await _speak(origin, opened, made)
        except AddressRefused:
            raise FetchRefused(*UNREACHABLE) from None
        except TimeoutError:
            raise TransportFailed(FailureKind.NEVER_SENT, f"no connection within {self._timeout_s:g} s") from None
        except (OSError, ValueError, RuntimeError) as failure:  # the last from uvloop's sockets
            raise TransportFailed(FailureKind.NEVER_SENT, f"{type(failure).__name__}: {failure}") from None

    async def _addresses(self, origin: Origin) -> Sequence[str]:
        if origin.literal:
            return (origin.host,)
        found = await self._resolve(origin.host, origin.port)
        if self._guarded and not all(is_public(address) for address in found):
            raise AddressRefused(f'"{origin.host}" leads to an address that is not public')
        return found

    async def _open(self, addresses: Sequence[str], port: int) -> socket.socket:
        """A socket to the first address that answers; each may take its share of the time that is left."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._timeout_s
        failure = OSError("the name has no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                async with asyncio.timeout((end_s - loop.time()) / left):
                    return await self._connected(address, port)
            except AddressRefused:
                raise
            except OSError as refused:
                failure = refused
        raise failure

    async def _connected(self, address: str, port: int) -> socket.socket:
        """The last look at an address, and the only one at an address that was written into the URL."""
        if self._guarded and not is_public(address):
            raise AddressRefused(f'"{address}" is not a public address')
        opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            _keep_alive(opened)
            await asyncio.get_running_loop().sock_connect(opened, (address, port))
        except BaseException:
            opened.close()
            raise
        return opened


async def _speak(origin: Origin, opened: socket.socket, made: Callable[[], Connection]) -> Connection:
    try:
        _, connection = await asyncio.get_running_loop().create_connection(
            made,
            sock=opened,
            ssl=authorities() if origin.secure else None,
            server_hostname=origin.host.removesuffix(".") if origin.secure else None,
        )
    except BaseException:
        opened.close()
        raise
    return connection


@cache
def authorities() -> ssl.SSLContext:
    """Whom this machine trusts. Loaded once: it takes some 20 ms."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _keep_alive(opened: socket.socket) -> None:
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", _PROBE_S), ("TCP_KEEPINTVL", _PROBE_S), ("TCP_KEEPCNT", _PROBES)):
        if hasattr(socket, name):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
