"""Checks a message that was read: contents, image settings, sampling, thinking and modalities of its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imageway.sandbox.upstreams.google.limits import DEFAULT_SIZE, LIMITS, Model
from imageway.sandbox.upstreams.google.signatures import is_valid, unsigned
from imageway.sandbox.upstreams.google.words import Speaker

JPEG_QUALITY = 92
_REQUEST = "* GenerateContentRequest."
_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "IMAGE_JPEG": "jpeg", "IMAGE_PNG": "png"}


@dataclass(frozen=True, slots=True)
class InlineImage:
    content: bytes


@dataclass(frozen=True, slots=True)
class LinkedImage:
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A request that holds. `ratio` None: follows the input. `prompt`: the last turn's text; `all_text`: all turns'.
    `says_something`: words come beside the picture."""

    model: Model
    prompt: str
    all_text: str
    images: tuple[InlineImage | LinkedImage, ...]
    ratio: str | None
    size: str
    seed: int | None
    says_something: bool
    show_thoughts: bool
    thoughts: int
    format: str
    quality: int


class Checker:
    """One message under examination. Every method raises Refusal."""

    def __init__(self, message: Mapping[str, Any], model: Model, speaker: Speaker) -> None:
        self._message = message
        self._config: Mapping[str, Any] = message.get("generationConfig") or {}
        self._model = model
        self._speaker = speaker

    def check(self) -> Draft:
        turns = self._turns()
        images = tuple(image for turn in turns for image in self._images(turn))
        if len(images) > self._model.references:
            raise self._speaker.invalid(f"The model supports at most {self._model.references} input images.")
        if self._model.signs:
            self._signatures(turns)
        ratio, size = self._image_settings()
        self._sampling()
        thoughts = self._thinking()
        format_name, quality = self._output()
        return Draft(
            model=self._model,
            prompt=_text_of(turns[-1]),
            all_text="\n".join(filter(None, map(_text_of, turns))),
            images=images,
            ratio=ratio,
            size=size,
            seed=self._config.get("seed"),
            says_something=self._modalities() and self._model.text,
            show_thoughts=bool((self._config.get("thinkingConfig") or {}).get("includeThoughts")) and thoughts > 0,
            thoughts=thoughts,
            format=format_name,
            quality=quality,
        )

    def _turns(self) -> list[Mapping[str, Any]]:
        turns: list[Mapping[str, Any]] = self._message.get("contents") or []
        if not turns:
            raise self._speaker.invalid(f"{_REQUEST}contents: contents is not specified\n")
        for number, turn in enumerate(turns):
            if not turn.get("parts"):
                raise self._speaker.invalid(f"{_REQUEST}contents[{number}].parts: contents.parts must not be empty.\n")
            if turn.get("role", "user") not in ("user", "model"):
                raise self._speaker.invalid("Please use a valid role: user, model.")
        return turns

    def _images(self, turn: Mapping[str, Any]) -> list[InlineImage | LinkedImage]:
        """Pictures in the order written; a thought's picture is not an input."""
        found: list[InlineImage | LinkedImage] = []
        for part in turn["parts"]:
            inline, linked = part.get("inlineData"), part.get("fileData")
            holder = inline or linked
            if holder is None or part.get("thought"):
                continue
            media_type = str(holder.get("mimeType", "")).lower()
            if (inline or media_type) and media_type not in LIMITS["image_types"]:
                raise self._speaker.invalid(f"Unsupported MIME type: {media_type}")
            found.append(InlineImage(inline.get("data") or b"") if inline else LinkedImage(linked.get("fileUri", "")))
        return found

    def _signatures(self, turns: list[Mapping[str, Any]]) -> None:
        """What this model said has to come back as it was; first what is missing, then what was altered."""
        for kind, content, part in unsigned(turns):
            raise self._speaker.invalid(
                f"{kind} part is missing a thought_signature in content position {content}, part position {part}. "
                "Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures#model-behavior for more "
                "details."
            )
        signatures = (part.get("thoughtSignature") for turn in turns for part in turn["parts"])
        if not all(is_valid(signature) for signature in signatures if signature):
            raise self._speaker.invalid("Corrupted thought signature.")

    def _image_config(self) -> Mapping[str, Any]:
        """imageConfig with plain words, or the newer responseFormat whose enum names were already read: one object at
        AI Studio, several at Vertex."""
        formats = self._config.get("responseFormat") or []
        newer = [row.get("image") for row in (formats if isinstance(formats, list) else [formats])]
        found: Mapping[str, Any] = self._config.get("imageConfig") or next(filter(None, newer), None) or {}
        return found

    def _output(self) -> tuple[str, int]:
        """Format and quality of the file; Vertex lets both be chosen."""
        image = self._image_config()
        options = image.get("imageOutputOptions") or {}
        wanted: str = options.get("mimeType") or image.get("mimeType") or f"image/{self._model.format}"
        quality = options.get("compressionQuality")
        if wanted not in _FORMATS:
            raise self._speaker.invalid(f"Unsupported output mime type: {wanted}")
        if quality is not None and not 0 <= quality <= 100:
            raise self._speaker.invalid("compressionQuality must be in the range [0, 100].")
        return _FORMATS[wanted], JPEG_QUALITY if quality is None else quality

    def _image_settings(self) -> tuple[str | None, str]:
        image = self._image_config()
        ratio, size = image.get("aspectRatio"), image.get("imageSize")
        if ratio is not None and ratio not in self._model.ratio_names:
            listed = _listed(self._model.ratio_names)
            place = "generation_config.image_config.aspect_ratio"
            raise self._speaker.invalid(f"{_REQUEST}{place}: aspect_ratio must be one of {listed}.\n")
        if size is None or not self._model.sizes:
            return ratio, DEFAULT_SIZE
        if size not in self._model.sizes:
            listed = _listed(self._model.sizes)
            raise self._speaker.invalid(
                f"{_REQUEST}generation_config.image_config.image_size: image_size must be one of {listed}.\n"
            )
        return ratio, size

    def _sampling(self) -> None:
        if self._config.get("candidateCount", 1) != 1:
            raise self._speaker.invalid(f"Multiple candidates is not enabled for models/{self._model.id}")
        for name, field, high in (("temperature", "temperature", 2.0), ("topP", "top_p", 1.0)):
            value = self._config.get(name)
            if value is not None and not 0 <= value <= high:
                raise self._speaker.invalid(
                    f"{_REQUEST}generation_config.{field}: {field} must be in the range [0.0, {high}].\n"
                )
        most = self._model.limits[1]
        if not 0 < self._config.get("maxOutputTokens", most) <= most:
            raise self._speaker.invalid(
                "Unable to submit request because it has a maxOutputTokens value out of the supported range from 1 "
                f"(inclusive) to {most + 1} (exclusive). Update the value and try again."
            )

    def _thinking(self) -> int:
        """How many tokens this request will think."""
        config = self._config.get("thinkingConfig") or {}
        level = config.get("thinkingLevel")
        if level is None and config.get("thinkingBudget") is None:
            return self._model.thoughts if self._model.always_thinks or "MEDIUM" in self._model.thinking else 0
        if not self._model.thinking:
            if self._model.always_thinks:
                raise self._speaker.invalid("Thinking level is not supported for this model.")
            raise self._speaker.invalid(f"Thinking is not enabled for models/{self._model.id}")
        if level is not None and level not in self._model.thinking:
            raise self._speaker.invalid(
                f"Thinking level {level} is not supported for this model. Please retry with other thinking level."
            )
        return 0 if level in (None, "MINIMAL") else self._model.thoughts * (2 if level == "HIGH" else 1)

    def _modalities(self) -> bool:
        """Whether text may come beside the picture; unsaid means both, but for the oldest model."""
        asked = self._config.get("responseModalities")
        wanted = set(asked or (["TEXT"] if self._model.both else ["TEXT", "IMAGE"]))
        accepted = [{"TEXT", "IMAGE"}] if self._model.both else [{"TEXT", "IMAGE"}, {"IMAGE"}]
        if wanted not in accepted:
            lines = "".join(f"* {', '.join(sorted(names, reverse=True))}\n" for names in accepted)
            raise self._speaker.invalid(
                "The requested combination of response modalities is not supported by the model. "
                f"models/{self._model.id} accepts the following combination of response modalities:\n{lines}"
            )
        return "TEXT" in wanted


def prompt_of(message: Mapping[str, Any]) -> str:
    """The last turn's text of a message that may not hold, for the log."""
    turns = message.get("contents") or []
    return _text_of(turns[-1]) if turns and turns[-1].get("parts") else ""


def _text_of(turn: Mapping[str, Any]) -> str:
    return "\n".join(part["text"] for part in turn["parts"] if part.get("text") and not part.get("thought"))


def _listed(words: list[str]) -> str:
    quoted = [f"'{word}'" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])}, or {quoted[-1]}"
