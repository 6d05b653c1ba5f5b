"""Names that some other dialect knows are no inventions: wherever the caller put them, they are told, and stay here."""

from __future__ import annotations

from imageway.core.intents import Estimate, Generate, Inbound, Intent, ShowModel
from imageway.core.requests import ImageRequest, RequestWarning
from imageway.dialects import DIALECTS
from imageway.dialects.foreign import aware
from tests.values import replace

EARLIER = RequestWarning("parameter_ignored", "tools", "tools was not sent")
GENERATE = Generate(request=ImageRequest(model="m", extras={"new": {"aspectRatio": 1}}), warnings=(EARLIER,))


def decoded(intent: Intent) -> Intent:
    return aware(lambda inbound: intent, own={"config", "model"}, foreign={"aspectRatio", "seed"})(Inbound(route="r"))


def with_extras(**extras: object) -> Generate:
    return replace(GENERATE, request=replace(GENERATE.request, extras=extras))  # type: ignore[arg-type]


def test_inventions_stay_as_they_were() -> None:
    """Also with names inside that mean something elsewhere: what is in an invented object is invented."""
    assert decoded(GENERATE) is GENERATE
    assert decoded(ShowModel("m")) == ShowModel("m")


def test_a_name_of_another_format_is_reported_where_it_stood() -> None:
    intent = decoded(with_extras(seed=1, config={"aspectRatio": "1:1", "newer": 2}, model={"seed": 3}, newest=[4]))
    assert isinstance(intent, Generate)
    assert intent.request.extras == {"config": {"newer": 2}, "newest": [4]}
    assert [each.param for each in intent.warnings] == ["tools", "seed", "config.aspectRatio", "model.seed"]
    assert intent.warnings[1].code == "parameter_ignored"
    assert "another format" in intent.warnings[1].message


def test_an_estimate_is_told_the_same() -> None:
    estimate = decoded(Estimate(generate=with_extras(seed=1)))
    assert isinstance(estimate, Estimate)
    assert estimate.generate == decoded(with_extras(seed=1))
    assert not estimate.generate.request.extras


def test_a_name_of_its_own_is_never_another_format_s() -> None:
    """It may stand in a place where this dialect does not read it: then its own family's provider may."""
    intent = decoded(with_extras(config=[1]))
    assert intent == with_extras(config=[1])


def test_every_dialect_knows_what_the_others_know() -> None:
    for name, field in (("openai_images", "generationConfig"), ("ark", "sampleCount")):
        (dialect,) = [each for each in DIALECTS if each.name == name]
        intent = dialect.decode(Inbound(route="generate", body={"model": "m", "prompt": "p", field: 2}))
        assert isinstance(intent, Generate)
        assert not intent.request.extras
        assert [each.param for each in intent.warnings] == [field]


def test_a_field_in_an_object_of_others_is_told_its_place() -> None:
    """Where a field of that name means something: what nobody knows at all is told as before."""
    for name, route, body, told in (
        ("openai_images", "generate", {"contents": [{"parts": [{"text": "p"}], "size": "1K", "bogus": 1}]}, "size"),
        (
            "gemini",
            "v1beta.generate",
            {"contents": [{"parts": [{"text": "p"}], "image_config": {}, "bogus": 1}]},
            "generationConfig.imageConfig",
        ),
    ):
        (dialect,) = [each for each in DIALECTS if each.name == name]
        intent = dialect.decode(Inbound(route=route, params={"model": "m"}, body={"model": "m", **body}))  # type: ignore[dict-item]
        assert isinstance(intent, Generate)
        misplaced, bogus = intent.warnings
        assert (misplaced.code, misplaced.message) == (
            "parameter_ignored",
            f"{misplaced.param} was not sent: its place is {told}",
        )
        assert bogus.message == "contents[0].bogus was not sent: it is not known here"
