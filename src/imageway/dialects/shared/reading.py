"""How every decoder begins and ends: a body that holds fields is opened, what fields say together is worked out, and a
request that is wrong somewhere is refused with all that could be read of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from imageway.core.blobs import Tree
from imageway.core.errors import InvalidRequest
from imageway.core.intents import Generate, Inbound
from imageway.core.requests import Geometry, Operation
from imageway.core.steps import FormBody
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.images import unread
from imageway.dialects.shared.written import Written

UNREAD: Final = "?"  # stands in for a text
BODIES: Final = {
    type(None): "null",
    list: "a list",
    bool: "true or false",
    int: "a number",
    float: "a number",
    FormBody: "a form",
}


def read_object(inbound: Inbound, findings: Findings) -> dict[str, Tree]:
    """The body as an object of fields. Raises InvalidRequest where it is anything else."""
    if isinstance(inbound.body, dict):
        return inbound.body
    what = BODIES.get(type(inbound.body), "a string")
    findings.problem("invalid_type", None, f"the body is {what}; send a JSON object", ("a JSON object",))
    raise InvalidRequest(*findings.problems)


def read_geometry(written: Written) -> Geometry | None:
    """The size with the tier that a field of its own names; "auto" beside a tier leaves only the rest to the model."""
    size: Geometry | None = written.values.get("geometry")
    tier: str | None = written.values.get("tier")
    if tier is None:
        return size
    if size is None or size.auto:
        written.rename("tier", "geometry")
        return Geometry(tier=tier)
    if size.tier not in (None, tier):
        one, other = written.said("geometry"), written.said("tier")
        message = f"{one} and {other}: send one of them"
        written.findings.problem("conflicting_parameters", written.spelled["tier"], message)
    return replace(size, tier=tier)


def concluded(
    intent: Generate, findings: Findings, *, conversation: Collection[str], image: str | None = None
) -> Generate:
    """The intent with its warnings. Raises InvalidRequest where something was wrong, with what could be read all the
    same. `conversation`: the fields without which neither text nor images are known. `image`: where one is needed in
    any case."""
    if findings.problems:
        readable = intent.request.model.strip() and not findings.places() & {*conversation}
        raise InvalidRequest(*findings.problems, partial=_with_stand_ins(intent, image) if readable else None)
    return replace(intent, warnings=tuple(findings.warnings)) if findings.warnings else intent


def _with_stand_ins(intent: Generate, image: str | None) -> Generate:
    """For a text and an image whose absence is no news."""
    request = intent.request
    images = (unread(image),) if image is not None and not request.images else request.images
    operation = request.operation
    if operation in (Operation.GENERATE, Operation.EDIT):
        operation = Operation.EDIT if images else Operation.GENERATE
    whole = replace(request, prompt=request.prompt or UNREAD, images=images, operation=operation)
    return replace(intent, request=whole)
