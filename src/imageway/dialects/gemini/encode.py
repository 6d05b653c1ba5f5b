"""Outcomes in this format: candidates with their images inline, events of streams, model lists. A refused prompt is
no error here but an answer without candidates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError
from imageway.core.intents import (
    Answer,
    Broken,
    Event,
    Finished,
    Generate,
    Generated,
    Intent,
    ModelCard,
    ModelList,
    Outcome,
    Picture,
    ShowModel,
    ShowModels,
    Where,
)
from imageway.core.steps import Usage
from imageway.core.streams import StreamEvent
from imageway.dialects.shared.answers import error_headers, in_place, told, warnings_list
from imageway.dialects.shared.cloud import action_of, is_platform, status_body, status_of

Object = dict[str, Tree]
METHODS: Final[list[Tree]] = ["generateContent", "predict"]
LISTS: Final = ("list", "stream")  # answers to these that are no events
REFUSED: Final = "content_policy_violation"


def encode(intent: Intent, outcome: Outcome) -> Answer:
    """The 200 for an outcome, as the path that was asked answers it."""
    match intent, outcome:
        case Generate(), Generated():
            whole = _response(outcome, _candidates(intent, outcome), platform=is_platform(intent.shape))
            return Answer(200, [whole] if action_of(intent.shape) in LISTS else whole, told(outcome))
        case ShowModels(), ModelList():
            return Answer(200, _page(intent, outcome.cards))
        case ShowModel(), ModelCard():
            return Answer(200, _published(outcome) if is_platform(intent.shape) else _model(outcome))
    raise TypeError(f"{type(outcome).__name__} is no outcome of this dialect's intents")


def encode_event(intent: Generate, event: Event) -> tuple[StreamEvent, ...]:
    """Images leave once they are paid for, each whole in a chunk of its own; the last one tells of the usage. This
    format has no previews."""
    if isinstance(event, Broken):
        where = Where(intent.shape, event.request_id, {"model": intent.request.model})
        return (StreamEvent(_failure(where, event.error)),)
    if not isinstance(event, Finished):
        return ()
    outcome, platform = event.generated, is_platform(intent.shape)
    *before, last = ([candidate] for candidate in _candidates(intent, outcome))
    chunks = [_frame(outcome, each, platform=platform) for each in before]
    closing = _response(outcome, last, platform=platform)
    if outcome.warnings:  # some are known only now, when the headers have left
        closing["warnings"] = warnings_list(outcome.warnings)
    return tuple(map(StreamEvent, (*chunks, closing)))


def _response(outcome: Generated, candidates: list[Tree], *, platform: bool) -> Object:
    usage = _usage(outcome.usage or Usage()) | (
        {"trafficType": "ON_DEMAND"} if platform else {"serviceTier": "standard"}
    )
    return _frame(outcome, candidates, platform=platform) | {"usageMetadata": usage}


def _frame(outcome: Generated, candidates: list[Tree], *, platform: bool) -> Object:
    body: Object = {
        "candidates": candidates,
        "modelVersion": outcome.model,
        "responseId": outcome.request_id,
    }
    if platform:
        body["createTime"] = datetime.fromtimestamp(outcome.created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return body


def _candidates(intent: Generate, outcome: Generated) -> list[Tree]:
    """One for each image; the words that came with them stand before the first."""
    spoken: list[Tree] = [{"text": outcome.text}] if outcome.text else []
    drawn: list[Tree] = [
        _drawn([*([] if index else spoken), _part(each)]) for index, each in enumerate(outcome.pictures)
    ]
    found = in_place(drawn, [(each.place, _lost(each.code, each.message)) for each in outcome.missing])
    return found if is_platform(intent.shape) else _numbered(found)


def _numbered(candidates: list[Tree]) -> list[Tree]:
    return [each | {"index": index} if isinstance(each, dict) else each for index, each in enumerate(candidates)]


def _drawn(parts: list[Tree]) -> Object:
    return {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}


def _lost(code: str, message: str) -> Object:
    reason = "IMAGE_SAFETY" if code == REFUSED else "IMAGE_OTHER"
    return {"content": {}, "finishReason": reason, "finishMessage": message}


def _part(picture: Picture) -> Object:
    part: Object
    if picture.blob is None:
        part = {"fileData": {"mimeType": picture.media_type, "fileUri": picture.url}}
    else:
        part = {"inlineData": {"mimeType": picture.media_type, "data": picture.blob}}
    return part if picture.signature is None else part | {"thoughtSignature": picture.signature}


def _usage(usage: Usage) -> Object:
    """Zeros where the provider counted none: every answer of this format has the three. Thoughts are counted apart."""
    counted: Object = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.thinking,
        **({"thoughtsTokenCount": usage.thinking} if usage.thinking else {}),
        "totalTokenCount": usage.input + usage.output,
    }
    details = {
        "promptTokensDetails": _details(TEXT=usage.input_text, IMAGE=usage.input_image),
        "candidatesTokensDetails": _details(IMAGE=usage.output_image),
    }
    return counted | {name: each for name, each in details.items() if each}


def _details(**counts: int) -> list[Tree]:
    return [{"modality": modality, "tokenCount": count} for modality, count in counts.items() if count]


# Errors


def encode_error(where: Where, error: GatewayError) -> Answer:
    body = _failure(where, error)
    headers = error_headers(error.request_id or where.request_id, error)
    if "error" in body:
        return Answer(status_of(where.route, error), body, headers)
    return Answer(200, [body] if action_of(where.route) in LISTS else body, headers)


def _failure(where: Where, error: GatewayError) -> Object:
    """The body, which is also what a stream that has begun ends with. A picture that was blocked once it was there is a
    candidate without content; a prompt that was blocked has none (ai.google.dev/api/generate-content)."""
    request_id = error.request_id or where.request_id
    if error.code != REFUSED:
        return status_body(where.route, error, request_id)
    blocked: Object = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": error.message}}
    if error.drawn:
        candidates: list[Tree] = [_lost(error.code, error.message)]
        blocked = {"candidates": candidates if is_platform(where.route) else _numbered(candidates)}
    model: Object = {"modelVersion": where.params["model"]} if "model" in where.params else {}
    usage: Object = {"promptTokenCount": 0, "totalTokenCount": 0}
    return blocked | {"usageMetadata": usage} | model | {"responseId": request_id}


# Models


def _page(intent: ShowModels, cards: Sequence[ModelCard]) -> Object:
    end = intent.skip + (intent.limit or len(cards))
    shown = cards[intent.skip : end]
    body: Object
    if is_platform(intent.shape):
        body = {"publisherModels": [_published(card) for card in shown]}
    else:
        body = {"models": [_model(card) for card in shown]}
    return body | ({"nextPageToken": str(end)} if end < len(cards) else {})


def _model(card: ModelCard) -> Object:
    """Only what the catalog knows of it."""
    parameters = card.capabilities.get("parameters")
    known: Object = {
        "inputTokenLimit": card.capabilities.get("context_window"),
        "outputTokenLimit": card.capabilities.get("max_output"),
        "temperature": _look(parameters, "temperature", "default"),
        "maxTemperature": _look(parameters, "temperature", "maximum"),
        "topP": _look(parameters, "top_p", "default"),
        "thinking": True if _look(parameters, "thinking") else None,
    }
    named: Object = {
        "name": f"models/{card.id}",
        "displayName": card.title,
        "description": card.title,
        "supportedGenerationMethods": METHODS,
    }
    return named | {name: value for name, value in known.items() if value is not None}


def _look(tree: Tree, *path: str) -> Tree:
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _published(card: ModelCard) -> Object:
    return {
        "name": f"publishers/google/models/{card.id}",
        "versionId": "default",
        "openSourceCategory": "PROPRIETARY",
        "launchStage": "GA",
    }
