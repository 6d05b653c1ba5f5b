"""Word from process to process through PostgreSQL: heard by all others, whatever became of the connection meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest

from imageway.storage import open_bulletin
from imageway.storage.postgres.bulletin import CHANNEL, WORDS_AT_ONCE, PostgresBulletin
from tests.sim.logs import quiet
from tests.store.places import Place
from tests.turns import soon

SOON_S = 10.0


@dataclass
class Listener:
    """One process: its bulletin, and what it has heard."""

    bulletin: PostgresBulletin
    heard: list[tuple[str, str]] = field(default_factory=list)
    going: asyncio.Task[None] | None = None

    async def listens(self) -> None:
        await until(lambda: self.bulletin._connection is not None)
        assert self.bulletin._connection is not None
        connection = self.bulletin._connection
        await until(lambda: CHANNEL in connection._listeners)

    async def stop(self) -> None:
        assert self.going is not None
        self.going.cancel()
        await asyncio.gather(self.going, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    await soon(holds, seconds=SOON_S)


@asynccontextmanager
async def listener(url: str) -> AsyncIterator[Listener]:
    bulletin = open_bulletin(url)
    assert bulletin is not None
    made = Listener(bulletin)
    made.going = asyncio.create_task(bulletin.keep_going(lambda word, task_id: made.heard.append((word, task_id))))
    await made.listens()
    yield made
    await made.stop()


@pytest.fixture
async def pair(postgres_place: Place) -> AsyncIterator[tuple[Listener, Listener]]:
    async with listener(postgres_place.url) as one, listener(postgres_place.url) as other:
        yield one, other


async def test_the_others_hear_and_nobody_hears_himself(pair: tuple[Listener, Listener]) -> None:
    one, other = pair
    one.bulletin.post("queued", "req_1")
    one.bulletin.post("changed", "req_2")
    other.bulletin.post("cancelled", "req_3")
    await until(lambda: len(other.heard) == 2 and len(one.heard) == 1)
    assert other.heard == [("queued", "req_1"), ("changed", "req_2")]
    assert one.heard == [("cancelled", "req_3")]


async def test_what_is_said_twice_before_it_left_is_said_once(pair: tuple[Listener, Listener]) -> None:
    one, other = pair
    for task_id in ("req_1", "req_1", "req_2"):
        one.bulletin.post("changed", task_id)
    await until(lambda: len(other.heard) >= 2)
    await asyncio.sleep(0.05)
    assert other.heard == [("changed", "req_1"), ("changed", "req_2")]


async def test_a_crowd_of_words_arrives_whole_and_in_order(pair: tuple[Listener, Listener]) -> None:
    """More than one notification can carry."""
    one, other = pair
    said = [f"req_{number:025}" for number in range(5 * WORDS_AT_ONCE + 1)]
    for task_id in said:
        one.bulletin.post("cancelled", task_id)
    await until(lambda: len(other.heard) == len(said))
    assert [task_id for _, task_id in other.heard] == said


async def test_a_connection_that_ended_is_made_again(pair: tuple[Listener, Listener], postgres_place: Place) -> None:
    """A database that was started anew, a router that forgot: what is said afterwards is heard."""
    one, other = pair
    ended = other.bulletin._connection
    assert ended is not None
    killer = await asyncpg.connect(postgres_place.url)
    await killer.execute("SELECT pg_terminate_backend($1)", ended.get_server_pid())
    await killer.close()
    await until(lambda: other.bulletin._connection not in (None, ended))
    await other.listens()
    one.bulletin.post("queued", "req_1")
    other.bulletin.post("queued", "req_2")
    await until(lambda: one.heard == [("queued", "req_2")] and other.heard == [("queued", "req_1")])


async def test_nothing_is_kept_for_a_connection_that_is_not_there() -> None:
    """Whoever needs to know looks: a database that is away for a day must not cost the memory of a day."""
    bulletin = PostgresBulletin("postgresql://127.0.0.1:1/none")
    going = asyncio.create_task(bulletin.keep_going(lambda word, task_id: None))
    await asyncio.sleep(0.05)
    bulletin.post("queued", "req_1")
    assert not bulletin._unsent
    assert not going.done()
    going.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await going


async def test_the_last_words_of_a_process_are_heard(pair: tuple[Listener, Listener]) -> None:
    """What it puts back on its way out is somebody else's at once."""
    one, other = pair
    one.bulletin.post("queued", "req_1")
    await one.stop()
    await until(lambda: other.heard == [("queued", "req_1")])


async def test_words_of_a_newer_process_are_none_of_ours(
    pair: tuple[Listener, Listener], postgres_place: Place
) -> None:
    _, other = pair
    newer = await asyncpg.connect(postgres_place.url)
    await newer.execute("SELECT pg_notify($1, $2)", CHANNEL, "rejoiced req_1\n\nchanged req_2")
    await newer.close()
    await until(lambda: bool(other.heard))
    assert other.heard == [("changed", "req_2")]


@pytest.mark.parametrize("url", ["memory://", "sqlite:///tmp/imageway.db"])
def test_other_databases_have_no_voice(url: str) -> None:
    assert open_bulletin(url) is None


async def test_a_hole_in_one_connection_does_not_end_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else would notice: everybody still looks, only later."""
    attended = asyncio.Semaphore(0)

    async def fall(*_: object) -> None:
        attended.release()
        raise KeyError("a hole of ours")

    monkeypatch.setattr("imageway.storage.postgres.bulletin.AGAIN_S", (0.0,))
    monkeypatch.setattr(PostgresBulletin, "_attend", fall)
    going = asyncio.create_task(PostgresBulletin("postgresql://nowhere").keep_going(lambda word, task_id: None))
    with quiet():
        async with asyncio.timeout(SOON_S):
            for _ in range(3):
                await attended.acquire()
    going.cancel()
    assert isinstance((await asyncio.gather(going, return_exceptions=True))[0], asyncio.CancelledError)
