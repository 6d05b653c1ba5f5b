"""What is sent: contents and configuration (ai.google.dev/api/generate-content); `personGeneration` and output formats
only where they are known."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.requests import ImageInput, ImageLink, ImageRequest, Turn
from imageway.core.steps import Call, HttpRequest, JsonBody, Send
from imageway.providers.fields import forward, given, media_type
from imageway.providers.shared.output import output_options
from imageway.providers.shared.places import on_platform, path_of

_AS_EVENTS: Final = MappingProxyType({"alt": "sse"})

PERSONS: Final = MappingProxyType({"allow_all": "ALLOW_ALL", "allow_adult": "ALLOW_ADULT", "dont_allow": "ALLOW_NONE"})
FOREIGN: Final = "skip_thought_signature_validator"
"""For parts that another model wrote (ai.google.dev/gemini-api/docs/thought-signatures)."""


def encode(call: Call) -> Send:
    """One call for one image."""
    config = given(
        {
            "responseModalities": ["TEXT", "IMAGE"] if call.request.want_text else ["IMAGE"],
            "imageConfig": _image_config(call) or None,
            "temperature": call.request.temperature,
            "topP": call.request.top_p,
            "seed": call.request.seed,
            "thinkingConfig": {"thinkingLevel": call.request.thinking.upper()} if call.request.thinking else None,
        }
    )
    body = forward({"contents": _contents(call.request), "generationConfig": config}, call.request.extras)
    if call.request.stream:
        path = path_of(call, "streamGenerateContent")
        return Send(HttpRequest("POST", path, JsonBody(body), query=_AS_EVENTS))
    return Send(HttpRequest("POST", path_of(call, "generateContent"), JsonBody(body)))


def _image_config(call: Call) -> dict[str, Tree]:
    common = given({"aspectRatio": call.size.ratio, "imageSize": call.size.tier})
    if not on_platform(call):
        return common
    person = PERSONS.get(call.request.person or "")
    return common | given({"personGeneration": person, "imageOutputOptions": output_options(call.request)})


def _contents(request: ImageRequest) -> list[Tree]:
    """The conversation as it was; without one, a single turn: the images, then the text."""
    if request.turns:
        return [{"role": turn.role, "parts": list(_spoken(turn))} for turn in request.turns]
    parts: list[Tree] = [_part(image) for image in request.images]
    if request.prompt is not None:
        parts.append(_part(request.prompt))
    return [{"role": "user", "parts": parts}]


def _spoken(turn: Turn) -> Iterator[Tree]:
    """What the model signed goes back with its signature: without it, the newer ones do not know their own words. They
    refuse a picture, and a first part, without one: what somebody else said carries the one documented for that."""
    for index, part in enumerate(turn.parts):
        signature = turn.signatures.get(index)
        if signature is None and turn.role == "model" and (index == 0 or not isinstance(part, str)):
            signature = FOREIGN
        yield _part(part) if signature is None else {**_part(part), "thoughtSignature": signature}


def _part(part: str | ImageInput) -> dict[str, Tree]:
    if isinstance(part, str):
        return {"text": part}
    if isinstance(part, ImageLink):
        return {"fileData": {"fileUri": part.url}}
    return {"inlineData": {"mimeType": media_type(part.blob), "data": part.blob}}
