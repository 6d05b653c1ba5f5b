"""What stands above the parts of a multipart form: the boundary in the Content-Type header (RFC 2046, section 5.1.1)
and the head of each part (RFC 7578, section 4), as browsers and client libraries write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from imageway.bodies.limits import LiftError
from imageway.bodies.trail import spell

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf'[ \t]*+;[ \t]*+({_WORD})[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*+))')
_MEDIA_TYPE: Final = re.compile(rf"{_WORD}/{_WORD}")
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_FOLD: Final = re.compile(r"\r\n[ \t]++")
# Browsers write these three so and no other character (HTML, 4.10.21.8): "%41" is three characters of the name.
_ESCAPE: Final = re.compile(r'%(?:22|0[dDaA])|\\(["\\])')
_EXTENDED: Final = re.compile(r"([A-Za-z0-9-]+)'[A-Za-z0-9-]*'(.*)", re.DOTALL)  # RFC 8187
_EXTENDED_CHARSETS: Final = frozenset({"utf-8", "iso-8859-1", "us-ascii"})
_PLAIN_TRANSFERS: Final = frozenset({"", "7bit", "8bit", "binary"})
_UTF_8: Final = frozenset({"", "utf-8", "utf8", "us-ascii"})


@dataclass(frozen=True, slots=True)
class PartHead:
    """`filename` None: none was given; browsers give "" for a field that nobody chose a file for. `media_type`: lower
    case, without parameters; None when there is none that could be one."""

    name: str
    filename: str | None
    media_type: str | None

    @property
    def is_file(self) -> bool:
        return self.filename is not None or not (self.media_type or "text/plain").startswith("text/")


def boundary_of(content_type: str) -> str | None:
    """The boundary that a Content-Type header names; None when the header is no form's, or names none that is one."""
    kind, semicolon, _ = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        return None
    parameters = _parameters(content_type[len(kind) :]) if semicolon else None
    boundary = parameters.get("boundary", "") if parameters else ""
    return boundary if is_boundary(boundary) else None


def is_boundary(text: str) -> bool:
    return _BOUNDARY.fullmatch(text) is not None


def read_head(head: bytes, number: int) -> PartHead:
    """The head of the part of that number, from its first header to the line break of its last. Raises LiftError."""
    headers = _read_headers(_FOLD.sub(" ", head.decode("utf-8", "replace")), number)
    kind, _, _ = headers.get("content-disposition", "").partition(";")
    parameters = _parameters(headers.get("content-disposition", "")[len(kind) :])
    if kind.strip().lower() != "form-data" or parameters is None:
        raise _malformed(number, 'has no Content-Disposition of the form form-data; name="…"')
    name = parameters.get("name")
    if not name:
        raise _malformed(number, "has no name")
    transfer = headers.get("content-transfer-encoding", "").lower()
    if transfer not in _PLAIN_TRANSFERS:
        message = f'The part is sent with Content-Transfer-Encoding "{transfer}"; send its bytes as they are.'
        raise LiftError("unsupported_encoding", spell([name]), message)
    part = PartHead(name, parameters.get("filename"), _media_type(headers.get("content-type", "")))
    if not part.is_file:
        _check_charset(headers.get("content-type", ""), name)
    return part


def _read_headers(text: str, number: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in filter(None, text.split("\r\n")):
        name, colon, value = line.partition(":")
        key = name.strip().lower()
        if not colon:
            raise _malformed(number, "has a header without a colon")
        if key in headers:
            raise _malformed(number, f'has the header "{key[:40]}" twice')
        headers[key] = value.strip()
    return headers


def _parameters(text: str) -> dict[str, str] | None:
    """`; name="a \\"b\\""; filename=c` → {"name": 'a "b"', "filename": "c"}; None for what is not written so, or names
    one twice. An extended parameter (`filename*=utf-8''%E9%9B%A8`) takes the place of the plain one."""
    found: dict[str, str] = {}
    at = 0
    while match := _PARAMETER.match(text, at):
        key = match[1].lower()
        written = match[2] or match[3] or ""
        value = _extended(written) if key.endswith("*") else _ESCAPE.sub(_spell_out, written)
        if key in found or value is None:
            return None
        found[key] = value
        at = match.end()
    if text[at:].strip(" \t;"):
        return None
    return found | {key[:-1]: value for key, value in found.items() if key.endswith("*")}


def _spell_out(escape: re.Match[str]) -> str:
    return escape[1] or unquote(escape[0])


def _extended(text: str) -> str | None:
    match = _EXTENDED.fullmatch(text)
    if match is None or match[1].lower() not in _EXTENDED_CHARSETS:
        return None
    return unquote(match[2], encoding=match[1], errors="replace")


def _media_type(content_type: str) -> str | None:
    kind = content_type.partition(";")[0].strip().lower()
    return kind if _MEDIA_TYPE.fullmatch(kind) else None


def _check_charset(content_type: str, name: str) -> None:
    kind, _, _ = content_type.partition(";")
    charset = (_parameters(content_type[len(kind) :]) or {}).get("charset", "").lower()
    if charset not in _UTF_8:
        message = f'The part is text in the charset "{charset}"; send UTF-8.'
        raise LiftError("unsupported_encoding", spell([name]), message)


def _malformed(number: int, what: str) -> LiftError:
    return LiftError("malformed_form", "", f"Part {number} of the form {what}.")
