"""Checks a body parameter by parameter: unknown keys and explicit nulls are passed over as measured, known ones refused
in the service's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from imageway.sandbox.drawing import Reference
from imageway.sandbox.upstreams.ark.limits import LIMITS, MODELS, Model, Pixels, ratio_of_words, tier_pixels
from imageway.sandbox.upstreams.ark.words import Speaker

_SIZE = re.compile(r"(\d{1,5})[xX](\d{1,5})")
_COUNT = re.compile(r"(\d{1,2})\s*(?:images|pictures|photos|张|幅)")
_WORD_LIMIT = 15  # SDK: max_images is 1 to 15
_UNSAID = 4  # how many pictures a group has when neither prompt nor options say


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A body that holds. `size` is a keyword or pixels; `group` None: one picture."""

    model: Model
    prompt: str
    size: str | Pixels
    seed: int | None
    group: int | None
    by_url: bool
    format: str
    watermark: bool
    transparent: bool
    web_search: bool
    streams: bool

    def pixels(self, first: Reference | None) -> Pixels:
        if not isinstance(self.size, str):
            return self.size
        ratio = first.width / first.height if first else ratio_of_words(self.prompt)
        return tier_pixels(self.model, self.size, ratio)

    def count(self, inputs: int) -> int:
        """How many pictures the model makes of its own accord within a group."""
        if self.group is None:
            return 1
        named = _COUNT.search(self.prompt)
        wanted = int(named[1]) if named else min(self.group, _WORD_LIMIT)
        return max(1, min(wanted, self.group, int(LIMITS["group_total"]) - inputs))


class Checker:
    """One body under examination. Every method raises Refusal."""

    def __init__(self, body: Mapping[str, object], speaker: Speaker) -> None:
        self._body = body
        self._speaker = speaker

    def check(self) -> Draft:
        model = self._model()
        prompt = self._text("prompt")
        if not prompt:
            raise self._speaker.missing("prompt")
        self._refuse_unsupported(model)
        transparent = self._choice("background", ("opaque", "transparent")) == "transparent"
        return Draft(
            model=model,
            prompt=prompt,
            size=self._size(model),
            seed=self._seed(model),
            group=self._group(model),
            by_url=(self._choice("response_format", ("url", "b64_json")) or "url") == "url",
            format=self._format(model, transparent=transparent),
            watermark=self._flag("watermark", default=True),
            transparent=transparent,
            web_search=self._web_search(),
            streams=self._flag("stream", default=False),
        )

    def _model(self) -> Model:
        name = self._text("model")
        if not name:
            raise self._speaker.missing("model")
        if name not in MODELS:
            raise self._speaker.no_model(name)
        return MODELS[name]

    def _refuse_unsupported(self, model: Model) -> None:
        """Fields that only some models have; measured: a field set to its default is passed over everywhere."""
        takes = model.family.takes
        if self._choice("sequential_image_generation", ("auto", "disabled")) == "auto" and (
            "sequential_image_generation" not in takes
        ):
            raise self._speaker.unsupported("sequential_image_generation")
        if self._flag("stream", default=False) and "stream" not in takes:
            raise self._speaker.unsupported("stream")
        if self._body.get("tools") and "tools" not in takes:
            raise self._speaker.unsupported("tools")
        if self._body.get("background") == "transparent" and "background" not in takes:
            raise self._speaker.unsupported("background")
        if self._flag("layer_decomposition", default=False):
            raise self._speaker.unsupported("layer_decomposition")
        self._mode(model)
        guidance = self._body.get("guidance_scale")
        if "guidance_scale" in takes and guidance is not None:
            number = isinstance(guidance, int | float) and not isinstance(guidance, bool)
            if not number or not 1 <= float(str(guidance)) <= 10:
                raise self._speaker.invalid("guidance_scale", "must be between 1 and 10")

    def _mode(self, model: Model) -> None:
        options = self._object("optimize_prompt_options")
        mode = options.get("mode")
        if mode is None or mode in model.family.modes:
            return
        accepted = " or ".join(f"'{word}'" for word in model.family.modes)
        raise self._speaker.invalid("optimize_prompt_options.mode", f"optimize_prompt_options.mode must be {accepted}")

    def _size(self, model: Model) -> str | Pixels:
        family = model.family
        size = self._text("size") or family.default
        if size in family.tiers:
            return size
        found = _SIZE.fullmatch(size)
        if found is None or not family.pixels:
            raise self._speaker.invalid("size", f"the specified size is not supported for model {model.id}")
        width, height = int(found[1]), int(found[2])
        least, most = family.pixels
        if width * height < least:
            raise self._speaker.invalid("size", f"image size must be at least {least} pixels")
        if width * height > most:
            raise self._speaker.invalid("size", f"image size must be at most {most} pixels")
        if max(width, height) > family.ratio * min(width, height):
            raise self._speaker.invalid(
                "size", f"image aspect ratio must be between 1/{family.ratio} and {family.ratio}"
            )
        return (width, height)

    def _seed(self, model: Model) -> int | None:
        """Newer models pass a seed over like any unknown field."""
        seed = self._body.get("seed")
        if seed is None or "seed" not in model.family.takes:
            return None
        if isinstance(seed, bool) or not isinstance(seed, int) or not -1 <= seed <= 2_147_483_647:
            raise self._speaker.invalid("seed", "must be an integer between -1 and 2147483647")
        return None if seed == -1 else seed

    def _group(self, model: Model) -> int | None:
        """How many pictures may come at most; None without a group."""
        if self._body.get("sequential_image_generation") != "auto":
            return None
        most = self._object("sequential_image_generation_options").get("max_images")
        if most is None:
            return _UNSAID
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= _WORD_LIMIT:
            name = "sequential_image_generation_options.max_images"
            raise self._speaker.invalid(name, f"must be an integer between 1 and {_WORD_LIMIT}")
        return most

    def _format(self, model: Model, *, transparent: bool) -> str:
        name = self._choice("output_format", ("jpeg", "png")) or "jpeg"
        if name not in model.family.formats:
            raise self._speaker.unsupported("output_format")
        if transparent and name != "png":
            raise self._speaker.invalid("output_format", "must be png when background is transparent")
        return name

    def _web_search(self) -> bool:
        tools = self._body.get("tools")
        if not tools:
            return False
        if not isinstance(tools, list) or any(tool != {"type": "web_search"} for tool in tools):
            raise self._speaker.invalid("tools", "only web_search is supported")
        return True

    def _text(self, name: str) -> str | None:
        value = self._body.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self._speaker.invalid(name, "expected a string")

    def _choice(self, name: str, accepted: tuple[str, ...]) -> str | None:
        value = self._text(name)
        if value is None or value in accepted:
            return value
        raise self._speaker.invalid(name, f"must be one of: {', '.join(accepted)}")

    def _flag(self, name: str, *, default: bool) -> bool:
        value = self._body.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._speaker.invalid(name, "expected a boolean")
        return value

    def _object(self, name: str) -> Mapping[str, object]:
        value = self._body.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._speaker.invalid(name, "expected an object")
        return value
