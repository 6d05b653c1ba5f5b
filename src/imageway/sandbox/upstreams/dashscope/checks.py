"""Checks a body: model, messages or prompt, parameters. Unknown parameters are passed over, as the SDK's own extras
must be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from imageway.sandbox.drawing import Reference
from imageway.sandbox.upstreams.dashscope.limits import (
    LIMITS,
    MODELS,
    TABLE,
    Model,
    Pixels,
    like,
    size_fault,
    to_step,
)
from imageway.sandbox.upstreams.dashscope.words import Speaker

FUNCTIONS: list[str] = TABLE["functions"]["names"]
MASKED: str = TABLE["functions"]["masked"]
UPSCALE: str = TABLE["functions"]["upscale"]
_SIZE = re.compile(r"(\d{1,5})\*(\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A body that holds. `image_urls` in order; the last sets the ratio of an edit without a size. `factor`: of an
    edit that has the pixels of its base image."""

    model: Model
    prompt: str
    image_urls: tuple[str, ...]
    size: Pixels | None
    count: int
    seed: int | None
    watermark: bool
    extend: bool
    factor: int = 1

    def pixels(self, references: tuple[Reference, ...]) -> Pixels:
        if self.size is not None:
            return self.size
        if self.model.family.size_kind == "base":
            return (references[0].width * self.factor, references[0].height * self.factor)
        if references:
            return like(references[-1].width, references[-1].height)
        width, _, height = self.model.family.default.partition("*")
        return (int(width), int(height))


class Checker:
    """One body under examination for one way of calling. Every method raises Refusal."""

    def __init__(self, body: Mapping[str, object], speaker: Speaker, way: str) -> None:
        self._body = body
        self._speaker = speaker
        self._way = way

    def check(self) -> Draft:
        model = self._model()
        readers = {"legacy": self._legacy_input, "edit": self._edit_input}
        prompt, urls = readers.get(self._way, self._messages)()
        self._check_text(model, prompt)
        if urls and "edit" not in model.family.modes:
            raise self._speaker.invalid(f"Model {model.id} does not support image input.")
        if not urls and "generate" not in model.family.modes:
            raise self._speaker.invalid("Field required: input.messages.content.image")
        if len(urls) > LIMITS["edit_images"]:
            raise self._speaker.invalid(f"The number of input images must be between 1 and {LIMITS['edit_images']}.")
        return self._parameters(model, prompt, urls)

    def _model(self) -> Model:
        name = self._body.get("model")
        if not isinstance(name, str) or not name:
            raise self._speaker.refusal(400, "BadRequest.EmptyModel", 'Required parameter "model" missing.')
        if name not in MODELS:
            raise self._speaker.refusal(404, "ModelNotFound", "Model not exist.")
        if self._way not in MODELS[name].family.ways:
            raise self._speaker.invalid("url error, please check url!")
        return MODELS[name]

    def _legacy_input(self) -> tuple[str, tuple[str, ...]]:
        prompt = self._object("input").get("prompt")
        if not isinstance(prompt, str) or not prompt:
            raise self._speaker.invalid("Field required: input.prompt")
        return prompt, ()

    def _edit_input(self) -> tuple[str, tuple[str, ...]]:
        """A base image, what to do with it, and for one of the functions a mask."""
        given = self._object("input")
        prompt, _ = self._legacy_input()
        function = given.get("function")
        if function not in FUNCTIONS:
            raise self._speaker.invalid(f"Input should be one of {', '.join(FUNCTIONS)}: input.function")
        needed = ("base_image_url", "mask_image_url") if function == MASKED else ("base_image_url",)
        for name in needed:
            if not isinstance(given.get(name), str) or not given.get(name):
                raise self._speaker.invalid(f"Field required: input.{name}")
        return prompt, (str(given["base_image_url"]),)

    def _messages(self) -> tuple[str, tuple[str, ...]]:
        """One message; its images before its one text."""
        messages = self._object("input").get("messages")
        if messages is None:
            raise self._speaker.invalid("Field required: input.messages")
        if not isinstance(messages, list) or len(messages) != 1 or not isinstance(messages[0], dict):
            raise self._speaker.invalid("Exactly one message is expected: input.messages")
        content = messages[0].get("content")
        if messages[0].get("role") != "user" or not isinstance(content, list):
            raise self._speaker.invalid("Input should be a list of content parts of role user: input.messages.0")
        texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        urls = tuple(part["image"] for part in content if isinstance(part, dict) and isinstance(part.get("image"), str))
        if len(texts) + len(urls) != len(content) or len(texts) != 1:
            raise self._speaker.invalid(
                "Exactly one text and up to three images are expected: input.messages.0.content"
            )
        return texts[0], urls

    def _check_text(self, model: Model, prompt: str) -> None:
        limit = model.family.text_chars
        if not 1 <= len(prompt) <= limit:
            raise self._speaker.invalid(f"Range of input length should be [1, {limit}]")
        negative = self._object("parameters").get("negative_prompt") or self._object("input").get("negative_prompt")
        if negative is not None and not isinstance(negative, str):
            raise self._speaker.invalid("Input should be a valid string: parameters.negative_prompt")
        if negative is not None and len(negative) > LIMITS["negative_chars"]:
            raise self._speaker.invalid(f"Range of negative_prompt length should be [0, {LIMITS['negative_chars']}]")

    def _parameters(self, model: Model, prompt: str, urls: tuple[str, ...]) -> Draft:
        return Draft(
            model=model,
            prompt=prompt,
            image_urls=urls,
            size=self._size(model),
            count=self._count(model),
            seed=self._integer("seed", low=0, high=int(LIMITS["seed_max"])),
            watermark=self._flag("watermark", default=False),
            extend=self._flag("prompt_extend", default=True),
            factor=self._factor(),
        )

    def _factor(self) -> int:
        if self._way != "edit" or self._object("input").get("function") != UPSCALE:
            return 1
        return self._integer("upscale_factor", low=1, high=4) or 1

    def _size(self, model: Model) -> Pixels | None:
        size = self._object("parameters").get("size")
        if size is None or model.family.size_kind == "base":
            return None
        if model.family.size_kind == "none":
            raise self._speaker.invalid(f"Parameter size is not supported by model {model.id}")
        found = _SIZE.fullmatch(size) if isinstance(size, str) else None
        if found is None:
            raise self._speaker.invalid(f"Invalid size: {size}. Expected format: '<width>*<height>'")
        width, height = int(found[1]), int(found[2])
        if fault := size_fault(model.family, width, height):
            raise self._speaker.invalid(fault)
        return (to_step(width), to_step(height)) if model.family.size_kind == "sides" else (width, height)

    def _count(self, model: Model) -> int:
        most = model.family.count
        count = self._integer("n", low=1, high=2**31)
        if count is not None and count > most:
            text = "num_images_per_prompt must be 1" if most == 1 else f"n should be in [1, {most}]"
            raise self._speaker.invalid(text)
        return count or 1

    def _integer(self, name: str, *, low: int, high: int) -> int | None:
        value = self._object("parameters").get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._speaker.invalid(f"Input should be a valid integer: parameters.{name}")
        if not low <= value <= high:
            if name == "n":
                raise self._speaker.invalid("num_images_per_prompt must be 1")
            raise self._speaker.invalid(f"Range of {name} should be [{low}, {high}]")
        return value

    def _flag(self, name: str, *, default: bool) -> bool:
        value = self._object("parameters").get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._speaker.invalid(f"Input should be a valid boolean: parameters.{name}")
        return value

    def _object(self, name: str) -> Mapping[str, object]:
        value = self._body.get(name)
        if value is None and name == "parameters":
            return {}
        if not isinstance(value, dict):
            raise self._speaker.invalid(f"Field required: {name}")
        return value
