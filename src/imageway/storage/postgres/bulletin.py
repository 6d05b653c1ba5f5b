"""Word from process to process through the database: LISTEN and NOTIFY on one connection, which is made again when it
ends. Nothing is kept for those who do not listen just now."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, cast, get_args

import asyncpg

from imageway.storage.postgres.connection import COMMAND_TIMEOUT_S, CONNECT_TIMEOUT_S, OUTSIDE
from imageway.telemetry import events, logger

if TYPE_CHECKING:
    from imageway.storage.postgres.connection import Connection

Word = Literal["queued", "changed", "cancelled"]
Hear = Callable[[Word, str], None]
CHANNEL: Final = "imageway"
WORDS_AT_ONCE: Final = 100  # a notification takes 8,000 bytes, a word less than fifty
AGAIN_S: Final = (0.2, 1.0, 5.0, 15.0)
ALIVE_EVERY_S: Final = 30.0  # a connection that nobody says anything on may have ended long ago
LAST_WORDS_S: Final = 1.0
_WORDS: Final = frozenset(get_args(Word))


class PostgresBulletin:
    """Belongs to the loop it is used in. Needs a session of its own: a pooler that hands out connections by transaction
    lets nobody listen."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._unsent: dict[str, None] = {}  # in order, each once
        self._stirred = asyncio.Event()

    def post(self, word: Word, task_id: str) -> None:
        """Of what nobody can hear nothing is kept: they look, too."""
        if self._connection is not None:
            self._unsent[f"{word} {task_id}"] = None
            self._stirred.set()

    async def keep_going(self, hear: Hear) -> None:
        """Until it is cancelled, and then until what was posted is on its way, if that takes a moment."""
        failed = 0
        while True:
            try:
                await self._attend(hear)
                failed = 0
                await self._talk()
            except OUTSIDE as error:
                logger().warning(events.STORE_FAILED, detail=f"other processes are not heard: {error}")
            except Exception as error:  # noqa: BLE001  # the next connection comes, whatever hole this one fell into
                logger().exception(events.ROUND_FAILED, exc_info=error)
            finally:
                await self._hang_up()
            await asyncio.sleep(AGAIN_S[min(failed, len(AGAIN_S) - 1)])
            failed += 1

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with contextlib.suppress(*OUTSIDE):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._send(connection)
        connection.terminate()

    async def _attend(self, hear: Hear) -> None:
        connection = await asyncpg.connect(self._url, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S)
        self._connection = connection
        self._unsent.clear()
        connection.add_termination_listener(lambda _: self._stirred.set())
        own_pid = connection.get_server_pid()

        def heard(_: object, pid: int, channel: str, said: object) -> None:
            if pid != own_pid:
                _read(str(said), hear)

        await connection.add_listener(CHANNEL, heard)

    async def _talk(self) -> None:
        """Until the connection ends."""
        connection = self._connection
        while connection is not None and not connection.is_closed():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ALIVE_EVERY_S):
                    await self._stirred.wait()
            self._stirred.clear()
            if self._unsent:
                await self._send(connection)
            elif not connection.is_closed():
                await connection.execute("SELECT 1")

    async def _send(self, connection: Connection) -> None:
        while self._unsent:
            words = list(self._unsent)[:WORDS_AT_ONCE]
            for word in words:
                del self._unsent[word]
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, "\n".join(words))


def _read(said: str, hear: Hear) -> None:
    """Newer processes may know words that this one does not."""
    for line in said.split("\n"):
        word, _, task_id = line.partition(" ")
        if word in _WORDS:
            hear(cast("Word", word), task_id)
