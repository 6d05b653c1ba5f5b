"""A request as Ark's clients send it becomes an intent, or InvalidRequest with everything that is wrong with it."""

from __future__ import annotations

from typing import Any, Final

from imageway.catalog.checking import USUAL_GROUP
from imageway.core.intents import Generate, Inbound, Intent, ShowModels
from imageway.core.requests import Group, ImageRequest, Operation
from imageway.dialects.ark.fields import FAMILY, MOST_IN_A_GROUP, TABLE
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.headers import read_manner
from imageway.dialects.shared.images import read_images
from imageway.dialects.shared.reading import concluded, read_object
from imageway.dialects.shared.written import Written

LIMIT: Final = "sequential_image_generation_options.max_images"


def decode(inbound: Inbound) -> Intent:
    """The intent of a request. Images come back as URLs where the caller does not say otherwise. Raises InvalidRequest
    with every problem at once; what only the model can judge is left to the catalog."""
    if inbound.route == "models":
        return ShowModels()
    findings = Findings()
    manner = read_manner(inbound, findings)
    written = Written(TABLE, findings)
    written.read(read_object(inbound, findings))
    intent = Generate(request=_build(written), form=written.values.get("form", "url"), **manner)
    return concluded(intent, findings, conversation=())


def _build(written: Written) -> ImageRequest:
    values, findings = written.values, written.findings
    images = read_images(values.get("inputs"), "image", findings)
    if not values.get("model", "").strip():
        findings.missing("model", "model is missing: name the model that should draw; GET /api/v3/models lists them")
    if not values.get("prompt", "").strip():
        findings.missing("prompt", "prompt is missing: say what the image should show")
    if values.get("layers"):
        message = "layer_decomposition is true: images are not taken apart into layers here; accepted: false"
        findings.problem("parameter_not_supported", "layer_decomposition", message, ("false",))
    worked_out: dict[str, Any] = {
        "model": values.get("model", ""),
        "family": FAMILY,
        "operation": Operation.EDIT if images else Operation.GENERATE,
        "images": images,
        "group": _group(written),
    }
    return ImageRequest(**written.direct() | worked_out)


def _group(written: Written) -> Group | None:
    """The vendor makes up to fifteen images where nobody names a number; here nobody's wallet is held for so many
    without his knowing."""
    limit: int | None = written.values.get("max_images")
    if written.values.get("grouped") != "auto":
        if limit is not None:
            written.findings.ignored(LIMIT, 'it counts only beside sequential_image_generation "auto"')
        return None
    if limit is None:
        message = f"{LIMIT} is absent: at most {USUAL_GROUP} images are made here, not up to {MOST_IN_A_GROUP}"
        written.findings.warn("group_reduced", LIMIT, message)
    return Group(limit)
