"""A request in words no provider owns: how its caller named what is in it."""

from __future__ import annotations

from imageway.core.requests import ImageRequest
from tests.values import replace


def test_fields_that_no_family_knows_are_named_by_their_whole_path() -> None:
    extras = {"newest": 1, "generationConfig": {"imageConfig": {"mood": "calm"}, "list": [{"a": 1}]}, "empty": {}}
    request = ImageRequest(model="m", extras=extras)
    assert tuple(request.unknown) == ("newest", "generationConfig.imageConfig.mood", "generationConfig.list", "empty")
    assert not ImageRequest(model="m").unknown


def test_a_field_that_stands_where_it_means_nothing_is_told_its_place() -> None:
    """By the names of the format that it came in, in either spelling; not where it stands in what somebody invented."""
    known = {"geometry": "config.imageConfig.aspectRatio", "seed": "config.seed", "prompt": "entries[0].prompt"}
    request = ImageRequest(model="m", names=known)
    for path, place in {
        "seed": "config.seed",
        "imageConfig": "config.imageConfig",
        "image_config.aspect_ratio": "config.imageConfig.aspectRatio",
        "imageConfig.seed": "config.seed",
        "prompt": "entries[0].prompt",
        "metadata.seed": None,
        "imageConfig.newest": None,
        "newest": None,
    }.items():
        assert request.place_of(path) == place, path
    extras = {"seed": 4, "imageConfig": {"newest": 1, "aspectRatio": "1:1"}}
    assert replace(request, extras=extras).unknown == {
        "seed": "config.seed",
        "imageConfig.newest": None,
        "imageConfig.aspectRatio": "config.imageConfig.aspectRatio",
    }
