"""A blob made of text at once is the blob that the same text makes piece by piece."""

from __future__ import annotations

import base64

from hypothesis import example, given, settings
from hypothesis import strategies as st

from imageway.bodies import InvalidBase64, StoredBlob, blob_of
from imageway.bodies.base64_text import Base64Reader
from imageway.bodies.gauge import Gauge
from imageway.core.blobs import Encoding

canonical = st.binary(max_size=60).map(base64.b64encode)
spelled = (
    canonical | canonical.map(lambda text: text.rstrip(b"=")) | st.binary(max_size=60).map(base64.urlsafe_b64encode)
)
anything = st.lists(
    st.sampled_from([b"A", b"Q", b"/", b"+", b"-", b"_", b"=", b"\n", b"\r", b"!", b"\xff"]), max_size=12
)
texts = spelled | anything.map(b"".join)


def piece_by_piece(content: bytes) -> StoredBlob:
    gauge = Gauge()
    reader = Base64Reader(gauge.look)
    kept = reader.feed(content)
    kept += reader.finish()
    return StoredBlob.of(kept, gauge, encoding=reader.encoding, declared_type=None)


@settings(max_examples=1000, deadline=None)
@given(content=texts)
@example(content=b"QR==")
@example(content=b"QQ==QQ==")
@example(content=b"QQ=Q")
@example(content=b"====")
@example(content=b"-_-_")
@example(content=b"+/-_")
@example(content=b"QUJ\n")
def test_at_once_and_piece_by_piece_make_the_same_blob(content: bytes) -> None:
    try:
        expected: StoredBlob | None = piece_by_piece(content)
    except InvalidBase64:
        expected = None
    try:
        made: StoredBlob | None = blob_of(content, encoding=Encoding.BASE64)
    except InvalidBase64:
        made = None
    assert made == expected
