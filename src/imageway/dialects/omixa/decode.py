"""A request to the resale gateway becomes an intent, or InvalidRequest with everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from imageway.core.intents import Generate, Inbound, Intent, ShowModels
from imageway.core.requests import ImageData, ImageInput, ImageRequest, Operation
from imageway.dialects.omixa.fields import FAMILY, table_of
from imageway.dialects.omixa.inline import read_inline
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.headers import read_manner
from imageway.dialects.shared.reading import concluded, read_geometry, read_object
from imageway.dialects.shared.written import Written

INLINE_BYTES: Final = 20_971_520  # of all images of a request, decoded


def decode(inbound: Inbound) -> Intent:
    """The intent of a request, read by the table of its model's family; images come back as base64. Raises
    InvalidRequest with every problem at once; what only the model can judge is left to the catalog."""
    if inbound.route == "models":
        return ShowModels()
    findings = Findings()
    manner = read_manner(inbound, findings)
    body = read_object(inbound, findings)
    model = body.get("model")
    written = Written(table_of(inbound.family_of(model) if isinstance(model, str) else None), findings)
    written.read(body)
    intent = Generate(request=_build(written), form="b64_json", **manner)
    return concluded(intent, findings, conversation=())


def _build(written: Written) -> ImageRequest:
    values, findings = written.values, written.findings
    listed = [(index, each) for index, each in enumerate(values.get("inputs", [])) if each is not None]
    images = tuple(read_inline(each, f"input_images[{index}]", findings) for index, each in listed)
    mask = read_inline(values["mask"], "mask", findings) if "mask" in values else None
    _check_total((*images, *([mask] if mask else [])), findings)
    if not values.get("model", "").strip():
        findings.missing("model", "model is missing: name the model that should draw; GET /api/v1/models lists them")
    if not values.get("prompt", "").strip():
        findings.missing("prompt", "prompt is missing: say what the image should show")
    worked_out: dict[str, Any] = {
        "model": values.get("model", ""),
        "family": FAMILY,
        "operation": Operation.EDIT if images else Operation.GENERATE,
        "images": images,
        "mask": mask,
        "geometry": read_geometry(written),
    }
    return ImageRequest(**written.direct() | worked_out)


def _check_total(images: Iterable[ImageInput], findings: Findings) -> None:
    total = sum(image.blob.decoded_bytes for image in images if isinstance(image, ImageData))
    if total > INLINE_BYTES:
        message = f"the inline images have {total:,} bytes in all; at most {INLINE_BYTES:,} are taken"
        findings.problem("image_too_large", "input_images", message, (f"at most {INLINE_BYTES} bytes",))
