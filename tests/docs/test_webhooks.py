"""What the page on webhooks says of events and pauses is what the code does."""

from __future__ import annotations

import json
import re

from imageway.engine.courier import JITTER, RETRY_AFTER_S
from imageway.engine.settings import EngineSettings
from imageway.tasks.webhooks import EVENTS
from tests.docs.pages import DOCS, fences, first_words, section
from tests.docs.shapes import shape

PAGE = DOCS / "webhooks.md"
UNITS_S = {"s": 1, "min": 60, "h": 3600}


def test_every_event_is_explained_and_no_other() -> None:
    assert set(first_words(section(PAGE, "Who is told"))) == set(EVENTS)


def test_the_task_that_is_sent_is_the_one_that_is_shown() -> None:
    """The sample of a message has what the sample of `GET /v1/tasks/{id}` has."""
    sent = next(json.loads(fence.text)["data"] for fence in fences(PAGE) if '"task.succeeded"' in fence.text[:40])
    answers = [json.loads(fence.text) for fence in fences(DOCS / "api.md") if fence.tag == "answer"]
    assert shape(sent) == shape(next(answer for answer in answers if answer.get("object") == "task"))


def test_the_pauses_are_those_of_the_schedule() -> None:
    (line,) = re.findall(r"^\| pause \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    told = [cell.strip().split() for cell in line.split("|")]
    assert tuple(int(number) * UNITS_S[unit] for number, unit in told) == RETRY_AFTER_S
    assert "up to a fifth longer" in PAGE.read_text()
    assert JITTER == 1 / 5


def test_the_limits_are_those_of_the_settings() -> None:
    settings, text = EngineSettings(), " ".join(PAGE.read_text().split())
    for said in (
        f"within {settings.webhook_deadline_s:g} s",
        f"at most {settings.webhook_wait_longest_s / 3600:g} h",
        f"{settings.webhook_claim_s:g} s after it was made",
        f"{settings.keep_webhooks_s / 86400:g} days",
    ):
        assert said in text, said
