"""A task's answer has a tag; whoever has that answer already is told so (RFC 9110, section 13.1.2)."""

from __future__ import annotations

import pytest

from imageway.core.intents import Inbound, TaskView
from imageway.dialects.openai_images import DIALECT

TASK = TaskView(id="req_1", status="running", model="m", created_s=5)


def status(if_none_match: str | None) -> int:
    headers = {} if if_none_match is None else {"if-none-match": if_none_match}
    inbound = Inbound(route="task", method="GET", path="/v1/tasks/req_1", params={"id": "req_1"}, headers=headers)
    return DIALECT.encode(DIALECT.decode(inbound), TASK).status


def test_who_has_it_gets_no_body() -> None:
    """Weak or strong, one of several, or any at all."""
    whole = DIALECT.encode(DIALECT.decode(Inbound(route="task", method="GET", path="/", params={"id": "req_1"})), TASK)
    tag = dict(whole.headers)["etag"]
    assert whole.status == 200
    assert [status(each) for each in (tag, f"W/{tag}", f'"other", {tag}', "*")] == [304] * 4


@pytest.mark.parametrize("text", [None, "", '"other"', "**"])
def test_everybody_else_gets_it(text: str | None) -> None:
    assert status(text) == 200
