"""Multipart forms have an exact length, files are sent decoded, and no name can break out of its header."""

from __future__ import annotations

import base64
from email.message import Message
from email.parser import BytesParser

import pytest

from imageway.bodies import blob_of, form_payload
from imageway.core.blobs import Encoding
from imageway.core.steps import FormBody, FormFile
from tests.unit.bodies.conftest import gather

CONTENT = b"\x89PNG\r\n--x\r\n" + bytes(range(256)) * 300
FILE = FormFile(blob_of(base64.b64encode(CONTENT), encoding=Encoding.BASE64), "a.png", "image/png")


async def parsed(form: FormBody) -> list[Message]:
    payload = form_payload(form, "b-1")
    body = await gather(payload.chunks())
    assert len(body) == payload.length
    message = BytesParser().parsebytes(f"Content-Type: {payload.content_type}\r\n\r\n".encode() + body)
    parts = message.get_payload()
    assert isinstance(parts, list)
    return parts


async def test_the_bytes_are_those_of_rfc_7578() -> None:
    payload = form_payload(FormBody((("n", "2"), ("image[]", FILE), ("prompt", "雨"))), "b-1")
    assert payload.content_type == "multipart/form-data; boundary=b-1"
    assert await gather(payload.chunks()) == (
        b'--b-1\r\nContent-Disposition: form-data; name="n"\r\n\r\n2\r\n'
        b'--b-1\r\nContent-Disposition: form-data; name="image[]"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        + CONTENT
        + b'\r\n--b-1\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'
        + "雨\r\n--b-1--\r\n".encode()
    )


async def test_parts_come_back_in_order_and_names_may_repeat() -> None:
    parts = await parsed(FormBody((("image", FILE), ("image", FILE), ("user", "u"))))
    assert [part.get_param("name", header="content-disposition") for part in parts] == ["image", "image", "user"]
    assert [part.get_payload(decode=True) for part in parts] == [CONTENT, CONTENT, b"u"]
    assert [part.get_filename() for part in parts] == ["a.png", "a.png", None]


async def test_names_cannot_break_out_of_their_header() -> None:
    evil = 'x"\r\nContent-Type: text/html\r\n\r\n<script>'
    body = await gather(
        form_payload(FormBody(((evil, "1"), ("f", FormFile(FILE.blob, evil, "image/png")))), "b-1").chunks()
    )
    assert b"text/html\r\n" not in body
    assert b'name="x%22%0D%0AContent-Type: text/html%0D%0A%0D%0A<script>"' in body
    assert b'filename="x%22%0D%0A' in body


async def test_an_empty_form_is_its_own_end() -> None:
    assert await gather(form_payload(FormBody(()), "b-1").chunks()) == b"--b-1--\r\n"


@pytest.mark.parametrize("boundary", ["", "a b", 'a"', "a\r\n", "x" * 71])
def test_a_boundary_that_needs_quotes_is_refused(boundary: str) -> None:
    with pytest.raises(ValueError, match="boundary"):
        form_payload(FormBody(()), boundary)


def test_a_media_type_that_breaks_its_header_is_refused() -> None:
    with pytest.raises(ValueError, match="media type"):
        form_payload(FormBody((("f", FormFile(FILE.blob, "a", "image/png\r\nX: 1")),)), "b-1")
