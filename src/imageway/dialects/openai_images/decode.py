"""A request in this format becomes an intent, or InvalidRequest with everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import (
    DeleteImage,
    Estimate,
    Generate,
    Inbound,
    Intent,
    ShowImage,
    ShowModel,
    ShowModels,
    Webhook,
)
from imageway.core.requests import Group, ImageInput, ImageRequest, Operation, Turn
from imageway.core.steps import FormBody
from imageway.dialects.openai_images.fields import FAMILY, IDENTIFIER, TABLE
from imageway.dialects.openai_images.forms import tree_of
from imageway.dialects.openai_images.tasks import read_pace, read_task
from imageway.dialects.shared.conversation import Ask, combine, read_turns
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.headers import read_manner
from imageway.dialects.shared.images import read_image, read_images
from imageway.dialects.shared.reading import concluded, read_geometry, read_object
from imageway.dialects.shared.written import Written

GENERATE: Final = Operation.GENERATE  # asked for by every request, and each look into an enumeration is slow
EDITS: Final = frozenset({"edit", "variation", "deployment_edit", "azure_edit"})
UNPROMPTED: Final = frozenset({Operation.UPSCALE, Operation.REMOVE_BACKGROUND, Operation.VARIATION})


def decode(inbound: Inbound) -> Intent:
    """The intent of a request on one of this dialect's routes. Raises InvalidRequest with every problem at once; what
    only the model can judge (ranges, sizes it lacks) is left to the catalog."""
    match inbound.route:
        case "generate" | "edit":  # nearly all that come
            return _decode_generate(inbound)
        case "models" | "azure_models":
            return ShowModels()
        case "model" | "azure_model":
            return ShowModel(inbound.params["id"])
        case "task" | "tasks" | "cancel" | "events":
            return read_task(inbound)
        case "image" | "thumbnail":
            return ShowImage(inbound.params["id"], thumbnail=inbound.route == "thumbnail")
        case "delete_image":
            return DeleteImage(inbound.params["id"])
        case "estimate":
            return Estimate(generate=_decode_generate(inbound))
    return _decode_generate(inbound)


def _decode_generate(inbound: Inbound) -> Generate:
    findings = Findings()
    manner = read_manner(inbound, findings)
    form = inbound.body
    body = tree_of(form, TABLE, findings) if type(form) is FormBody else read_object(inbound, findings)
    written = Written(TABLE, findings)
    written.read(body)
    if deployment := inbound.params.get("deployment"):
        _name_deployment(written, deployment)
    pace = read_pace(inbound, written.values.get("asynchronous"), findings)
    nested = body.get("input") is not None
    request = _build(written, inbound.route)
    intent = Generate(
        request=request,
        form=written.values.get("form", "b64_json" if nested or request.stream else None),
        background=pace.background,
        wait_s=pace.wait_s,
        webhook=_webhook(written, body),
        shape="nested" if nested else "flat",
        **manner,
    )
    image = "image" if request.operation is not GENERATE or request.mask else None
    return concluded(intent, findings, conversation=("contents", "input"), image=image)


def _webhook(written: Written, body: Mapping[str, Tree]) -> Webhook | None:
    values = written.values
    if "webhook_url" in values:
        return Webhook(values["webhook_url"], values.get("webhook_events", ()), written.spelled["webhook_url"])
    if isinstance(body.get("webhook"), dict):
        written.findings.missing("webhook.url", "webhook.url is missing: name the address to be told", "webhook")
    return None


def _name_deployment(written: Written, deployment: str) -> None:
    """Where the path names the model, the body may repeat it (client libraries do)."""
    said = written.values.setdefault("model", deployment)
    if said != deployment:
        written.findings.warn("model_in_path", "model", f'the path names the model "{deployment}", which was used')
        written.values["model"] = deployment


def _build(written: Written, route: str) -> ImageRequest:
    values, findings = written.values, written.findings
    ask = _ask(written)
    mask = read_image(values["mask"], written.spelled["mask"], findings) if "mask" in values else None
    operation = _operation(written, route, with_images=bool(ask.images))
    if not values.get("model", "").strip():
        findings.missing("model", "model is missing: name the model that should draw; GET /v1/models lists them")
    if ask.prompt is None and operation not in UNPROMPTED:
        message = "prompt is missing: say what the image should show, in prompt or in contents"
        findings.missing("prompt", message, "contents", "input")
    if not ask.images and (operation is not GENERATE or mask):
        why = f"{operation.value} needs one" if operation in UNPROMPTED else "an edit needs one"
        if operation is GENERATE:
            why = "mask only says which part of it to edit"
        findings.missing("image", f"image is missing: {why}", "images", "contents", "input", code="image_required")
    if values.get("scale") and operation is not Operation.UPSCALE:
        findings.ignored(written.spelled["scale"], 'it counts only beside operation "upscale"')
        written.forget("scale")
    geometry = read_geometry(written)
    _identify(written)
    said = written.direct()
    said.update(
        model=values.get("model", ""),
        family=FAMILY,
        operation=operation,
        prompt=ask.prompt,
        images=ask.images,
        turns=ask.turns,
        mask=mask,
        geometry=geometry,
        group=_group(written),
    )
    return ImageRequest(**said)


def _identify(written: Written) -> None:
    """The newer field wins over the older, unless it is empty."""
    values, newer = written.values, written.values.get("identifier")
    if newer is None:
        return
    if not newer:
        written.forget("identifier")
        return
    if values.get("user", newer) != newer:
        written.findings.ignored(written.spelled["user"], f"{IDENTIFIER} says who asks")
    written.rename("identifier", "user")


def _operation(written: Written, route: str, *, with_images: bool) -> Operation:
    """What the path says, else what the field says; images make an edit of what is only called a generation."""
    asked = written.values.get("asked_operation")
    if route == "variation":
        return Operation.VARIATION
    if asked not in (None, GENERATE):
        return Operation(asked)
    return Operation.EDIT if with_images or route in EDITS else GENERATE


def _ask(written: Written) -> Ask:
    values, spelled, findings = written.values, written.spelled, written.findings
    turns: tuple[Turn, ...] = ()
    if "contents" in values:
        turns = read_turns(values["contents"], spelled["contents"], findings)
    images: tuple[ImageInput, ...] = ()
    for target in ("images_top", "images_listed"):
        if target in values:
            images += read_images(values[target], spelled[target], findings)
    return combine(values.get("prompt"), images, turns, findings)


def _group(written: Written) -> Group | None:
    limit: int | None = written.values.get("max_images")
    if written.values.get("grouped") == "auto":
        return Group(limit)
    if limit is not None:
        path = written.spelled["max_images"]
        written.findings.ignored(path, 'it counts only beside sequential_image_generation "auto"')
    return None
