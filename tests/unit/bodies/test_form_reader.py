"""Forms come off the wire in chunks cut anywhere: files become blobs while they arrive, text stays text unless it is a
picture, and a form that is broken, cut or too large is refused by code and part."""

from __future__ import annotations

import base64
import random
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

import aiohttp
import httpx
import pytest
import requests
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from imageway.bodies import (
    Budget,
    FormLimits,
    FormReader,
    LiftError,
    LiftLimits,
    Scope,
    Spool,
    blob_of,
    boundary_of,
    form_payload,
    read_decoded,
    read_form,
)
from imageway.core.blobs import ImageFacts
from imageway.core.steps import FormBody, FormFile
from tests.unit.bodies.conftest import cut, gather, picture

Told = list[tuple[str, str | tuple[str, str, bytes]]]
NOISE = random.Random(8).randbytes(8_000_000)
SMALL = FormLimits(parts=3, head_bytes=100, fields=LiftLimits(blob_bytes=16, text_bytes=64, tree_bytes=100))
FIELD = b'--b-1\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
FILE = b'--b-1\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\nContent-Type: %b\r\n\r\n%b\r\n'
END = b"--b-1--\r\n"


async def told(form: FormBody) -> Told:
    """Each part's name with its text, or its file name, type and content."""
    found: Told = []
    for name, value in form.parts:
        if isinstance(value, FormFile):
            content = await read_decoded(value.blob, limit_bytes=1 << 24)
            assert value.blob.decoded_bytes == len(content)
            found.append((name, (value.filename, value.media_type, content)))
        else:
            found.append((name, value))
    return found


async def read(body: bytes, scope: Scope, size: int = 1 << 16, boundary: str = "b-1") -> Told:
    return await told(await read_form(cut(body, size), boundary, scope))


async def refusal(body: bytes, scope: Scope, size: int = 7, limits: FormLimits = SMALL) -> LiftError:
    with pytest.raises(LiftError) as caught:
        await read_form(cut(body, size), "b-1", scope, limits)
    return caught.value


async def pieces(body: bytes, places: list[int]) -> AsyncIterator[bytes]:
    for start, end in pairwise(sorted({0, len(body), *(place % (len(body) + 1) for place in places)})):
        yield body[start:end]


# What clients send.

PNG = b"\x89PNG\r\n\x1a\n--\r\n--\r"


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
async def test_what_an_sdk_sends_for_an_edit(scope: Scope, size: int) -> None:
    """As captured: text first, then files; raw bytes are a file named upload."""
    boundary = b"7c24ec1b4642b43210a24f2c9a04cd54"
    body = (
        FIELD % (b"prompt", b"tuple+raw bytes")
        + FIELD % (b"model", b"painter-1")
        + FILE % (b"image[]", b"first.jpg", b"image/jpeg", b"\xff\xd8\xff\xe0JFIF")
        + FILE % (b"image[]", b"upload", b"application/octet-stream", b"rawbytes")
        + END
    ).replace(b"b-1", boundary)
    assert await read(body, scope, size, boundary.decode()) == [
        ("prompt", "tuple+raw bytes"),
        ("model", "painter-1"),
        ("image[]", ("first.jpg", "image/jpeg", b"\xff\xd8\xff\xe0JFIF")),
        ("image[]", ("upload", "application/octet-stream", b"rawbytes")),
    ]


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
async def test_what_curl_sends(scope: Scope, size: int) -> None:
    body = (
        b'--------------------------4e7d0df221ca7ab0\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na cat\r\n'
        b'--------------------------4e7d0df221ca7ab0\r\nContent-Disposition: form-data; name="image[]"; '
        b'filename="a%22b\xe9\x9b\xa8\\c.png"\r\nContent-Type: image/png\r\n\r\n' + PNG + b"\r\n"
        b'--------------------------4e7d0df221ca7ab0\r\nContent-Disposition: form-data; name="x"\r\n'
        b"Content-Type: application/json\r\n\r\n1\r\n"
        b'--------------------------4e7d0df221ca7ab0\r\nContent-Disposition: form-data; name="t"\r\n'
        b"Content-Type: text/plain;charset=utf-8\r\n\r\nhi\r\n"
        b"--------------------------4e7d0df221ca7ab0--\r\n"
    )
    assert await read(body, scope, size, "------------------------4e7d0df221ca7ab0") == [
        ("prompt", "a cat"),
        ("image[]", ('a"b雨\\c.png', "image/png", PNG)),
        ("x", ("", "application/json", b"1")),
        ("t", "hi"),
    ]


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
async def test_what_browsers_send(scope: Scope, size: int) -> None:
    """A field that nobody chose a file for is a file without a name or content."""
    body = (
        b'------WebKitFormBoundaryx\r\nContent-Disposition: form-data; name="prompt"\r\n\r\ntwo\r\nlines\r\n'
        b'------WebKitFormBoundaryx\r\nContent-Disposition: form-data; name="mask"; filename=""\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\r\n"
        b"------WebKitFormBoundaryx--\r\n"
    )
    assert await read(body, scope, size, "----WebKitFormBoundaryx") == [
        ("prompt", "two\r\nlines"),
        ("mask", ("", "application/octet-stream", b"")),
    ]


def by_httpx() -> tuple[str, bytes]:
    files = [("image[]", ('a"b雨.png', PNG, "image/png")), ("image[]", ("c.png", b"", "image/png"))]
    request = httpx.Request("POST", "http://h/", data={"prompt": "雨", "n": "2"}, files=files)
    return request.headers["content-type"], request.read()


def by_requests() -> tuple[str, bytes]:
    files = [("image[]", ('a"b雨.png', PNG, "image/png")), ("image[]", ("c.png", b"", "image/png"))]
    request = requests.Request("POST", "http://h/", data={"prompt": "雨", "n": "2"}, files=files).prepare()
    return request.headers["content-type"], request.body


def by_urllib3() -> tuple[str, bytes]:
    files = [("image[]", ('a"b雨.png', PNG, "image/png")), ("image[]", ("c.png", b"", "image/png"))]
    body, content_type = urllib3.encode_multipart_formdata([("prompt", "雨"), ("n", "2"), *files])
    return content_type, body


@pytest.mark.parametrize("write", [by_httpx, by_requests, by_urllib3])
async def test_what_client_libraries_send(scope: Scope, write: object) -> None:
    content_type, body = write()
    boundary = boundary_of(content_type)
    assert boundary is not None
    for size in (1, 1 << 16):
        assert await read(body, scope, size, boundary) == [
            ("prompt", "雨"),
            ("n", "2"),
            ("image[]", ('a"b雨.png', "image/png", PNG)),
            ("image[]", ("c.png", "image/png", b"")),
        ]


async def test_what_aiohttp_sends(scope: Scope) -> None:
    """The type before the disposition, and a charset with text."""
    form = aiohttp.FormData({"prompt": "雨"})
    form.add_field("image", PNG, filename="a.png", content_type="image/png")
    writer = form()
    boundary = boundary_of(writer.content_type)
    assert boundary is not None
    body = await writer.as_bytes()
    assert await read(body, scope, 5, boundary) == [("prompt", "雨"), ("image", ("a.png", "image/png", PNG))]


# The frame.


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (END, []),
        (b"--b-1--", []),
        (b"preamble\r\n--b-\r\nb-1\r\n" + FIELD % (b"a", b"1") + b"--b-1--epilogue" + FIELD, [("a", "1")]),
        (b"\r\n" + FIELD % (b"a", b"1") + END, [("a", "1")]),
        ((FIELD % (b"a", b"1") + END).replace(b"--b-1\r", b"--b-1 \t \r"), [("a", "1")]),
        (FIELD % (b"a", b"") + FIELD % (b"a", b"\r\n") + END, [("a", ""), ("a", "\r\n")]),
    ],
)  # fmt: skip
async def test_the_frame_is_that_of_rfc_2046(scope: Scope, body: bytes, parts: Told) -> None:
    for at in range(len(body) + 1):
        assert await told(await read_form(pieces(body, [at]), "b-1", scope)) == parts


async def test_what_only_looks_like_a_boundary_is_content(scope: Scope) -> None:
    content = b"x\r\n--b-\r\n-b-1\n--b-1\r\r\n--\r\n--b\r\r\n--b-x\r\n"
    body = FILE % (b"f", b"f", b"a/b", content) + FIELD % (b"a", content) + END
    for at in range(len(body) + 1):
        form = await read_form(pieces(body, [at]), "b-1", scope)
        assert await told(form) == [("f", ("f", "a/b", content)), ("a", content.decode())]


async def test_a_part_without_content_may_share_its_line_break_with_the_boundary(scope: Scope) -> None:
    """RFC 2046's grammar: a body part may end with its head."""
    body = b'--b-1\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + FIELD % (b"b", b"1") + END
    for at in range(len(body) + 1):
        assert await told(await read_form(pieces(body, [at]), "b-1", scope)) == [("a", ""), ("b", "1")]


@pytest.mark.parametrize("boundary", ["", "a\r\nb", "x" * 71, "a ", "雨"])
def test_what_cannot_be_a_boundary_is_not_searched_for(scope: Scope, boundary: str) -> None:
    with pytest.raises(ValueError, match="boundary"):
        FormReader(boundary, scope)


# Files and fields.


@pytest.mark.parametrize("size", [1021, 65536, 1 << 24])
async def test_files_are_blobs_whose_headers_were_read_on_the_way(scope: Scope, size: int) -> None:
    image = picture("PNG", (400, 300))
    body = FILE % (b"a", b"a.png", b"image/png", image) + FILE % (b"b", b"b", b"image/PNG; x=1", NOISE[:400_000]) + END
    form = await read_form(cut(body, size), "b-1", scope)
    first, second = [value for _, value in form.parts]
    assert isinstance(first, FormFile)
    assert isinstance(second, FormFile)
    assert first.blob.facts == ImageFacts("png", 400, 300, alpha=False)
    assert (first.blob.declared_type, second.blob.declared_type, second.blob.facts) == ("image/png", "image/png", None)
    assert (second.blob.head, second.blob.tail) == (NOISE[:4096], NOISE[395_904:400_000])
    assert await told(form) == [("a", ("a.png", "image/png", image)), ("b", ("b", "image/png", NOISE[:400_000]))]


async def test_files_of_8_mb_never_lie_in_memory(scope: Scope) -> None:
    body = FILE % (b"a", b"a", b"image/png", NOISE) + FILE % (b"b", b"b", b"image/png", NOISE) + END
    tracemalloc.start()
    form = await read_form((bytes(bytearray(chunk)) async for chunk in cut(body, 65536)), "b-1", scope)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20
    assert await told(form) == [("a", ("a", "image/png", NOISE)), ("b", ("b", "image/png", NOISE))]


async def test_a_file_without_a_type_is_bytes(scope: Scope) -> None:
    body = b'--b-1\r\nContent-Disposition: form-data; name="a"; filename="x"\r\n\r\nx\r\n' + END
    assert await read(body, scope) == [("a", ("x", "application/octet-stream", b"x"))]


@pytest.mark.parametrize("size", [1021, 65536, 1 << 24])
@pytest.mark.parametrize("length", [8_000, 300_000])
async def test_long_base64_in_a_field_is_a_blob(scope: Scope, size: int, length: int) -> None:
    content = NOISE[:length]
    text = base64.b64encode(content)
    for written, media_type in (
        (text, "application/octet-stream"),
        (text.rstrip(b"="), "application/octet-stream"),
        (base64.urlsafe_b64encode(content), "application/octet-stream"),
        (base64.encodebytes(content), "application/octet-stream"),
        (b"data:image/PNG;base64," + text, "image/png"),
    ):
        assert await read(FIELD % (b"image", written) + END, scope, size) == [("image", ("", media_type, content))]


async def test_a_field_of_8_kib_is_text_and_one_more_group_is_a_blob(scope: Scope) -> None:
    assert await read(FIELD % (b"image", b"A" * 8192) + END, scope) == [("image", "A" * 8192)]
    longer = await read(FIELD % (b"image", b"A" * 8196) + END, scope)
    assert longer == [("image", ("", "application/octet-stream", b"\0" * 6147))]


async def test_what_people_write_stays_text(scope: Scope) -> None:
    for name, text in (
        ("prompt", "abcd" * 8000),
        ("negative_prompt", "abcd" * 8000),
        ("text", "abcd" * 8000),
        ("user", "a sentence. " * 10_000),
        ("user", "雨" * 60_000),
        ("user", "AAAA" * 3000 + "!"),
        ("user", "AAAAA" * 2001),
    ):
        assert await read(FIELD % (name.encode(), text.encode()) + END, scope, 1021) == [(name, text)]


# Refusals.


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        (b"", "body_empty", ""),
        (b"\r\n", "malformed_form", ""),
        (b'{"prompt": "a cat"}', "malformed_form", ""),
        (b"--b-2\r\n\r\n--b-2--\r\n", "malformed_form", ""),
        (b"x--b-1--\r\n", "malformed_form", ""),
        (b"--b-1", "malformed_form", ""),
        (b"--b-1-", "malformed_form", ""),
        (b"--b-1\r\nContent-Disp", "malformed_form", ""),
        ((FIELD % (b"a", b"1")).replace(b"--b-1\r", b"--b-12\r") + END, "malformed_form", ""),
        ((FIELD % (b"a", b"1"))[:-4], "malformed_form", ""),
        ((FIELD % (b"a", b"1"))[:-3], "malformed_form", "a"),
        (FIELD % (b"a", b"1"), "malformed_form", "a"),
        (FIELD % (b"a", b"1\r\n--b-"), "malformed_form", "a"),
        ((FIELD % (b"a", b"1") + END).replace(b"\r\n", b"\n"), "malformed_form", ""),
        (FIELD % (b"", b"1") + END, "malformed_form", ""),
        (FIELD % (b"a", b"1") * 4 + END, "too_many_parts", ""),
        (FIELD % (b"a" * 60, b"1"), "part_head_too_large", ""),
        (FIELD % (b"a", b"two words " * 7), "text_too_large", "a"),
        (FIELD % (b"text", b"QUJD" * 17), "text_too_large", "text"),
        (FIELD % (b"a", b"two words") + FIELD % (b"b", b"two words " * 6) + FIELD % (b"c", b"two words " * 6) + END,
         "tree_too_large", ""),
        (FIELD % (b"a", b"\xff") + END, "invalid_utf8", "a"),
        (FIELD % (b"a[]", b"QUJD" * 20 + b"!") + END, "invalid_base64", "a[]"),
        (FIELD % (b"a", b"QUJD" * 20 + b"Q") + END, "invalid_base64", "a"),
        (FIELD % (b"a", b"data:image/png;base64," + b"QUJD" * 10 + b"!" * 40), "invalid_base64", "a"),
    ],
)  # fmt: skip
async def test_what_is_refused_names_its_code_and_part(scope: Scope, body: bytes, code: str, path: str) -> None:
    for size in (1, 7, 1000):
        error = await refusal(body, scope, size)
        assert (error.code, error.path) == (code, path)


async def test_a_long_field_that_begins_as_base64_is_told_so(scope: Scope) -> None:
    body = FIELD % (b"image", b"QUJD" * 3000 + b"!!!!" + b"QUJD" * 70_000) + END
    for size in (65536, 1 << 20):
        error = await refusal(body, scope, size, FormLimits())
        assert (error.code, error.path) == ("invalid_base64", "image")


async def test_limits_are_the_largest_allowed(scope: Scope) -> None:
    head = b'Content-Disposition: form-data; name="%b"' % (b"n" * 59)
    body = b"--b-1\r\n" + head + b"\r\n\r\n" + b"two words " * 6 + b"1234\r\n"
    assert len(head) + len(b"\r\n") == SMALL.head_bytes
    body += FIELD % (b"a", b"two words " * 3) + FIELD % (b"b", b"123456") + END
    assert len((await read_form(cut(body, 9), "b-1", scope, SMALL)).parts) == 3


async def test_an_endless_head_is_not_kept(scope: Scope) -> None:
    reader = FormReader("b-1", scope)
    with pytest.raises(LiftError):
        reader.feed(b"--b-1\r\n" + b"X: y\r\n" * 2000)
    assert reader._head is not None
    assert len(reader._head) < 9000


async def test_what_was_refused_leaves_no_writer_behind(scope: Scope) -> None:
    for body in (
        FILE % (b"f", b"f", b"image/png", NOISE[:900_000]) + FIELD % (b"a", b"two words " * 7),
        (FILE % (b"f", b"f", b"image/png", NOISE[:900_000]))[:-9],
        FIELD % (b"a", b"QUJD" * 200_000 + b"!") + END,
    ):
        await refusal(body, scope, 300_000)
        assert not scope._writers


async def test_what_goes_wrong_with_the_source_passes_through(scope: Scope) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield FILE % (b"a", b"a", b"image/png", NOISE[:500_000])
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await read_form(broken(), "b-1", scope)


# Properties.

SHORT = FormLimits(fields=LiftLimits(blob_bytes=24, text_bytes=4000, tree_bytes=1 << 16))
cuts = st.lists(st.integers(0, 5000), max_size=8)
marks = st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"b-1", b"\r\n--b-", b"\r\n--", b"x", b"\0"])
frames = st.sampled_from([FIELD % (b"a", b"1"), FILE % (b"f", b"f", b"a/b", b"x"), END, b"--b-1\r\n", b"\r\n\r\n"])
contents = st.lists(marks | st.binary(max_size=9), max_size=12).map(b"".join)
contents = contents.filter(lambda content: b"\r\n--b-1" not in b"\r\n" + content)
letters = st.characters(exclude_categories=["Cs"], exclude_characters='\\"%')
names = st.text(letters, min_size=1, max_size=20)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map("a {}".format)
files = st.tuples(names, st.sampled_from(["image/png", "text/plain", "a/b+c"]), contents)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scope]:
    spool = Spool(tmp_path_factory.mktemp("spool"), Budget(1 << 20))
    yield spool.scope()
    spool.close()


@settings(deadline=None, max_examples=200)
@given(parts=st.lists(st.tuples(names, texts | files), max_size=5), places=cuts)
async def test_what_was_written_comes_back(shared: Scope, parts: Told, places: list[int]) -> None:
    values = [
        (name, value if isinstance(value, str) else FormFile(blob_of(value[2]), value[0], value[1]))
        for name, value in parts
    ]
    payload = form_payload(FormBody(tuple(values)), "b-1")
    boundary = boundary_of(payload.content_type)
    assert boundary == "b-1"
    body = await gather(payload.chunks())
    assert await told(await read_form(pieces(body, places), boundary, shared, SHORT)) == parts


@settings(deadline=None, max_examples=300)
@given(body=st.lists(marks | frames, max_size=12).map(b"".join), places=cuts)
async def test_any_form_is_the_same_however_it_is_cut(shared: Scope, body: bytes, places: list[int]) -> None:
    assert await outcome(body, places, shared) == await outcome(body, [], shared)


@settings(deadline=None, max_examples=200)
@given(start=st.sampled_from([b"", b"--b-1", b"--b-1\r\n", (FIELD % (b"a", b"1"))[:-3]]), rest=st.binary(max_size=200))
async def test_any_bytes_are_a_form_or_a_lift_error(shared: Scope, start: bytes, rest: bytes) -> None:
    await outcome(start + rest, [3, 50], shared)


async def outcome(body: bytes, places: list[int], scope: Scope) -> Told | tuple[str, str]:
    try:
        return await told(await read_form(pieces(body, places), "b-1", scope, SMALL))
    except LiftError as error:
        return error.code, error.path
