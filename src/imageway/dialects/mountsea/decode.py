"""A request at one of MountSea's paths becomes an intent, or InvalidRequest with everything that is wrong with it. A
generation is always a task: it is answered at once, and asked for later."""

from __future__ import annotations

from typing import Any, Final

from imageway.core.blobs import Tree
from imageway.core.errors import InvalidRequest
from imageway.core.intents import Generate, Inbound, Intent, ShowTask
from imageway.core.requests import ImageInput, ImageLink, ImageRequest, Operation
from imageway.dialects.mountsea.fields import EXTREME, FAMILY, GENERATION, HUB, RATIOS
from imageway.dialects.mountsea.models import NARROW, ONE_SIZE, USUAL, edits, model_of, plain
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.headers import read_manner
from imageway.dialects.shared.images import by_light, unread
from imageway.dialects.shared.reading import concluded, read_geometry, read_object
from imageway.dialects.shared.written import Written

FILE_BYTES: Final = 10 * 1024 * 1024  # of each linked image
LINKS: Final = ("http://", "https://")
OWN: Final = "gemini"  # the shapes of answers: of the older family of paths, and of the newer
NEWER: Final = "hub"


def decode(inbound: Inbound) -> Intent:
    """Raises InvalidRequest with every problem at once; what only the model can judge is left to the catalog."""
    match inbound.route:
        case "result":
            return _read_poll(inbound)
        case "task":
            return ShowTask(inbound.params["task_id"], shape=NEWER)
        case "hub":
            return _decode_generate(inbound, Written(HUB, Findings()), shape=NEWER)
    return _decode_generate(inbound, Written(GENERATION, Findings()), shape=OWN)


def _read_poll(inbound: Inbound) -> ShowTask:
    task_id, findings = inbound.query.get("taskId", "").strip(), Findings()
    if not task_id:
        findings.missing("taskId", "taskId is missing: name the task in the query, ?taskId=…")
        raise InvalidRequest(*findings.problems)
    return ShowTask(task_id, shape=OWN)


def _decode_generate(inbound: Inbound, written: Written, *, shape: str) -> Generate:
    findings, place = written.findings, "input." if shape == NEWER else ""
    manner = read_manner(inbound, findings)
    body = read_object(inbound, findings)
    written.read(body)
    name: str = written.values.get("model", "").strip() or ("" if shape == NEWER else USUAL)
    if not name:
        _miss(findings, "model", "name the model that should draw")
    if shape == OWN and "action" not in written.values:
        _miss(findings, "action", "accepted: edit, generate")
    must_edit = written.values.get("action") == "edit" or edits(name) or "mask" in written.values
    model = _own_name(inbound, name)
    if not model:
        _check_sizes(written, name)
    request = _build(written, model or model_of(name), place)
    if must_edit and not request.images:
        _miss(findings, f"{place}image_urls", "an edit needs an image", code="image_required")
    intent = Generate(request=request, form="url", background=True, shape=shape, **manner)
    unreadable = ("input",) if place and not isinstance(body.get("input"), dict | None) else ()
    return concluded(intent, findings, conversation=unreadable, image=f"{place}image_urls" if must_edit else None)


def _own_name(inbound: Inbound, name: str) -> str:
    """The name, with or without its ending, if a model goes by it here: of the catalog, or as the caller's workspace
    has set it, which counts before the page. Else empty."""
    return next((each for each in (name, plain(name)) if inbound.family_of(each) is not None), "")


def _miss(findings: Findings, path: str, message: str, code: str = "missing_required_parameter") -> None:
    """Silent where something was found wrong there, or with the object that it should stand in."""
    wrong = {(problem.param or "").partition("[")[0] for problem in findings.problems}
    if not wrong & {path, path.partition(".")[0]}:
        findings.problem(code, path, f"{path} is missing: {message}")


def _check_sizes(written: Written, name: str) -> None:
    """What the pages say of single models."""
    values, spelled, findings = written.values, written.spelled, written.findings
    geometry = values.get("geometry")
    if geometry is not None and geometry.ratio in EXTREME and plain(name) in NARROW:
        findings.wrong(spelled["geometry"], geometry.ratio, RATIOS)
    if "tier" in values and plain(name) in ONE_SIZE:
        findings.ignored(spelled["tier"], f"{name} has one resolution alone")
        written.forget("tier")


def _build(written: Written, model: str, place: str) -> ImageRequest:
    values, spelled, findings = written.values, written.spelled, written.findings
    if not values.get("prompt", "").strip():
        _miss(findings, f"{place}prompt", "say what the image should show")
    images = _read_links(values.get("links"), spelled.get("links", ""), findings)
    mask = by_light(_read_link(values["mask"], spelled["mask"], findings)) if "mask" in values else None
    worked_out: dict[str, Any] = {
        "model": model,
        "family": FAMILY,
        "operation": Operation.EDIT if images else Operation.GENERATE,
        "images": images,
        "mask": mask,
        "geometry": read_geometry(written),
    }
    return ImageRequest(**written.direct() | worked_out)


def _read_links(value: Tree, path: str, findings: Findings) -> tuple[ImageInput, ...]:
    """One or a list of them, in the order written."""
    if not isinstance(value, list):
        return () if value is None else (_read_link(value, path, findings),)
    present = ((index, each) for index, each in enumerate(value) if each is not None)
    return tuple(_read_link(each, f"{path}[{index}]", findings) for index, each in present)


def _read_link(value: Tree, path: str, findings: Findings) -> ImageLink:
    if isinstance(value, str) and value[:8].lower().startswith(LINKS):
        return ImageLink(value, path, max_bytes=FILE_BYTES)
    findings.wrong(path, value, ("an http(s) URL",), code="invalid_image_url")
    return unread(path)
