"""Whether a request makes sense for a model, whoever will serve it: text, images, counts, fields. Everything wrong is
found at once, everything that will not be honoured is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from imageway.catalog.masks import as_read, marks_of
from imageway.catalog.operations import USUAL_SCALE, as_edit
from imageway.catalog.parameters import Asked, Judgement, as_text, asked_in, judge, spelled_in, typed
from imageway.catalog.schema import Inputs, Model
from imageway.core.errors import Problem
from imageway.core.requests import (
    MAX_IMAGES,
    Group,
    ImageData,
    ImageInput,
    ImageRequest,
    MaskForm,
    Operation,
    RequestWarning,
    Turn,
)
from imageway.core.wording import quoted

USUAL_GROUP: Final = 4
_NEEDS_NO_PROMPT: Final = (Operation.UPSCALE, Operation.REMOVE_BACKGROUND, Operation.VARIATION)
_PAINTS: Final = frozenset({"generate", "edit"})
_OMITTED: Final = Judgement(None)  # a word that stands for saying nothing
_NOTHING_ASKED: Final = {("stream", False), ("partial_images", 0)}  # what happens anyway
_OPAQUE: Final = ("jpeg", "bmp")
_FIRST_WIDE_CHARACTER: Final = "\u2e80"  # Han, kana, hangul and their punctuation all lie above

Finding = Problem | RequestWarning


class Checked(Struct, frozen=True):
    """`request` as any offering of the model may be given it, by the model's own id. `problems` non-empty: refuse,
    naming them all."""

    request: ImageRequest
    warnings: tuple[RequestWarning, ...]
    problems: tuple[Problem, ...]


def check(model: Model, request: ImageRequest) -> Checked:
    """Everything about a request that does not depend on who serves it. Never raises."""
    request, flattened = _without_turns(model, request)
    request, told = as_edit(model, request)
    request, idle = _without_idle_prompt(request)
    request, about_mask = as_read(model, request)
    images = images_of(request)
    findings: list[Finding] = [*flattened, *told, *idle, *about_mask, *_prompt_findings(model, request)]
    if images or request.mask is not None or request.operation is not Operation.GENERATE or model.inputs.minimum:
        findings += _image_findings(model, request)
        findings += _shape_findings(model.inputs, images)
    if request.n is not None:
        findings += _count_problems(request)
    if request.group is not None:
        findings += _group_findings(model, request)
        request = _with_whole_group(model, request)
    request, about_fields = _fields(model, request)
    findings += about_fields
    return Checked(
        request if request.model == model.id else replace(request, model=model.id),
        tuple(finding for finding in findings if isinstance(finding, RequestWarning)) if findings else (),
        tuple(finding for finding in findings if isinstance(finding, Problem)) if findings else (),
    )


def images_of(request: ImageRequest) -> tuple[ImageInput, ...]:
    """The input images a model would be given, the mask aside: the conversation's where there is one."""
    return _images_in(request.turns) if request.turns else request.images


# Conversations and text


def _without_turns(model: Model, request: ImageRequest) -> tuple[ImageRequest, tuple[RequestWarning, ...]]:
    """For models that know one prompt and its images: the users' texts, their images and the last one of the model."""
    if not request.turns or model.turns:
        return request, ()
    prompt = request.prompt if request.prompt is not None else _user_text(request.turns)
    flat = replace(request, turns=(), prompt=prompt, images=request.images or _images_for_one_turn(request.turns))
    if len(request.turns) == 1:
        return flat, ()
    param = request.param("turns")
    message = f"{model.id} has no conversations: {len(request.turns)} entries of {param} became one prompt"
    return flat, (RequestWarning("contents_flattened", param, message),)


def _user_text(turns: tuple[Turn, ...]) -> str | None:
    texts = [part for turn in turns if turn.role != "model" for part in turn.parts if isinstance(part, str)]
    return "\n".join(texts) or None


def _images_in(turns: tuple[Turn, ...]) -> tuple[ImageInput, ...]:
    return tuple(part for turn in turns for part in turn.parts if not isinstance(part, str))


def _images_for_one_turn(turns: tuple[Turn, ...]) -> tuple[ImageInput, ...]:
    of_model = _images_in(tuple(turn for turn in turns if turn.role == "model"))
    stale = {id(image) for image in of_model[:-1]}
    return tuple(image for image in _images_in(turns) if id(image) not in stale)


def _without_idle_prompt(request: ImageRequest) -> tuple[ImageRequest, tuple[RequestWarning, ...]]:
    """A model that enlarges by itself follows the image alone."""
    if request.operation is not Operation.UPSCALE or not request.prompt:
        return request, ()
    param = request.param("prompt")
    message = f"{param} was not sent: an upscale follows its image alone"
    return replace(request, prompt=None), (RequestWarning("parameter_ignored", param, message),)


def _prompt_findings(model: Model, request: ImageRequest) -> Iterator[Finding]:
    text = request.prompt or _user_text(request.turns) or ""
    limit = model.prompt_max_chars
    if not text.strip():
        if request.operation not in _NEEDS_NO_PROMPT:
            param = request.param("prompt")
            yield Problem(param, "missing_required_parameter", f"{param} is missing: say what the image should show")
    elif len(text) > limit:
        param = request.param("prompt")
        message = f"{param} has {len(text):,} characters; {model.id} takes at most {limit:,}"
        yield Problem(param, "prompt_too_long", message, (f"at most {limit} characters",))
    elif advice := _prompt_advice(model, text):
        param = request.param("prompt")
        yield RequestWarning("advice", param, f"{param} is long: {model.id} is meant for at most {advice}")


def _prompt_advice(model: Model, text: str) -> str | None:
    """The vendor's advice that this prompt does not follow."""
    chars, words = model.prompt_advice_chars, model.prompt_advice_words
    if words is None:
        return f"{chars:,} characters" if chars is not None and len(text) > chars else None
    if chars is not None and sum(character >= _FIRST_WIDE_CHARACTER for character in text) > chars:
        return f"{chars:,} characters"
    return f"{words:,} words" if len(text.split()) > words else None


# Input images


def _image_findings(model: Model, request: ImageRequest) -> Iterator[Problem]:
    images = images_of(request)
    limit = model.inputs.maximum
    param = images[0].param if images else request.param("images")
    what = request.operation.value
    if what not in model.operations and (request.operation in _NEEDS_NO_PROMPT or not _PAINTS & {*model.operations}):
        yield Problem(
            request.named("operation"),
            "operation_not_supported",
            f'{model.id} does not know the operation "{what}"',
            tuple(model.operations),
        )
        return
    if not limit and (images or request.operation is Operation.EDIT):
        message = f"{model.id} takes no input images{_instead(model.edit_model)}"
        yield Problem(param, "image_not_supported", message, _only(model.edit_model))
    elif len(images) > limit:
        message = f"{len(images)} input images are too many; {model.id} takes at most {limit}"
        yield Problem(images[limit].param, "too_many_images", message, (f"at most {limit} images",))
    elif len(images) < model.inputs.minimum:
        short = f"{len(images)} input images are too few" if images else f"{param} is missing"
        message = f"{short}: {model.id} edits images and needs {model.inputs.minimum}{_instead(model.text_model)}"
        yield Problem(param, "image_required", message, _only(model.text_model))
    elif not images and request.operation is not Operation.GENERATE:
        yield Problem(param, "image_required", f"{param} is missing: there is nothing to {what}")
    if request.mask is not None and not (model.inputs.mask or model.inputs.mask_instruction):
        yield Problem(request.mask.param, "parameter_not_supported", f"{model.id} takes no mask")
    elif request.mask is not None and not images:
        message = f"{param} is missing: {request.mask.param} only says which part of it to edit"
        yield Problem(param, "image_required", message)
    else:
        yield from arrival_problems(model.inputs, request)


def arrival_problems(limits: Inputs, request: ImageRequest) -> Iterator[Problem]:
    """What is wrong with the images as they belong together, as far as their headers say; what is only linked says
    nothing yet."""
    yield from _mask_problems(limits, request)
    yield from _upscale_problems(limits, request)


def _upscale_problems(limits: Inputs, request: ImageRequest) -> Iterator[Problem]:
    first, most = next(iter(images_of(request)), None), limits.max_upscaled_pixels
    facts = first.blob.facts if isinstance(first, ImageData) else None
    if request.operation is not Operation.UPSCALE or most is None or first is None or facts is None:
        return
    factor = request.scale or USUAL_SCALE
    if facts.width * facts.height * factor**2 > most:
        made = f"{facts.width * factor}x{facts.height * factor}"
        message = (
            f"{first.param} has {facts.width}x{facts.height} pixels and would have {made}; at most {most:,} in all"
        )
        yield Problem(first.param, "image_too_large", message, (f"at most {most // factor**2} pixels",))


def _mask_problems(limits: Inputs, request: ImageRequest) -> Iterator[Problem]:
    first, mask = next(iter(images_of(request)), None), request.mask
    for image in (*images_of(request), mask):
        facts = image.blob.facts if isinstance(image, ImageData) else None
        if image is None or facts is None or not (image is mask or image.marks):
            continue
        if limits.mask_formats and not image.wanted and facts.format not in limits.mask_formats:
            message = f'{image.param} is "{facts.format}"; accepted: {", ".join(limits.mask_formats)}'
            yield Problem(image.param, "invalid_mask", message, limits.mask_formats)
        elif marks_of(image) is MaskForm.ALPHA and (facts.alpha is False or facts.format in _OPAQUE):
            message = f"{image.param} has no transparency; its transparent pixels would say where to edit"
            yield Problem(image.param, "invalid_mask", message)
        masked = first.blob.facts if isinstance(first, ImageData) else None
        if limits.mask_like_first and masked and (facts.width, facts.height) != (masked.width, masked.height):
            sizes = f"{facts.width}x{facts.height} pixels and the first image {masked.width}x{masked.height}"
            yield Problem(image.param, "invalid_mask", f"{image.param} has {sizes}; they must be the same")


def _instead(other: str | None) -> str:
    return f'; use "{other}"' if other else ""


def _only(accepted: str | None) -> tuple[str, ...]:
    return (accepted,) if accepted else ()


def _shape_findings(limits: Inputs, images: tuple[ImageInput, ...]) -> Iterator[Finding]:
    """Edges, proportions and bytes in all of the images that came with the request; linked ones are not here yet."""
    sent = [image for image in images if isinstance(image, ImageData)]
    for image in sent:
        yield from shape_findings(limits, image)
    total = sum(image.blob.decoded_bytes for image in sent)
    if limits.max_total_bytes is not None and total > limits.max_total_bytes:
        message = f"the input images have {total:,} bytes in all; at most {limits.max_total_bytes:,} are taken"
        yield Problem(sent[-1].param, "image_too_large", message)


def shape_findings(limits: Inputs, image: ImageData) -> Iterator[Finding]:
    """What the edges of one input image break (problems) or do not follow (warnings)."""
    facts, param = image.blob.facts, image.param
    if facts is None or not facts.width or not facts.height:
        return
    short, long = sorted((facts.width, facts.height))
    shown = f"{param} has {facts.width}x{facts.height} pixels"
    if limits.min_edge is not None and short < limits.min_edge:
        yield Problem(param, "image_too_small", f"{shown}; each side needs {limits.min_edge} or more")
    elif limits.max_ratio is not None and long > short * limits.max_ratio:
        yield Problem(param, "invalid_image", f"{shown}; at most {limits.max_ratio:g} times as long as wide is taken")
    elif limits.advice_min_edge is not None and short < limits.advice_min_edge:
        yield RequestWarning("advice", param, f"{shown}; each side should have {limits.advice_min_edge} or more")
    elif limits.advice_max_edge is not None and long > limits.advice_max_edge:
        yield RequestWarning("advice", param, f"{shown}; each side should have {limits.advice_max_edge} or less")


# How many


def _count_problems(request: ImageRequest) -> Iterator[Problem]:
    if request.n is not None and not 1 <= request.n <= MAX_IMAGES:
        param, accepted = request.param("n"), f"1 to {MAX_IMAGES}"
        yield Problem(param, "invalid_value", f"{param} is {request.said('n')}; accepted: {accepted}", (accepted,))


def _group_findings(model: Model, request: ImageRequest) -> Iterator[Finding]:
    if request.group is None:
        return
    param, asked, most = request.param("group"), request.group.max_images, model.group_max_images
    if most is None:
        yield Problem(param, "parameter_not_supported", f"{model.id} makes no groups of images: leave out {param}")
        return
    if asked is not None and not 1 <= asked <= most:
        message = f"the group's max_images is {quoted(asked)}; accepted: 1 to {most}"
        yield Problem(param, "invalid_value", message, (f"1 to {most}",))
        return
    if asked is not None and (request.n or 1) > 1:
        message = f"{request.param('n')} and the group's max_images both say how many images: leave one out"
        yield Problem(request.param("n"), "invalid_value", message)
    outputs = _group_size(model, request)
    inputs, total = len(images_of(request)), model.inputs.total_with_outputs
    if total is not None and inputs + outputs > total:
        message = f"{inputs} input images and {outputs} outputs are more than the {total} that {model.id} takes in all"
        yield Problem(param, "invalid_value", message, (f"at most {max(total - inputs, 0)} outputs",))
    elif _is_open(request) and outputs < min(USUAL_GROUP, most):
        message = f"{inputs} input images leave room for a group of {outputs}: {model.id} takes {total} in all"
        yield RequestWarning("group_reduced", param, message)


def _is_open(request: ImageRequest) -> bool:
    """Whether the caller left the size of his group to us."""
    return request.group is not None and request.group.max_images is None and (request.n or 1) == 1


def _group_size(model: Model, request: ImageRequest) -> int:
    """Images of a group: as asked, else n, else four or what the inputs leave room for."""
    if request.group and request.group.max_images is not None:
        return request.group.max_images
    if request.n is not None and request.n > 1:
        return request.n
    total = model.inputs.total_with_outputs
    room = total - len(images_of(request)) if total is not None else USUAL_GROUP
    return max(1, min(USUAL_GROUP, room, model.group_max_images or USUAL_GROUP))


def _with_whole_group(model: Model, request: ImageRequest) -> ImageRequest:
    """A group is one call, and always told its size; n has been said with it."""
    if request.group is None or model.group_max_images is None:
        return request
    counted = request.group.counted or (request.group.max_images is None and not _is_open(request))
    return replace(request, group=Group(_group_size(model, request), counted), n=None)


# Fields


def _fields(model: Model, request: ImageRequest) -> tuple[ImageRequest, list[Finding]]:
    changes: dict[str, Any] = {}
    findings: list[Finding] = []
    fields = asked_in(request)
    for asked in fields:
        judgement = judge(model, asked)
        if asked.key in _NOTHING_ASKED:
            judgement = _OMITTED
        elif judgement != _OMITTED and not judgement.problems and (why := _why_idle(request, asked.name)):
            message = f"{asked} was not sent: {why}"
            judgement = Judgement(None, (RequestWarning("parameter_ignored", asked.param, message),))
        findings += (*judgement.problems, *judgement.warnings)
        if judgement.value != asked.value or type(judgement.value) is not type(asked.value):
            changes[asked.name] = judgement.value
    fitted = replace(request, **changes) if changes else request
    findings += _contradictions(model, request, fields)
    for asked in fields:
        row = model.parameters.get(asked.name)
        if row and row.needs and getattr(fitted, asked.name) is not None:
            fitted, about_needs = _with_needs(model, fitted, asked)
            findings += about_needs
    return fitted, findings


def _with_needs(model: Model, request: ImageRequest, asked: Asked) -> tuple[ImageRequest, list[Finding]]:
    """A field that goes only with one value of another: where the caller left that open, it is sent so."""
    changes: dict[str, Any] = {}
    findings: list[Finding] = []
    for name, word in model.parameters[asked.name].needs.items():
        value, other = getattr(request, name), request.param(name)
        if value is None:
            changes[name] = typed(model.parameters[name], word)
            message = f"{other} was sent as {word}: {model.id} takes {asked} with nothing else"
            findings.append(RequestWarning("parameter_replaced", asked.param, message))
        elif as_text(value) != word:
            message = f"{asked} goes only with {other} {word} on {model.id}"
            findings.append(Problem(asked.param, "invalid_value", message))
    return replace(request, **changes) if changes else request, findings


def _why_idle(request: ImageRequest, name: str) -> str | None:
    """Why a field has nothing to act on in this request; None: it has."""
    match name:
        case "partial_images":
            return None if request.stream else "the answer comes in one piece"
        case "input_fidelity":
            return None if images_of(request) else "there is no input image"
        case "output_compression":
            compressed = request.output_format in ("jpeg", "webp")
            return None if compressed else "only jpeg and webp are compressed to a quality"
    return None


def _contradictions(model: Model, request: ImageRequest, fields: list[Asked]) -> Iterator[Finding]:
    """Fields that are right alone and wrong together."""
    for asked in fields:
        row = model.parameters.get(asked.name)
        if row and row.one_image_for and spelled_in(row.one_image_for, asked.value) and len(images_of(request)) != 1:
            message = f"{asked} goes with exactly one input image on {model.id}"
            yield Problem(asked.param, "invalid_value", message)
    if request.background == "transparent" and request.output_format == "jpeg":
        param, other = request.param("output_format"), request.param("background")
        message = f'{param} {request.said("output_format")} has no transparency, and {other} is "transparent"'
        yield Problem(param, "invalid_value", message, ("png", "webp"))
