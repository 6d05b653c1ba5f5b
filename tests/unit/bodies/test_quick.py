"""The quick parser answers only what the strict one would have answered, to the type and the order."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imageway.bodies.grammar import _read_strictly, parse
from imageway.bodies.limits import LiftError, LiftLimits
from imageway.bodies.quick import QUICK_BYTES, Unsure, read_quickly
from imageway.core.blobs import Tree

LIMITS = LiftLimits(depth=5)
spaces = st.sampled_from(["", "", "", " ", "\n", "\t ", "\r\n"])
words = st.sampled_from(["null", "true", "false", "NaN", "Infinity", "tru", ""])
odd = st.sampled_from(["0", "-0", "-0.0", "1e5", "1E-7", "1e400", "01", "9" * 30, "-9223372036854775809", str(2**64)])
literals = words | odd
numbers = st.integers().map(str) | st.floats(allow_nan=False, allow_infinity=False).map(repr)
characters = st.sampled_from(
    [":", ":", "a", "{", "[", '\\"', "\\\\", "\\u003a", "\\u003A", "é", "\\ud83d", "\\ude00", "\n"]
)
strings = st.lists(characters, max_size=6).map(lambda parts: f'"{"".join(parts)}"')
names = st.sampled_from(['"a"', '"b"', '"a:"', '"\\u0061"', '":"', '""']) | strings


def objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(spaces, names, spaces, spaces, inner).map(lambda p: f"{p[0]}{p[1]}{p[2]}:{p[3]}{p[4]}")
    return st.tuples(st.lists(member, max_size=4).map(",".join), spaces).map(lambda p: f"{{{p[0]}{p[1]}}}")


def arrays(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(spaces, inner, spaces).map("".join), max_size=3).map(lambda items: f"[{','.join(items)}]")


bodies = st.recursive(literals | numbers | strings, lambda inner: objects(inner) | arrays(inner), max_leaves=10).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)
damages = st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=2)), max_size=2)


def damaged(body: bytes, damages: list[tuple[int, bytes]]) -> bytes:
    for place, other in damages:
        at = place % (len(body) + 1)
        body = body[:at] + other + body[at + 1 :]
    return body


def outcome(read: object, content: bytes) -> object:
    try:
        tree = read(content, (), LIMITS)  # type: ignore[operator]
    except LiftError as error:
        return (error.code, error.path, error.message)
    return repr(tree)  # types, order and the sign of zero


@settings(max_examples=1500, deadline=None)
@given(body=bodies, damages=damages)
@example(body=b'{"a":1,"a":2}', damages=[])
@example(body=b'{"a":":","a":2}', damages=[])
@example(body=b'{"a":"\\u003a","a":2}', damages=[])
@example(body=b'{"a":1,"a":"\\u003a"}', damages=[])
@example(body=b"[" * 6 + b"]" * 6, damages=[])
@example(body=b'"\xed\xa0\x80"', damages=[])
def test_nobody_can_tell_which_parser_it_was(body: bytes, damages: list[tuple[int, bytes]]) -> None:
    content = damaged(body, damages)
    content = content if content.strip() else b"0"
    assert outcome(parse, content) == outcome(_read_strictly, content)


@pytest.mark.parametrize(
    "tree",
    [
        {"model": "m", "prompt": "a cat", "n": 1, "size": "16:9", "image_url": "https://a.example:8443/x"},
        {"created": 1, "data": [{"b64_json": "QUJD" * 500}], "usage": {"input": {"text": 12}, "output": 2**64 - 1}},
        [{"a:b": [None, True, -0.5, "ü: Lärm"]}],
        "text",
        None,
    ],
)
def test_ordinary_bodies_are_read_quickly(tree: Tree) -> None:
    assert read_quickly(json.dumps(tree, ensure_ascii=False).encode(), depth=5) == tree
    assert read_quickly(json.dumps(tree, ensure_ascii=False, indent=2).encode(), depth=5) == tree


@pytest.mark.parametrize(
    "content",
    [b'{"a":1,"a":1}', b'{"a":{"b":1,"b":1}}', b"[[[[[[]]]]]]", b"18446744073709551616", b'{"a":"\\u003a:"}', b"{"],
)
def test_what_might_be_refused_is_left_to_the_strict_parser(content: bytes) -> None:
    with pytest.raises(Unsure):
        read_quickly(content, depth=5)


def test_large_bodies_are_left_to_the_strict_parser() -> None:
    """Nothing but its size speaks against this one."""
    assert read_quickly(b" " * (QUICK_BYTES - 4) + b"null", depth=5) is None
    with pytest.raises(Unsure):
        read_quickly(b" " * (QUICK_BYTES - 3) + b"null", depth=5)
