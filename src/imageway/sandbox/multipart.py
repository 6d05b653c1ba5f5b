"""Reads a multipart/form-data body that is already in memory (RFC 7578). Written from the RFC, without a look at the
code that writes such bodies, so that neither can repeat the other's mistakes."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_PARTS = 256
MAX_HEAD_BYTES = 8_192
_PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')


class MalformedForm(Exception):
    """The body does not follow its boundary or a part does not follow its head."""


@dataclass(frozen=True, slots=True)
class Part:
    """`filename` None: a plain field. `media_type` is lower case, without parameters; None when the part has none."""

    name: str
    filename: str | None
    media_type: str | None
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


def boundary_of(content_type: str) -> str | None:
    """The boundary out of a Content-Type header; None when this is no form."""
    kind, _, _ = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        return None
    return _parameters(content_type).get("boundary") or None


def read_form(body: bytes, boundary: str) -> list[Part]:
    """All parts in order. Raises MalformedForm."""
    line = b"--" + boundary.encode("latin-1", "replace")
    if body.startswith(line):
        body = b"\r\n" + body
    pieces = body.split(b"\r\n" + line)
    if len(pieces) < 2 or len(pieces) > MAX_PARTS + 2:
        raise MalformedForm("the boundary does not occur" if len(pieces) < 2 else "too many parts")
    if not pieces[-1].startswith(b"--"):
        raise MalformedForm("the closing boundary is missing")
    return [_read_part(piece) for piece in pieces[1:-1]]


def _read_part(piece: bytes) -> Part:
    padding, newline, rest = piece.partition(b"\r\n")
    if padding.strip(b" \t") or not newline:
        raise MalformedForm("something stands behind a boundary")
    head, blank, content = (b"", b"\r\n\r\n", rest[2:]) if rest.startswith(b"\r\n") else rest.partition(b"\r\n\r\n")
    if not blank or len(head) > MAX_HEAD_BYTES:
        raise MalformedForm("a part has no end of head")
    headers = _read_head(head)
    disposition = headers.get("content-disposition", "")
    parameters = _parameters(disposition)
    if disposition.partition(";")[0].strip().lower() != "form-data" or "name" not in parameters:
        raise MalformedForm("a part has no name")
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower() or None
    return Part(parameters["name"], parameters.get("filename"), media_type, content)


def _read_head(head: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if line and not colon:
            raise MalformedForm("a header line without a colon")
        headers[name.strip().lower()] = value.strip()
    return headers


def _parameters(value: str) -> dict[str, str]:
    """`; name="a \\"b\\""; filename=c` → {"name": 'a "b"', "filename": "c"}. Browsers write a quote as %22."""
    found: dict[str, str] = {}
    for name, quoted, bare in _PARAMETER.findall(value):
        text = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
        found.setdefault(name.lower(), text.replace("%22", '"'))
    return found
