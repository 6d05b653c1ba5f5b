"""Looks into replies that never raise, waits out of headers and sentences, and what an input image is called."""

from __future__ import annotations

import pytest

from imageway.bodies import blob_of
from imageway.core.blobs import Embed, Tree
from imageway.core.requests import ImageData, ImageLink
from imageway.core.steps import Failed, FailureKind, JsonReply, Page, Reply
from imageway.providers import fields

PNG_HEAD = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (("a", "b"), 1),
        (("a", "missing"), None),
        (("list", 0, "x"), "y"),
        (("list", 7), None),
        (("text", "deeper"), None),
        (("text", 0), None),
        ((), None),
    ],
)
def test_a_path_that_leads_nowhere_is_none(path: tuple[str | int, ...], found: Tree) -> None:
    tree: Tree = {"a": {"b": 1}, "list": [{"x": "y"}], "text": "t"}
    assert fields.at(tree, *path) == (found if path else tree)


@pytest.mark.parametrize(
    ("value", "text", "count"),
    [("x", "x", 0), (401, "401", 401), (True, "", 0), (-5, "-5", 0), (1.5, "", 0), (None, "", 0), ([], "", 0)],
)
def test_text_and_counts_are_read_for_what_they_are(value: Tree, text: str, count: int) -> None:
    """Truth is no number, a negative number counts nothing, and a code may be written as a number."""
    assert fields.text_at({"v": value}, "v") == text
    assert fields.count_at({"v": value}, "v") == count


@pytest.mark.parametrize(
    ("headers", "message", "wait_s"),
    [
        ({}, "", None),
        ({"retry-after": "3"}, "", 3),
        ({"retry-after": " 2.5 "}, "", 2.5),
        ({"retry-after-ms": "250"}, "", 0.25),
        ({"retry-after-ms": "0", "retry-after": "1"}, "", 1),
        ({"retry-after": "-3"}, "", None),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "inf"}, "", None),
        ({"retry-after": "9" * 400}, "", None),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}, "", 30),
        ({"retry-after": "Fri, 20 Nov 2026 09:00:00 GMT", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}, "", 0),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT"}, "", None),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}, "", None),
        ({}, "Please try again in 12s.", 12),
        ({}, "Please try again in 1m30.5s. More.", 90.5),
        ({}, "please Try Again In 250ms", 0.25),
        ({}, "Please retry in 48.939935699s.", 48.939935699),
        ({}, "Please retry in a while.", None),
        ({"retry-after": "2"}, "try again in 7s", 7),
    ],
)
def test_the_longest_hint_to_wait_counts(headers: dict[str, str], message: str, wait_s: float | None) -> None:
    assert fields.wait_s(headers, message) == wait_s


def test_a_picture_is_base64_or_a_link() -> None:
    blob = blob_of(PNG_HEAD)
    look = fields.picture_at
    assert look({"b64": blob, "url": "https://x.example/1"}, base64="b64", link="url") is blob
    assert look({"url": "HTTPS://x.example/1"}, link="url") == "HTTPS://x.example/1"
    assert look({"url": blob}, link="url") is blob
    for nothing in ({}, None, [], {"url": ""}, {"url": "file:///x"}, {"url": "/files/1"}, {"url": 5}, {"b64": "A"}):
        assert look(nothing, base64="b64", link="url") is None


def test_an_input_image_is_named_by_its_own_header_first() -> None:
    assert fields.media_type(blob_of(b"\xff\xd8\xff\xe0")) == "image/jpeg"
    assert fields.media_type(blob_of(b"????", declared_type="image/heic")) == "image/heic"
    assert fields.media_type(blob_of(b"????", declared_type="text/html")) == "image/png"


def test_an_input_image_is_one_json_string() -> None:
    blob = blob_of(b"\xff\xd8\xff\xe0")
    assert fields.link_or_data_url(ImageLink("https://x.example/a", "image")) == "https://x.example/a"
    assert fields.link_or_data_url(ImageData(blob, "image")) == Embed(blob, "data:image/jpeg;base64,")


def test_a_detail_is_one_line_that_fits_a_log() -> None:
    detail = fields.clipped("a\n  b\r\n" + "x" * 1000)
    assert detail.startswith("a b xxx")
    assert len(detail) == 300


def test_only_a_busy_failure_carries_a_wait() -> None:
    headers = {"retry-after": "3"}
    assert fields.failure(FailureKind.BUSY, "c", "m", headers) == Failed(FailureKind.BUSY, "c", "m", 3)
    assert fields.failure(FailureKind.DENIED, "c", "m", headers) == Failed(FailureKind.DENIED, "c", "m", None)


@pytest.mark.parametrize("status", range(200, 600))
def test_a_strangers_words_never_prove_that_nothing_was_made(status: int) -> None:
    """Whatever stands between us and the provider, its 5xx is never `failed` (which would buy again elsewhere), and a
    2xx that cannot be read is never anything but spoiled."""
    for body in (Page(b"<html>"), JsonReply({"message": "?"}), JsonReply(None)):
        kind = fields.unreadable(Reply(status, {}, body)).kind
        assert kind not in (FailureKind.FAILED, FailureKind.REFUSED, FailureKind.NEVER_SENT)
        assert (kind is FailureKind.SPOILED) == (status < 300)
        if status >= 500:
            assert kind is (FailureKind.BUSY if status in (503, 529) else FailureKind.UNKNOWN)
