"""A request on one of these paths becomes an intent, or InvalidRequest with everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from imageway.core.blobs import Tree
from imageway.core.errors import InvalidRequest, Problem
from imageway.core.intents import Form, Generate, Inbound, Intent, ShowModel, ShowModels
from imageway.core.requests import ImageData, ImageInput, ImageLink, ImageRequest, Operation, Turn
from imageway.dialects.gemini.fields import FAMILY, TABLE
from imageway.dialects.shared.cloud import action_of
from imageway.dialects.shared.conversation import combine, put_before, read_turns
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.headers import read_manner
from imageway.dialects.shared.reading import concluded, read_geometry, read_object
from imageway.dialects.shared.table import snaked
from imageway.dialects.shared.written import Written

PAGE: Final = 50  # models on a page, and the most there may be
MOST_ON_A_PAGE: Final = 1000
NUMBER: Final = re.compile("[0-9]{1,8}")
FORMS: Final[dict[str, Form]] = {"inline": "b64_json", "uri": "url"}
FILES: Final = ("https://generativelanguage.googleapis.com/", "http://generativelanguage.googleapis.com/")
NESTED: Final = ("generationConfig", "generation_config")


def decode(inbound: Inbound) -> Intent:
    """Raises InvalidRequest with every problem at once; what only the model can judge is left to the catalog."""
    match action_of(inbound.route):
        case "models":
            return _read_page(inbound)
        case "model":
            return ShowModel(inbound.params["model"], inbound.route)
        case "count":
            raise InvalidRequest(_not_counted(inbound))
    return _decode_generate(inbound)


def _not_counted(inbound: Inbound) -> Problem:
    """In the vendor's words for a method that a model does not have, as its API answers it."""
    version, name = inbound.path.split("/")[1], inbound.params["model"]
    message = f"models/{name} is not found for API version {version}, or is not supported for countTokens."
    advice = "Call ModelService.ListModels to see the list of available models and their supported methods."
    return Problem("model", "not_found", f"{message} {advice}")


def _read_page(inbound: Inbound) -> ShowModels:
    """`pageSize` and `pageToken`, the latter as an answer of ours gave it: how many to skip."""
    findings = Findings()
    size, skip = (_read_number(inbound, name, findings) for name in ("pageSize", "pageToken"))
    if findings.problems:
        raise InvalidRequest(*findings.problems)
    return ShowModels(limit=min(size or PAGE, MOST_ON_A_PAGE), skip=skip, shape=inbound.route)


def _read_number(inbound: Inbound, name: str, findings: Findings) -> int:
    text = inbound.query.get(name) or inbound.query.get(snaked(name)) or "0"
    if NUMBER.fullmatch(text):
        return int(text)
    findings.wrong(name, text, ("a number",))
    return 0


def _decode_generate(inbound: Inbound) -> Generate:
    findings = Findings()
    body = read_object(inbound, findings)
    written = Written(TABLE, findings)
    written.read({name: _said(value) if name in NESTED else value for name, value in body.items()})
    request = _build(inbound, written)
    intent = Generate(
        request=request,
        form=FORMS[written.values.get("delivery", "inline")],
        shape=inbound.route,
        **read_manner(inbound, findings),
    )
    return concluded(intent, findings, conversation=("contents",))


def _said(tree: Tree) -> Tree:
    """Without enumeration values that stand for nothing; a list of formats as the one object that others write."""
    if not isinstance(tree, dict):
        return None if isinstance(tree, str) and tree.endswith("_UNSPECIFIED") else tree
    return {name: _said(READINGS[name](value) if name in READINGS else value) for name, value in tree.items()}


def _chosen(tree: Tree) -> Tree:
    """A list of enumeration values; an empty one is absent, as in all of the vendor's JSON."""
    return [each for each in tree if _said(each) is not None] or None if isinstance(tree, list) else tree


def _joined(tree: Tree) -> Tree:
    if not isinstance(tree, list) or not all(isinstance(entry, dict) for entry in tree):
        return tree
    return {name: value for entry in tree if isinstance(entry, dict) for name, value in entry.items()}


READINGS: Final[dict[str, Callable[[Tree], Tree]]] = {
    **dict.fromkeys(("responseFormat", "response_format"), _joined),
    **dict.fromkeys(("responseModalities", "response_modalities"), _chosen),
}


def _build(inbound: Inbound, written: Written) -> ImageRequest:
    findings = written.findings
    ask = combine(None, (), _read_contents(written), findings)
    if ask.prompt is None:
        findings.missing("contents", "contents holds no text: say what the image should show")
    if _last(written.values.get("named", inbound.params["model"])) != inbound.params["model"]:
        findings.warn("model_in_path", "model", f'the path names the model "{inbound.params["model"]}", which was used')
    if "refused" in written.values:
        path = written.spelled["refused"]
        message = f"{path} names a part of the prompt that is not kept here: send it in contents"
        findings.problem("parameter_not_supported", path, message)
    if written.values.get("want_text") is False:
        written.forget("want_text")  # images alone are what every model gives
    streamed = action_of(inbound.route) == "stream" and inbound.query.get("alt") == "sse"
    worked_out: dict[str, Any] = {
        "model": inbound.params["model"],
        "family": FAMILY,
        "operation": Operation.EDIT if ask.images else Operation.GENERATE,
        "prompt": ask.prompt,
        "images": ask.images,
        "turns": ask.turns,
        "geometry": read_geometry(written),
        "stream": True if streamed else None,
    }
    return ImageRequest(**written.direct() | worked_out)


def _last(name: str) -> str:
    """`models/m`, `projects/p/locations/l/publishers/google/models/m` → `m`."""
    return name.rpartition("/")[2]


def _read_contents(written: Written) -> tuple[Turn, ...]:
    """The conversation; an instruction that stood apart from it goes first."""
    findings, path = written.findings, written.spelled.get("contents", "contents")
    turns = read_turns(written.values.get("contents", []), path, findings)
    for image in (part for turn in turns for part in turn.parts if not isinstance(part, str)):
        _check_file(image, findings)
    text = _read_instruction(written)
    if not text or not turns:
        return turns
    path = written.spelled["system"]
    findings.warn("system_instruction_merged", path, f"{path} was put before the text of the first entry of contents")
    return (put_before(text, turns[0]), *turns[1:])


def _read_instruction(written: Written) -> tuple[str, ...]:
    if "system" not in written.values:
        return ()
    path = written.spelled["system"]
    entry = {name: value for name, value in written.values["system"].items() if name != "role"}
    (turn,) = read_turns([entry], path, written.findings)
    text = tuple(part for part in turn.parts if isinstance(part, str))
    if text != turn.parts:
        written.findings.problem("invalid_value", path, f"{path} holds an image; accepted: text", ("text",))
    return text


def _check_file(image: ImageInput, findings: Findings) -> None:
    """Files are named by links that anybody may open, not by what their vendor keeps."""
    if image.param.endswith(("fileUri", "file_uri")):
        unknown = isinstance(image, ImageData) and image.blob.facts is None and image.blob.declared_type is None
        if unknown or (isinstance(image, ImageLink) and image.url.lower().startswith(FILES)):
            message = f"{image.param} names a file kept by its vendor, which cannot be opened from here"
            accepted = ("inlineData", "an http(s) URL that anybody may open")
            findings.problem("invalid_image", image.param, f"{message}: send {' or '.join(accepted)}", accepted)
