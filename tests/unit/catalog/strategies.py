"""Any request a dialect may come up with, right or wrong; any size; and what a model's row allows."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from imageway.catalog.geometry import legal
from imageway.catalog.parameters import NAMES
from imageway.catalog.schema import Geometry as Rules
from imageway.core.requests import Geometry, Group, ImageRequest, Operation, Size, Turn
from tests.unit.catalog.pictures import links, picture

TEXTS = st.sampled_from(["", "auto", "high", "fast", "transparent", "dont_allow", "png", "None", "\x00", "猫" * 700])
ANYTHING: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXTS | st.text(max_size=20),
    "integer": st.integers(),
    "number": st.floats() | st.integers(),
    "boolean": st.booleans(),
}
IMAGES = st.lists(
    st.builds(picture, st.integers(0, 9000), st.integers(0, 9000)) | st.sampled_from(links(2)), max_size=16
).map(tuple)
TURNS = st.lists(
    st.builds(Turn, st.sampled_from(["user", "model", "?"]), st.lists(TEXTS | st.sampled_from(links(2))).map(tuple)),
    max_size=4,
).map(tuple)


@st.composite
def requests(draw: st.DrawFn, model: str) -> ImageRequest:
    """Any request a dialect may come up with, right or wrong."""
    chosen = draw(st.sets(st.sampled_from(sorted(NAMES)), max_size=6))
    return ImageRequest(
        model=model,
        prompt=draw(st.none() | TEXTS),
        operation=draw(st.sampled_from(Operation)),
        turns=draw(TURNS),
        images=draw(IMAGES),
        mask=draw(st.none() | st.just(picture())),
        n=draw(st.none() | st.integers(-2, 12)),
        group=draw(st.none() | st.builds(Group, st.none() | st.integers(-1, 17))),
        **{name: draw(ANYTHING[NAMES[name]]) for name in chosen},
    )


ASKED = st.builds(
    Geometry,
    width=st.none() | st.integers(-1, 35_000) | st.integers(0, 2_000),
    height=st.none() | st.integers(-1, 35_000) | st.integers(0, 2_000),
    ratio=st.none() | st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: f"{pair[0]}:{pair[1]}"),
    tier=st.none() | st.sampled_from(["512", "0.5K", "1K", "1.5K", "2k", "3K", "4K", "16K", "99K", "?"]),
    auto=st.booleans(),
)


def allowed(rules: Rules, size: Size) -> bool:
    """Whether a size is one the model can be sent, restated from the row's own words."""
    match rules.kind:
        case "none":
            return size in (Size(), Size(word=rules.default or None))
        case "ratios":
            tiers = (*rules.tiers, None) if not rules.send_tier else rules.tiers
            return size.tier in tiers and (size.ratio in (*rules.ratios, None)) and size.word is None
    if size.word is not None:
        return size.word in rules.words and size.pixels is None
    return size.pixels is None or legal(rules, size.pixels)
