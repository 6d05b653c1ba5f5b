"""A request in this format becomes an intent, or InvalidRequest with everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final

from imageway.core.blobs import Tree
from imageway.core.errors import InvalidRequest
from imageway.core.intents import Estimate, Generate, Inbound, Intent, ShowModel, ShowModels, ShowTask
from imageway.core.requests import Geometry, Group, ImageInput, ImageRequest, Operation, Turn
from imageway.dialects.openai_images.conversation import Ask, combine, read_turns
from imageway.dialects.openai_images.fields import BY_PLACE, TOP, Field
from imageway.dialects.openai_images.findings import Findings, printable, quoted
from imageway.dialects.openai_images.images import read_image, read_images

MOST_UNKNOWN_FIELDS: Final = 64
DIRECT: Final = frozenset(each.name for each in fields(ImageRequest))


@dataclass(slots=True)
class Written:
    """What the caller wrote, by target: the value as its kind read it, and the path where it stood. The kinds in the
    field table vouch for the types; a test holds them against ImageRequest's annotations."""

    findings: Findings
    values: dict[str, Any] = field(default_factory=dict)
    spelled: dict[str, str] = field(default_factory=dict)
    extras: dict[str, Tree] = field(default_factory=dict)

    def read(self, tree: dict[str, Tree], place: str = TOP, prefix: str = "") -> None:
        """Every field of one object, and of the objects in it that hold fields."""
        for name, value in tree.items():
            path = prefix + printable(name)
            known = BY_PLACE.get((place, name))
            if value is None:
                continue
            if known is None:
                self._keep_unknown(name, value, place, path)
            elif (result := known.kind.read(value)) is None:
                self.findings.wrong(path, value, known.kind.accepted, code=known.kind.code(value))
            elif known.target == "container" and isinstance(value, dict):
                self.read(value, name, f"{path}.")
            else:
                self._keep(known, path, result)

    def _keep(self, known: Field, path: str, value: object) -> None:
        if known.target == "unserved":
            if value:
                self.findings.ignored(path, "no model is offered with it here")
        elif known.target in self.values and self.values[known.target] != value:
            other = self.spelled[known.target]
            message = f"{other} and {path} say different things: send one of them"
            self.findings.problem("conflicting_parameters", path, message)
        else:
            self.values.setdefault(known.target, value)
            self.spelled.setdefault(known.target, path)

    def _keep_unknown(self, name: str, value: Tree, place: str, path: str) -> None:
        if place != TOP:
            self.findings.ignored(path, "it is not known here")
        elif len(self.extras) < MOST_UNKNOWN_FIELDS:
            self.extras[name] = value
        else:
            message = f"More than {MOST_UNKNOWN_FIELDS} fields are not known here, {path} among them"
            self.findings.problem("unknown_parameter", path, message)


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
    strict, key = _read_strict(inbound, findings), _read_idempotency_key(inbound, findings)
    body = inbound.body
    if not isinstance(body, dict):
        what = "is missing" if body is None else f"is {quoted(body)}"
        findings.problem("invalid_type", None, f"the body {what}: send a JSON object", ("a JSON object",))
        raise InvalidRequest(*findings.problems)
    written = Written(findings)
    written.read(body)
    nested = body.get("input") is not None
    request = _build(written, must_edit=inbound.route == "edit")
    if findings.problems:
        raise InvalidRequest(*findings.problems)
    return Generate(
        request=request,
        form=written.values.get("form", "b64_json" if nested else None),
        strict=strict,
        idempotency_key=key,
        shape="nested" if nested else "flat",
        warnings=tuple(findings.warnings),
    )


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
        findings.problem("parameter_not_supported", "stream", 'stream is "true"; accepted: false', ("false",))
    direct = {name: value for name, value in values.items() if name in DIRECT}
    direct["model"] = values.get("model", "")
    worked_out: dict[str, Any] = {
        "operation": Operation.EDIT if ask.images else Operation.GENERATE,
        "prompt": ask.prompt,
        "images": ask.images,
        "turns": ask.turns,
        "mask": mask,
        "geometry": _geometry(written),
        "group": _group(written),
        "extras": MappingProxyType(written.extras),
        "spelled": MappingProxyType(_spelled(written)),
    }
    return ImageRequest(**direct | worked_out)


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
    written.spelled.setdefault("geometry", written.spelled["tier"])
    if size is None or size.auto:
        return Geometry(tier=tier)
    if size.tier not in (None, tier):
        paths = written.spelled["geometry"], written.spelled["tier"]
        message = f'{paths[0]} is "{size.tier}" and {paths[1]} is "{tier}": send one of them'
        written.findings.problem("conflicting_parameters", paths[1], message)
    return replace(size, tier=tier)


def _group(written: Written) -> Group | None:
    limit: int | None = written.values.get("max_images")
    if written.values.get("grouped") == "auto":
        return Group(limit)
    if limit is not None:
        path = written.spelled["max_images"]
        written.findings.ignored(path, 'it counts only beside sequential_image_generation "auto"')
    return None


def _spelled(written: Written) -> dict[str, str]:
    """Our field → the caller's name for it, where the two differ."""
    spelled = dict(written.spelled)
    for ours, theirs in SYNONYMS:
        if theirs in spelled:
            spelled.setdefault(ours, spelled[theirs])
    return {ours: theirs for ours, theirs in spelled.items() if ours in DIRECT and ours != theirs}


# Fields that decode works out of others: named after the first of these that the caller wrote.
SYNONYMS: Final = (
    ("group", "grouped"),
    ("prompt", "contents"),
    ("turns", "contents"),
    ("images", "images_top"),
    ("images", "images_listed"),
    ("images", "contents"),
)


def _read_strict(inbound: Inbound, findings: Findings) -> bool:
    value = inbound.headers.get("imageway-strict", "0").strip().lower()
    if value not in STRICT:
        findings.wrong("Imageway-Strict", value, ("1", "0"))
    return STRICT.get(value, False)


STRICT: Final = {"1": True, "true": True, "0": False, "false": False, "": False}


def _read_idempotency_key(inbound: Inbound, findings: Findings) -> str | None:
    key = inbound.headers.get("idempotency-key")
    if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        findings.wrong("Idempotency-Key", key, ("1 to 255 printable ASCII characters",))
    return key
