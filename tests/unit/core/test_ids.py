"""Ids say what a thing is, are never guessed, and those of one time lie together."""

from __future__ import annotations

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from imageway.core.ids import new_id

MOMENTS = st.integers(0, 2**45 - 1)


class Chance:
    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)

    def token_bytes(self, count: int) -> bytes:
        return self.random.randbytes(count)

    def uniform(self) -> float:
        return self.random.random()


def test_an_id_is_a_prefix_and_25_digits_that_survive_copying() -> None:
    for at_ms in (None, 0, 1_760_000_000_000):
        assert re.fullmatch(r"req_[0-9a-hjkmnp-tv-z]{25}", new_id("req", Chance(), at_ms))


def test_two_of_one_moment_share_nothing_but_the_moment() -> None:
    chance = Chance()
    one, other = (new_id("req", chance, 1_760_000_000_000) for _ in range(2))
    assert one[:13] == other[:13]
    assert all(a != b for a, b in zip(one[13:17], other[13:17], strict=True))
    assert new_id("req", chance)[:13] != new_id("req", chance)[:13]


@given(one=MOMENTS, other=MOMENTS, seed=st.integers(0, 99))
def test_ids_sort_by_their_moment(one: int, other: int, seed: int) -> None:
    chance = Chance(seed)
    ids = sorted((new_id("req", chance, moment), moment) for moment in (one, other))
    assert [moment for _, moment in ids] == sorted([one, other])
