"""Server-sent events on their way out (WHATWG HTML, section 9.2). Blobs are spliced in as in JSON answers; a small
event is one chunk, so that it leaves as one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from imageway.bodies.payload import Payload
from imageway.bodies.splice import json_payload
from imageway.core.streams import StreamEvent

_CONTENT_TYPE: Final = "text/event-stream; charset=utf-8"
_LENGTH_UNKNOWN: Final = -1
_JOINED_BYTES: Final = 16 << 10


async def event_chunks(event: StreamEvent, line_end: bytes = b"\n") -> AsyncIterator[bytes]:
    """The event as bytes, its blank line included; `line_end` closes its last two lines. A str has as many `data` lines
    as it has lines, and comes back with LF between them. Raises ValueError for a name or an id with a line break, and
    as json_payload does."""
    waiting = _line("id", event.id) + _line("event", event.name) + b"data: "
    async for chunk in _data_chunks(event):
        if len(waiting) + len(chunk) <= _JOINED_BYTES:
            waiting += chunk
        else:
            yield waiting
            waiting = chunk
    yield waiting + line_end * 2


def stream_payload(events: AsyncIterator[StreamEvent | bytes], line_end: bytes = b"\n") -> Payload:
    """A stream of unknown length (-1), which can be read once. Bytes are written as they are: comments that keep a
    connection alive, events written before."""
    return Payload(_LENGTH_UNKNOWN, _CONTENT_TYPE, lambda: _write(events, line_end))


async def _write(events: AsyncIterator[StreamEvent | bytes], line_end: bytes) -> AsyncIterator[bytes]:
    async for event in events:
        if isinstance(event, bytes):
            yield event
        else:
            async for chunk in event_chunks(event, line_end):
                yield chunk


def _line(field: str, value: str | None) -> bytes:
    if not value:
        return b""
    if "\n" in value or "\r" in value:
        raise ValueError(f"{value!r} cannot be the {field} of an event: it holds a line break")
    return f"{field}: {value}\n".encode()


async def _data_chunks(event: StreamEvent) -> AsyncIterator[bytes]:
    if isinstance(event.data, str):
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        yield text.replace("\n", "\ndata: ").encode()
        return
    async for chunk in json_payload(event.data).chunks():
        yield chunk
