"""A request in this format becomes an intent, or InvalidRequest with everything that is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from imageway.core.intents import Estimate, Generate, Inbound, Intent, ShowModel, ShowModels, ShowTask
from imageway.core.requests import Geometry, Group, ImageInput, ImageRequest, Operation, Turn
from imageway.dialects.openai_images.fields import FAMILY, TABLE
from imageway.dialects.shared.conversation import Ask, combine, read_turns
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.headers import read_idempotency_key, read_strict
from imageway.dialects.shared.images import read_image, read_images
from imageway.dialects.shared.reading import concluded, read_object
from imageway.dialects.shared.written import Written


def decode(inbound: Inbound) -> Intent:
    """The intent of a request on one of this dialect's routes. Raises InvalidRequest with every problem at once; what
    only the model can judge (ranges, sizes it lacks) is left to the catalog."""
    match inbound.route:
        case "models":
            return ShowModels()
        case "model":
            return ShowModel(inbound.params["id"])
        case "task":
            return ShowTask(inbound.params["id"])
        case "estimate":
            return Estimate(generate=_decode_generate(inbound))
    return _decode_generate(inbound)


def _decode_generate(inbound: Inbound) -> Generate:
    findings = Findings()
    strict, key = read_strict(inbound, findings), read_idempotency_key(inbound, findings)
    body = read_object(inbound, findings)
    written = Written(TABLE, findings)
    written.read(body)
    nested = body.get("input") is not None
    must_edit = inbound.route == "edit"
    request = _build(written, must_edit=must_edit)
    intent = Generate(
        request=request,
        form=written.values.get("form", "b64_json" if nested else None),
        strict=strict,
        idempotency_key=key,
        shape="nested" if nested else "flat",
    )
    image = "image" if must_edit or request.mask else None
    return concluded(intent, findings, conversation=("contents", "input"), image=image)


def _build(written: Written, *, must_edit: bool) -> ImageRequest:
    values, findings = written.values, written.findings
    ask = _ask(written)
    mask = read_image(values["mask"], written.spelled["mask"], findings) if "mask" in values else None
    if not values.get("model", "").strip():
        findings.missing("model", "model is missing: name the model that should draw; GET /v1/models lists them")
    if ask.prompt is None:
        message = "prompt is missing: say what the image should show, in prompt or in contents"
        findings.missing("prompt", message, "contents", "input")
    if not ask.images and (must_edit or mask):
        why = "an edit needs one" if must_edit else "mask only says which part of it to edit"
        message = f"image is missing: {why}"
        findings.missing("image", message, "images", "contents", "input", code="image_required")
    if values.get("streaming"):
        findings.problem("parameter_not_supported", "stream", "stream is true; accepted: false", ("false",))
    worked_out: dict[str, Any] = {
        "model": values.get("model", ""),
        "family": FAMILY,
        "operation": Operation.EDIT if ask.images else Operation.GENERATE,
        "prompt": ask.prompt,
        "images": ask.images,
        "turns": ask.turns,
        "mask": mask,
        "geometry": _geometry(written),
        "group": _group(written),
    }
    return ImageRequest(**written.direct() | worked_out)


def _ask(written: Written) -> Ask:
    values, spelled, findings = written.values, written.spelled, written.findings
    turns: tuple[Turn, ...] = ()
    if "contents" in values:
        turns = read_turns(values["contents"], spelled["contents"], findings)
    images: tuple[ImageInput, ...] = ()
    for target in ("images_top", "images_listed"):
        images += read_images(values.get(target), spelled.get(target, target), findings)
    return combine(values.get("prompt"), images, turns, findings)


def _geometry(written: Written) -> Geometry | None:
    """`size` with the tier that `image_size` names; "auto" beside a tier leaves only the rest to the model."""
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


def _group(written: Written) -> Group | None:
    limit: int | None = written.values.get("max_images")
    if written.values.get("grouped") == "auto":
        return Group(limit)
    if limit is not None:
        path = written.spelled["max_images"]
        written.findings.ignored(path, 'it counts only beside sequential_image_generation "auto"')
    return None
