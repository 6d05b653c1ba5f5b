"""Bodies and queries of the admin API: everything that is wrong is found at once and named."""

from __future__ import annotations

from typing import Annotated

import pytest
from msgspec import Meta, Struct

from imageway.core.errors import InvalidRequest
from imageway.server.admin.reading import read_body, read_query


class Box(Struct, frozen=True, kw_only=True, rename={"from_time": "from"}):
    name: str
    size: Annotated[int, Meta(ge=1)] = 1
    tags: tuple[str, ...] = ()
    from_time: str | None = None
    key: str = ""


def problems_of(content: bytes) -> list[tuple[str | None, str]]:
    with pytest.raises(InvalidRequest) as caught:
        read_body(content, Box)
    return [(problem.param, problem.code) for problem in caught.value.details]


def test_a_body_is_its_struct() -> None:
    assert read_body(b'{"name":"a","size":2,"tags":["x"],"from":"now"}', Box) == Box(
        name="a", size=2, tags=("x",), from_time="now"
    )


def test_everything_wrong_is_told_at_once_by_its_path() -> None:
    assert problems_of(b'{"size":0,"tags":["x",1],"colour":"red"}') == [
        ("colour", "unknown_parameter"),
        ("name", "missing_required_parameter"),
        ("size", "invalid_type"),
        ("tags[1]", "invalid_type"),
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "malformed_json"),
        (b"\xff", "invalid_utf8"),
        (b"[1]", "invalid_type"),
        (b"7", "invalid_type"),
        (b"[" * 100_000, "too_deep"),
        (b'{"tags":' + b"[" * 100_000, "too_deep"),
    ],
    ids=lambda value: value[:9],
)
def test_what_is_no_object_is_refused(content: bytes, code: str) -> None:
    assert [found for _, found in problems_of(content)] == [code]


def test_a_name_that_comes_twice_is_refused_wherever_it_stands() -> None:
    """Readers differ on which of the two counts, and one of them may have been an amount of money."""
    assert problems_of(b'{"name":"a","size":1,"size":2}') == [("size", "duplicate_key")]
    assert problems_of(b'{"name":"a","tags":[{"x":1,"x":1}]}') == [("tags[0].x", "duplicate_key")]


@pytest.mark.parametrize("content", [b'{"name":"a\\u0000"}', b'{"name":"a","tags":["x","\\u0000"]}'])
def test_a_nul_is_no_text(content: bytes) -> None:
    """No database of ours keeps one alike."""
    assert problems_of(content)[0][1] == "invalid_value"


def test_a_nul_is_no_text_in_a_query_either() -> None:
    with pytest.raises(InvalidRequest):
        read_query({"name": "a\0"}, Box)


def test_no_body_is_an_empty_one() -> None:
    assert problems_of(b"") == [("name", "missing_required_parameter")]


def test_numbers_come_as_text_in_a_query() -> None:
    assert read_query({"name": "a", "size": "3"}, Box) == Box(name="a", size=3)
    with pytest.raises(InvalidRequest):
        read_query({"name": "a", "size": "many"}, Box)
    with pytest.raises(InvalidRequest):
        read_body(b'{"name":"a","size":"3"}', Box)


def test_a_credential_is_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_body(b'{"name":"a","key":["sk-test-credential"]}', Box)
    (problem,) = caught.value.details
    assert (problem.param, problem.message) == ("key", "key: Expected `str`, got `array`")
