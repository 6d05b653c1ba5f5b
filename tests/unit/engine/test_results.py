"""A finished task as it is kept, and as its owner sees it."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from imageway.core.intents import Missing
from imageway.core.requests import RequestWarning
from imageway.engine.memos import KeptTask, Plain, pack_task
from imageway.engine.results import KeptPicture, KeptResult, pack_result, unpack_result, view_of
from imageway.media.links import LinkSigner, Verdict
from imageway.tasks.queries import Attempt, Task
from tests.values import replace

NOW_MS = 1_760_000_000_000
SIGNER = LinkSigner("http://gateway.test", "k1", MappingProxyType({"k1": b"a secret of the tests"}))
RESULT = KeptResult(
    pictures=(KeptPicture("image/png", 10, 20, "req_1-0.png", "a revised cat"), KeptPicture("image/jpeg", 1, 2)),
    price_usd_micros=40_000,
    warnings=(RequestWarning("size_differs", "size", "other pixels"),),
    expires_ms=NOW_MS + 86_400_000,
    missing=(Missing("content_policy_violation", "the provider refused this image"),),
)


def task(state: str, result: bytes, finished_ms: int | None = NOW_MS + 5_999) -> Task:
    return Task(
        id="req_1",
        workspace_id="ws_1",
        key_id="key_1",
        model="m",
        state=state,
        owner="proc_1",
        fence=1,
        request=b"",
        result=result,
        created_ms=NOW_MS + 999,
        deadline_ms=NOW_MS,
        finished_ms=finished_ms,
    )


@pytest.mark.parametrize("result", [RESULT, KeptResult(), KeptResult(error=("request_timeout", "too late"))])
def test_a_result_comes_back_as_it_was(result: KeptResult) -> None:
    assert unpack_result(pack_result(result)) == result


def test_nothing_kept_is_an_empty_result() -> None:
    assert unpack_result(b"") == KeptResult()


@pytest.mark.parametrize(("fields", "operation"), [({}, "generate"), ({"operation": "edit"}, "edit")])
def test_a_view_says_what_was_asked_for(fields: dict[str, Plain], operation: str) -> None:
    asked = pack_task(KeptTask({"model": "m"} | fields, (2, 1), "url", 5))
    view = view_of(replace(task("failed", b""), request=asked), SIGNER, NOW_MS)
    assert (view.operation, view.requested) == (operation, 3)


def test_stored_pictures_are_shown_with_links_that_live_as_long_as_they_do() -> None:
    view = view_of(task("succeeded", pack_result(RESULT)), SIGNER, RESULT.expires_ms - 1)
    (stored,) = view.pictures  # what was only delivered is nowhere to be had
    assert stored.url is not None
    name = SIGNER.name_in(stored.url, NOW_MS)
    assert name == "req_1-0.png"
    query = dict(pair.split("=") for pair in stored.url.partition("?")[2].split("&"))
    assert SIGNER.verify(name, query, RESULT.expires_ms - 1) is Verdict.VALID
    assert SIGNER.verify(name, query, RESULT.expires_ms) is Verdict.EXPIRED
    assert (view.status, view.price_usd_micros, view.created_s, view.finished_s) == (
        "succeeded",
        40_000,
        NOW_MS // 1000,
        NOW_MS // 1000 + 5,
    )
    assert (view.warnings, view.missing) == (RESULT.warnings, RESULT.missing)


def test_what_was_said_beside_the_pictures_is_told_to_who_asks_later() -> None:
    kept = KeptResult(text="Here it is.", seeds=(7, 8))
    view = view_of(task("succeeded", pack_result(kept)), SIGNER, NOW_MS)
    assert (view.text, view.seeds) == ("Here it is.", (7, 8))


def test_no_link_is_shown_to_what_is_gone() -> None:
    view = view_of(task("succeeded", pack_result(RESULT)), SIGNER, RESULT.expires_ms)
    assert (view.status, view.pictures) == ("succeeded", ())


def test_a_running_task_has_nothing_to_show_yet() -> None:
    view = view_of(task("running", b"", finished_ms=None), SIGNER, NOW_MS)
    assert (view.status, view.pictures, view.error, view.finished_s) == ("running", (), None, None)


def test_a_failed_task_says_what_its_caller_was_told() -> None:
    kept = KeptResult(error=("content_policy_violation", "refused"))
    assert view_of(task("failed", pack_result(kept)), SIGNER, NOW_MS).error == ("content_policy_violation", "refused")


def test_a_view_tells_when_it_began_and_how_many_were_asked_for() -> None:
    kept = KeptTask(request={"model": "m"}, counts=(4, 2), form="url", hold_usd_micros=1)
    attempts = tuple(
        Attempt(
            id=f"att_{at_ms}",
            part=0,
            upstream_id="u",
            offering="m",
            state="failed",
            memo=b"",
            detail="",
            at_ms=at_ms,
            deadline_ms=NOW_MS,
        )
        for at_ms in (NOW_MS + 7, NOW_MS + 3)
    )
    running = replace(task("running", b"", None), request=pack_task(kept), attempts=attempts)
    view = view_of(running, SIGNER, NOW_MS)
    assert (view.created_ms, view.started_ms, view.finished_ms) == (NOW_MS + 999, NOW_MS + 3, None)
    assert view.requested == 6
    ended = view_of(task("failed", b""), SIGNER, NOW_MS)
    assert (ended.started_ms, ended.finished_ms, ended.requested) == (None, NOW_MS + 5_999, 1)
