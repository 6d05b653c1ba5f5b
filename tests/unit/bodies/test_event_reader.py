"""Events come off the wire as the standard says, however the stream is cut; each as soon as its blank line is here;
what they say is lifted on the way; and what is wrong is refused by code, with the number of the event."""

from __future__ import annotations

import asyncio
import base64
import random
import re
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageway.bodies import (
    Budget,
    EventLimits,
    LiftError,
    LiftLimits,
    Scope,
    Spool,
    StoredBlob,
    event_chunks,
    read_decoded,
    read_events,
)
from imageway.core.blobs import Tree
from imageway.core.streams import StreamEvent
from tests.unit.bodies.conftest import cut, gather, picture

NOISE = random.Random(4).randbytes(8_000_000)
Told = list[tuple[str | None, Tree]]
SMALL = EventLimits(events=3, name_bytes=16, data=LiftLimits(blob_bytes=16, text_bytes=64, tree_bytes=300, depth=5))


async def told(events: AsyncIterator[StreamEvent]) -> tuple[Told, str | None]:
    """What came, blobs as their content, and the code of the error that ended it."""
    found: Told = []
    try:
        async for event in events:
            found += [(event.name, await plain(event.data))]
    except LiftError as error:
        return found, error.code
    return found, None


async def plain(tree: Tree) -> Tree:
    if isinstance(tree, dict):
        return {key: await plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [await plain(value) for value in tree]
    return await read_decoded(tree, limit_bytes=1 << 24) if isinstance(tree, StoredBlob) else tree  # type: ignore[return-value]


async def read(body: bytes, scope: Scope, size: int = 1 << 16) -> tuple[Told, str | None]:
    return await told(read_events(cut(body, size), scope))


async def refusal(body: bytes, scope: Scope, limits: EventLimits = SMALL) -> LiftError:
    with pytest.raises(LiftError) as caught:
        async for _ in read_events(cut(body, 7), scope, limits):
            pass
    return caught.value


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [(None, "YHOO\n+2\n10")]),
        (b": test\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third\n\n",
         [(None, "first event"), (None, "second event"), (None, " third")]),
        (b"data\n\ndata\ndata\n\n", [(None, ""), (None, "\n")]),
        (b"data:test\n\ndata: test\n\n", [(None, "test"), (None, "test")]),
        (b"event: add\ndata: 73\n\nevent: x\nevent: y\ndata: 1\n\n", [("add", "73"), ("y", "1")]),
        (b"event: add\ndata: 1\n\ndata: 2\n\n", [("add", "1"), (None, "2")]),
        (b"event: lost\n\ndata: 1\n\n", [(None, "1")]),
        (b"event:\ndata: 1\n\n", [(None, "1")]),
        (b"retry: 3000\n\n: heartbeat\n\n\n\n", []),
        (b"Data: 1\n data: 2\ndataset: 3\ndata : 4\nx\ndata: 5\n\n", [(None, "5")]),
        (b"\xef\xbb\xbfdata: 1\n\n\xef\xbb\xbfdata: 2\n\n", [(None, "1")]),
        (b"\xef\xbb\xbf: comment\ndata: 1\n\n", [(None, "1")]),
        (b"\xef\xbb\xbf\ndata: 1\n\n", [(None, "1")]),
        (b"data: a: b\n\n", [(None, "a: b")]),
        ("event: 雨\ndata: 雨天\n\n".encode(), [("雨", "雨天")]),
        (b"x" * 100 + b"\n" + b"y" * 100 + b":data: no\ndata: yes\n\n", [(None, "yes")]),
        (b"", []),
    ],
)  # fmt: skip
async def test_a_stream_is_read_as_the_standard_says(
    scope: Scope, body: bytes, events: list[tuple[str | None, Tree]], size: int
) -> None:
    for end in (b"\n", b"\r", b"\r\n"):
        assert await read(body.replace(b"\n", end), scope, size) == (events, None)


async def test_line_ends_may_be_mixed_and_cut(scope: Scope) -> None:
    body = b"event: a\r\ndata: 1\ndata: 2\r\r\n: c\rdata: 3\n\r\ndata: 4\r\n\r\n"
    for at in range(len(body) + 1):
        chunks = pieces([body[:at], b"", body[at:]])
        assert await told(read_events(chunks, scope)) == ([("a", "1\n2"), (None, "3"), (None, "4")], None), at


async def pieces(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize("ending", [b"\n\n", b"\r\r", b"\r\n\r\n", b"\r\n\r", b"\n\r"])
@pytest.mark.parametrize("data", [b"[DONE]", b'{"a": 1}'])
async def test_an_event_is_there_with_its_blank_line_though_nothing_else_ever_comes(
    scope: Scope, ending: bytes, data: bytes
) -> None:
    async def silence() -> AsyncIterator[bytes]:
        for byte in b"data: " + data + ending:
            yield bytes((byte,))
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        assert await anext(read_events(silence(), scope)) == StreamEvent({"a": 1} if data[:1] == b"{" else "[DONE]")


@pytest.mark.parametrize(
    ("data", "tree"),
    [
        ('{"a": [1, null, "é"]}', {"a": [1, None, "é"]}),
        ('[{"error": {"code": 400}}]', [{"error": {"code": 400}}]),
        (" [ ]", []),
        ("[[1]]", [[1]]),
        ('["a"]', ["a"]),
        ("[-1.5, 2]", [-1.5, 2]),
        ("[true]", [True]),
        ("[ null , 1]", [None, 1]),
        ("{}" + " " * 100, {}),
        ("[DONE]", "[DONE]"),
        ("[finished]", "[finished]"),
        ("[trueish]", "[trueish]"),
        ("[", "["),
        ("7", "7"),
        ('"quoted"', '"quoted"'),
        ("true", "true"),
        ("Internal server error", "Internal server error"),
        ("雨" * 100, "雨" * 100),
    ],
)
async def test_what_begins_as_an_object_or_array_is_a_tree_and_all_else_is_text(
    scope: Scope, data: str, tree: Tree
) -> None:
    for size in (1, 1000):
        assert await read(f"data: {data}\n\n".encode(), scope, size) == ([(None, tree)], None)


async def test_json_may_be_spread_over_several_lines(scope: Scope) -> None:
    body = b'data: {"a":\ndata: [1,\ndata\ndata:2]}\n\n'
    assert await read(body, scope, 3) == ([(None, {"a": [1, 2]})], None)


@pytest.mark.parametrize("size", [1021, 65536, 1 << 24])
async def test_pictures_are_blobs_and_their_headers_are_read_on_the_way(scope: Scope, size: int) -> None:
    image = picture("PNG", (400, 300))
    event = f'event: image.partial\r\ndata: {{"type":"x","b64_json":"{base64.b64encode(image).decode()}"}}\r\n\r\n'
    found = [event async for event in read_events(cut(event.encode() * 2, size), scope)]
    assert [event.name for event in found] == ["image.partial"] * 2
    for each in found:
        assert isinstance(each.data, dict)
        blob = each.data["b64_json"]
        assert isinstance(blob, StoredBlob)
        assert blob.facts is not None
        assert (blob.facts.width, blob.facts.height) == (400, 300)
        assert await read_decoded(blob, limit_bytes=1 << 20) == image


async def test_a_picture_of_8_mb_never_lies_in_memory(scope: Scope) -> None:
    body = b'data: {"b64_json":"' + base64.b64encode(NOISE) + b'"}\n\ndata: [DONE]\n\n'
    tracemalloc.start()
    found = [event async for event in read_events((bytes(bytearray(c)) async for c in cut(body, 65536)), scope)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20
    assert isinstance(found[0].data, dict)
    assert isinstance(blob := found[0].data["b64_json"], StoredBlob)
    assert await read_decoded(blob, limit_bytes=1 << 24) == NOISE
    assert found[1:] == [StreamEvent("[DONE]")]


@pytest.mark.parametrize(
    "ending",
    [
        b"data: 2",
        b"data: 2\n",
        b"data: {",
        b"data:",
        b"dat",
        b"event: x\n",
        b"event: x",
        b"id",
        b": comm",
        b"\r\ndata\r",
    ],
)
async def test_what_the_end_cut_is_not_delivered_and_the_cut_is_told(scope: Scope, ending: bytes) -> None:
    for size in (1, 1000):
        assert await read(b"data: 1\n\n" + ending, scope, size) == ([(None, "1")], "stream_cut")


@pytest.mark.parametrize("ending", [b"", b"\n", b": comment\n", b"retry: 3\n", b"id: 3\n\n", b"event: x\n\n"])
async def test_a_stream_ends_well_between_events(scope: Scope, ending: bytes) -> None:
    assert await read(b"data: 1\n\n" + ending, scope, 1) == ([(None, "1")], None)


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        (b"data: {}\n\n" * 3 + b"data: {}\n\n", "too_many_events", ""),
        (b"data: 1\n\nevent: " + b"x" * 17 + b"\n", "name_too_long", ""),
        (b"data: " + b"x" * 65, "text_too_large", ""),
        (b"data: x\n" * 33, "text_too_large", ""),
        (b'data: {"a": {"b": [1,}}\n\n', "malformed_json", "a.b[1]"),
        (b'data: {"a": "' + b"x " * 40, "text_too_large", "a"),
        (b'data: {"a": ["' + b"QUJD" * 30 + b'!"]}\n\n', "invalid_base64", "a[0]"),
        (b"data: [[[[[[1]]]]]]\n\n", "too_deep", "[0][0][0][0][0]"),
        (b'data: {"a": ' + b"1" * 400, "tree_too_large", "a"),
        (b"data: \xff\n\n", "invalid_utf8", ""),
        (b"event: \xff\ndata: 1\n\n", "invalid_utf8", ""),
        (b'data: {"a": "\xff"}\n\n', "invalid_utf8", "a"),
        (b'data: {"a": "QUJD\ndata: QUJDQUJDQUJDQUJD"}\n\n', "malformed_json", "a"),
    ],
)
async def test_what_is_refused_names_its_code_and_place(scope: Scope, body: bytes, code: str, path: str) -> None:
    error = await refusal(body, scope)
    assert (error.code, error.path) == (code, path)


async def test_the_message_names_the_event(scope: Scope) -> None:
    error = await refusal(b"data: 1\n\n: x\n\ndata: {1}\n\n", scope)
    assert error.message.startswith("Event 2 of the stream: The body is not JSON")


async def test_limits_are_the_largest_allowed(scope: Scope) -> None:
    body = b"event: " + b"x" * 16 + b"\ndata: " + b"x" * 64 + b"\n\n"
    assert len([event async for event in read_events(cut(body * 3, 5), scope, SMALL)]) == 3


async def test_what_goes_wrong_with_the_source_passes_through(scope: Scope) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b'data: 1\n\ndata: {"a": "' + b"QUJD" * 100_000
        raise ConnectionResetError

    events = read_events(broken(), scope)
    assert await anext(events) == StreamEvent("1")
    with pytest.raises(ConnectionResetError):
        await anext(events)


# Properties.

PARTS = [b"data", b"event", b"id", b":", b": ", b" ", b"x", b"[DONE]", b"\xef\xbb\xbf", "雨".encode()]
ENDS = [b"\n", b"\n\n", b"\r", b"\r\n"]
cuts = st.lists(st.integers(0, 500), max_size=6)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scope]:
    spool = Spool(tmp_path_factory.mktemp("spool"), Budget(1 << 20))
    yield spool.scope()
    spool.close()


async def read_cut(body: bytes, places: list[int], scope: Scope) -> tuple[Told, str | None]:
    edges = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    return await told(read_events(pieces([body[start:end] for start, end in pairwise(edges)]), scope))


def model(body: bytes) -> tuple[Told, str | None]:
    """The standard's algorithm over the whole text, for data that is not JSON."""
    *lines, rest = re.split(r"\r\n|\r|\n", body.decode().removeprefix("\ufeff"))
    events: Told = []
    data: list[str] = []
    name = ""
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((name or None, "\n".join(data)))
            data, name = [], ""
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
    return events, "stream_cut" if rest or data or name else None


@settings(deadline=None, max_examples=400)
@given(body=st.lists(st.sampled_from(PARTS + ENDS), max_size=30).map(b"".join), places=cuts)
async def test_any_stream_is_what_the_standard_makes_of_it(shared: Scope, body: bytes, places: list[int]) -> None:
    assert await read_cut(body, places, shared) == model(body)


@settings(deadline=None, max_examples=200)
@given(body=st.binary(max_size=200), places=cuts)
async def test_any_bytes_are_the_same_however_they_are_cut(shared: Scope, body: bytes, places: list[int]) -> None:
    for start in (b"", b"data:", b"data: {}\r\n\r\nevent: "):
        assert await read_cut(start + body, places, shared) == await read_cut(start + body, [], shared)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
trees = st.dictionaries(texts, texts | st.none() | st.integers(-9, 9) | st.lists(texts, max_size=3), max_size=4)
words = texts.filter(lambda text: "\r" not in text and not text.lstrip(" \t\n").startswith(("{", "[")))
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1, max_size=20)


@settings(deadline=None, max_examples=150)
@given(written=st.lists(st.tuples(st.none() | names, trees | words), max_size=5), places=cuts)
async def test_what_was_written_comes_back(shared: Scope, written: Told, places: list[int]) -> None:
    events = [await gather(event_chunks(StreamEvent(data, name))) for name, data in written]
    assert await read_cut(b": ping\n\n".join(events), places, shared) == (written, None)
