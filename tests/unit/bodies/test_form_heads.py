"""Boundaries and part heads are read as browsers and client libraries write them; what is ambiguous is refused."""

from __future__ import annotations

import pytest

from imageway.bodies import LiftError, boundary_of
from imageway.bodies.form_heads import PartHead, read_head


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=7c24ec1b4642b43210a24f2c9a04cd54", "7c24ec1b4642b43210a24f2c9a04cd54"),
        ("multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZ", "----WebKitFormBoundary7MA4YWxkTrZ"),
        ("multipart/form-data; boundary=------------------------4e7d0df221ca7ab0", "-" * 24 + "4e7d0df221ca7ab0"),
        ("Multipart/Form-Data;charset=utf-8;Boundary=abc", "abc"),
        ('multipart/form-data ; boundary="gc0pJq0M:08jU534c0p"', "gc0pJq0M:08jU534c0p"),
        ('multipart/form-data; boundary="a b\'()+_,-./:=?c"', "a b'()+_,-./:=?c"),
        ("multipart/form-data; boundary==_a=b", "=_a=b"),
        ("multipart/form-data; boundary=abc;", "abc"),
        (f"multipart/form-data; boundary={'x' * 70}", "x" * 70),
        (f"multipart/form-data; boundary={'x' * 71}", None),
        ("multipart/form-data; boundary=", None),
        ('multipart/form-data; boundary=""', None),
        ('multipart/form-data; boundary="ends with a space "', None),
        ('multipart/form-data; boundary="open', None),
        ("multipart/form-data; boundary=a b", None),
        ("multipart/form-data; boundary=a; boundary=b", None),
        ("multipart/form-data; boundary=雨", None),
        ('multipart/form-data; boundary="a%0D%0Ab"', None),
        ("multipart/form-data boundary=a", None),
        ("multipart/form-data", None),
        ("multipart/mixed; boundary=abc", None),
        ("application/json", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_boundary_is_what_rfc_2046_allows(content_type: str, boundary: str | None) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    ("parameters", "name", "filename"),
    [
        ('name="prompt"', "prompt", None),
        ("name=prompt", "prompt", None),
        ('name="image[]"; filename="b.png"', "image[]", "b.png"),
        ('filename="b.png"; name="image"', "image", "b.png"),
        ('NAME="a"; FileName="b"', "a", "b"),
        ('name="a;b"; filename="c;d=\'e\'"', "a;b", "c;d='e'"),
        ('name="we%22ird"; filename="a%22b雨.png"', 'we"ird', 'a"b雨.png'),
        ('name="a"; filename="a\\"b\\\\c.png"', "a", 'a"b\\c.png'),
        ('name="a"; filename="C:\\fakepath\\new.png"', "a", "C:\\fakepath\\new.png"),
        ('name="a%0D%0Ab"; filename="100%25 %41%0a"', "a\r\nb", "100%25 %41\n"),
        ('name="a"; filename=""', "a", ""),
        ('name="a"; filename*=utf-8\'\'%E9%9B%A8%20%22.png', "a", '雨 ".png'),
        ('name="a"; filename="rain.png"; filename*=UTF-8\'en\'%E9%9B%A8.png', "a", "雨.png"),
        ('name="a"; filename*=iso-8859-1\'\'%E9.png', "a", "é.png"),
        ("name*=utf-8''%E9%9B%A8", "雨", None),
        (' name = "a" ;filename= "b" ;', "a", "b"),
    ],
)  # fmt: skip
def test_names_are_read_as_they_are_written(parameters: str, name: str, filename: str | None) -> None:
    head = read_head(f"Content-Disposition: form-data; {parameters}\r\n".encode(), 1)
    assert (head.name, head.filename) == (name, filename)


@pytest.mark.parametrize(
    ("headers", "media_type", "is_file"),
    [
        ("", None, False),
        ("Content-Type: text/plain\r\n", "text/plain", False),
        ("Content-Type: text/plain; charset=UTF-8\r\n", "text/plain", False),
        ('content-type:TEXT/Plain;charset="us-ascii"\r\n', "text/plain", False),
        ("Content-Type: image/PNG\r\n", "image/png", True),
        ("Content-Type: application/json; charset=latin-1\r\n", "application/json", True),
        ("Content-Type: undefined\r\n", None, False),
        ("Content-Type: image/p\x00ng\r\n", None, False),
        ("Content-Type:\r\n", None, False),
        ("Content-Length: 3\r\nX-Other: a: b\r\nContent-Transfer-Encoding: Binary\r\n", None, False),
        ("X-Folded: a\r\n\tb\r\nContent-Type:\r\n image/png\r\n", "image/png", True),
    ],
)
def test_a_part_is_text_unless_its_type_or_a_file_name_says_otherwise(
    headers: str, media_type: str | None, is_file: bool
) -> None:
    disposition = 'Content-Disposition: form-data; name="a"\r\n'
    for head in (disposition + headers, headers + disposition):
        read = read_head(head.encode(), 1)
        assert (read.media_type, read.is_file) == (media_type, is_file)
    assert PartHead("a", "", media_type).is_file


def test_a_file_may_be_named_in_bytes_that_are_no_text() -> None:
    head = read_head(b'Content-Disposition: form-data; name="a"; filename="za\xbf\xf3\xb3\xe6.png"\r\n', 1)
    assert head.filename == "za\ufffd\ufffd\ufffd.png"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", "Content-Disposition"),
        ("Content-Type: image/png", "Content-Disposition"),
        ('Content-Disposition: attachment; name="a"', "Content-Disposition"),
        ('Content-Disposition: form-data; name="a', "Content-Disposition"),
        ('Content-Disposition: form-data; name="a"b', "Content-Disposition"),
        ('Content-Disposition: form-data; name="a" filename="b"', "Content-Disposition"),
        ('Content-Disposition: form-data; name="a"; name="b"', "Content-Disposition"),
        ("Content-Disposition: form-data; name=\"a\"; filename*=utf-7''b", "Content-Disposition"),
        ('Content-Disposition: form-data; name="a"; filename*=b', "Content-Disposition"),
        ("Content-Disposition: form-data", "no name"),
        ('Content-Disposition: form-data; name=""', "no name"),
        ('Content-Disposition: form-data; filename="b"', "no name"),
        ('Content-Disposition: form-data; name="a"\r\nContent-Type', "without a colon"),
        ('Content-Disposition: form-data; name="a"\nX: 1\r\nContent-disposition: form-data; name="b"', "twice"),
    ],
)
def test_a_head_that_does_not_say_what_the_part_is_is_refused(head: str, message: str) -> None:
    with pytest.raises(LiftError, match=message) as caught:
        read_head(head.encode() + b"\r\n", 3)
    assert (caught.value.code, caught.value.path) == ("malformed_form", "")
    assert caught.value.message.startswith("Part 3 of the form ")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Content-Transfer-Encoding: base64", '"base64"'),
        ("Content-Transfer-Encoding: Quoted-Printable", '"quoted-printable"'),
        ("Content-Type: text/plain; charset=ISO-8859-2", '"iso-8859-2"'),
    ],
)
def test_content_that_would_have_to_be_decoded_first_is_refused_by_name(header: str, message: str) -> None:
    with pytest.raises(LiftError, match=message) as caught:
        read_head(f'Content-Disposition: form-data; name="notes"\r\n{header}\r\n'.encode(), 3)
    assert (caught.value.code, caught.value.path) == ("unsupported_encoding", "notes")
