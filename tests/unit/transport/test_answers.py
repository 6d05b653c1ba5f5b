"""Where an answer begins and ends: heads, three ways to delimit a body, and everything that is refused because two
readers could read it differently."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageway.transport.answers import HEAD_BYTES, Answer, BadAnswer

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"data":[{"b64_json":"' + b"A" * 300 + b'"}]}'
MEASURED = OK + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
IN_CHUNKS = CHUNKED + b"5;a=b\r\n%b\r\n%x\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n" % (BODY[:5], len(BODY) - 5, BODY[5:])
TO_THE_END = OK + b"Content-Type: application/json\r\n\r\n" + BODY
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Early: 1\r\n\r\n"


def fed(*pieces: bytes, method: str = "POST") -> Answer:
    answer = Answer(method)
    for piece in pieces:
        answer.feed(piece)
    return answer


def body_of(answer: Answer) -> bytes:
    taken = []
    while answer.chunks:
        taken.append(answer.take())
    assert answer.waiting_bytes == 0
    return b"".join(taken)


@pytest.mark.parametrize("interim", [b"", INTERIM], ids=["", "interim"])
@pytest.mark.parametrize("whole", [MEASURED, IN_CHUNKS, TO_THE_END], ids=["measured", "chunked", "to the end"])
@given(cuts=st.sets(st.integers(0, 700), max_size=12), every=st.booleans())
@settings(max_examples=60, deadline=None)
def test_it_does_not_matter_where_the_network_cuts(whole: bytes, interim: bytes, cuts: set[int], every: bool) -> None:
    whole = interim + whole
    places = range(len(whole) + 1) if every else [0, *sorted(cuts), len(whole)]
    answer = Answer("POST")
    for begin, end in itertools.pairwise(places):
        if begin < len(whole):
            assert not answer.complete
            answer.feed(whole[begin:end])
    answer.end()
    assert answer.complete
    assert answer.status == 200
    assert "x-early" not in answer.headers
    assert "x-trailer" not in answer.headers
    assert body_of(answer) == BODY


def test_a_body_of_known_length_is_handed_over_as_it_came() -> None:
    """Nothing is copied that need not be."""
    answer = fed(MEASURED[:-200])
    rest = MEASURED[-200:]
    answer.feed(rest)
    assert answer.chunks[-1] is rest
    assert answer.complete


def test_chunks_that_came_together_are_one() -> None:
    """Each piece costs whoever reads it, and a chunk may be a single byte."""
    answer = fed(CHUNKED + b"1\r\na\r\n" * 1000)
    assert list(answer.chunks) == [b"a" * 1000]
    answer.feed(b"2\r\nbc\r\n")
    assert list(answer.chunks) == [b"a" * 1000, b"bc"], "and nothing waits for more"


def test_header_names_are_lower_case_and_values_are_text() -> None:
    answer = fed(OK + "X-A:  1 \r\nX-B:\r\nX-C: ü\r\n".encode() + b"X-D: \xfc\r\nContent-Length: 2 \r\n\r\nab")
    assert answer.headers == {"x-a": "1", "x-b": "", "x-c": "ü", "x-d": "ü", "content-length": "2"}
    assert answer.complete


@pytest.mark.parametrize(
    ("head", "method"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "POST"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "POST"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET"),
        (OK + b"Content-Length: 5\r\n\r\n", "HEAD"),
        (CHUNKED, "HEAD"),
        (OK + b"Content-Length: 0\r\n\r\n", "GET"),
    ],
)
def test_some_answers_have_no_body_whatever_they_say(head: bytes, method: str) -> None:
    answer = fed(head, method=method)
    assert answer.complete
    assert answer.persistent
    assert not answer.chunks


@pytest.mark.parametrize(
    ("head", "persistent"),
    [
        (OK + b"Content-Length: 0\r\n\r\n", True),
        (OK + b"Connection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
        (OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n", False),
        (OK + b"Connection: Close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
        (CHUNKED + b"0\r\n\r\n", True),
        (OK + b"Upgrade: h2c\r\nConnection: Upgrade, Keep-Alive\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
    ],
)
def test_a_connection_lasts_as_long_as_the_answer_says(head: bytes, persistent: bool) -> None:
    answer = fed(head)
    assert answer.complete
    assert answer.persistent is persistent


@pytest.mark.parametrize("whole", [MEASURED, IN_CHUNKS], ids=["measured", "chunked"])
@pytest.mark.parametrize(
    "more", [b"x", b"HTTP/1.1 200 OK\r\nX-Smuggled: 1\r\nContent-Length: 3\r\n\r\nabc", b"\0" * 100]
)
@pytest.mark.parametrize("together", [True, False])
def test_what_follows_an_answer_is_not_its_and_ends_the_connection(whole: bytes, more: bytes, together: bool) -> None:
    answer = fed(whole + more) if together else fed(whole, more)
    assert answer.complete
    assert not answer.persistent
    assert body_of(answer) == BODY
    assert "x-smuggled" not in answer.headers


@pytest.mark.parametrize(
    "cut",
    [b"", b"HTT", OK, INTERIM, MEASURED[:-1], MEASURED[: -len(BODY)], IN_CHUNKS[:-2], IN_CHUNKS[:-30], CHUNKED],
    ids=range(9),
)
def test_a_cut_answer_is_never_whole(cut: bytes) -> None:
    answer = fed(cut) if cut else Answer("POST")
    assert not answer.complete
    with pytest.raises(BadAnswer):
        answer.end()
    assert not answer.complete
    assert not answer.persistent


def test_an_answer_that_only_the_end_ends_says_so() -> None:
    answer = fed(TO_THE_END)
    assert not answer.delimited
    assert not answer.complete
    assert not answer.persistent


BAD = [
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"<html>",
    b"\r\n" + MEASURED,
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/1.1 OK\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
    OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    OK + b"Content-Length: 5, 5\r\n\r\n",
    OK + b"Content-Length: +5\r\n\r\n",
    OK + b"Content-Length: -5\r\n\r\n",
    OK + b"Content-Length: 0x5\r\n\r\n",
    OK + b"Content-Length:\r\n\r\n",
    OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
    OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    OK + b"Transfer-Encoding: gzip\r\n\r\n",
    OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    OK + b"Transfer-Encoding: xchunked\r\n\r\n",
    OK + b"X-A : 1\r\n\r\n",
    OK + b"X-A: 1\r\n folded\r\n\r\n",
    OK + b"X-A: a\0b\r\n\r\n",
    OK + b"X-A: a\rContent-Length: 5\r\n\r\n",
    OK + b"X-A: a\nContent-Length: 5\r\n\r\n",
    OK + b": 1\r\n\r\n",
    CHUNKED + b"5\r\nabcdefg\r\n",
    CHUNKED + b"5\nabcde\r\n0\r\n\r\n",
    CHUNKED + b"-5\r\nabcde\r\n",
    CHUNKED + b"zz\r\n",
    CHUNKED + b"fffffffffffffffff\r\n",
]


@pytest.mark.parametrize("said", BAD)
def test_what_two_readers_could_read_differently_is_refused(said: bytes) -> None:
    with pytest.raises(BadAnswer):
        fed(said)
    with pytest.raises(BadAnswer):
        fed(*(said[at : at + 1] for at in range(len(said))))


def test_no_refusal_repeats_what_came() -> None:
    for said in BAD:
        with pytest.raises(BadAnswer) as bad:
            fed(said.replace(b"X-A", b"sk-secret").replace(b"HTTP/1.1 OK", b"HTTP/1.1 sk-secret"))
        assert "secret" not in str(bad.value)


def test_a_head_has_a_limit() -> None:
    """One line of almost all of it is no reason to lose an answer; a head without an end is."""
    line = b"X-Policy: " + b"x" * (HEAD_BYTES - 200) + b"\r\n"
    assert fed(OK + line + b"Content-Length: 0\r\n\r\n").complete
    for endless in (b"x" * 1000, b"X-A: 1\r\n" * 100):
        with pytest.raises(BadAnswer, match="larger than 64 KiB"):
            fed(OK, *[endless] * 100)
    with pytest.raises(BadAnswer, match="larger than 64 KiB"):
        fed(OK + line + b"X-A: " + b"x" * 300 + b"\r\n\r\n")


def test_interim_answers_have_a_limit_together() -> None:
    with pytest.raises(BadAnswer, match="larger than 64 KiB"):
        fed(*[INTERIM] * 1000)


@pytest.mark.parametrize("endless", [b"X-Trailer: 1\r\n" * 500, b"x" * 8000], ids=["trailers", "one trailer"])
def test_trailers_have_a_limit(endless: bytes) -> None:
    with pytest.raises(BadAnswer, match="bring nothing"):
        fed(CHUNKED + b"0\r\n", *[endless] * 20)


def test_an_extension_has_a_limit() -> None:
    with pytest.raises(BadAnswer, match="bring nothing"):
        fed(CHUNKED + b"5;a=", *[b"x" * 8000] * 20)
