"""Names are asked for once in a while, by one for all who wait, and a failure is not remembered."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest

from imageway.transport.names import NameCache, resolve
from tests.sim.virtual_time import run_virtually


class Book:
    """A resolver that counts, and answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.fails = False
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        self.asked.append((host, port))
        await self.open.wait()
        if self.fails:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return ("192.0.2.1",)


def test_an_answer_is_remembered_for_a_while() -> None:
    async def ask() -> None:
        book = Book()
        names = NameCache(book, kept_s=0.05)
        for _ in range(3):
            assert await names("a.example", 443) == ("192.0.2.1",)
        await names("b.example", 443)
        assert book.asked == [("a.example", 443), ("b.example", 443)]
        await asyncio.sleep(0.06)
        await names("a.example", 443)
        assert len(book.asked) == 3

    run_virtually(ask())


async def test_those_who_ask_at_once_share_one_question_and_one_of_them_may_leave() -> None:
    book = Book()
    book.open.clear()
    names = NameCache(book)
    waiting = [asyncio.create_task(names("a.example", 443)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    book.open.set()
    assert await asyncio.gather(*waiting[1:]) == [("192.0.2.1",)] * 4
    assert waiting[0].cancelled()
    assert len(book.asked) == 1


async def test_a_failure_that_nobody_waited_for_is_not_left_unread() -> None:
    """Whoever asked had less patience than the resolver, and nobody may ever ask again."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
    book = Book()
    book.fails = True
    book.open.clear()
    names = NameCache(book)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await names("a.example", 443)
    book.open.set()
    for _ in range(3):
        await asyncio.sleep(0)
    del names
    gc.collect()
    assert told == []


async def test_a_failure_is_not_remembered() -> None:
    book = Book()
    book.fails = True
    names = NameCache(book)
    with pytest.raises(socket.gaierror):
        await names("a.example", 443)
    book.fails = False
    assert await names("a.example", 443) == ("192.0.2.1",)


async def test_the_system_knows_its_own_addresses() -> None:
    assert "127.0.0.1" in await resolve("127.0.0.1", 80)
