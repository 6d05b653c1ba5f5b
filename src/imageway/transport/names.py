"""Host names into addresses, by the system's resolver or by one that a test brings."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) → addresses in the order to try. Raises OSError when there are none."""

_KEPT_S: Final = 10.0


async def resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class NameCache:
    """A Resolve that remembers for a while what another one said; whoever asks meanwhile waits for the same answer.
    For names that an operator wrote: those of strangers are asked for anew each time."""

    def __init__(self, ask: Resolve, *, kept_s: float = _KEPT_S) -> None:
        self._ask = ask
        self._kept_s = kept_s
        self._known: dict[tuple[str, int], tuple[float, asyncio.Future[Sequence[str]]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        now_s = asyncio.get_running_loop().time()
        until_s, answer = self._known.get((host, port), (0.0, None))
        if answer is None or until_s <= now_s or _has_failed(answer):
            answer = asyncio.ensure_future(self._ask(host, port))
            answer.add_done_callback(_has_failed)  # looked at, whoever is still there to hear of it
            self._known[host, port] = (now_s + self._kept_s, answer)
        # One of those who wait may be cancelled; the others still want to know.
        return await asyncio.shield(answer)


def _has_failed(answer: asyncio.Future[Sequence[str]]) -> bool:
    return answer.done() and (answer.cancelled() or answer.exception() is not None)
