"""Followers of one task: what each hears, whenever he comes and however slowly he listens."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from imageway.core.intents import Arrived, Picture, Preview
from imageway.engine.feeds import Feed

PICTURE = Picture(media_type="image/png", width=1, height=1)


def preview(index: int) -> Preview:
    return Preview(image=0, index=index, picture=PICTURE)


def arrived(image: int) -> Arrived:
    return Arrived(image=image, picture=PICTURE)


async def all_of(feed: Feed) -> list[Preview | Arrived]:
    return [event async for event in feed.follow()]


async def test_each_hears_everything_in_order_and_then_the_end() -> None:
    feed = Feed(events_kept=10)
    hearing = [asyncio.create_task(all_of(feed)) for _ in range(2)]
    await asyncio.sleep(0)
    feed.tell(preview(0))
    await asyncio.sleep(0)
    feed.tell(preview(1))
    feed.tell(arrived(0))
    feed.end()
    assert await asyncio.gather(*hearing) == [[preview(0), preview(1), arrived(0)]] * 2


async def test_who_comes_late_hears_of_images_and_not_of_previews() -> None:
    feed = Feed(events_kept=10)
    feed.tell(preview(0))
    feed.tell(arrived(0))
    hearing = asyncio.create_task(all_of(feed))
    await asyncio.sleep(0)
    feed.tell(preview(0))
    feed.end()
    assert await hearing == [arrived(0), preview(0)]
    assert await all_of(feed) == [arrived(0)]


async def test_who_is_slow_misses_previews_alone() -> None:
    feed = Feed(events_kept=2)
    async with aclosing(feed.follow()) as events:
        feed.tell(arrived(0))
        assert await anext(events) == arrived(0)
        for index in range(5):
            feed.tell(preview(index))
        feed.tell(arrived(1))
        feed.end()
        assert [event async for event in events] == [preview(0), preview(1), arrived(1)]


async def test_the_history_is_bounded() -> None:
    feed = Feed(events_kept=2)
    for image in range(4):
        feed.tell(arrived(image))
    feed.end()
    assert await all_of(feed) == [arrived(0), arrived(1)]


async def test_who_stops_listening_is_told_nothing_more() -> None:
    feed = Feed(events_kept=2)
    hearing = asyncio.create_task(all_of(feed))
    await asyncio.sleep(0)
    assert len(feed._lines) == 1
    hearing.cancel()
    await asyncio.wait({hearing})
    assert feed._lines == []
    feed.tell(arrived(0))
    feed.end()
