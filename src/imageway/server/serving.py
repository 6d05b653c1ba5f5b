"""One listening process: bind, start, say so, serve until told to stop, drain, exit 0."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import uvicorn

from imageway.server.connections import connection_type
from imageway.server.limits import ConnectionLimits

Application = Callable[..., Awaitable[None]]
Drain = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Service:
    """What is served. `drain` takes nothing more, lets what runs end within its own time, and then ends it, so that
    every open request gets an answer of ours; None: nothing is waited for."""

    application: Application
    drain: Drain | None = None


Opener = Callable[[str], AbstractAsyncContextManager[Service]]

_BACKLOG = 2048
_LIMITS = ConnectionLimits()
_LAST_ANSWERS_S = 15  # after the drain, for the answers it brought about to leave
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


class _Server(uvicorn.Server):
    """uvicorn, with the ready line printed when it answers."""

    def __init__(self, config: uvicorn.Config, url: str, drain: Drain | None) -> None:
        super().__init__(config)
        self._url = url
        self._drain = drain

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the serving, not the process: what was accepted is drained, and the exit code is 0."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.handle_exit, name, None)
        try:
            yield
        finally:
            for name in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(name)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """The drain runs while uvicorn waits for the open requests: what it ends is answered before they are cut."""
        draining = asyncio.ensure_future(self._drain()) if self._drain else None
        await super().shutdown(sockets)
        if draining is not None:
            await draining

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # 20 ms pauses at the 99th percentile are full collections over what start-up made; none of it is garbage. What
        # requests make dies by reference counts: looking at it every 700 objects is 5 % of a small request.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
        print(f"ready {self._url}", flush=True)


async def _serve(
    listener: socket.socket, url: str, opener: Opener, *, drain_s: float, limits: ConnectionLimits
) -> None:
    async with opener(url) as service:
        config = uvicorn.Config(
            service.application,
            http=connection_type(limits),
            ws="none",
            lifespan="off",
            loop="uvloop",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=int(drain_s) + (_LAST_ANSWERS_S if service.drain else 1),
            timeout_keep_alive=75,
        )
        await _Server(config, url, service.drain).serve(sockets=[listener])


def run(opener: Opener, *, host: str, port: int, drain_s: float, limits: ConnectionLimits = _LIMITS) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what is under way. Raises OSError when the port is taken."""
    import uvloop

    keep_arenas()
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    listener = listen(host, port)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(listener, url_of(listener, host), opener, drain_s=drain_s, limits=limits))
    except KeyboardInterrupt:
        return
    finally:
        listener.close()
