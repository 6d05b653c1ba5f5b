"""Heads of answers: what they say, and that no value says more than one thing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from imageway.bodies import Payload
from imageway.server.gate import Outgoing
from imageway.server.http.answers import STREAM, has_body, head_of, length_of, refusal

DATE = "date: Fri, 20 Nov 2026 08:00:00 GMT\r\n"


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def outgoing(*headers: tuple[str, str], length: int = 12, status: int = 200) -> Outgoing:
    return Outgoing(status, headers, Payload(length, "text/plain" if length >= 0 else "", nothing), print)


def lines(answer: Outgoing, *, closes: bool = False, chunked: bool = False) -> list[str]:
    head = head_of(answer, date=DATE, closes=closes, chunked=chunked).decode("latin-1")
    assert head.endswith("\r\n\r\n")
    return head[:-4].split("\r\n")


def test_a_counted_answer() -> None:
    assert lines(outgoing(("x-request-id", "req_1"))) == [
        "HTTP/1.1 200 OK",
        "x-request-id: req_1",
        "content-type: text/plain",
        "content-length: 12",
        DATE.strip(),
    ]


def test_the_last_answer_of_a_connection_and_a_stream_say_so() -> None:
    assert lines(outgoing(), closes=True)[-1] == "connection: close"
    streamed = lines(outgoing(length=STREAM), chunked=True)
    assert "transfer-encoding: chunked" in streamed
    assert not [line for line in streamed if line.startswith("content-length")]


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\nset-cookie: b", "a\rset-cookie: b", "a\0b", "a\r\n\r\nb"])
def test_no_value_begins_another_field(value: str) -> None:
    assert len(lines(outgoing(("x-a", value), ("x-b", "c")))) == len(lines(outgoing(("x-a", "a"), ("x-b", "c"))))
    assert "\0" not in "".join(lines(outgoing(("x-a", value))))


def test_what_latin_1_lacks_becomes_a_question_mark() -> None:
    assert lines(outgoing(("x-a", "a – 一")))[1] == "x-a: a ? ?"


def test_how_long_an_answer_is() -> None:
    assert length_of(outgoing()) == 12
    assert length_of(outgoing(length=-1)) == STREAM
    assert length_of(outgoing(("etag", "x"), ("content-length", "7"), length=-1)) == 7


def test_who_gets_no_body() -> None:
    assert has_body("GET", 200)
    assert not has_body("HEAD", 200)
    assert not has_body("GET", 304)


def test_an_unregistered_status_is_sent_without_a_phrase() -> None:
    assert lines(outgoing(status=599))[0] == "HTTP/1.1 599 "


def test_a_refusal_is_a_whole_answer() -> None:
    head, _, content = refusal(431, "head_too_large", 'a "large" head').partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert int(fields["content-length"]) == len(content)
    assert fields["connection"] == "close"
    error = json.loads(content)["error"]
    assert (error["code"], error["message"]) == ("head_too_large", 'a "large" head')
    assert error["request_id"] == fields["x-request-id"]
