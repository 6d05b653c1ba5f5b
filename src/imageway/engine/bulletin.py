"""What the processes on one database tell each other, so that nobody has to wait for his next look. A word may be lost:
whoever needs to know looks from time to time as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol

Word = Literal["queued", "changed", "cancelled"]
"""Of a task: it waits, and nobody here has a hand free; something became of it; its caller wants no more of it."""
Hear = Callable[[Word, str], None]


class Bulletin(Protocol):
    """Where this process tells the others, and hears them."""

    def post(self, word: Word, task_id: str) -> None:
        """Of something that is durable already. Returns at once."""

    async def keep_going(self, hear: Hear) -> None:
        """Until it is cancelled, and then until what was posted is on its way. `hear` is told what others have posted,
        never what this process has."""


class Silence:
    """Where processes cannot reach each other, or there is one."""

    def post(self, word: Word, task_id: str) -> None:
        """Others find it by looking."""

    async def keep_going(self, hear: Hear) -> None:
        await asyncio.Event().wait()
