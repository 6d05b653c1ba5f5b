"""A head means one thing or is refused. A second parser, llhttp, is asked about everything that is taken: it must read
the same method, target, fields, framing and end of the connection."""

from __future__ import annotations

import re
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageway.server.http.heads import CHUNKED, QUERY_FIELDS, Malformed, could_begin, read_head, why_not

LINE = b"POST /v1/images/generations HTTP/1.1\r\n"


def head(*fields: bytes, line: bytes = LINE) -> bytes:
    return line + b"".join(field + b"\r\n" for field in (b"Host: gateway", *fields)) + b"\r\n"


def test_a_plain_head() -> None:
    request = read_head(
        head(b"Content-Type: application/json", b"X-Empty:", b"content-length:  12 ", b"X-Tab:\t a\tb \t")
    )
    assert (request.head.method, request.head.path, request.head.query) == ("POST", "/v1/images/generations", {})
    assert request.head.headers == {
        "host": "gateway",
        "content-type": "application/json",
        "x-empty": "",
        "content-length": "12",
        "x-tab": "a\tb",
    }
    assert (request.length, request.keeps, request.expects, request.version) == (12, True, False, "1")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", {}),
        (b"/a?", "/a", {}),
        (b"/a?b=1&c&b=2&d=%C3%A9+x", "/a", {"b": "2", "c": "", "d": "é x"}),
        (b"/v1/models/a%2Fb%20c", "/v1/models/a/b c", {}),
        (b"/a#b?c=d", "/a", {}),
        (b"//a/b", "//a/b", {}),
        (b"http://gateway:80/a?b=c", "/a", {"b": "c"}),
        (b"HTTPS://gateway", "/", {}),
        (b"http://gateway?b=c", "/", {"b": "c"}),
        (b"*", "*", {}),
    ],
)
def test_targets_in_every_form(target: bytes, path: str, query: dict[str, str]) -> None:
    request = read_head(head(line=b"GET " + target + b" HTTP/1.1\r\n"))
    assert (request.head.path, request.head.query) == (path, query)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (b"/v1/tasks?limit=2&after=%20", "/v1/tasks?limit=2&after=%20"),
        (b"/v1/models/a%2Fb%20c", "/v1/models/a%2Fb%20c"),
        (b"http://gateway:80/a%20?b=c", "/a%20?b=c"),
    ],
)
def test_path_and_query_are_kept_as_they_were_sent(target: bytes, told: str) -> None:
    """Whoever signs a request signs these."""
    assert read_head(head(line=b"GET " + target + b" HTTP/1.1\r\n")).head.target == told


def test_a_head_knows_from_whom_it_came() -> None:
    assert read_head(head(), "203.0.113.9").head.peer == "203.0.113.9"


def test_of_those_who_passed_it_on_all_are_kept() -> None:
    """Each proxy may write a line of its own: the last one alone would be the word of the last proxy."""
    request = read_head(head(b"X-Forwarded-For: 192.0.2.1", b"X-Other: 1", b"x-forwarded-for: 203.0.113.9, 10.0.0.1"))
    hops = [hop.strip() for hop in request.head.headers["x-forwarded-for"].split(",")]
    assert hops == ["192.0.2.1", "203.0.113.9", "10.0.0.1"]


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ((), 0),
        ((b"Content-Length: 0",), 0),
        ((b"Content-Length: 007",), 7),
        ((b"Transfer-Encoding: chunked",), CHUNKED),
        ((b"Transfer-Encoding: Chunked ",), CHUNKED),
    ],
)
def test_how_long_the_body_is(fields: tuple[bytes, ...], length: int) -> None:
    assert read_head(head(*fields)).length == length


@pytest.mark.parametrize(
    ("line", "field", "keeps"),
    [
        (b"GET / HTTP/1.1\r\n", b"X: y", True),
        (b"GET / HTTP/1.1\r\n", b"Connection: keep-alive", True),
        (b"GET / HTTP/1.1\r\n", b"Connection: Close", False),
        (b"GET / HTTP/1.1\r\n", b"Connection: upgrade, close", False),
        (b"GET / HTTP/1.1\r\n", b"Connection: close\r\nConnection: keep-alive", False),
        (b"GET / HTTP/1.1\r\n", b"Connection: closed", True),
        (b"GET / HTTP/1.0\r\n", b"Connection: keep-alive", False),
    ],
)
def test_whether_the_connection_goes_on(line: bytes, field: bytes, keeps: bool) -> None:
    assert read_head(head(field, line=line)).keeps is keeps


def test_who_waits_to_be_invited() -> None:
    assert read_head(head(b"Expect: 100-Continue")).expects
    assert not read_head(head(b"Expect: 100-continue", line=b"POST / HTTP/1.0\r\n")).expects


def test_of_repeated_fields_the_last_counts_where_repeating_is_lawful() -> None:
    assert read_head(head(b"X-A: 1", b"x-a: 2")).head.headers["x-a"] == "2"


WRONG = {
    "no version": b"GET /\r\nHost: x\r\n\r\n",
    "another version": b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "a version of two figures": b"GET / HTTP/1.10\r\nHost: x\r\n\r\n",
    "a small method": b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown method": b"STEAL / HTTP/1.1\r\nHost: x\r\n\r\n",
    "two blanks": b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a blank at the end": b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
    "a blank in the target": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a control in the target": b"GET /a\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a letter beyond ASCII in the target": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target of no form": b"GET gateway/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "an authority": b"CONNECT gateway:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "another scheme": b"GET ftp://gateway/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": head(b"Host: other"),
    "two Hosts in HTTP/1.0": head(b"Host: other", line=b"GET / HTTP/1.0\r\n"),
    "two lengths": head(b"Content-Length: 1", b"content-length: 1"),
    "an empty length": head(b"Content-Length:"),
    "a length with a sign": head(b"Content-Length: +1"),
    "a list of lengths": head(b"Content-Length: 1, 1"),
    "a length in other figures": head(b"Content-Length: \xb2"),
    "a length beyond all": head(b"Content-Length: " + b"9" * 16),
    "length and chunks": head(b"Content-Length: 1", b"Transfer-Encoding: chunked"),
    "chunks twice": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunks in HTTP/1.0": head(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0\r\n"),
    "another coding": head(b"Transfer-Encoding: gzip, chunked"),
    "a tab behind a coding": head(b"Transfer-Encoding: chunked\t"),
    "a tab before a length": head(b"Content-Length:\t1"),
    "no coding": head(b"Transfer-Encoding:"),
    "space before a colon": head(b"X-A : b"),
    "a folded field": head(b"X-A: b", b" c"),
    "a folded first field": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "a field without a name": head(b": b"),
    "a field without a colon": head(b"X-A"),
    "a NUL": head(b"X-A: \0"),
    "a bare line feed": head(b"X-A: b\nX-C: d"),
    "a bare carriage return": head(b"X-A: b\rX-C: d"),
    "a DEL": head(b"X-A: \x7f"),
    "something behind": head() + b"x",
    "no end": head()[:-2],
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_head(what: str) -> None:
    with pytest.raises(Malformed):
        read_head(WRONG[what])


class Second:
    """The same bytes as llhttp reads them."""

    def __init__(self, content: bytes) -> None:
        self.fields: list[tuple[str, str]] = []
        self.target = b""
        self.complete = False
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(content)
        except httptools.HttpParserUpgrade:
            self.complete = True
        self.method = parser.get_method().decode()
        self.version = parser.get_http_version()
        self.keeps = parser.should_keep_alive()

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_message_complete(self) -> None:
        self.complete = True


NAMES = st.sampled_from(
    [b"Content-Length", b"Transfer-Encoding", b"Connection", b"Expect", b"Upgrade", b"X-A", b"Host"]
)
VALUES = st.sampled_from(
    [
        b"0",
        b"5",
        b"05",
        b"+5",
        b"5,5",
        b"chunked",
        b"close",
        b"keep-alive",
        b"upgrade",
        b"100-continue",
        b"h2c",
        b"\xe9",
    ]
)
BLANKS = st.sampled_from([b"", b" ", b"\t", b"  "])
FIELDS = st.tuples(NAMES, st.just(b":"), BLANKS, VALUES, BLANKS, st.just(b"\r\n")).map(b"".join)
METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"DELETE", b"PUT", b"PATCH", b"TRACE"])
TARGETS = st.sampled_from([b"/", b"/a?b=c", b"*", b"http://x/a", b"/a%20b", b"/a#b", b"//a/?%00"])
VERSIONS = st.sampled_from([b" HTTP/1.1\r\nHost: x\r\n"] * 3 + [b" HTTP/1.0\r\n"])
LAWFUL = st.tuples(
    METHODS, st.just(b" "), TARGETS, VERSIONS, st.lists(FIELDS, max_size=3).map(b"".join), st.just(b"\r\n")
)
SCRAPS = st.one_of(
    st.sampled_from([b"\n", b"\r", b"\r\n", b" ", b"\t", b":", b"", b"\0"]), st.binary(min_size=1, max_size=1)
)
SLIPS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2), SCRAPS), max_size=2)


def slipped(content: bytes, slips: list[tuple[int, int, bytes]]) -> bytes:
    """With a few bytes replaced by others."""
    for at, size, scrap in slips:
        place = at % len(content)
        content = content[:place] + scrap + content[place + size :]
    return content


HEADS = st.builds(slipped, LAWFUL.map(b"".join), SLIPS)


@given(HEADS)
def test_what_is_taken_another_parser_reads_the_same(content: bytes) -> None:
    try:
        request = read_head(content)
    except Malformed:
        return
    body = {0: b"", CHUNKED: b"0\r\n\r\n"}.get(request.length, b"x" * request.length)
    if len(body) > 1000:
        return
    second = Second(content + body)
    assert second.complete
    assert second.method == request.head.method
    assert second.version == f"1.{request.version}"
    assert second.target in content
    assert {name: value.strip(" \t") for name, value in second.fields if name != "connection"} == {
        name: value for name, value in request.head.headers.items() if name != "connection"
    }
    assert second.keeps or not request.keeps


@given(HEADS, st.data())
def test_every_beginning_of_a_head_could_be_one(content: bytes, data: Any) -> None:
    try:
        read_head(content)
    except Malformed:
        return
    assert could_begin(content[: data.draw(st.integers(0, len(content) - 1))])


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\n",
        b"GET / HTTP/1.1\r\n Host",
        b"GET / HTTP/1.1\r\nHost x\r\n",
        b"get / HTTP/1.1\r\n",
        b"GET / SMTP",
        b'{"prompt": "a boat"}',
    ],
)
def test_garbage_is_known_before_its_end(garbage: bytes) -> None:
    assert not could_begin(garbage)


def test_a_query_has_so_many_fields_and_no_more() -> None:
    """Each costs a microsecond before anybody has shown a key, and a head has room for 30,000."""

    def asked(count: int) -> bytes:
        return b"GET /?" + b"&".join(b"a%d=1" % number for number in range(count)) + b" HTTP/1.1\r\nHost: x\r\n\r\n"

    assert len(read_head(asked(QUERY_FIELDS)).head.query) == QUERY_FIELDS
    with pytest.raises(Malformed, match="more than 1,000 fields"):
        read_head(asked(QUERY_FIELDS + 1))


@pytest.mark.parametrize("method", ["PROPFIND", "BREW", "CONNECT", "post", "Get"])
def test_a_method_that_nobody_takes_is_told_by_its_name(method: str) -> None:
    """It is lawful, and names are written as they are meant: they differ by case (RFC 9110, section 9.1)."""
    content = f"{method} /v1/models HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    told = f'the method "{method}" is not known here; known: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE'
    with pytest.raises(Malformed, match=f"^{re.escape(told)}$"):
        read_head(content)
    assert why_not(content[:-10]) == told


@pytest.mark.parametrize(
    "content", [b"", b"\x16\x03\x01", b"GET  / HTTP/1.1\r\n", b"G\xe9T / HTTP/1.1\r\n", b"GE/T / HTTP/1.1\r\n"]
)
def test_what_is_no_http_is_told_to_be_none(content: bytes) -> None:
    assert why_not(content) == str(Malformed())
