"""One listening process: bind, start, say so, serve until told to stop, drain, exit 0."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from imageway.server.http import Host, Site
from imageway.server.limits import ConnectionLimits

Drain = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Service:
    """What is served. `drain` takes nothing more, lets what runs end within its own time, and then ends it, so that
    every open request gets an answer of ours; None: nothing is waited for."""

    site: Site
    drain: Drain | None = None


Opener = Callable[[str], AbstractAsyncContextManager[Service]]

_BACKLOG = 2048
_LIMITS = ConnectionLimits()
_LAST_ANSWERS_S = 15  # after the drain, for the answers it brought about to leave
_LAST_MOMENT_S = 1  # where nothing is drained
_YOUNG_OBJECTS = 50_000  # of 64 requests under way; a collection of so many takes 3 ms
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_arenas() -> None:
    """Tells glibc's malloc to keep freed memory: handing 64 KiB buffers back to the kernel and fetching them again
    costs more than everything else that is done to a large body."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 512 * 1024 * 1024)
        libc.mallopt(_M_TRIM_THRESHOLD, 512 * 1024 * 1024)
        libc.mallopt(_M_TOP_PAD, 16 * 1024 * 1024)
    except (OSError, AttributeError):
        return  # another libc; nothing depends on it


def allow_files() -> None:
    """As many open files as the system lets this process have: every connection is one, and so is every blob that is
    being sent. The usual 1,024 are fewer than the connections that are kept open, and for programs that `select`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:  # without a limit there is no number to ask for
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 picks one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(_BACKLOG)
    return listener


def url_of(listener: socket.socket, host: str) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _serve(
    listener: socket.socket, url: str, opener: Opener, *, drain_s: float, limits: ConnectionLimits
) -> None:
    async with opener(url) as service:
        host = Host(service.site, limits)
        server = await asyncio.get_running_loop().create_server(host.connection, sock=listener, backlog=_BACKLOG)
        settle_memory()
        with _told_to_stop() as told:
            print(f"ready {url}", flush=True)
            await told.wait()
            server.close()
            await _end(host, service, drain_s)


async def _end(host: Host, service: Service, drain_s: float) -> None:
    """The drain runs while the open requests are waited for: what it ends is answered before its connection is cut."""
    if service.drain is None:
        await host.close(drain_s + _LAST_MOMENT_S)
    else:
        draining = asyncio.ensure_future(service.drain())
        await host.close(drain_s + _LAST_ANSWERS_S)
        await draining


def settle_memory() -> None:
    """20 ms pauses at the 99th percentile are full collections over what start-up made; none of it is garbage. What
    requests make dies by reference counts: looking at it every 700 objects is 5 % of a small request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


@contextlib.contextmanager
def _told_to_stop() -> Iterator[asyncio.Event]:
    """SIGTERM and SIGINT end the serving, not the process: what was accepted is drained, and the exit code is 0."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)
    try:
        yield told
    finally:
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)


async def _work(opener: Opener) -> None:
    async with opener(""):
        settle_memory()
        with _told_to_stop() as told:
            print("ready worker", flush=True)
            await told.wait()


def run_unheard(opener: Opener) -> None:
    """Serves nobody and works until SIGTERM or SIGINT; what is open then is drained as `opener` closes."""
    import uvloop

    keep_arenas()
    allow_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(opener))


def run(opener: Opener, *, host: str, port: int, drain_s: float, limits: ConnectionLimits = _LIMITS) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what is under way. Raises OSError when the port is taken."""
    import uvloop

    keep_arenas()
    allow_files()
    listener = listen(host, port)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(listener, url_of(listener, host), opener, drain_s=drain_s, limits=limits))
    except KeyboardInterrupt:
        return
    finally:
        listener.close()
