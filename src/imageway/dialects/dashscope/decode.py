"""A request in this format becomes an intent, or InvalidRequest with everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from imageway.core.errors import InvalidRequest, Problem
from imageway.core.intents import CancelTask, Generate, Inbound, Intent, ShowTask
from imageway.core.requests import Group, ImageInput, ImageRequest, Operation
from imageway.dialects.dashscope.errors import ASYNC_ONLY, MISSING_URL, NOT_RESOLVED, RESOLVE
from imageway.dialects.dashscope.fields import FAMILY, IMAGES, INSTRUCTIONS, MASKED, TABLE, UPSCALE
from imageway.dialects.dashscope.listing import read_list
from imageway.dialects.dashscope.uploads import read_grant, read_upload
from imageway.dialects.shared.conversation import Ask, combine, read_turns
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.headers import read_manner
from imageway.dialects.shared.images import by_light, read_image, read_images, uploads_in
from imageway.dialects.shared.reading import concluded, read_geometry, read_object
from imageway.dialects.shared.written import Written

EDIT: Final = "edit"
SLASHED: Final = "slashed_"  # before the name of a route that differs in its last slash alone
CONVERSED: Final = {**TABLE.spelling, "prompt": "input.messages", "images": "input.messages"}
READERS: Final[dict[str, Callable[[Inbound], Intent]]] = {
    "task": lambda inbound: ShowTask(inbound.params["id"]),
    "cancel": lambda inbound: CancelTask(inbound.params["id"]),
    "tasks": read_list,
    "grant": read_grant,
    "upload": read_upload,
}


def decode(inbound: Inbound) -> Intent:
    """The intent of a request on one of this dialect's routes. Raises InvalidRequest with every problem at once; what
    only the model can judge (ranges, sizes it lacks) is left to the catalog."""
    return READERS.get(inbound.route.removeprefix(SLASHED), _decode_generate)(inbound)


def _decode_generate(inbound: Inbound) -> Generate:
    findings = Findings()
    background = _asks_for_task(inbound)
    if _enabled(inbound, "x-dashscope-sse"):
        findings.ignored("X-DashScope-SSE", "images are answered at once, as one JSON object")
    manner = read_manner(inbound, findings)
    written = Written(TABLE, findings)
    body = read_object(inbound, findings)
    written.read(body)
    ask = _ask(written)
    unreadable = "input" in findings.places()
    flat = inbound.route in ("text", EDIT)  # where prompt and images are fields of their own
    text = "input" if body.get("input") is None else "input.prompt" if flat else "input.messages"
    image = _look_for_what_is_missing(written, ask, text=text, must_edit=inbound.route == EDIT)
    request = _build(written, ask, flat=flat)
    for link in () if _enabled(inbound, RESOLVE.lower()) else uploads_in(request):
        findings.problem(NOT_RESOLVED, link.param, f"{MISSING_URL} {link.param} needs the header {RESOLVE}: enable")
    intent = Generate(request=request, form="url", background=background, **manner)
    return concluded(intent, findings, conversation=("input",) if unreadable else (), image=image)


def _asks_for_task(inbound: Inbound) -> bool:
    """Only the one path answers synchronously as well. Raises InvalidRequest."""
    if _enabled(inbound, "x-dashscope-async"):
        return True
    if inbound.route != "generate":
        message = "current user api does not support synchronous calls: send the header X-DashScope-Async: enable"
        raise InvalidRequest(Problem("X-DashScope-Async", ASYNC_ONLY, message, ("enable",)))
    return False


def _enabled(inbound: Inbound, header: str) -> bool:
    return inbound.headers.get(header, "").strip().lower() == "enable"


def _ask(written: Written) -> Ask:
    values, spelled, findings = written.values, written.spelled, written.findings
    turns = read_turns(values["contents"], spelled["contents"], findings) if "contents" in values else ()
    images: tuple[ImageInput, ...] = ()
    for target in IMAGES:
        images += read_images(values.get(target), spelled.get(target, target), findings)
    return combine(values.get("prompt"), images, turns, findings)


def _look_for_what_is_missing(written: Written, ask: Ask, *, text: str, must_edit: bool) -> str | None:
    """Where an image would have to stand, if one is needed in any case; `text`: where a text would have to."""
    values, findings = written.values, written.findings
    if not values.get("model", "").strip():
        findings.missing("model", "model is missing: name the model that should draw")
    function, place, mask = values.get("function"), "input.base_image_url", "input.mask_image_url"
    if ask.prompt is None and function != UPSCALE:
        findings.missing(text, f"Field required: {text}: say what the image should show", "input")
    if function == MASKED and "mask" not in values:
        findings.missing(mask, f"Field required: {mask}: its white pixels say where to edit", "input")
    if not must_edit and function is None and "mask" not in values:
        return None
    if not ask.images:
        findings.missing(place, f"Field required: {place}: an edit needs an image", "input", code="image_required")
    return place


def _build(written: Written, ask: Ask, *, flat: bool) -> ImageRequest:
    values, spelled, findings = written.values, written.spelled, written.findings
    upscales = values.get("function") == UPSCALE
    operation = Operation.UPSCALE if upscales else Operation.EDIT if ask.images else Operation.GENERATE
    if values.get("function") in INSTRUCTIONS:
        message = f"{written.said('function')}: it is served as an edit by the prompt alone"
        findings.warn("function_as_instruction", spelled["function"], message)
    if "scale" in values and not upscales:
        findings.ignored(spelled["scale"], f'it counts only beside function "{UPSCALE}"')
        written.forget("scale")
    worked_out: dict[str, Any] = {
        "model": values.get("model", ""),
        "family": FAMILY,
        "operation": operation,
        "prompt": ask.prompt,
        "images": ask.images,
        "turns": ask.turns,
        "mask": by_light(read_image(values["mask"], spelled["mask"], findings)) if "mask" in values else None,
        "geometry": read_geometry(written),
        "names": TABLE.spelling if flat else CONVERSED,
    }
    request = ImageRequest(**written.direct() | worked_out)
    return replace(request, group=Group(request.n), n=None) if values.get("grouped") else request
