"""Before any money: the model is there and allowed, everything wrong is told at once, the order of trying is made, and
the hold covers whatever may come."""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as replace_row
from PIL import Image

from imageway.bodies import blob_of
from imageway.catalog import load, quote
from imageway.catalog.terms import DAY_MS
from imageway.core.errors import GatewayError, InvalidRequest, Problem
from imageway.core.intents import Generate
from imageway.core.requests import (
    Caller,
    Geometry,
    Group,
    ImageData,
    ImageInput,
    ImageLink,
    ImageRequest,
    Operation,
    RequestWarning,
    Turn,
)
from imageway.core.steps import FailureKind
from imageway.core.upstreams import Upstream
from imageway.engine.memos import KeptAsk, KeptTask, plain_fields
from imageway.engine.ports import Tools
from imageway.engine.preparation import (
    Prepared,
    all_images,
    options_again,
    part_counts,
    prepare,
    with_images,
    with_the_rest,
)
from tests.unit.engine.conftest import NOW_MS, StillClock
from tests.values import replace

CALLER = Caller("key_1", "ws_1")


def picture(param: str = "image", size: tuple[int, int] = (64, 64)) -> ImageData:
    out = io.BytesIO()
    Image.new("RGB", size).save(out, "PNG")
    return ImageData(blob_of(out.getvalue()), param)


def request(model: str = "gpt-image-2", **fields: Any) -> ImageRequest:
    return ImageRequest(**{"model": model, "prompt": "a cat", **fields})


def prepared(tools: Tools, asked: ImageRequest, *, caller: Caller = CALLER, **intent: Any) -> Prepared:
    return prepare(tools, Generate(request=asked, **intent), caller)


def refused(tools: Tools, asked: ImageRequest, *, caller: Caller = CALLER, **intent: Any) -> GatewayError:
    with pytest.raises(GatewayError) as told:
        prepared(tools, asked, caller=caller, **intent)
    return told.value


def at(provider: str, number: int = 1, **values: Any) -> Upstream:
    address = f"https://{provider}-{number}.test"
    return Upstream(
        **{"id": f"{provider}-{number}", "provider": provider, "base_url": address, "auth": "bearer", **values}
    )


# Which model


def test_an_unknown_model_is_a_404_with_the_names_that_come_closest(tools: Tools) -> None:
    error = refused(tools, request("gpt-imag-1"))
    assert (error.code, error.kind.status, error.param) == ("model_not_found", 404, "model")
    assert '"gpt-imag-1"' in error.message
    assert error.details[0].accepted[0] == "gpt-image-1"
    assert "gpt-image-1" in error.message


def test_a_name_like_nothing_is_told_without_a_guess(tools: Tools) -> None:
    assert refused(tools, request("zzzzzz")).message == 'there is no model "zzzzzz"'


@pytest.mark.parametrize("models", [("gpt-image-2",), ("gpt-*",), ("other", "gpt-image-2-2026-*"), ()])
def test_a_key_may_use_what_its_patterns_match(tools: Tools, models: tuple[str, ...]) -> None:
    """By id, by alias, or by the name that was called."""
    assert prepared(tools, request(), caller=replace(CALLER, models=models)).model.id == "gpt-image-2"


def test_a_model_out_of_scope_is_a_403_before_anything_is_looked_at(tools: Tools) -> None:
    """Even where the request is wrong in every other way too."""
    error = refused(tools, request(prompt=None, n=99), caller=replace(CALLER, models=("gemini-*",)))
    assert (error.code, error.kind.status) == ("model_not_allowed", 403)


def test_a_former_name_is_served_with_a_word_about_it(tools: Tools) -> None:
    found = prepared(tools, request("gemini-3-pro-image-preview"))
    assert found.model.id == "gemini-3-pro-image"
    assert [warning.code for warning in found.warnings] == ["model_renamed"]


def test_a_retired_model_is_gone_from_its_vendors_own_address(tools: Tools) -> None:
    own = tools.catalog.providers["openai"].base_url
    error = refused(replace(tools, upstreams=(at("openai", base_url=own),)), request("gpt-image-1"))
    assert (error.code, error.kind.status) == ("model_retired", 404)
    assert "gpt-image-2" in error.message


@pytest.mark.parametrize(
    ("name", "successor"), [("dall-e-3", "gpt-image-2"), ("imagen-3.0-generate-002", "gemini-3.1-flash-image")]
)
def test_an_id_that_nobody_sells_any_more_names_its_successor(tools: Tools, name: str, successor: str) -> None:
    error = refused(tools, request(name))
    assert (error.code, error.kind.status, error.details[0].accepted) == ("model_retired", 404, (successor,))
    assert error.message == f'the model "{name}" was retired by its vendor; its successor is {successor}'


def test_a_retired_model_may_live_on_at_a_relay_or_in_the_sandbox(tools: Tools) -> None:
    own = tools.catalog.providers["openai"].base_url
    relay, pretend = at("openai", 2), at("openai", 3, base_url=own, sandbox=True)
    for seller in (relay, pretend):
        found = prepared(replace(tools, upstreams=(seller,)), request("gpt-image-1"))
        assert [option.candidate.upstream.id for option in found.options] == [seller.id]
    found = prepared(replace(tools, upstreams=(at("openai", base_url=own), relay)), request("gpt-image-1"))
    assert [option.candidate.upstream.id for option in found.options] == ["openai-2"]


def test_the_seller_who_honours_most_is_asked_first(tools: Tools) -> None:
    """A format that one of them cannot be asked for is converted to, unless the other gives it; strictly, only he is
    asked. Where both honour all of it, chance decides."""
    both = replace(tools, upstreams=(at("google"), at("vertex")))
    as_jpeg = request("gemini-2.5-flash-image", output_format="jpeg")
    for _ in range(20):
        found = prepared(both, as_jpeg)
        assert [option.candidate.upstream.provider for option in found.options] == ["vertex", "google"]
    found = prepared(both, as_jpeg, strict=True)
    assert [option.candidate.upstream.provider for option in found.options] == ["vertex"]
    plain = [prepared(both, request("gemini-2.5-flash-image")).options[0] for _ in range(40)]
    assert {option.candidate.upstream.provider for option in plain} == {"google", "vertex"}


def test_a_promise_that_only_one_seller_can_give_leaves_him_alone(tools: Tools) -> None:
    nobody = request("gemini-2.5-flash-image", person="dont_allow")
    found = prepared(replace(tools, upstreams=(at("google"), at("vertex"))), nobody)
    assert [option.candidate.upstream.provider for option in found.options] == ["vertex"]
    assert refused(replace(tools, upstreams=(at("google"),)), nobody).code == "parameter_not_supported"


def test_a_model_that_nobody_here_sells_is_a_503(tools: Tools) -> None:
    error = refused(replace(tools, upstreams=(at("google"),)), request())
    assert (error.code, error.kind.status, error.retry_after_s) == ("no_healthy_route", 503, 5)


# What is wrong


def test_everything_wrong_is_told_at_once(tools: Tools) -> None:
    wrong = request(n=11, quality="superb", background="plaid", images=(ImageData(blob_of(b"no image"), "image[0]"),))
    error = refused(tools, wrong)
    assert isinstance(error, InvalidRequest)
    assert {problem.param for problem in error.details} >= {"n", "quality", "background", "image[0]"}
    assert error.message == error.details[0].message


def test_a_size_that_no_candidate_can_make_is_refused(tools: Tools) -> None:
    error = refused(tools, request(geometry=Geometry(width=16, height=4000)))
    assert (error.code, error.kind.status) == ("invalid_size", 400)


def test_a_size_nobody_can_make_is_told_beside_everything_else(tools: Tools) -> None:
    error = refused(tools, request(geometry=Geometry(width=16, height=4000), quality="superb"))
    assert {problem.code for problem in error.details} == {"invalid_size", "invalid_value"}


# What a dialect refused


def told_with_the_rest(tools: Tools, asked: ImageRequest, *problems: Problem, **intent: Any) -> GatewayError:
    """What becomes of a dialect's refusal, given what it could read all the same."""
    left = Generate(request=asked, **intent)
    return with_the_rest(tools, InvalidRequest(*problems, partial=left), CALLER)


N_IS_WRONG = Problem("n", "invalid_value", "n is 0; accepted: an integer from 1 to 10")


def test_a_dialects_problems_and_the_catalogs_are_told_together(tools: Tools) -> None:
    error = told_with_the_rest(tools, request(quality="zz", geometry=Geometry(width=0, height=0)), N_IS_WRONG)
    assert isinstance(error, InvalidRequest)
    assert [problem.param for problem in error.details] == ["n", "quality", "geometry"]
    assert (error.kind.status, error.param, error.message) == (400, "n", N_IS_WRONG.message)


def test_an_unknown_model_is_one_problem_among_others(tools: Tools) -> None:
    error = told_with_the_rest(tools, request("gpt-imag-2"), N_IS_WRONG)
    assert [problem.code for problem in error.details] == ["invalid_value", "model_not_found"]
    assert error.kind.status == 400
    assert error.details[1].accepted[0] == "gpt-image-2"


def test_a_retired_model_is_one_problem_among_others(tools: Tools) -> None:
    own = at("openai", base_url=tools.catalog.providers["openai"].base_url)
    error = told_with_the_rest(replace(tools, upstreams=(own,)), request("gpt-image-1"), N_IS_WRONG)
    assert [problem.code for problem in error.details] == ["invalid_value", "model_retired"]
    assert error.details[1].accepted == ("gpt-image-2",)


def test_what_a_dialect_said_of_a_field_is_not_said_again(tools: Tools) -> None:
    said = Problem("quality", "conflicting_parameters", "two places say different things")
    error = told_with_the_rest(tools, request(quality="zz"), said)
    assert error.details == (said,)


def test_a_refusal_that_leaves_nothing_to_judge_is_told_as_it_is(tools: Tools) -> None:
    refusal = InvalidRequest(N_IS_WRONG)
    assert with_the_rest(tools, refusal, CALLER) is refusal
    fine = InvalidRequest(N_IS_WRONG, partial=Generate(request=request()))
    assert with_the_rest(tools, fine, CALLER) is fine


def test_a_model_out_of_scope_is_a_403_whatever_else_is_wrong(tools: Tools) -> None:
    refusal = InvalidRequest(N_IS_WRONG, partial=Generate(request=request()))
    error = with_the_rest(tools, refusal, replace(CALLER, models=("gemini-*",)))
    assert (error.code, error.kind.status) == ("model_not_allowed", 403)


# Images that were sent


def test_a_broken_input_image_is_told_by_the_callers_own_name(tools: Tools) -> None:
    whole = picture("images[1]")
    content = io.BytesIO()
    Image.new("RGB", (64, 64)).save(content, "PNG")
    cut = ImageData(blob_of(content.getvalue()[:-5]), "images[2]")
    error = refused(tools, request(operation=Operation.EDIT, images=(whole, cut)))
    assert [problem.param for problem in error.details] == ["images[2]"]


# Strict mode


def test_strict_takes_what_is_honoured_to_the_letter(tools: Tools) -> None:
    assert prepared(tools, request(geometry=Geometry(1024, 1024)), strict=True).warnings == ()


def test_strict_refuses_what_would_only_be_warned_about(tools: Tools) -> None:
    odd = request("gemini-3.1-flash-image", geometry=Geometry(1000, 1000))
    assert prepared(tools, odd).options[0].fitted.warnings
    error = refused(tools, odd, strict=True)
    assert isinstance(error, InvalidRequest)
    assert all("Imageway-Strict" in problem.message for problem in error.details)


@pytest.mark.parametrize(
    ("model", "asked", "right"),
    [
        ("gemini-2.5-flash-image", "png", True),
        ("gemini-2.5-flash-image", "webp", False),
        ("gemini-3.1-flash-image", "png", False),
        ("gemini-3.1-flash-image", "jpeg", True),
        ("gpt-image-2", "webp", True),
        ("doubao-seedream-5-0-260128", "png", True),
        ("doubao-seedream-4-0-250828", "png", False),
    ],
)
def test_strict_refuses_a_format_that_never_comes(tools: Tools, model: str, asked: str, right: bool) -> None:
    """Where it is not strict it is converted, and told when it was."""
    wanted = request(model, output_format=asked, spelled={"output_format": "mime_type"})
    assert prepared(tools, wanted).options[0].fitted.warnings == ()
    if right:
        assert prepared(tools, wanted, strict=True).warnings == ()
    else:
        error = refused(tools, wanted, strict=True)
        assert (error.code, error.param) == ("transcoded", "mime_type")
        assert f'"{asked}"' in error.message


def test_strict_prefers_the_seller_who_can_be_asked_for_the_format(tools: Tools) -> None:
    model = tools.catalog.models["gpt-image-2"]
    other = replace_row(model.offerings[0], provider="google", parameters=("quality",))
    both = replace_row(model, offerings=(model.offerings[0], other))
    tools = replace(tools, catalog=replace(tools.catalog, models={**tools.catalog.models, model.id: both}))
    options = prepared(tools, request(output_format="webp"), strict=True).options
    assert [option.candidate.upstream.provider for option in options] == ["openai"]
    assert len(prepared(tools, request(output_format="png"), strict=True).options) == 2


def test_strict_counts_what_the_dialect_could_not_honour(tools: Tools) -> None:
    lost = RequestWarning("parameter_ignored", "style", "style means nothing here")
    assert prepared(tools, request(), warnings=(lost,)).warnings == (lost,)
    assert refused(tools, request(), strict=True, warnings=(lost,)).param == "style"


# Shares, order, price


@pytest.mark.parametrize(
    ("n", "max_n", "counts"),
    [(None, 1, (1,)), (1, 10, (1,)), (4, 1, (1, 1, 1, 1)), (10, 6, (6, 4)), (6, 6, (6,)), (7, 3, (3, 3, 1))],
)
def test_n_is_shared_out_in_as_few_calls_as_there_can_be(n: int | None, max_n: int, counts: tuple[int, ...]) -> None:
    assert part_counts(request(n=n), max_n) == counts


def test_a_group_is_one_call() -> None:
    assert part_counts(request(n=2, group=Group(7)), 1) == (7,)
    assert part_counts(request(group=Group()), 1) == (1,)


def test_the_cooling_upstream_is_tried_last(tools: Tools) -> None:
    tools = replace(tools, upstreams=tuple(at("openai", number) for number in (1, 2, 3)))
    tools.health.failed(("openai-2", "gpt-image-2"), FailureKind.BUSY, now_s=1000, retry_after_s=30)
    for _ in range(20):
        order = [option.candidate.upstream.id for option in prepared(tools, request()).options]
        assert sorted(order) == ["openai-1", "openai-2", "openai-3"]
        assert order[-1] == "openai-2"


@pytest.mark.parametrize(("model", "n"), [("gpt-image-2", 4), ("gemini-3.1-flash-image", 3), ("qwen-image-2.0", 10)])
def test_the_hold_covers_n_times_the_worst(tools: Tools, model: str, n: int) -> None:
    found = prepared(tools, request(model, n=n))
    fitted = found.options[0].fitted
    single = quote(tools.catalog.on(0), found.model, fitted.request, fitted.size, images=1)
    assert found.images == n
    assert found.quote.hold_usd_micros >= found.quote.worst_usd_micros
    assert abs(found.quote.worst_usd_micros - n * single.worst_usd_micros) <= n


def test_the_hold_covers_the_dearest_seller(tools: Tools) -> None:
    """A seller that does not take the quality makes what it likes; it is asked last, and paid for all the same."""
    model = tools.catalog.models["gpt-image-2"]
    careless = replace_row(model.offerings[0], provider="google", parameters=("size",))
    both = replace_row(model, offerings=(model.offerings[0], careless))
    catalog = replace(tools.catalog, models={**tools.catalog.models, model.id: both})
    tools = replace(tools, catalog=catalog)
    asked = request(quality="low", geometry=Geometry(1024, 1024))
    careful_alone = prepared(replace(tools, upstreams=(at("openai"),)), asked).quote.hold_usd_micros
    careless_alone = prepared(replace(tools, upstreams=(at("google"),)), asked).quote.hold_usd_micros
    assert careless_alone > careful_alone
    found = [prepared(tools, asked) for _ in range(20)]
    assert {each.options[0].candidate.upstream.provider for each in found} == {"openai"}
    assert {each.quote.hold_usd_micros for each in found} == {careless_alone}


class ClockAt(StillClock):
    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms


YUAN = """
[[models]]
id = "qwen-image-2.0"
minimum_hold = "0"
prices = [{ per = "image", amount = "0.2", currency = "CNY" }]
"""


def rate(usd: str, effective: str) -> str:
    about = f'usd = "{usd}"\neffective = "{effective}"\nsource = "bank"\nchecked = "2026-11-20"'
    return f'[[rates]]\ncurrency = "CNY"\n{about}\n'


def test_yuan_are_quoted_by_the_rate_of_the_day(tools: Tools, tmp_path: Path) -> None:
    """One that begins tomorrow changes nothing today, and one that began long ago holds until it is superseded."""
    (tmp_path / "own.toml").write_text(
        YUAN + rate("0.2", "2025-10-10") + rate("0.15", "2025-09-01") + rate("0.1", "2025-01-01"), encoding="utf-8"
    )
    assert datetime.fromtimestamp(NOW_MS / 1000, UTC).date().isoformat() == "2025-10-09"
    tools = replace(tools, catalog=load(tmp_path))
    asked = request("qwen-image-2.0", n=2)
    assert prepared(tools, asked).quote.hold_usd_micros == 2 * 30_000
    tomorrow = replace(tools, clock=ClockAt(NOW_MS + DAY_MS))
    assert prepared(tomorrow, asked).quote.hold_usd_micros == 2 * 40_000
    last_year = replace(tools, clock=ClockAt(NOW_MS - 100 * DAY_MS))
    assert prepared(last_year, asked).quote.hold_usd_micros == 2 * 20_000


def test_the_form_is_the_models_own_unless_the_caller_said(tools: Tools) -> None:
    assert prepared(tools, request()).form == "b64_json"
    assert prepared(tools, request("qwen-image")).form == "url"
    assert prepared(tools, request(), form="url").form == "url"


def test_room_is_asked_for_the_largest_answer(tools: Tools) -> None:
    assert prepared(tools, request("gemini-3.1-flash-image")).max_answer_bytes == 67_108_864


# Input images


def test_images_of_a_conversation_come_before_the_flat_ones() -> None:
    first, second, mask, flat = (ImageLink(f"https://x.test/{name}", name) for name in "abmf")
    turns = (Turn("user", ("look", first)), Turn("model", (second,)))
    assert all_images(request(turns=turns, images=(flat,), mask=mask)) == (first, second, mask)
    assert all_images(request(images=(flat,), mask=mask)) == (flat, mask)


def test_fetched_images_take_the_places_of_their_links() -> None:
    """Wherever one stood: in a turn, in the list, as the mask; what was sent stays."""
    linked, mask, sent = ImageLink("https://x.test/a", "a"), ImageLink("https://x.test/m", "m"), picture("sent")
    got: dict[int, ImageData] = {id(linked): picture("a"), id(mask): picture("m")}
    turns = (Turn("user", ("look", linked)),)
    asked = with_images(request(turns=turns, images=(linked, sent), mask=mask), got)
    images: tuple[ImageInput, ...] = (got[id(linked)], sent)
    assert asked.turns == (Turn("user", ("look", got[id(linked)])),)
    assert (asked.images, asked.mask) == (images, got[id(mask)])


# What waited


@pytest.mark.parametrize(
    "asked",
    [
        request(n=3),
        request("doubao-seedream-4-0-250828", group=Group(3)),
        request("gemini-2.5-flash-image", n=2),
    ],
    ids=["several", "a group", "one by one"],
)
def test_what_was_accepted_is_served_by_whoever_would_have_been_asked_at_once(
    tools: Tools, asked: ImageRequest
) -> None:
    accepted = prepared(tools, asked)
    kept = KeptTask(plain_fields(accepted.request), accepted.counts, "url", 5, ask=KeptAsk())
    again = options_again(tools, accepted.model, accepted.request, kept)
    assert {option.candidate.route for option in again} == {option.candidate.route for option in accepted.options}


def test_what_nobody_sells_any_more_is_told(tools: Tools) -> None:
    accepted = prepared(tools, request())
    kept = KeptTask(plain_fields(accepted.request), accepted.counts, "url", 5, ask=KeptAsk())
    with pytest.raises(GatewayError) as told:
        options_again(dataclasses.replace(tools, upstreams=(at("google"),)), accepted.model, accepted.request, kept)
    assert told.value.code == "no_healthy_route"


@pytest.mark.parametrize(
    ("intent", "param"), [({"deadline_s": 86_401}, "Imageway-Deadline"), ({"wait_s": 61}, "Prefer")], ids=str
)
def test_a_caller_may_not_ask_for_more_time_than_there_is(tools: Tools, intent: dict[str, Any], param: str) -> None:
    """Told together with everything else that is wrong."""
    told = refused(tools, request(n=11), **intent)
    assert told.details[0].param == param
    assert len(told.details) > 1
