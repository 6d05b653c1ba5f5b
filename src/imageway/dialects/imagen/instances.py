"""The one instance of a prediction: a prompt, images to edit by their roles, or one image to make larger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.requests import ImageInput
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.images import by_light, read_image, unread

FIELDS: Final = ("prompt", "image", "mask", "referenceImages", "reference_images")
MASK: Final = "REFERENCE_TYPE_MASK"
TYPES: Final = (
    "REFERENCE_TYPE_RAW",
    MASK,
    "REFERENCE_TYPE_STYLE",
    "REFERENCE_TYPE_SUBJECT",
    "REFERENCE_TYPE_CONTROL",
    "REFERENCE_TYPE_CONTENT",
)
BYTES: Final = ("bytesBase64Encoded", "bytes_base64_encoded")
ELSEWHERE: Final = ("gcsUri", "gcs_uri")
FORMS: Final = ("{bytesBase64Encoded}",)
ITS_OWN: Final = ("MASK_MODE_DEFAULT", "MASK_MODE_USER_PROVIDED", None)  # masks that come along


@dataclass(slots=True)
class Instance:
    """What the one instance says, while it is read."""

    prompt: str | None = None
    images: tuple[ImageInput, ...] = ()
    mask: ImageInput | None = None


def read_instances(entries: list[Tree], findings: Findings) -> Instance:
    """Exactly one is taken; an empty one stands in for what could not be read."""
    if len(entries) > 1:
        message = f"instances has {len(entries)} entries; accepted: one"
        findings.problem("invalid_value", "instances", message, ("one entry",))
    first = entries[0] if entries else {}
    if isinstance(first, dict):
        return _read(first, "instances[0]", findings)
    findings.wrong("instances[0]", first, ("an object with a prompt",), code="invalid_type")
    return Instance()


def _read(entry: dict[str, Tree], path: str, findings: Findings) -> Instance:
    found = Instance()
    prompt = entry.get("prompt")
    if isinstance(prompt, str):
        found.prompt = prompt if prompt.strip() else None
    elif prompt is not None:
        findings.wrong(f"{path}.prompt", prompt, ("a string",), code="invalid_type")
    if entry.get("image") is not None:
        found.images = (_read_picture(entry["image"], f"{path}.image", findings),)
    mask = entry.get("mask")
    if mask is not None:
        inner = isinstance(mask, dict) and mask.get("image") is not None
        value, place = (
            (mask["image"], f"{path}.mask.image") if inner and isinstance(mask, dict) else (mask, f"{path}.mask")
        )
        found.mask = by_light(_read_picture(value, place, findings))
    for name in ("referenceImages", "reference_images"):
        if entry.get(name) is not None:
            _read_references(entry[name], f"{path}.{name}", found, findings)
    findings.unknown(entry, FIELDS, path)
    return found


def _read_references(value: Tree, path: str, found: Instance, findings: Findings) -> None:
    for index, reference in enumerate(value if isinstance(value, list) else [value]):
        place = f"{path}[{index}]"
        if isinstance(reference, dict):
            _read_reference(
                {name: inner for name, inner in reference.items() if inner is not None}, place, found, findings
            )
        else:
            findings.wrong(place, reference, ("an object with referenceImage",), code="invalid_type")


def _read_reference(reference: dict[str, Tree], path: str, found: Instance, findings: Findings) -> None:
    type_ = reference.get("referenceType", TYPES[0])
    if type_ not in TYPES:
        findings.wrong(f"{path}.referenceType", type_, TYPES)
    if type_ == MASK:
        _check_mask_mode(reference, path, findings)
    for name, value in reference.items():
        if name.endswith("Config") and name != "maskImageConfig" and value:
            findings.ignored(f"{path}.{name}", "the prompt alone says what to do with the images")
    if "referenceImage" not in reference:
        findings.problem("image_required", path, f"{path}.referenceImage is missing")
        return
    picture = _read_picture(reference["referenceImage"], f"{path}.referenceImage", findings)
    if type_ == MASK:
        found.mask = by_light(picture)
    else:
        found.images += (picture,)


def _check_mask_mode(reference: dict[str, Tree], path: str, findings: Findings) -> None:
    config = reference.get("maskImageConfig")
    mode = config.get("maskMode") if isinstance(config, dict) else None
    if mode not in ITS_OWN:
        accepted = ("MASK_MODE_USER_PROVIDED",)
        findings.wrong(f"{path}.maskImageConfig.maskMode", mode, accepted, code="parameter_not_supported")
    if isinstance(config, dict) and config.get("dilation"):
        findings.ignored(f"{path}.maskImageConfig.dilation", "masks are used as they are")


def _read_picture(value: Tree, path: str, findings: Findings) -> ImageInput:
    """`{bytesBase64Encoded, mimeType}`."""
    if not isinstance(value, dict):
        findings.wrong(path, value, FORMS, code="invalid_type")
        return unread(path)
    held = next((name for name in (*BYTES, *ELSEWHERE) if value.get(name) is not None), None)
    if held is None:
        findings.problem("invalid_image", path, f"{path} holds no image; accepted: {FORMS[0]}", FORMS)
        return unread(path)
    place = f"{path}.{held}"
    if held in ELSEWHERE:
        message = f"{place} names a file in the vendor's storage, which cannot be opened from here"
        findings.problem("invalid_image", place, f"{message}: send bytesBase64Encoded", FORMS)
        return unread(path)
    findings.unknown(value, (held, "mimeType", "mime_type"), path)
    return read_image(value[held], place, findings)
