"""What an attempt brings, event by event: which images count, when they are told, and what is said of the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from imageway.bodies import Scope, blob_of
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.intents import Arrived, Generate, Preview
from imageway.core.requests import Caller, ImageRequest
from imageway.core.steps import BlobReply, Done, Failed, FailureKind, More, Produced, Usage
from imageway.engine.arrivals import Arrivals
from imageway.engine.facts import TaskFacts
from imageway.engine.feeds import Feed
from imageway.engine.harvest import Attempt, Harvest
from imageway.engine.pictures import ready_all, store_all
from imageway.engine.ports import Tools
from imageway.engine.preparation import prepare
from tests.sim.pictures import SIDE, broken, picture
from tests.unit.engine.test_pictures import Bench as Workers
from tests.unit.engine.test_pictures import Moody
from tests.values import replace

CUT = Produced(blob_of(broken("png")))


def produced(shade: int, kind: str = "png", **more: Any) -> Produced:
    return Produced(blob_of(picture(kind, shade)), **more)


@dataclass
class Links:
    """What lies behind result links, in the order of the questions."""

    answers: dict[str, list[bytes | Exception]]
    asked: list[str] = field(default_factory=list)

    async def download(self, upstream: Any, url: str, scope: Scope, **limits: Any) -> BlobReply:
        self.asked.append(url)
        answer = self.answers[url].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return BlobReply(blob_of(answer), "image/png")


@dataclass
class Loud(Feed):
    """Notes what it tells: "preview 0.1" is the second of the first image, "image 0" that image."""

    told: list[str] = field(default_factory=list)
    created: list[int] = field(default_factory=list)

    def tell(self, event: Preview | Arrived) -> None:
        self.created.append(event.created_s)
        self.told.append(
            f"image {event.image}" if isinstance(event, Arrived) else f"preview {event.image}.{event.index}"
        )
        super().tell(event)


@dataclass
class Field:
    """One attempt, and everything that is told of it."""

    harvest: Harvest
    arrivals: Arrivals

    @property
    def told(self) -> list[str]:
        return cast("Loud", self.arrivals.feed).told

    async def add(self, more: More) -> None:
        """One event, and everything that it set in motion."""
        await asyncio.gather(*await self.harvest.add(more))

    @property
    def shades(self) -> list[int]:
        """The first colour of every image there is."""
        return [shade_of(image.blob.head) for image in self.harvest.images]


def shade_of(head: bytes) -> int:
    return next(shade for shade in range(200) if picture("png", shade)[:4096] == head)


@pytest.fixture
def tools(tools: Tools) -> Tools:
    return replace(tools, objects=cast("Any", Moody(0)), workers=cast("Any", Workers()))


def sown(tools: Tools, count: int = 1, *, form: Any = "b64_json", output_format: str | None = None) -> Field:
    request = ImageRequest(model="gemini-2.5-flash-image", prompt="a cat", output_format=output_format)
    option = prepare(tools, Generate(request=request), Caller("key", "ws")).options[0]
    facts = TaskFacts(
        task_id="req_1",
        workspace_id="ws",
        key_id="key",
        model=tools.catalog.models[request.model],
        request=request,
        form=form,
        hold_usd_micros=1,
        images=count,
        created_ms=7_999,
        warnings=(),
    )
    scope = tools.spool.scope()
    arrivals = Arrivals(tools, facts, scope, Loud(9))
    until_s = tools.clock.monotonic_s() + 300
    return Field(Harvest(Attempt("att_1", option, count, until_s, tools, scope), arrivals), arrivals)


async def history(field: Field) -> AsyncIterator[Arrived]:
    field.arrivals.feed.end()
    async for event in field.arrivals.feed.follow():
        if isinstance(event, Arrived):
            yield event


async def test_images_are_told_as_they_come_the_last_one_when_it_is_certain(tools: Tools) -> None:
    """Something better may still come in its place."""
    field = sown(tools, 3)
    await field.add(More((produced(1),)))
    await field.add(More((produced(2),)))
    assert field.told == ["image 0", "image 1"]
    await field.add(More((produced(3),)))
    assert (field.told, field.shades) == (["image 0", "image 1"], [1, 2, 3])
    await field.harvest.finish(Done(()))
    assert (field.told, field.shades) == (["image 0", "image 1", "image 2"], [1, 2, 3])


async def test_those_that_failed_take_a_place_as_if_they_had_come(tools: Tools) -> None:
    """As they come, or in one answer that says where they stood."""
    lost = Failed(FailureKind.REFUSED, place=1)
    field = sown(tools, 3)
    await field.add(More((produced(1),)))
    await field.add(More(missing=(lost,)))
    await field.add(More((produced(2),)))
    await field.harvest.finish(Done(()))
    assert [event.place async for event in history(field)] == [0, 2]
    field = sown(tools, 3)
    await field.harvest.finish(Done((produced(1), produced(2)), missing=(lost,)))
    assert [event.place async for event in history(field)] == [0, 2]


async def test_a_slow_link_keeps_its_place(tools: Tools) -> None:
    links = Links({"https://a": [picture("png", 1)]})
    field = sown(replace(tools, transport=cast("Any", links)), 3)
    fetching = await field.harvest.add(More((Produced("https://a"),)))
    await field.harvest.add(More(missing=(Failed(FailureKind.REFUSED),)))
    await asyncio.gather(*fetching)
    await field.harvest.finish(Done(()))
    assert [event.place async for event in history(field)] == [0]


async def test_one_image_too_many_stands_for_the_one_before(tools: Tools) -> None:
    field = sown(tools)
    await field.add(More((CUT,)))
    await field.add(More((produced(1),)))
    await field.harvest.finish(Done((produced(2),)))
    assert (field.told, field.shades, field.harvest.produced, field.harvest.spoiled) == (["image 0"], [2], 1, ())


async def test_of_an_answer_in_one_piece_the_first_ones_count(tools: Tools) -> None:
    field = sown(tools, 2)
    await field.harvest.finish(Done((produced(1), produced(2), produced(3))))
    assert (field.told, field.shades, field.harvest.produced) == (["image 0", "image 1"], [1, 2], 3)


async def test_what_cannot_be_proved_is_not_told(tools: Tools) -> None:
    field = sown(tools, 3)
    await field.add(More((CUT, produced(1))))
    await field.harvest.finish(Done((CUT,)))
    assert (field.told, field.shades, field.harvest.produced) == (["image 0"], [1], 3)
    assert [(failed.code, failed.place) for failed in field.harvest.spoiled] == [("unprovable", 0), ("unprovable", 2)]
    assert [arrived.place async for arrived in history(field)] == [1]


async def test_a_stream_that_died_leaves_what_it_brought(tools: Tools) -> None:
    field = sown(tools, 2)
    await field.add(More((produced(1), produced(2))))
    assert (field.told, field.shades) == (["image 0"], [1, 2])
    await field.harvest.close()
    assert (field.told, field.shades) == (["image 0", "image 1"], [1, 2])


async def test_previews_are_counted_for_each_image(tools: Tools) -> None:
    field = sown(tools, 2)
    rough = produced(9)
    await field.add(More(partials=(rough, rough)))
    await field.add(More((produced(1),)))
    await field.add(More(partials=(rough,)))
    assert field.told == ["preview 0.0", "preview 0.1", "image 0", "preview 1.0"]


async def test_a_preview_and_its_image_say_when_the_request_came(tools: Tools) -> None:
    field = sown(tools, 2)
    await field.add(More(partials=(produced(9),)))
    await field.add(More((produced(1),)))
    assert cast("Loud", field.arrivals.feed).created == [7, 7]


async def test_a_preview_that_is_no_image_is_not_shown(tools: Tools) -> None:
    field = sown(tools)
    await field.add(More(partials=(CUT, Produced("https://results.example/rough.png"))))
    assert field.told == []
    assert field.harvest.flowing


async def test_everything_said_adds_up(tools: Tools) -> None:
    field = sown(tools, 3)
    lost = Failed(FailureKind.REFUSED, "unsafe")
    await field.add(More(text="Here ", usage=Usage(1, 2, 3, 4)))
    await field.add(More(missing=(lost,), text="it is.", usage=Usage(10, 20, 30, 40)))
    await field.harvest.finish(Done((), missing=(lost,)))
    assert field.harvest.texts == ("Here ", "it is.")
    assert field.harvest.usage == Usage(11, 22, 33, 44)
    assert field.harvest.missing == (lost, lost)


async def test_links_are_fetched_as_they_come_and_asked_again(tools: Tools) -> None:
    cut, gone = TransportFailed(FailureKind.UNKNOWN, "cut"), FetchRefused("image_url_status", "it answered 404")
    large = TransportFailed(FailureKind.SPOILED, "too large")
    links = Links({"https://a": [cut, cut, picture("png", 1)], "https://b": [gone], "https://c": [large]})
    field = sown(replace(tools, transport=cast("Any", links)), 3)
    await field.add(More((Produced("https://a"),)))
    assert field.told == ["image 0"]
    await field.harvest.finish(Done((Produced("https://b"), Produced("https://c"))))
    assert links.asked == ["https://a"] * 3 + ["https://b", "https://c"]
    assert [failed.code for failed in field.harvest.spoiled] == ["image_url_status", "result_link"]


async def test_a_slow_link_holds_up_nothing_else(tools: Tools) -> None:
    """The next image is told while its link still hangs; in the end they stand in the provider's order."""
    answered = asyncio.Event()

    class Slow:
        async def download(self, upstream: Any, url: str, scope: Scope, **limits: Any) -> BlobReply:
            await answered.wait()
            return BlobReply(blob_of(picture("png", 1)), "image/png")

    field = sown(replace(tools, transport=cast("Any", Slow())), 3)
    fetching = await field.harvest.add(More((Produced("https://a"),)))
    await field.add(More((produced(2),)))
    assert (field.told, field.shades) == (["image 0"], [2])
    answered.set()
    await asyncio.gather(*fetching)
    assert (field.told, field.shades) == (["image 0", "image 1"], [1, 2])


async def test_what_a_provider_adds_to_an_image_stays_with_it(tools: Tools) -> None:
    field = sown(tools)
    await field.harvest.finish(Done((produced(1, revised_prompt="a red cat", signature="c2ln"),)))
    (event,) = [event async for event in history(field)]
    assert (event.picture.revised_prompt, event.picture.signature) == ("a red cat", "c2ln")
    assert (event.picture.width, event.picture.height, event.picture.media_type) == (SIDE, SIDE, "image/png")


async def test_links_that_are_wanted_are_made_at_once_and_only_once(tools: Tools) -> None:
    """The settlement finds the image stored, and stores and converts nothing again."""
    field = sown(tools, 2, form="url", output_format="png")
    await field.add(More((produced(1, "webp"),)))
    await field.harvest.finish(Done((produced(2),)))
    store, workers = cast("Moody", tools.objects), cast("Workers", tools.workers)
    assert (store.names, workers.most) == (["req_1-0.png", "req_1-1.png"], 1)
    events = [event async for event in history(field)]
    assert all(event.picture.blob is None for event in events)
    facts, scope = field.arrivals.facts, field.arrivals.scope
    workers.most = 0
    pictures, warnings = await ready_all(tools, facts, scope, field.harvest.images)
    assert [warning.code for warning in warnings] == ["transcoded"]
    assert await store_all(tools, "req_1", pictures, 1) == ("req_1-0.png", "req_1-1.png")
    assert (store.tries, workers.most) == (2, 0)
    links = [tools.signer.sign(ready.name, ready.expires_ms) for ready in pictures]
    assert [event.picture.url for event in events] == links


async def test_what_cannot_be_stored_just_now_is_not_told_and_stored_in_the_end(tools: Tools) -> None:
    field = sown(tools, 3, form="url")
    store = cast("Moody", tools.objects)
    await field.add(More((produced(1),)))
    store.failures = 4
    await field.add(More((produced(2),)))
    await field.harvest.finish(Done((produced(3),)))
    assert field.told == ["image 0", "image 1"]
    pictures, _ = await ready_all(tools, field.arrivals.facts, field.arrivals.scope, field.harvest.images)
    assert await store_all(tools, "req_1", pictures, 1) == ("req_1-0.png", "req_1-1.png", "req_1-2.png")
    assert sorted(store.names) == ["req_1-0.png", "req_1-1.png", "req_1-2.png"]


async def test_nobody_follows_and_nothing_is_made_ready(tools: Tools) -> None:
    """The usual way: everything that costs is left to the settlement."""
    field = sown(tools, 2, form="url")
    field.harvest.arrivals = None
    await field.add(More((produced(1),), (produced(9),)))
    await field.harvest.finish(Done((produced(2),)))
    assert (field.told, cast("Moody", tools.objects).names) == ([], [])
    assert [image.ready for image in field.harvest.images] == [None, None]
