"""Whoever prefers not to wait for images gets a task, in every format (RFC 7240): also where the format itself knows
none. How a preference is read, and what the receipt of a task looks like, is for whoever knows such a format to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace

from imageway.core.errors import InvalidRequest
from imageway.core.intents import Answer, Generate, Inbound, Intent, Outcome, TaskView
from imageway.dialects.shared.findings import Findings

Encode = Callable[[Intent, Outcome], Answer]


class Pace(Protocol):
    """How soon an answer is wanted: a task at once, unless the images come within `wait_s`."""

    @property
    def background(self) -> bool: ...
    @property
    def wait_s(self) -> float: ...


def preferring(
    decode: Callable[[Inbound], Intent], read_pace: Callable[[Inbound, bool | None, Findings], Pace]
) -> Callable[[Inbound], Intent]:
    """`decode`, with what the caller prefers; a format's own way to ask for a task wins."""

    def decoded(inbound: Inbound) -> Intent:
        if "prefer" not in inbound.headers:
            return decode(inbound)
        findings = Findings()
        pace = read_pace(inbound, None, findings)
        try:
            intent = decode(inbound)
        except InvalidRequest as refused:
            raise InvalidRequest(*refused.details, *findings.problems, partial=refused.partial) from None
        if not isinstance(intent, Generate) or intent.background:
            return intent
        if findings.problems:
            raise InvalidRequest(*findings.problems, partial=intent)
        told = (*intent.warnings, *findings.warnings)
        return replace(intent, background=pace.background, wait_s=pace.wait_s, warnings=told)

    return decoded


def receiving(encode: Encode, receipt: Encode) -> Encode:
    """`encode` of a format without tasks, with another's `receipt` of one."""

    def encoded(intent: Intent, outcome: Outcome) -> Answer:
        return (receipt if isinstance(outcome, TaskView) else encode)(intent, outcome)

    return encoded
