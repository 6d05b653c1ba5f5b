"""Heads of answers as bytes, and whole answers for which nobody can be asked."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Final

from imageway.core.ids import new_id
from imageway.server.gate import Outgoing
from imageway.server.machine import SystemRandom

STREAM: Final = -1
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_RANDOM: Final = SystemRandom()
_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BODILESS: Final = frozenset({204, 304})
_NOT_AGAIN: Final = "x-should-retry: false"


def has_body(method: str, status: int) -> bool:
    return method != "HEAD" and status not in _BODILESS


def length_of(outgoing: Outgoing) -> int:
    """Bytes of its body as its head tells them, or STREAM."""
    length = outgoing.payload.length
    if length < 0:
        return next((int(value) for name, value in outgoing.headers if name == "content-length"), STREAM)
    return length


def head_of(outgoing: Outgoing, *, date: str, closes: bool, chunked: bool) -> bytes:
    """`date` is a whole field. Nothing that stands in a value can begin another one."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in outgoing.headers])
    if fields.count("\n") != len(outgoing.headers) or fields.count("\r") != len(outgoing.headers) or "\0" in fields:
        fields = "".join([f"{name}: {_CONTROL.sub(' ', value)}\r\n" for name, value in outgoing.headers])
    payload = outgoing.payload
    if payload.content_type:
        fields += f"content-type: {payload.content_type}\r\n"
    if payload.length >= 0:
        fields += f"content-length: {payload.length}\r\n"
    coding = "transfer-encoding: chunked\r\n" if chunked else ""
    ending = "connection: close\r\n\r\n" if closes else "\r\n"
    status_line = _STATUS_LINES.get(outgoing.status) or f"HTTP/1.1 {outgoing.status} \r\n"
    return f"{status_line}{fields}{date}{coding}{ending}".encode("latin-1", "replace")


def refusal(status: int, code: str, message: str) -> bytes:
    """A whole answer that ends its connection. No dialect can be asked: there may not even be a path. Only a 503 is
    worth coming again for."""
    kind, hint = ("server_error", "retry-after: 1") if status == 503 else ("invalid_request_error", _NOT_AGAIN)
    request_id = new_id("req", _RANDOM)
    error = {"message": message, "type": kind, "param": None, "code": code, "request_id": request_id}
    content = json.dumps({"error": error}).encode()
    head = (
        f"{_STATUS_LINES[status]}content-type: application/json\r\ncontent-length: {len(content)}\r\n"
        f"x-request-id: {request_id}\r\n{hint}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + content
