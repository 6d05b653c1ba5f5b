"""Server-sent events off the wire (WHATWG HTML, section 9.2), each whole as soon as its blank line is here. Its data is
lifted while it arrives, so that a picture never lies whole in memory. Knows no field but `event` and `data`: nobody
reconnects here, so `id` and `retry` say nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from imageway.bodies.grammar import decode_text
from imageway.bodies.lift import JsonLifter
from imageway.bodies.limits import LiftError, LiftLimits
from imageway.bodies.spool import Scope
from imageway.core.blobs import Tree
from imageway.core.streams import StreamEvent

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_FIELDS: Final = frozenset({b"event", b"data"})
_FIELD_BYTES: Final = 16  # longer than the names of the fields we know, a byte order mark included
_TELLING_BYTES: Final = 64  # of data: enough to tell JSON from text
_STEP_BYTES: Final = 256 << 10
# An object, or an array that could be one: "[DONE]" is text. So are bare strings and numbers: nobody sends them, and
# what a server says instead of JSON may well begin with a digit or a quote.
_JSON: Final = re.compile(rb'[ \t\n]*+(?:\{|\[[ \t\n]*+(?:[\]\[{"0-9-]|(?:true|false|null)[ \t\n]*+[,\]]))')


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLimits:
    """`events`: how many one stream may have. `name_bytes`: the longest name of an event. `data`: what holds for the
    JSON or text of each event. The bytes of the whole stream are for the caller to count."""

    events: int = 10_000
    name_bytes: int = 256
    data: LiftLimits = field(default_factory=LiftLimits)


_LIMITS: Final = EventLimits()


async def read_events(
    chunks: AsyncIterator[bytes], scope: Scope, limits: EventLimits = _LIMITS
) -> AsyncIterator[StreamEvent]:
    """Every event of the stream; its blobs live as long as the scope. Data that begins as a JSON object or array is
    lifted, all other data is text. Raises SpoolFull and OSError for our faults, LiftError for the stream's: the codes
    of JSON, too_many_events, name_too_long, and stream_cut, which comes after all that was whole, when the stream ended
    within an event or a line."""
    reader = _EventReader(scope, limits)
    try:
        async for chunk in chunks:
            for start in range(0, len(chunk), _STEP_BYTES):
                piece = reader.unify(chunk[start : start + _STEP_BYTES])
                at = 0
                while at < len(piece):
                    at = reader.take(piece, at)
                    await reader.drain()
                    if reader.event_ended:
                        yield await reader.finish_event()
        reader.end()
    except LiftError as error:
        message = f"Event {reader.events + 1} of the stream: {error.message}"
        raise LiftError(error.code, error.path, message) from None


class _EventReader:
    """Push parser for one stream: `take` from what `unify` returned until `event_ended`, then `finish_event`."""

    __slots__ = (
        "_after_return",
        "_data",
        "_field",
        "_head",
        "_limits",
        "_name",
        "_scope",
        "_starts",
        "_value_starts",
        "event_ended",
        "events",
    )

    def __init__(self, scope: Scope, limits: EventLimits) -> None:
        self._scope = scope
        self._limits = limits
        self._starts = True  # the first line may begin with a byte order mark
        self._after_return = False
        self._head = b""  # the beginning of a line whose colon has not come yet
        self._field: bytes | None = None  # of the line that is being read, once known
        self._value_starts = False  # one space after the colon does not belong to the value
        self._name = b""
        self._data: _DataReader | None = None
        self.event_ended = False
        self.events = 0

    def unify(self, chunk: bytes) -> bytes:
        """The chunk, which is not empty, with LF as its only line end. What CR ended has ended, whether or not an LF
        follows."""
        if self._after_return:
            chunk = chunk.removeprefix(b"\n")
            self._after_return = False
        if b"\r" not in chunk:
            return chunk
        self._after_return = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def take(self, chunk: bytes, at: int) -> int:
        """Returns where it stopped: behind the blank line that ends an event, or at the end of the chunk."""
        while at < len(chunk) and not self.event_ended:
            newline = chunk.find(b"\n", at)
            end = newline if newline >= 0 else len(chunk)
            if end > at:
                self._add(chunk[at:end])
            if newline >= 0:
                self._end_line()
            at = end + 1
        return at

    async def drain(self) -> None:
        if self._data is not None:
            await self._data.drain()

    async def finish_event(self) -> StreamEvent:
        data, name = self._data, self._name
        if data is None:
            raise RuntimeError("no event has ended")
        if self.events == self._limits.events:
            raise LiftError("too_many_events", "", f"More than {self.events} are not allowed.")
        event = StreamEvent(await data.finish(), decode_text(name) or None)
        self._data, self._name, self.event_ended = None, b"", False
        self.events += 1
        return event

    def end(self) -> None:
        """Nothing more comes. Raises LiftError when something should have."""
        if self._data is not None or self._name or self._field is not None or self._without_mark(self._head):
            raise LiftError("stream_cut", "", "The stream ended before the blank line that ends the event.")

    def _add(self, part: bytes) -> None:
        if self._field is None:
            line = self._head + part if self._head else part
            name, colon, part = line.partition(b":")
            if not colon:
                self._head = line[:_FIELD_BYTES]
                return
            self._begin(name)
        if self._value_starts and part:
            part = part.removeprefix(b" ")
            self._value_starts = False
        if self._field == b"data" and self._data is not None:
            self._data.feed(part)
        elif self._field == b"event":
            self._name += part
            if len(self._name) > self._limits.name_bytes:
                limit = self._limits.name_bytes
                raise LiftError("name_too_long", "", f"Its name is longer than the {limit} bytes allowed.")

    def _begin(self, name: bytes) -> None:
        """The colon of this line has come. A comment, too, is a field that we do not know."""
        name = self._without_mark(name)
        self._field = name if name in _FIELDS else b""
        self._head = b""
        self._value_starts = True
        if name == b"event":
            self._name = b""
        elif name == b"data":
            if self._data is None:
                self._data = _DataReader(self._scope, self._limits.data)
            else:
                self._data.feed(b"\n")

    def _end_line(self) -> None:
        if self._field is None:
            head = self._without_mark(self._head)
            if head:
                self._begin(head)  # a field without colon has no value
            elif self._data is not None:
                self.event_ended = True
            else:
                self._name = b""  # without data there is no event
        self._field, self._head = None, b""

    def _without_mark(self, beginning: bytes) -> bytes:
        if self._starts:
            self._starts = False
            return beginning.removeprefix(_BYTE_ORDER_MARK)
        return beginning


class _DataReader:
    """The data of one event: a tree where it begins as one, else text."""

    __slots__ = ("_held", "_is_text", "_lifter", "_limits", "_scope")

    def __init__(self, scope: Scope, limits: LiftLimits) -> None:
        self._scope = scope
        self._limits = limits
        self._lifter: JsonLifter | None = None
        self._held = bytearray()  # text, or what is too short to tell
        self._is_text = False

    def feed(self, part: bytes) -> None:
        if self._lifter is not None:
            self._lifter.feed(part)
        elif not self._is_text and len(self._held) + len(part) >= _TELLING_BYTES:
            self._tell(bytes(self._held) + part if self._held else part)
        else:
            self._keep(part)

    async def drain(self) -> None:
        if self._lifter is not None:
            await self._lifter.drain()

    async def finish(self) -> Tree:
        if self._lifter is None and not self._is_text:
            self._tell(bytes(self._held))
        if self._lifter is not None:
            return await self._lifter.finish()
        return decode_text(bytes(self._held))

    def _tell(self, beginning: bytes) -> None:
        self._held.clear()
        if _JSON.match(beginning):
            self._lifter = JsonLifter(self._scope, self._limits)
            self._lifter.feed(beginning)
        else:
            self._is_text = True
            self._keep(beginning)

    def _keep(self, part: bytes) -> None:
        self._held += part
        if len(self._held) > self._limits.text_bytes:
            limit = self._limits.text_bytes >> 10
            raise LiftError("text_too_large", "", f"The text is longer than the {limit} KiB allowed.")
