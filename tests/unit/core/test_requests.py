"""A request in words no provider owns: how its caller named what is in it."""

from __future__ import annotations

from imageway.core.requests import ImageRequest


def test_fields_that_no_family_knows_are_named_by_their_whole_path() -> None:
    extras = {"newest": 1, "generationConfig": {"imageConfig": {"mood": "calm"}, "list": [{"a": 1}]}, "empty": {}}
    request = ImageRequest(model="m", extras=extras)
    assert request.unknown == ("newest", "generationConfig.imageConfig.mood", "generationConfig.list", "empty")
    assert ImageRequest(model="m").unknown == ()
