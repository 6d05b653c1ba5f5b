"""Forms are read by RFC 7578: names, files, types and bytes as they are; what breaks the rules is malformed."""

from __future__ import annotations

import pytest

from imageway.sandbox.multipart import MalformedForm, boundary_of, read_form

FORM = (
    b"--x\r\n"
    b'Content-Disposition: form-data; name="prompt"\r\n\r\nAdd a h\xc3\xa9t\r\n'
    b"--x\r\n"
    b'content-disposition: form-data; name="image[]"; filename="a \\"b\\".png"\r\nContent-Type: image/PNG; q=1\r\n\r\n'
    b"\x89PNG\r\n--y\r\n\x00\r\n"
    b"--x--\r\n"
)


def test_a_form_gives_its_parts_in_order() -> None:
    first, second = read_form(FORM, "x")
    assert (first.name, first.filename, first.media_type, first.text) == ("prompt", None, None, "Add a hét")
    assert (second.name, second.filename, second.media_type) == ("image[]", 'a "b".png', "image/png")
    assert second.content == b"\x89PNG\r\n--y\r\n\x00"


def test_preamble_epilogue_and_empty_parts_are_in_order() -> None:
    parts = read_form(b'hello\r\n--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n--x--\r\nbye', "x")
    assert [(part.name, part.content) for part in parts] == [("a", b"")]
    assert read_form(b"--x--", "x") == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing here",
        FORM.replace(b"--x--", b"--x"),
        b"--x\r\nno colon\r\n\r\nv\r\n--x--",
        b"--x\r\nContent-Disposition: form-data\r\n\r\nv\r\n--x--",
        b"--x\r\n\r\nv\r\n--x--",
        b'--x\r\nContent-Disposition: attachment; name="a"\r\n\r\nv\r\n--x--',
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n--x--',
        b"--x\r\n" + b"A: b\r\n" * 2000 + b"\r\nv\r\n--x--",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nv\r\n' * 300 + b"--x--",
    ],
)
def test_a_form_that_breaks_the_rules_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedForm):
        read_form(body, "x")


def test_the_boundary_comes_out_of_the_header() -> None:
    assert boundary_of("multipart/form-data; boundary=abc") == "abc"
    assert boundary_of('Multipart/Form-Data; charset=x; boundary="a b"') == "a b"
    assert boundary_of("multipart/form-data") is None
    assert boundary_of("application/json; boundary=abc") is None
