"""Events are written in the fewest bytes the standard allows, small ones as one chunk, pictures spliced in."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator

import pytest

from imageway.bodies import Scope, blob_of, event_chunks, stream_payload
from imageway.core.blobs import Embed, Encoding, Tree
from imageway.core.streams import StreamEvent
from tests.unit.bodies.conftest import cut, gather

CONTENT = random.Random(6).randbytes(300_000)
TEXT = base64.b64encode(CONTENT)


async def chunks_of(event: StreamEvent) -> list[bytes]:
    return [chunk async for chunk in event_chunks(event)]


@pytest.mark.parametrize(
    ("event", "written"),
    [
        (StreamEvent({"type": "x", "n": [1, None]}, "x.done"), b'event: x.done\ndata: {"type":"x","n":[1,null]}\n\n'),
        (StreamEvent({"a": "line\nbreak\r"}), b'data: {"a":"line\\nbreak\\r"}\n\n'),
        (StreamEvent("[DONE]"), b"data: [DONE]\n\n"),
        (StreamEvent("雨", "雨"), "event: 雨\ndata: 雨\n\n".encode()),
        (StreamEvent(""), b"data: \n\n"),
        (StreamEvent("a\nb\r\nc\rd"), b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (StreamEvent({"b64": blob_of(b"hello")}), b'data: {"b64":"aGVsbG8="}\n\n'),
        (StreamEvent([Embed(blob_of(b"hello"), "data:image/png;base64,")]),
         b'data: ["data:image/png;base64,aGVsbG8="]\n\n'),
    ],
)  # fmt: skip
async def test_a_small_event_is_one_chunk(event: StreamEvent, written: bytes) -> None:
    assert await chunks_of(event) == [written]


async def test_a_picture_is_spliced_in_and_never_joined(scope: Scope) -> None:
    blob = await scope.keep(cut(CONTENT, 65536))
    for source in (blob, blob_of(TEXT, encoding=Encoding.BASE64)):
        chunks = await chunks_of(StreamEvent({"a": source, "b": [source], "c": 1}, "n"))
        assert b"".join(chunks) == b'event: n\ndata: {"a":"' + TEXT + b'","b":["' + TEXT + b'"],"c":1}\n\n'
        assert max(map(len, chunks)) < 100_000
        assert b"" not in chunks


@pytest.mark.parametrize("size", [16_000, 16_384, 16_385, 40_000])
async def test_an_event_that_is_not_small_is_whole_too(size: int) -> None:
    assert b"".join(await chunks_of(StreamEvent({"a": "x" * size}))) == b'data: {"a":"' + b"x" * size + b'"}\n\n'
    assert b"".join(await chunks_of(StreamEvent("x" * size, "n"))) == b"event: n\ndata: " + b"x" * size + b"\n\n"


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\r\ndata: {}\n\n"])
async def test_a_name_cannot_break_out_of_its_line(name: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        await chunks_of(StreamEvent({}, name))


@pytest.mark.parametrize("data", [{"a": float("nan")}, {"a": "\ud800"}, "\ud800"])
async def test_what_is_no_tree_is_refused(data: Tree) -> None:
    with pytest.raises(ValueError, match=r"cannot be written|surrogates"):
        await chunks_of(StreamEvent(data))


async def test_a_stream_has_no_length_and_bytes_in_it_stay_as_they_are() -> None:
    async def events() -> AsyncIterator[StreamEvent | bytes]:
        yield b": waiting\n\n"
        yield StreamEvent({"a": blob_of(CONTENT)}, "x")
        yield StreamEvent("[DONE]")

    payload = stream_payload(events())
    assert payload.length == -1
    assert payload.content_type == "text/event-stream; charset=utf-8"
    body = await gather(payload.chunks())
    assert body == b': waiting\n\nevent: x\ndata: {"a":"' + TEXT + b'"}\n\ndata: [DONE]\n\n'


async def test_a_format_may_close_its_events_with_crlf() -> None:
    async def events() -> AsyncIterator[StreamEvent | bytes]:
        yield StreamEvent({"a": 1})

    assert await gather(stream_payload(events(), b"\r\n").chunks()) == b'data: {"a":1}\r\n\r\n'


async def test_what_is_written_leaves_before_the_next_event_is_asked_for() -> None:
    asked: list[int] = []

    async def events() -> AsyncIterator[StreamEvent | bytes]:
        for number in range(3):
            asked.append(number)
            yield StreamEvent(str(number))

    chunks = stream_payload(events()).chunks()
    assert await anext(chunks) == b"data: 0\n\n"
    assert asked == [0]
