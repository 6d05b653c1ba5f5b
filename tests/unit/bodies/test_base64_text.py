"""Base64 is read in pieces cut anywhere, mended where that is safe, and refused where it is not."""

from __future__ import annotations

import base64
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageway.bodies.base64_text import Base64Reader, InvalidBase64, encoded_length, split_data_url
from imageway.core.blobs import Encoding

contents = st.binary(max_size=64)


def read(*pieces: bytes) -> tuple[bytes, bytes, Encoding]:
    """What is kept, what it decodes to, and how it was spelled."""
    decoded: list[bytes] = []
    reader = Base64Reader(decoded.append)
    kept = b"".join(reader.feed(piece) for piece in pieces) + reader.finish()
    return kept, b"".join(decoded), reader.encoding


def pieces_of(text: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(places)]


@given(contents, st.lists(st.integers(0, 200), max_size=12), st.sampled_from(["=", "", "====", "\n", "=\r\n=\n"]))
def test_any_cut_and_any_padding_decode_alike(content: bytes, cuts: list[int], padding: str) -> None:
    text = base64.b64encode(content).rstrip(b"=") + padding.encode()
    assert read(*pieces_of(text, cuts)) == (base64.b64encode(content), content, Encoding.BASE64)


@given(contents, st.lists(st.integers(0, 200), max_size=12))
def test_base64url_is_kept_as_it_came_and_padded(content: bytes, cuts: list[int]) -> None:
    text = base64.urlsafe_b64encode(content)
    kept, decoded, encoding = read(*pieces_of(text.rstrip(b"="), cuts))
    assert (kept, decoded) == (text, content)
    assert encoding is (Encoding.BASE64URL if set(text) & set(b"-_") else Encoding.BASE64)


def test_lines_of_76_characters_are_joined_wherever_a_chunk_ends() -> None:
    content = random.Random(1).randbytes(500)
    wrapped = base64.encodebytes(content).replace(b"\n", b"\r\n")
    for size in range(1, 90):
        kept, decoded, _ = read(*[wrapped[at : at + size] for at in range(0, len(wrapped), size)])
        assert decoded == content
        assert kept == base64.b64encode(content)


@pytest.mark.parametrize(
    "text", [b"A", b"AAAAA", b"AA AA", b"AA==AA", b"AAA!", b"-_-_+/+/", b"+/+/-_-_", "é".encode(), b"A=B"]
)
def test_what_is_not_base64_is_refused_at_every_cut(text: bytes) -> None:
    for at in range(len(text) + 1):
        with pytest.raises(InvalidBase64):
            read(text[:at], text[at:])
    with pytest.raises(InvalidBase64):
        read(*(bytes((byte,)) for byte in text))


@given(contents)
def test_the_length_of_base64_is_known_beforehand(content: bytes) -> None:
    assert encoded_length(len(content)) == len(base64.b64encode(content))


@pytest.mark.parametrize(
    ("text", "declared", "start"),
    [
        (b"data:image/png;base64,AAAA", "image/png", 22),
        (b"DATA:IMAGE/SVG+XML;charset=utf-8;BASE64,AAAA", "image/svg+xml", 40),
        (b"data:;base64,AAAA", None, 13),
        (b"data:image/png,AAAA", None, 0),
        (b"data:image/png;base64", None, 0),
        (b"AAAA", None, 0),
    ],
)
def test_a_data_url_names_its_type_in_lower_case(text: bytes, declared: str | None, start: int) -> None:
    assert split_data_url(text) == (declared, start)


@given(
    content=st.binary(max_size=120).map(lambda content: content + b"\xfb\xef\xff"),
    at=st.integers(0, 160),
    behind=st.sampled_from([b"", b'"', b'",/', b'":AAAA/+', b"\\/AAAA", b"=", b"\nAAAA"]),
)
def test_a_plain_run_is_fed_as_any_other_and_anything_else_changes_nothing(
    content: bytes, at: int, behind: bytes
) -> None:
    """What stands behind the text in the same chunk must not be taken for a part of it: a slash there would make
    base64url impossible."""
    text = base64.urlsafe_b64encode(content).rstrip(b"=")
    pieces: list[bytes] = []
    reader = Base64Reader(pieces.append)
    reader.feed(text[:at])
    plain = reader.feed_plain(text[at:] + behind)
    assert plain is (not behind)
    if not plain:
        reader.feed(text[at:])
    reader.finish()
    assert b"".join(pieces) == content


@pytest.mark.parametrize("held", [1, 2, 3])
@pytest.mark.parametrize("padding", [b"=", b"==", b"==="])
def test_padding_at_the_start_of_a_plain_run_ends_the_text(held: int, padding: bytes) -> None:
    """It may end the group whose first characters waited: then nothing may follow, whatever could be decoded."""
    reader = Base64Reader(lambda _: None)
    reader.feed(b"AAAAQUJD"[: 4 + held])
    assert not reader.feed_plain(padding + b"QUJDQUJD")
    with pytest.raises(InvalidBase64, match="behind the padding"):
        reader.feed(padding + b"QUJDQUJD")
