"""What a caller asks for, in words no provider owns. What he did not say is None; nobody guesses on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from imageway.core.access import NO_SCOPE, NO_SETTINGS, Budget, KeyScope, WorkspaceSettings
from imageway.core.blobs import Blob, Tree
from imageway.core.wording import quoted

MAX_IMAGES: Final = 10  # what one request may ask for, in any dialect

_EMPTY: Mapping[str, str] = MappingProxyType({})
_NO_TREE: Mapping[str, Tree] = MappingProxyType({})


class Operation(StrEnum):
    GENERATE = "generate"
    EDIT = "edit"
    UPSCALE = "upscale"
    REMOVE_BACKGROUND = "remove_background"
    VARIATION = "variation"


class MaskForm(StrEnum):
    """Which pixels of a mask say where to paint."""

    ALPHA = "alpha"  # those that are transparent
    LIGHT = "light"  # those that are light, as they look on white


class ImageLink(Struct, frozen=True):
    """An input image that the caller named by http(s) URL, or by the `oss://` name of a file he uploaded. `param` is
    where he wrote it. Of a mask, `marks` is its form, and `wanted` the one it must be turned into for its model; a mask
    that says neither is one of transparent pixels, and right as it is. `max_bytes`: what the format that it came in
    allows a file to have; None: our own limits alone."""

    url: str
    param: str
    marks: MaskForm | None = None
    wanted: MaskForm | None = None
    max_bytes: int | None = None


class ImageData(Struct, frozen=True):
    """An input image that the caller sent. All else as of ImageLink."""

    blob: Blob
    param: str
    marks: MaskForm | None = None
    wanted: MaskForm | None = None


ImageInput = ImageLink | ImageData


_UNSIGNED: Mapping[int, Blob | str] = MappingProxyType({})


class Turn(Struct, frozen=True):
    """One entry of a conversation: role `user` or `model`, parts in the order written. `signatures`: index of a part →
    what the provider put there to recognise its own thoughts; it goes back to that family untouched, to no other."""

    role: str
    parts: tuple[str | ImageInput, ...]
    signatures: Mapping[int, Blob | str] = _UNSIGNED


class Geometry(Struct, frozen=True):
    """The size as asked: exact pixels, or a ratio ("16:9") and/or a tier ("2K"), or `auto`. Parsed, not yet fitted."""

    width: int | None = None
    height: int | None = None
    ratio: str | None = None
    tier: str | None = None
    auto: bool = False


class Group(Struct, frozen=True):
    """One call that may answer several related images; `max_images` None means the caller left it open. `counted`: he
    said it by `n`, and is told when fewer came."""

    max_images: int | None = None
    counted: bool = False


class ImageRequest(Struct, frozen=True, kw_only=True):
    """One request for images. When `turns` is set, the conversation is authoritative and `prompt`/`images` are what a
    model without turns would get. `extras` are fields that no family knows, in the objects where the caller wrote them;
    they reach only upstreams of his own dialect's `family`. `spelled` maps a field here to the name the
    caller used, for errors and warnings; it has `tier` where he named one apart from the rest of the geometry.
    `written` maps such a field to its value as he wrote it, in the form of `core.wording.quoted`, where that differs
    from the value here. `names`: what the format that it came in calls the fields that he did not write."""

    model: str
    operation: Operation = Operation.GENERATE
    prompt: str | None = None
    negative_prompt: str | None = None
    turns: tuple[Turn, ...] = ()
    images: tuple[ImageInput, ...] = ()
    mask: ImageInput | None = None
    n: int | None = None
    group: Group | None = None
    geometry: Geometry | None = None
    quality: str | None = None
    style: str | None = None
    background: str | None = None
    input_fidelity: str | None = None
    output_format: str | None = None  # png, jpeg, webp
    output_compression: int | None = None  # 0–100
    seed: int | None = None
    guidance: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    thinking: str | None = None  # minimal, low, medium, high
    watermark: bool | None = None
    enhance_prompt: bool | None = None
    enhance_mode: str | None = None  # standard, fast
    moderation: str | None = None
    person: str | None = None  # allow_all, allow_adult, dont_allow
    want_text: bool | None = None
    stream: bool | None = None
    partial_images: int | None = None
    user: str | None = None
    scale: int | None = None  # of an upscale: 2 doubles both edges
    extras: Mapping[str, Tree] = _NO_TREE
    family: str = ""
    spelled: Mapping[str, str] = _EMPTY
    written: Mapping[str, str] = _EMPTY
    names: Mapping[str, str] = _EMPTY

    def param(self, name: str) -> str:
        """The caller's own name for one of our fields: `guidance` → `guidance_scale`. What he left out goes by the name
        that his format has for it."""
        return self.named(name) or name

    def named(self, name: str) -> str | None:
        """The same; None where his format has no such field."""
        return self.spelled.get(name) or self.names.get(name)

    @property
    def unknown(self) -> Mapping[str, str | None]:
        """Where the fields stand that no family knows, by the caller's own paths: "generationConfig.foo"; each with its
        place, as `place_of` tells it."""
        if not self.extras:
            return {}
        places = _places(self.names)
        return {path: _place(path, places) for path in _paths(self.extras)}

    def place_of(self, path: str) -> str | None:
        """Where the format that it came in has the field that stands at `path`, and means nothing there, in whatever
        spelling; None: it has no such field, or none of the objects that this one stands in."""
        return _place(path, _places(self.names))

    def said(self, name: str) -> str:
        """A plain value as the caller wrote it: `want_text` → `["text", "image"]`, `seed` → `"4"`."""
        return self.written.get(name) or quoted(getattr(self, name))


def _places(names: Mapping[str, str]) -> dict[str, str]:
    """The name of each field, and of each object that holds one, → its whole path."""
    places: dict[str, str] = {}
    for path in names.values():
        holders = path.split(".")
        for count, name in enumerate(holders, 1):
            places.setdefault(_plain(name), ".".join(holders[:count]))
    return places


def _place(path: str, places: Mapping[str, str]) -> str | None:
    found = [places.get(_plain(name)) for name in path.split(".")]
    return found[-1] if all(found) else None


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _paths(extras: Mapping[str, Tree]) -> Iterator[str]:
    for name, value in extras.items():
        if value and isinstance(value, dict):
            yield from (f"{name}.{inner}" for inner in _paths(value))
        else:
            yield name


class Size(Struct, frozen=True):
    """A geometry fitted to one offering. `word` is a literal the provider takes in place of pixels ("auto", "2K",
    "adaptive"); `ratio`/`tier` are what a ratio-based provider is sent; `width`/`height` are the pixels that are sent
    or, for ratio-based providers, the pixels that are expected back. All None: the offering takes no size."""

    width: int | None = None
    height: int | None = None
    ratio: str | None = None
    tier: str | None = None
    word: str | None = None

    @property
    def pixels(self) -> tuple[int, int] | None:
        return (self.width, self.height) if self.width and self.height else None


class RequestWarning(Struct, frozen=True):
    """Something that was not honoured as asked, told to the caller."""

    code: str
    param: str | None
    message: str


class Caller(Struct, frozen=True):
    """Who a key speaks for. `models` are glob patterns; empty means every model. `budget_id` is whose budgets are spent
    (empty: the key has none). `signed`: his requests must be."""

    key_id: str
    workspace_id: str
    models: tuple[str, ...] = ()
    scope: KeyScope = NO_SCOPE
    settings: WorkspaceSettings = NO_SETTINGS
    budget_id: str = ""
    budgets: tuple[Budget, ...] = ()
    signed: bool = False
