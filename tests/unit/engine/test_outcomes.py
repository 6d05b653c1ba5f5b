"""What became of a task, for who asks as if he had waited: the images as long as they are there, and when they went."""

from __future__ import annotations

from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from imageway.core.errors import GatewayError
from imageway.core.intents import Generated
from imageway.engine.memos import KeptTask, pack_task
from imageway.engine.outcomes import answer_of
from imageway.engine.ports import Tools
from imageway.engine.results import KeptPicture, KeptResult, pack_result
from imageway.tasks.queries import Task
from tests.unit.engine.conftest import NOW_MS

PICTURE = KeptPicture("image/png", 8, 8, name="req_1-0.png")


def task(form: str, *pictures: KeptPicture, expires_ms: int = NOW_MS + 60_000) -> Task:
    kept = KeptTask(
        request={"model": "gpt-image-1", "prompt": "a cat"}, counts=(1,), form=cast("Any", form), hold_usd_micros=1
    )
    result = KeptResult(pictures=pictures, price_usd_micros=1, expires_ms=expires_ms)
    return Task(
        id="req_1",
        workspace_id="ws_1",
        key_id="key_1",
        model="gpt-image-1",
        state="succeeded",
        owner="proc_1",
        fence=1,
        request=pack_task(kept),
        result=pack_result(result),
        created_ms=NOW_MS - 10,
        deadline_ms=NOW_MS,
        finished_ms=NOW_MS - 5,
        attempts=(),
    )


async def told(tools: Tools, asked: Task) -> Generated:
    scope = tools.spool.scope()
    try:
        return await answer_of(tools, asked, scope, sandbox=False)
    finally:
        scope.release()


async def refused(tools: Tools, asked: Task) -> tuple[int, str]:
    with pytest.raises(GatewayError) as error:
        await told(tools, asked)
    return error.value.kind.status, error.value.message


async def test_links_and_bytes_as_they_were_asked_for(tools: Tools) -> None:
    cast("Any", tools.objects).contents["req_1-0.png"] = b"a picture"
    (linked,) = (await told(tools, task("url", PICTURE))).pictures
    assert linked.url is not None
    assert "/req_1-0.png?" in linked.url
    (carried,) = (await told(tools, task("b64_json", PICTURE))).pictures
    assert carried.url is None
    assert carried.blob is not None
    assert carried.blob.decoded_bytes == len(b"a picture")


@pytest.mark.parametrize("form", ["url", "b64_json"])
async def test_no_link_leads_to_a_picture_that_its_owner_deleted(tools: Tools, form: str) -> None:
    """Nor is it read, although the store may still have it."""
    cast("Any", tools.objects).contents["req_1-0.png"] = b"a picture"
    gone = KeptPicture("image/png", 8, 8, name="req_1-0.png", deleted=True, deleted_ms=NOW_MS - 1000)
    assert await refused(tools, task(form, PICTURE, gone)) == (
        410,
        "an image of this task was deleted at 2025-10-09T08:53:19Z",
    )


@pytest.mark.parametrize("form", ["url", "b64_json"])
async def test_what_expired_says_when(tools: Tools, form: str) -> None:
    status, message = await refused(tools, task(form, PICTURE, expires_ms=NOW_MS))
    assert (status, message) == (410, "the images of this task expired at 2025-10-09T08:53:20Z")


async def test_what_the_store_does_not_have_is_gone_too(tools: Tools) -> None:
    """Nobody is told that it was deleted: the log says what an operator may have to look at."""
    with capture_logs() as logs:
        told_now = await refused(tools, task("b64_json", PICTURE))
    assert told_now == (410, "an image of this task is not in the media store any more")
    (entry,) = logs
    assert (entry["event"], entry["log_level"]) == ("media.failed", "error")
    assert "req_1-0.png" in entry["detail"]
    assert "share one media store" in entry["detail"]
