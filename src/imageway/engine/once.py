"""A word that is told once, to any number of waiters. Whoever leaves takes nothing from the others."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Once(Struct, Generic[T], eq=False):
    """Belongs to the loop it is used in. `told`: the word is out."""

    told: bool = False
    _value: T | None = None
    _failure: Exception | None = None
    _waiters: tuple[asyncio.Future[T], ...] = ()

    def tell(self, value: T) -> None:
        """The first word counts."""
        if not self.told:
            self.told, self._value = True, value
            if self._waiters:
                for waiter in self._listening():
                    waiter.set_result(value)

    def fail(self, failure: Exception) -> None:
        """The first word counts. It is raised wherever somebody waits, now or later."""
        if not self.told:
            self.told, self._failure = True, failure
            for waiter in self._listening():
                waiter.set_exception(failure)

    async def hear(self) -> T:
        """Waits for the word, or raises it. Cancelling the wait cancels nothing else."""
        if self._failure is not None:
            raise self._failure
        if self.told:
            return self._value  # type: ignore[return-value]  # set with `told`
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiters = (*self._waiters, waiter)
        return await waiter

    def _listening(self) -> list[asyncio.Future[T]]:
        waiters, self._waiters = self._waiters, ()
        return [waiter for waiter in waiters if not waiter.done()]
