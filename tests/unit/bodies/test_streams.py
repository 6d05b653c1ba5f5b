"""A blob's content comes out in the encoding that is needed, whatever it is stored in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageway.bodies import BlobTooLarge, StoredBlob, base64_blob, blob_of, decoded, digest, encoded, read_decoded
from imageway.core.blobs import Blob, Encoding
from tests.unit.bodies.conftest import gather
from tests.values import replace

SPELLINGS = {
    Encoding.BINARY: bytes,
    Encoding.BASE64: base64.b64encode,
    Encoding.BASE64URL: base64.urlsafe_b64encode,
}


@dataclass(frozen=True, slots=True)
class Chopped:
    """Somebody else's blob, with chunks of any size and without padding."""

    blob: StoredBlob
    content: bytes
    size: int

    def __getattr__(self, name: str) -> object:
        return getattr(self.blob, name)

    async def open(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.content), self.size):
            yield self.content[at : at + self.size]


@given(st.binary(max_size=300), st.sampled_from(list(Encoding)), st.integers(1, 50))
async def test_every_encoding_becomes_every_other(content: bytes, encoding: Encoding, size: int) -> None:
    stored = SPELLINGS[encoding](content)
    blob = blob_of(stored, encoding=encoding)
    spelled = encoding if encoding is Encoding.BINARY else blob.encoding
    bare = stored if encoding is Encoding.BINARY else stored.rstrip(b"=")
    foreign = Chopped(replace(blob, encoding=spelled, stored_bytes=len(bare)), bare, size)
    for source in (blob, foreign):
        assert await gather(decoded(source)) == content
        assert await gather(encoded(source)) == base64.b64encode(content)
        assert await digest(source) == hashlib.sha256(content).digest()


async def test_reading_into_memory_has_a_limit_that_is_asked_before_anything_is_read() -> None:
    blob = blob_of(b"x" * 100)
    assert await read_decoded(blob, limit_bytes=100) == b"x" * 100
    with pytest.raises(BlobTooLarge):
        await read_decoded(blob, limit_bytes=99)


async def test_a_digest_is_of_the_content_and_not_of_its_spelling() -> None:
    content = bytes(range(256)) * 4000
    assert (
        await digest(blob_of(base64.b64encode(content), encoding=Encoding.BASE64)) == hashlib.sha256(content).digest()
    )


def test_a_stored_blob_is_a_blob() -> None:
    assert isinstance(blob_of(b"x"), Blob)


@pytest.mark.parametrize(
    ("text", "content", "declared"),
    [
        ("aGVsbG8=", b"hello", None),
        ("aGVsbG8", b"hello", None),
        ("data:image/PNG;base64,aGVsbG8=", b"hello", "image/png"),
        ("-_-_", b"\xfb\xff\xbf", None),
        ("aGVs\nbG8=\n", b"hello", None),
    ],
)
async def test_a_short_string_of_base64_is_a_blob(text: str, content: bytes, declared: str | None) -> None:
    blob = base64_blob(text)
    assert blob is not None
    assert blob.declared_type == declared
    assert await read_decoded(blob, limit_bytes=100) == content


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "https://example.com/a.png",
        "hello world",
        "é",
        "data:image/png;base64,",
        "data:text/plain,hi",
        "\ud800",
    ],
)
def test_any_other_short_string_is_not(text: str) -> None:
    assert base64_blob(text) is None


def test_nothing_of_the_content_shows_where_a_blob_is_printed() -> None:
    content = b"nobody reads this in a log"
    shown = repr(blob_of(content, declared_type="image/png"))
    assert shown == "StoredBlob(26 bytes, binary, image/png, None)"
