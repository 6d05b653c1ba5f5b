"""Multipart forms on their way out (RFC 7578). Files are sent decoded, whatever encoding they are stored in."""

from __future__ import annotations

import re
from typing import Final

from imageway.bodies.payload import Payload, chain
from imageway.bodies.streams import decoded
from imageway.core.blobs import Blob
from imageway.core.steps import FormBody, FormFile

_BOUNDARY: Final = re.compile(r"[0-9A-Za-z_.-]{1,70}")  # of RFC 2046, section 5.1.1, what needs no quotes in the header
_MEDIA_TYPE: Final = re.compile(r"[\x20-\x7e]+")
_QUOTED: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


def form_payload(form: FormBody, boundary: str) -> Payload:
    """multipart/form-data with exact length. The caller makes a boundary that no part can contain, at random. Raises
    ValueError for a boundary or media type that cannot stand in a header."""
    if not _BOUNDARY.fullmatch(boundary):
        raise ValueError(f"{boundary!r} cannot be a multipart boundary")
    parts: list[bytes | Blob] = []
    text = b""
    length = 0
    for name, value in form.parts:
        text += f"--{boundary}\r\n".encode() + _header(name, value)
        if isinstance(value, FormFile):
            parts += (text, value.blob)
            length += len(text) + value.blob.decoded_bytes
            text = b""
        else:
            text += value.encode()
        text += b"\r\n"
    text += f"--{boundary}--\r\n".encode()
    parts.append(text)
    content_type = f"multipart/form-data; boundary={boundary}"
    return Payload(length + len(text), content_type, lambda: chain(parts, decoded))


def _header(name: str, value: str | FormFile) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{_quote(name)}"'
    if isinstance(value, str):
        return f"{disposition}\r\n\r\n".encode()
    if not _MEDIA_TYPE.fullmatch(value.media_type):
        raise ValueError(f"{value.media_type!r} is not a media type")
    return f'{disposition}; filename="{_quote(value.filename)}"\r\nContent-Type: {value.media_type}\r\n\r\n'.encode()


def _quote(text: str) -> str:
    """Names and file names as raw UTF-8 with three characters escaped, as browsers write them (RFC 7578, section 2;
    HTML, 4.10.21.8)."""
    return text.translate(_QUOTED)
