"""One HTTP/1.1 answer as it comes off a connection (RFC 9112): its head, and where its body ends. Knows no socket.

The parser reads heads and chunks; a body of known length goes past it."""

from __future__ import annotations

from collections import deque
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

HEAD_BYTES: Final = 64 * 1024
"""Of an answer's head, interim ones before it included; policies and cookies make long ones. Also of what a chunked
body may say without bringing a byte: extensions and trailers."""

_HEAD_END: Final = b"\r\n\r\n"
_START: Final = b"HTTP/1."


class BadAnswer(ValueError):
    """What came is no answer, or not all of it. The message holds nothing of what came."""


class Answer:
    """Push parser: `feed` what arrives, `end` when nothing more will; both raise BadAnswer. `status` is 0 until the
    head is there; `chunks` are the body's bytes that nobody has taken yet."""

    __slots__ = (
        "_asked_for_head",
        "_head",
        "_left_bytes",
        "_overhead_bytes",
        "_parser",
        "_pieces",
        "chunks",
        "complete",
        "delimited",
        "headers",
        "persistent",
        "status",
        "waiting_bytes",
    )

    def __init__(self, method: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.delimited = True
        self.persistent = False
        """The connection may be used again once the answer is complete."""
        self.complete = False
        self.chunks: deque[bytes] = deque()
        self.waiting_bytes = 0
        self._asked_for_head = method == "HEAD"
        self._head = b""
        self._overhead_bytes = 0
        self._left_bytes = 0
        self._parser: HttpResponseParser | None = None
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> None:
        if not self.status:
            data = self._take_heads(data)
            if not data:
                return
        if self.complete:
            self.persistent = False  # more than was asked for: whose it is, nobody knows
        elif self._parser is not None:
            self._feed_chunked(self._parser, data)
        elif self.delimited:
            if len(data) > self._left_bytes:
                data, self.persistent = data[: self._left_bytes], False
            self._left_bytes -= len(data)
            self.complete = not self._left_bytes
            self._keep(data)
        else:
            self._keep(data)

    def end(self) -> None:
        """The connection has ended, in order."""
        self.persistent = False
        if not self.status:
            raise BadAnswer("the connection ended before a whole head had come")
        if not self.complete:
            if self.delimited:
                missing = (
                    f"{self._left_bytes} bytes before its end" if self._parser is None else "before its last chunk"
                )
                raise BadAnswer(f"the reply was cut {missing}")
            self.complete = True

    def take(self) -> bytes:
        chunk = self.chunks.popleft()
        self.waiting_bytes -= len(chunk)
        return chunk

    def _keep(self, data: bytes) -> None:
        self.chunks.append(data)
        self.waiting_bytes += len(data)

    def _take_heads(self, data: bytes) -> bytes:
        """Reads up to the end of the final head, if it is there; returns what follows it."""
        while data:
            received = self._head + data if self._head else data
            if not received.startswith(_START[: len(received)]):
                raise BadAnswer("the reply is not HTTP/1.1")
            at = received.find(_HEAD_END, max(0, len(self._head) - 3))
            size = len(received) if at < 0 else at + len(_HEAD_END)
            if self._overhead_bytes + size > HEAD_BYTES:
                raise BadAnswer(f"the reply's head is larger than {HEAD_BYTES >> 10} KiB")
            if at < 0:
                self._head = received
                break
            self._head, data = b"", received[size:]
            self._overhead_bytes += size
            self._read_head(received[:size])
            if self.status:
                return data
        return b""

    def _read_head(self, head: bytes) -> None:
        parser = self._parser = HttpResponseParser(self)
        try:
            parser.feed_data(head)
        except HttpParserUpgrade:
            raise BadAnswer("the reply changes the protocol") from None
        except HttpParserError as error:
            raise BadAnswer(f"the reply's head cannot be read: {error}") from None
        finally:
            self._parser = None  # it refers to this object, and this object to it
        status = parser.get_status_code()
        if status < 200:
            self.headers = {}
            return
        self.status = status
        self._overhead_bytes = 0
        self._measure(parser)

    def _measure(self, parser: HttpResponseParser) -> None:
        """Where the body will end (RFC 9112, 6.3). The parser has refused two lengths, and a length beside a coding."""
        headers = self.headers
        if self._asked_for_head or self.status in (204, 304):
            self.complete = True
        elif "content-length" in headers:
            self._left_bytes = int(headers["content-length"])
            self.complete = not self._left_bytes
        elif "transfer-encoding" not in headers:
            self.delimited = self.persistent = False
        elif headers["transfer-encoding"].lower() == "chunked":
            self._parser = parser
        else:
            raise BadAnswer("the reply has a transfer coding that nobody asked for")

    def _feed_chunked(self, parser: HttpResponseParser, data: bytes) -> None:
        try:
            parser.feed_data(data)
        except HttpParserError as error:
            if not self.complete:
                raise BadAnswer(f"the reply was cut, or its chunks cannot be read: {error}") from None
            self.persistent = False
        pieces = self._pieces
        if pieces:
            # Chunks may be tiny, and each costs whoever reads it; what came in one read is one piece.
            self._keep(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            pieces.clear()
            self._overhead_bytes = 0
        else:
            self._overhead_bytes += len(data)
            if self._overhead_bytes > HEAD_BYTES:
                raise BadAnswer(f"the reply's chunks bring nothing for more than {HEAD_BYTES >> 10} KiB")
        if self.complete:
            self._parser = None

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.complete:
            self.persistent = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status:  # trailers are nobody's
            return
        value = value.strip()
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        self.headers[name.decode("ascii").lower()] = text

    def on_headers_complete(self) -> None:
        if self._parser is not None and not self.status:
            self.persistent = self._parser.should_keep_alive()  # after an empty body it would not know any more

    def on_body(self, piece: bytes) -> None:
        if not self.complete:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self.status:
            self.complete = True
