"""Stored images over HTTP: signed links, ranges as RFC 9110 §14 has them, conditions as its §13."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from imageway.core.errors import GatewayError
from imageway.media.links import LinkSigner
from imageway.server.gate import Head
from imageway.server.links import MediaLinks
from imageway.storage.files import FileStore

CONTENT = bytes(range(100))
NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000


@dataclass
class Clock:
    now: int = NOW_MS

    def now_ms(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        return None


@dataclass
class Place:
    """Links to one stored image, and the clock they are looked at with."""

    links: MediaLinks
    url: str
    etag: str
    clock: Clock = field(default_factory=Clock)

    async def get(self, method: str = "GET", *, url: str = "", **headers: str) -> Given:
        parts = urlsplit(url or self.url)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        outgoing = await self.links.serve(Head(method, parts.path, dict(parse_qsl(parts.query)), named))
        content = b"".join([chunk async for chunk in outgoing.payload.chunks()])
        return Given(outgoing.status, dict(outgoing.headers), content)


@dataclass(frozen=True)
class Given:
    status: int
    headers: dict[str, str]
    content: bytes


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    objects, clock = FileStore(tmp_path), Clock()
    signer = LinkSigner("http://gateway.test", "k1", {"k1": b"secret"})
    stored = await objects.put("a.png", once(CONTENT), media_type="image/png", expires_ms=NOW_MS + DAY_MS)
    links = MediaLinks(objects, signer, clock)
    return Place(links, signer.sign("a.png", NOW_MS + DAY_MS), stored.etag, clock)


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def test_a_whole_image_comes_with_all_that_browsers_and_caches_ask(place: Place) -> None:
    given = await place.get()
    assert (given.status, given.content) == (200, CONTENT)
    assert parsedate_to_datetime(given.headers.pop("last-modified")).tzinfo is not None
    assert given.headers == {
        "content-type": "image/png",
        "content-length": "100",
        "content-disposition": 'inline; filename="a.png"',
        "etag": f'"{place.etag}"',
        "accept-ranges": "bytes",
        "cache-control": "private, max-age=86400, immutable",
        "x-content-type-options": "nosniff",
    }


async def test_a_cache_keeps_an_image_no_longer_than_we_do(place: Place) -> None:
    place.clock.now += DAY_MS - 90_500
    assert (await place.get()).headers["cache-control"] == "private, max-age=90, immutable"


async def test_a_cache_keeps_an_image_no_longer_than_its_link_works(place: Place) -> None:
    given = await place.get(url=place.links.signer.sign("a.png", NOW_MS + 60_000))
    assert given.headers["cache-control"] == "private, max-age=60, immutable"


RANGES = [
    # asked for, first and last byte that come; None: everything
    ("bytes=0-0", (0, 0)),
    ("bytes=0-9", (0, 9)),
    ("bytes=10-19", (10, 19)),
    ("bytes=99-99", (99, 99)),
    ("bytes=90-", (90, 99)),
    ("bytes=90-99", (90, 99)),
    ("bytes=90-1000", (90, 99)),
    ("bytes=-1", (99, 99)),
    ("bytes=-30", (70, 99)),
    ("bytes=0000000010-0000000019", (10, 19)),
    (" bytes=0-9 ", (0, 9)),
    ("bytes=0-", (0, 99)),
    ("bytes=0-99", (0, 99)),
    ("bytes=-100", (0, 99)),
    ("bytes=-1000", (0, 99)),
    ("bytes=9-0", None),
    ("bytes=-", None),
    ("bytes=", None),
    ("bytes", None),
    ("", None),
    ("bytes=0-1,5-6", None),
    ("bytes=0-9, ", None),
    ("bytes= 0-9", None),
    ("bytes=a-b", None),
    ("bytes=0x1-2", None),
    ("bytes=+1-2", None),
    ("bytes=1.0-2", None),
    ("bytes=٠-٩", None),
    ("items=0-9", None),
    ("bytes=0-" + "9" * 1000, (0, 99)),
    ("bytes=90-" + "9" * 25, (90, 99)),
    ("bytes=-" + "9" * 25, (0, 99)),
    ("bytes=" + "9" * 26 + "-" + "9" * 25, None),
    ("bytes=0-" + "9" * 5000, None),
]


@pytest.mark.parametrize(("asked", "bounds"), RANGES)
async def test_one_range_of_bytes_comes_alone_and_all_else_comes_whole(
    place: Place, asked: str, bounds: tuple[int, int] | None
) -> None:
    given = await place.get(range=asked)
    if bounds is None:
        assert (given.status, given.content, given.headers.get("content-range")) == (200, CONTENT, None)
        return
    first, last = bounds
    assert (given.status, given.content) == (206, CONTENT[first : last + 1])
    assert given.headers["content-range"] == f"bytes {first}-{last}/100"
    assert given.headers["content-length"] == str(last - first + 1)
    assert given.headers["etag"] == f'"{place.etag}"'


@pytest.mark.parametrize(
    "asked", ["bytes=100-", "bytes=100-200", "bytes=1000-1001", "bytes=-0", "bytes=100-100", "bytes=" + "9" * 25 + "-"]
)
async def test_a_range_that_holds_no_byte_is_416_and_names_the_size(place: Place, asked: str) -> None:
    given = await place.get(range=asked)
    assert (given.status, given.content) == (416, b"")
    assert given.headers["content-range"] == "bytes */100"
    assert given.headers["content-length"] == "0"


async def test_every_range_of_a_small_image_is_what_python_slices(place: Place) -> None:
    for first in range(0, 100, 7):
        for last in range(first, 110, 11):
            given = await place.get(range=f"bytes={first}-{last}")
            assert given.content == CONTENT[first : last + 1]


async def test_a_range_of_another_version_comes_whole(place: Place) -> None:
    """If-Range: only the very same strong validator lets a part be joined to what the client has."""
    same = await place.get(range="bytes=0-9", if_range=f'"{place.etag}"')
    assert (same.status, same.content) == (206, CONTENT[:10])
    for other in ('"other"', f'W/"{place.etag}"', place.etag, "Wed, 21 Oct 2026 07:28:00 GMT", ""):
        given = await place.get(range="bytes=0-9", if_range=other)
        assert (given.status, given.content) == (200, CONTENT), other


@pytest.mark.parametrize("known", ['"{}"', 'W/"{}"', '"other", "{}"', '"{}" , "other"', "*", " * "])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_the_client_has_already_is_not_sent_again(place: Place, method: str, known: str) -> None:
    given = await place.get(method, if_none_match=known.format(place.etag))
    assert (given.status, given.content) == (304, b"")
    assert given.headers["etag"] == f'"{place.etag}"'
    assert {"cache-control", "last-modified"} <= set(given.headers)
    assert "content-length" not in given.headers


async def test_a_condition_is_looked_at_before_a_range(place: Place) -> None:
    assert (await place.get(if_none_match=f'"{place.etag}"', range="bytes=0-9")).status == 304
    assert (await place.get(if_none_match='"other"', range="bytes=0-9")).status == 206


@pytest.mark.parametrize("known", ['"other"', "", '"{}x"', '"x{}"', "{}", '"*"'])
async def test_another_version_is_sent(place: Place, known: str) -> None:
    given = await place.get(if_none_match=known.format(place.etag))
    assert (given.status, given.content) == (200, CONTENT)


async def test_head_is_get_without_the_bytes(place: Place) -> None:
    """And without ranges: RFC 9110 §14.2 defines them for GET alone."""
    whole = await place.get()
    for headers in ({}, {"range": "bytes=0-9"}, {"range": "bytes=100-"}):
        head = await place.get("HEAD", **headers)
        assert (head.status, head.headers, head.content) == (200, whole.headers, b"")


async def refused(place: Place, method: str = "GET", url: str = "") -> tuple[int, str]:
    with pytest.raises(GatewayError) as raised:
        await place.get(method, url=url)
    return raised.value.kind.status, raised.value.code


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_other_methods_are_not_for_images(place: Place, method: str) -> None:
    assert await refused(place, method) == (405, "method_not_allowed")


async def test_a_link_that_was_changed_is_403_and_one_that_is_old_410(place: Place) -> None:
    assert await refused(place, url=place.url.replace("a.png", "b.png")) == (403, "signature_invalid")
    assert await refused(place, url=place.url.replace("expires=1", "expires=2")) == (403, "signature_invalid")
    assert await refused(place, url=place.url.partition("?")[0]) == (403, "signature_invalid")
    place.clock.now += DAY_MS - 1000
    assert (await place.get()).status == 200
    place.clock.now += 1001
    assert await refused(place) == (410, "link_expired")
    with pytest.raises(GatewayError, match="expired at 2026-11-19T11:06:40Z"):
        await place.get()


async def test_an_image_that_is_gone_is_404(place: Place) -> None:
    """A genuine link to a name that is not there, was swept, or has expired before its link."""
    signer = place.links.signer
    for name in ("missing.png", "..", "a/b", ".a.png"):
        assert await refused(place, url=signer.sign(name, NOW_MS + DAY_MS)) == (404, "not_found")
    longer = signer.sign("a.png", NOW_MS + 2 * DAY_MS)
    place.clock.now += DAY_MS
    assert await refused(place, url=longer) == (404, "not_found")
    place.clock.now -= DAY_MS
    assert (await place.get(url=longer)).status == 200
    await place.links.objects.delete("a.png")
    assert await refused(place, url=longer) == (404, "not_found")


# Sent to the store for the bytes


@dataclass
class Elsewhere:
    """Signs for the store, and remembers for how long."""

    asked: list[tuple[str, int]] = field(default_factory=list)

    async def presigned(self, name: str, *, lives_s: int) -> str:
        self.asked.append((name, lives_s))
        return f"https://store.test/{name}?signed"


@pytest.fixture
def redirected(place: Place) -> Place:
    return replace(place, links=replace(place.links, presigner=Elsewhere()))


def lives_s(place: Place) -> list[int]:
    assert isinstance(place.links.presigner, Elsewhere)
    assert {name for name, _ in place.links.presigner.asked} == {"a.png"}
    return [seconds for _, seconds in place.links.presigner.asked]


async def test_a_reader_is_sent_to_the_store_and_nothing_of_it_is_cached(redirected: Place) -> None:
    given = await redirected.get(range="bytes=0-9")
    assert (given.status, given.content) == (302, b"")
    assert given.headers == {
        "location": "https://store.test/a.png?signed",
        "cache-control": "no-store",
        "content-length": "0",
    }


async def test_what_the_store_signs_lives_for_minutes_and_never_longer_than_the_image(redirected: Place) -> None:
    """Nor longer than the link that was followed."""
    await redirected.get()
    short = redirected.links.signer.sign("a.png", NOW_MS + 60_000)
    await redirected.get(url=short)
    redirected.clock.now += DAY_MS - 300_000
    await redirected.get()
    redirected.clock.now += 299_500
    await redirected.get()
    assert lives_s(redirected) == [600, 60, 300, 1]


async def test_only_who_may_have_the_image_and_has_not_got_it_is_sent_there(redirected: Place) -> None:
    assert (await redirected.get("HEAD")).status == 200
    assert (await redirected.get(if_none_match=f'"{redirected.etag}"')).status == 304
    assert await refused(redirected, "POST") == (405, "method_not_allowed")
    assert await refused(redirected, url=redirected.url + "0") == (403, "signature_invalid")
    await redirected.links.objects.delete("a.png")
    assert await refused(redirected) == (404, "not_found")
    redirected.clock.now += DAY_MS
    assert await refused(redirected) == (410, "link_expired")
    assert isinstance(redirected.links.presigner, Elsewhere)
    assert redirected.links.presigner.asked == []
