"""Imagen's `:predict`: one instance and its parameters, checked. Fields that nobody knows are passed over, as the
service does with parameters; numbers and words that do not hold are refused in assumed sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imageway.sandbox.tables import load_table
from imageway.sandbox.upstreams.google.words import Speaker

TABLE: dict[str, Any] = load_table("imagen")
LIMITS: dict[str, Any] = TABLE["limits"]
FAILED = "Image generation failed with the following error: "
REFERENCES = {"RAW", "MASK", "CONTROL", "STYLE", "SUBJECT", "CONTENT"}


@dataclass(frozen=True, slots=True)
class ImagenModel:
    """`mode`: generate, edit or upscale. `most`: pictures a call; `sizes`: tiers."""

    id: str
    mode: str
    most: int
    sizes: list[str]


IMAGEN = {name: ImagenModel(name, **row) for name, row in TABLE["models"].items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A request that holds. `pictures`: what it brings, as written: the instance's own, or its reference images.
    `factor` 0: no upscale. `ratio` None: of the input, else square."""

    model: ImagenModel
    prompt: str
    pictures: tuple[Mapping[str, Any], ...]
    count: int
    ratio: str | None
    size: str
    factor: int
    seed: int | None
    format: str
    quality: int
    tells_reasons: bool
    tells_safety: bool
    tells_prompt: bool
    storage: str


def mapping(value: object) -> Mapping[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


class WishReader:
    """One body under examination. Every method raises Refusal."""

    def __init__(self, body: Mapping[str, Any], model: ImagenModel, speaker: Speaker) -> None:
        instances = body.get("instances")
        self._instances: list[Any] = instances if isinstance(instances, list) else []
        self._parameters = mapping(body.get("parameters"))
        self._model = model
        self._speaker = speaker

    def read(self) -> Wish:
        if len(self._instances) != 1 or not isinstance(self._instances[0], dict):
            raise self._speaker.invalid(f"{FAILED}exactly one instance is expected, {len(self._instances)} were given.")
        instance: Mapping[str, Any] = self._instances[0]
        format_name, quality = self._output()
        return Wish(
            model=self._model,
            prompt=self._prompt(instance),
            pictures=self._pictures(instance),
            count=self._whole("sampleCount", 1, self._model.most) or self._model.most,
            ratio=self._word("aspectRatio", LIMITS["ratios"]),
            size=self._word("sampleImageSize", self._model.sizes) or "1K",
            factor=self._factor(),
            seed=self._seed(),
            format=format_name,
            quality=quality,
            tells_reasons=self._parameters.get("includeRaiReason") is True,
            tells_safety=self._parameters.get("includeSafetyAttributes") is True,
            tells_prompt=self._model.mode == "generate" and self._parameters.get("enhancePrompt") is not False,
            storage=str(self._parameters.get("storageUri") or ""),
        )

    def _prompt(self, instance: Mapping[str, Any]) -> str:
        """An upscale has none, or an empty one."""
        prompt = instance.get("prompt") or ""
        if not isinstance(prompt, str) or (not prompt and self._model.mode != "upscale"):
            raise self._speaker.invalid(f"{FAILED}prompt: a text is expected.")
        return prompt

    def _pictures(self, instance: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        if self._model.mode == "upscale":
            image = instance.get("image")
            if not isinstance(image, dict):
                raise self._speaker.invalid(f"{FAILED}image: an upscale needs one.")
            return ({"referenceType": "REFERENCE_TYPE_RAW", "referenceImage": image},)
        given = instance.get("referenceImages")
        rows = [mapping(row) for row in given] if isinstance(given, list) else []
        if self._model.mode == "generate" and (rows or "image" in instance):
            raise self._speaker.invalid(f"{FAILED}{self._model.id} takes no images.")
        for row in rows:
            kind = str(row.get("referenceType", "")).removeprefix("REFERENCE_TYPE_")
            if kind not in REFERENCES:
                raise self._speaker.invalid(f"{FAILED}referenceType: {row.get('referenceType')} is not supported.")
        if self._model.mode == "edit" and not rows:
            raise self._speaker.invalid(f"{FAILED}referenceImages: an edit needs at least one.")
        return tuple(rows)

    def _factor(self) -> int:
        asked = self._parameters.get("mode") == "upscale"
        if asked != (self._model.mode == "upscale"):
            raise self._speaker.invalid(f"{FAILED}mode: {self._model.id} is for {self._model.mode}.")
        if not asked:
            return 0
        factors: dict[str, int] = TABLE["upscale"]["factors"]
        wanted = mapping(self._parameters.get("upscaleConfig")).get("upscaleFactor")
        if not isinstance(wanted, str) or wanted not in factors:
            raise self._speaker.invalid(f"{FAILED}upscaleFactor: one of {', '.join(factors)} is expected.")
        return factors[wanted]

    def _seed(self) -> int | None:
        """Reported: none together with the watermark, which is the default."""
        seed = self._whole("seed", 0, LIMITS["seed_max"])
        if seed is not None and self._parameters.get("addWatermark") is not False:
            raise self._speaker.invalid("Seed is not supported when watermark is enabled.")
        return seed

    def _output(self) -> tuple[str, int]:
        options = mapping(self._parameters.get("outputOptions"))
        media_type, quality = options.get("mimeType") or "image/png", options.get("compressionQuality")
        if media_type not in LIMITS["formats"]:
            raise self._speaker.invalid(f"{FAILED}outputOptions.mimeType: {media_type} is not supported.")
        if quality is not None and (not isinstance(quality, int) or not 0 <= quality <= 100):
            raise self._speaker.invalid(f"{FAILED}outputOptions.compressionQuality: 0 to 100 is expected.")
        return media_type.removeprefix("image/"), LIMITS["quality"] if quality is None else quality

    def _whole(self, name: str, low: int, high: int) -> int | None:
        value = self._parameters.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._speaker.invalid(f"{FAILED}{name}: a whole number from {low} to {high} is expected.")
        return value

    def _word(self, name: str, accepted: list[str]) -> str | None:
        value = self._parameters.get(name)
        if value is None or value in accepted:
            return value
        raise self._speaker.invalid(f"{FAILED}{name}: {value} is not supported by {self._model.id}.")
