"""A prediction becomes an intent, or InvalidRequest with everything that is wrong with it."""

from __future__ import annotations

from typing import Any

from imageway.core.intents import Generate, Inbound
from imageway.core.requests import ImageRequest, Operation
from imageway.dialects.imagen.fields import FAMILY, REASONS, TABLE
from imageway.dialects.imagen.instances import Instance, read_instances
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.headers import read_manner
from imageway.dialects.shared.reading import concluded, read_geometry, read_object
from imageway.dialects.shared.written import Written


def decode(inbound: Inbound) -> Generate:
    """Raises InvalidRequest with every problem at once; what only the model can judge is left to the catalog."""
    findings = Findings()
    written = Written(TABLE, findings)
    written.read(read_object(inbound, findings))
    asked = read_instances(written.values.get("instances", []), findings)
    larger = written.values.get("mode") == "upscale"
    _check(written, asked, larger=larger)
    intent = Generate(
        request=_build(inbound, written, asked, larger=larger),
        form="b64_json",
        shape=REASONS if written.values.get("reasons") else inbound.route,
        **read_manner(inbound, findings),
    )
    needed = "instances[0].image" if larger or asked.mask else None
    return concluded(intent, findings, conversation=("instances",), image=needed)


def _check(written: Written, asked: Instance, *, larger: bool) -> None:
    findings = written.findings
    if asked.prompt is None and not larger:
        message = "instances[0].prompt is missing: say what the image should show"
        findings.missing("instances[0].prompt", message, "instances")
    if not asked.images and (larger or asked.mask):
        image, what = ("image", "make larger") if larger else ("referenceImages", "edit")
        message = f"instances[0].{image} is missing: there is nothing to {what}"
        findings.missing(f"instances[0].{image}", message, "instances", code="image_required")
    if "scale" in written.values and not larger:
        findings.ignored(written.spelled["scale"], 'it counts only beside mode "upscale"')
        written.forget("scale")


def _build(inbound: Inbound, written: Written, asked: Instance, *, larger: bool) -> ImageRequest:
    operation = Operation.EDIT if asked.images else Operation.GENERATE
    worked_out: dict[str, Any] = {
        "model": inbound.params["model"],
        "family": FAMILY,
        "operation": Operation.UPSCALE if larger else operation,
        "prompt": asked.prompt,
        "images": asked.images,
        "mask": asked.mask,
        "geometry": read_geometry(written),
    }
    return ImageRequest(**written.direct() | worked_out)
