"""Properties of lifting and splicing: whatever JSON is written, however it is cut, the same comes back; and whatever
bytes come, they are a tree or a LiftError."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import tempfile
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from imageway.bodies import Budget, LiftError, LiftLimits, Spool, StoredBlob, json_payload, lift_json
from imageway.core.blobs import Tree
from tests.unit.bodies.conftest import gather

LIMITS = LiftLimits(blob_bytes=24, text_bytes=400, tree_bytes=1 << 16)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=LIMITS.blob_bytes // 4)  # in bytes: four times
texts = keys | st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(" {}".format)  # never base64
pictures = st.binary(min_size=20, max_size=600).map(lambda content: base64.b64encode(content).decode())
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
trees = st.recursive(
    scalars | texts | pictures,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
cuts = st.lists(st.integers(0, 5000), max_size=8)


async def pieces(body: bytes, places: list[int]) -> AsyncIterator[bytes]:
    for start, end in pairwise(sorted({0, len(body), *(place % (len(body) + 1) for place in places)})):
        yield body[start:end]


async def unlift(tree: Tree) -> object:
    """The tree with each blob as the text it was."""
    if isinstance(tree, dict):
        return {key: await unlift(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [await unlift(value) for value in tree]
    return (await gather(tree.open())).decode() if isinstance(tree, StoredBlob) else tree


def blobs_in(tree: Tree) -> int:
    if isinstance(tree, dict):
        return sum(map(blobs_in, tree.values()))
    if isinstance(tree, list):
        return sum(map(blobs_in, tree))
    return isinstance(tree, StoredBlob)


def lifted(body: bytes, places: list[int]) -> tuple[Tree, object, bytes, int]:
    """The tree, the same without blobs, what is written for it, and the length announced for that."""

    async def run() -> tuple[Tree, object, bytes, int]:
        with tempfile.TemporaryDirectory() as folder:
            spool = Spool(Path(folder), Budget(1 << 20))
            try:
                tree = await lift_json(pieces(body, places), spool.scope(), LIMITS)
                payload = json_payload(tree)
                return tree, await unlift(tree), await gather(payload.chunks()), payload.length
            finally:
                spool.close()

    return asyncio.run(run())


@settings(deadline=None, max_examples=150)
@given(trees, cuts, st.booleans(), st.sampled_from([None, 1]))
def test_what_was_written_comes_back(tree: Tree, places: list[int], escaped: bool, indent: int | None) -> None:
    body = json.dumps(tree, ensure_ascii=escaped, indent=indent).encode()
    found, same, written, length = lifted(body, places)
    assert same == tree
    assert json.loads(written) == tree
    assert len(written) == length
    expected = sum(len(text) > LIMITS.blob_bytes for text in strings(tree) if is_base64(text))
    assert blobs_in(found) == expected


def strings(tree: object) -> list[str]:
    if isinstance(tree, dict):
        return [text for value in tree.values() for text in strings(value)]
    if isinstance(tree, list):
        return [text for value in tree for text in strings(value)]
    return [tree] if isinstance(tree, str) else []


def is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


@settings(deadline=None, max_examples=300)
@given(trees, cuts, st.integers(0, 2**32))
def test_a_mutated_body_is_a_tree_or_a_lift_error(tree: Tree, places: list[int], seed: int) -> None:
    chance = random.Random(seed)
    body = bytearray(json.dumps(tree, ensure_ascii=False).encode())
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(4):
            case 0:
                body[at:at] = bytes((chance.choice(b'"\\{}[],:NaI-+=0e./_ \n\x00\x80\xff'),))
            case 1:
                del body[at : at + chance.randint(1, 5)]
            case 2:
                body[at : at + 1] = chance.randbytes(1)
            case _:
                start = chance.randrange(len(body) + 1)
                body[at:at] = body[start : start + 200]
    try:
        found, same, written, length = lifted(bytes(body), places)
    except LiftError:
        return
    assert len(written) == length
    assert json.loads(body) == same or blobs_in(found)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300), cuts)
def test_any_bytes_are_a_tree_or_a_lift_error(body: bytes, places: list[int]) -> None:
    with contextlib.suppress(LiftError):
        lifted(body, places)


# What base64 is written with, in any alphabet and with any escape, and what it is not: some of it no JSON at all.
WRITTEN = ("AAAA", "ab9/", "-_-_", "A", "+", "=", "\\/", "\\u0041", "\\u003d", "\\u002F", "\\n", "\\r\\n")
FOREIGN = ("é", "\\u00e9", "\\ud83d\\ude00", " ", "!", '\\"', "\\\\", "\\\\n", "\n", "\\q", "\\u00zz", '"', "\x85")
runs = st.tuples(st.sampled_from(WRITTEN), st.integers(1, 60)).map(lambda run: run[0] * run[1])
spellings = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(("", "data:image/png;base64,", "data:")),
    st.lists(runs, max_size=6).map("".join),
    st.lists(st.sampled_from(FOREIGN), max_size=2).map("".join),
    st.lists(runs, max_size=2).map("".join),
)


@settings(deadline=None, max_examples=300)
@given(spellings, st.lists(cuts, min_size=1, max_size=4))
@example("\\u0041" * 70 + "é", [[*range(430)]])
@example("\\u0041" * 70 + "!" + "A" * 330, [[*range(430)], [425]])
def test_no_cut_decides_what_a_string_is(text: str, every: list[list[int]]) -> None:
    """A text that may be as long as it is stays text, although the beginning of it, as it is written, is longer than
    text may be and could be base64: nobody knows what follows. What is no such text is a blob, or refused."""
    body = f'{{"x": "{text}"}}'.encode()

    def known(places: list[int]) -> object:
        try:
            tree, same, *_ = lifted(body, places)
        except LiftError:
            return LiftError
        return same, blobs_in(tree)

    assert [known(places) for places in every] == [known([])] * len(every)
