"""Parts of answers that are the same in every dialect: headers that tell of the request, warnings, problems."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError, Problem
from imageway.core.intents import Generated, TaskView
from imageway.core.requests import RequestWarning

Headers = tuple[tuple[str, str], ...]
MOST_WARNING_CHARS: Final = 4096  # of the header: proxies refuse heads of more than 8 KiB


def told(outcome: Generated) -> Headers:
    """The headers of a generation: its id, whether a pretend upstream drew it, the seed of each image, and what was not
    honoured."""
    label = (("x-imageway-sandbox", "true"),) if outcome.sandbox else ()
    return (("x-request-id", outcome.request_id), *label, *told_beside(outcome))


def told_beside(outcome: Generated | TaskView) -> Headers:
    """What a format's bodies have no place for: `x-imageway-seeds`, "7,8" in the order of the images, and warnings."""
    seeds = (("x-imageway-seeds", ",".join(map(str, outcome.seeds))),) if outcome.seeds else ()
    return (*seeds, *warnings_header(outcome.warnings))


def in_place(made: Sequence[Tree], lost: Iterable[tuple[int | None, Tree]]) -> list[Tree]:
    """What was made, in its order, with each of the lost at its own place from 0; those without one stand last."""
    row = list(made)
    for place, entry in sorted(lost, key=lambda each: sys.maxsize if each[0] is None else each[0]):
        row.insert(len(row) if place is None else place, entry)
    return row


def warnings_header(warnings: Sequence[RequestWarning]) -> Headers:
    """`x-imageway-warnings`: `[{code, param, message}]` as ASCII JSON, where a format's bodies have no place for it. As
    many as fit; a last entry says when there were more."""
    if not warnings:
        return ()
    entries = warnings_list(warnings)
    text = json.dumps(entries)
    while len(text) > MOST_WARNING_CHARS and len(entries) > 1:
        entries = [*entries[: max(1, len(entries) // 2)]]
        more = {"code": "more_warnings", "param": None, "message": "more of this request was not honoured"}
        text = json.dumps([*entries, more])
    return (("x-imageway-warnings", text),)


def warnings_list(warnings: Sequence[RequestWarning]) -> list[Tree]:
    return [{"code": each.code, "param": each.param, "message": each.message} for each in warnings]


def problems_list(problems: Sequence[Problem]) -> list[Tree]:
    return [
        {"param": each.param, "code": each.code, "message": each.message, "accepted": list(each.accepted)}
        for each in problems
    ]


def error_headers(request_id: str, error: GatewayError) -> Headers:
    """What every client library may look at, whatever the body: the id, when to come again, whether to send again."""
    headers = [("x-request-id", request_id)]
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after_s)))))
    if not error.resend:
        headers.append(("x-should-retry", "false"))
    if error.kind.status == 401:
        headers.append(("www-authenticate", 'Bearer realm="Imageway"'))
    return tuple(headers)
