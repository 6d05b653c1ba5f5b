"""A chunked body is read the same however it is cut up, extensions and trailers aside; what two readers could read
differently is refused. llhttp is the second reader."""

from __future__ import annotations

from itertools import pairwise

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageway.server.http.chunking import ChunkedReader
from imageway.server.http.heads import Malformed

BODY = (
    b'5\r\nhello\r\n1;name=value;other="a quoted one"\r\n,\r\n00007\r\n worlds\r\n'
    b"0;last\r\nX-Checksum: abc\r\nX-Empty:\r\n\r\n"
)
BEHIND = b"GET / HTTP/1.1\r\n"


def read(pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    reader, content, rest = ChunkedReader(), b"", None
    for piece in pieces:
        if rest is not None:
            rest += piece
        else:
            content += b"".join(reader.feed(piece))
            rest = reader.rest
    return content, rest


def cut(content: bytes, *places: int) -> list[bytes]:
    return [content[start:end] for start, end in pairwise((0, *sorted(places), len(content)))]


def test_a_body_cut_at_every_byte() -> None:
    for place in range(len(BODY) + 1):
        assert read(cut(BODY + BEHIND, place)) == (b"hello, worlds", BEHIND)
    assert read([bytes([byte]) for byte in BODY + BEHIND]) == (b"hello, worlds", BEHIND)


def test_an_unfinished_body_has_not_ended() -> None:
    for end in range(len(BODY)):
        assert read([BODY[:end]])[1] is None


def test_an_empty_body() -> None:
    assert read([b"0\r\n\r\n"]) == (b"", b"")


WRONG = {
    "a sign": b"+5\r\nhello\r\n",
    "0x": b"0x5\r\nhello\r\n",
    "no size": b"\r\nhello\r\n",
    "an extension without a size": b";a=b\r\n",
    "a blank before the extension": b"5 ;a\r\nhello\r\n",
    "an extension without a name": b"5;\r\nhello\r\n",
    "an extension without a value": b"5;a=\r\nhello\r\n",
    "a blank in an extension": b"5; a=b\r\nhello\r\n",
    "an open quote": b'5;a="b\r\nhello\r\n',
    "a blank before the size": b" 5\r\nhello\r\n",
    "a blank behind the size": b"5 \r\nhello\r\n",
    "a size beyond all": b"f" * 13 + b"\r\n",
    "a line feed alone": b"5\nhello\r\n",
    "a carriage return alone": b"5\rhello\r\n",
    "a line feed in an extension": b"5;a\nb\r\nhello\r\n",
    "more than it says": b"5\r\nhello world\r\n",
    "something else behind the content": b"5\r\nhelloxx5\r\nhello\r\n0\r\n\r\n",
    "a line feed behind the content": b"5\r\nhello\n0\r\n\r\n",
    "a trailer that is none": b"0\r\nX-A\r\n\r\n",
    "a folded trailer": b"0\r\nX-A: b\r\n c\r\n\r\n",
    "a space before the colon of a trailer": b"0\r\nX-A : b\r\n\r\n",
    "a line feed in a trailer": b"0\r\nX-A: b\nX-C: d\r\n\r\n",
    "a length among the trailers": b"0\r\nX-A: b\r\nContent-length: 5\r\n\r\n",
    "a coding among the trailers": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "endless trailers": b"0\r\n" + b"X-A: bbbbbbbb\r\n" * 2000,
    "an endless extension": b"5;" + b"a" * 20_000,
    "extensions without end": (b"1;" + b"a" * 3000 + b"\r\nx\r\n") * 6,
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_refused_whole_and_byte_by_byte(what: str) -> None:
    with pytest.raises(Malformed):
        read([WRONG[what]])
    with pytest.raises(Malformed):
        read([WRONG[what][at : at + 97] for at in range(0, len(WRONG[what]), 97)])
    if len(WRONG[what]) < 100:
        with pytest.raises(Malformed):
            read([bytes([byte]) for byte in WRONG[what]])


class Second:
    """A body as llhttp reads it."""

    def __init__(self, content: bytes) -> None:
        self.content = b""
        self.messages = 0
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + content)

    def on_body(self, body: bytes) -> None:
        self.content += body

    def on_message_complete(self) -> None:
        self.messages += 1


CHUNKS = st.sampled_from([b"5\r\nhello\r\n", b"1;a=b\r\nx\r\n", b"00A\r\n0123456789\r\n", b'2;a="b \\"";c\r\n\r\n\r\n'])
TRAILERS = st.sampled_from([b"X-A: b\r\n", b"X-A:\r\n", b"Content-Length: 5\r\n"])
LAWFUL = st.tuples(
    st.lists(CHUNKS, max_size=4).map(b"".join), st.just(b"0\r\n"), st.lists(TRAILERS, max_size=2).map(b"".join)
).map(lambda parts: b"".join(parts) + b"\r\n")
SCRAPS = st.sampled_from([b"\n", b"\r", b"\r\n", b" ", b";", b"0x", b"+", b"5", b"x", b"-", b":", b"", b"\0"])
SLIPS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 2), SCRAPS), max_size=2)


@given(LAWFUL, SLIPS, st.integers(0, 60))
def test_what_is_taken_another_parser_reads_the_same(
    content: bytes, slips: list[tuple[int, int, bytes]], place: int
) -> None:
    for at, size, scrap in slips:
        content = content[: at % len(content)] + scrap + content[at % len(content) + size :]
    try:
        taken, rest = read(cut(content, min(place, len(content))))
    except Malformed:
        return
    if rest is not None:
        second = Second(content[: len(content) - len(rest)])
        assert (second.content, second.messages) == (taken, 1)
