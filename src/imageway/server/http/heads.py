"""The head of one request, read as RFC 9112 writes it. One expression is the whole grammar: what it does not match, and
what two readers could take for two things, is no request. Knows no sockets."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from imageway.core.wording import printable
from imageway.server.routes import Head

CHUNKED: Final = -1
QUERY_FIELDS: Final = 1000  # a head full of empty ones costs 30 ms, before anybody has shown a key
_NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_FIELD: Final = rf"{_NAME}:[\t -~\x80-\xff]*+\r\n"
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_METHOD: Final = f"(?:{'|'.join(_METHODS)})"
_HEAD: Final = re.compile(rf"({_METHOD}) ([!-~]++) HTTP/1\.([01])\r\n((?:{_FIELD})*+)\r\n")
_BEGINNING: Final = re.compile(
    rf"{_METHOD} [!-~]++ HTTP/1\.[01]\r\n(?:{_FIELD})*+(?:{_NAME}(?::[\t -~\x80-\xff]*+)?)?\r?"  # in the fields
    r"|[A-Z]{0,7}\r?|[A-Z]{3,7} [!-~]*+(?: [HTP/1.0]{0,8}\r?)?"  # in the first line
)
_FIRST_LINE: Final = re.compile(rf"({_NAME}) [!-~]++ HTTP/1\.[01]\r\n")
_ORIGIN: Final = re.compile(r"https?://[^/?#]+", re.IGNORECASE)
_LENGTH_DIGITS: Final = 15
_FRAMING: Final = ("content-length:", "transfer-encoding:")
_LISTED: Final = ("connection", "x-forwarded-for")  # of these, every line counts
_SINGLE: Final = frozenset({"host", "content-length", "transfer-encoding"})


class Malformed(Exception):
    """Bytes that are no request, or more than one."""

    def __init__(self, why: str = "the request is not HTTP/1.1 as RFC 9112 has it, or can be read in two ways") -> None:
        super().__init__(why)


class RequestHead(Struct, frozen=True):
    """`length` of the body in bytes, or CHUNKED. `keeps`: the client allows another request on the connection.
    `expects`: it waits for "100 Continue" before it sends the body."""

    head: Head
    length: int
    keeps: bool
    expects: bool
    version: str


def read_head(content: bytes, peer: str = "") -> RequestHead:
    """From the first byte to the empty line, included, as it came from `peer`. Raises Malformed."""
    match = _HEAD.fullmatch(content.decode("latin-1"))
    if match is None:
        raise Malformed(why_not(content))
    method, target, minor, fields = match.groups()
    headers = _headers_of(fields, minor)
    if not target.startswith("/"):
        target = _relative(target)
    path, query = _split(target)
    connection = headers.get("connection")
    return RequestHead(
        head=Head(method, path, query, headers, target, peer),
        length=_length_of(headers, minor),
        keeps=minor == "1" and (connection is None or not _has_close(connection)),
        expects=minor == "1" and headers.get("expect", "").lower() == "100-continue",
        version=minor,
    )


def could_begin(content: bytes) -> bool:
    """Whether more bytes could make a head of these; tells garbage before a time limit does."""
    return _BEGINNING.fullmatch(content.decode("latin-1")) is not None


def why_not(content: bytes) -> str:
    """What is wrong with the beginning of what is no head."""
    line = _FIRST_LINE.match(content.decode("latin-1"))
    if line is None or line[1] in _METHODS:
        return str(Malformed())
    return f'the method "{printable(line[1])}" is not known here; known: {", ".join(_METHODS)}'


def _headers_of(fields: str, minor: str) -> dict[str, str]:
    """Names in lower case; of repeated ones the last counts, where repeating is lawful."""
    headers: dict[str, str] = {}
    lines = fields.split("\r\n")
    lines.pop()
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" \t")
    if len(headers) != len(lines):
        _check_repeated(lines, headers)
    if "\t" in fields and any("\t" in line and line.lower().startswith(_FRAMING) for line in lines):
        raise Malformed  # lawful, and not read alike by everybody
    if "host" not in headers and minor == "1":
        raise Malformed("a request of HTTP/1.1 has one Host header, this one 0")
    return headers


def _check_repeated(lines: list[str], headers: dict[str, str]) -> None:
    names = [line.partition(":")[0].lower() for line in lines]
    for name in _SINGLE:
        if names.count(name) > 1:
            raise Malformed(f"a request has one {name.title()} header, this one {names.count(name)}")
    for listed in _LISTED:
        if listed in headers:
            values = (line.partition(":")[2] for line, name in zip(lines, names, strict=True) if name == listed)
            headers[listed] = ",".join(values)


def _length_of(headers: dict[str, str], minor: str) -> int:
    """RFC 9112 §6.3, as strictly as it allows: one of two framings, told once and in its plainest form."""
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if length is not None or minor == "0" or coding.lower() != "chunked":
            raise Malformed
        return CHUNKED
    if length is None:
        return 0
    if not length.isdecimal() or not length.isascii() or len(length) > _LENGTH_DIGITS:
        raise Malformed
    return int(length)


def _has_close(connection: str) -> bool:
    return "close" in {token.strip(" \t") for token in connection.lower().split(",")}


def _relative(target: str) -> str:
    """Of a target that is a whole URL, path and query."""
    origin = _ORIGIN.match(target)
    if origin is None and target != "*":
        raise Malformed
    return target[origin.end() :] if origin else target


def _split(target: str) -> tuple[str, dict[str, str]]:
    """Path and query. A fragment is none of ours. Raises Malformed."""
    path, _, text = target.partition("#")[0].partition("?")
    if text.count("&") >= QUERY_FIELDS:
        raise Malformed(f"the query has more than {QUERY_FIELDS:,} fields")
    if "%" in path:
        path = unquote(path)
    return path or "/", dict(parse_qsl(text, keep_blank_values=True)) if text else {}
