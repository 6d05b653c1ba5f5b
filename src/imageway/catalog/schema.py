"""The shape of the catalog's TOML. Unknown keys are errors, so a typo in a price never passes for a default."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

Tiers = dict[str, str]


class Row(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every row: `source` is the page a fact came from, `checked` the day somebody looked (YYYY-MM-DD). Rows
    that equal themselves alone (`eq=False`) have a hash: what was worked out from one can be looked up by it."""


class Parameter(Row, frozen=True, kw_only=True):
    """How a model takes one canonical field (a field of core's ImageRequest). A field without a row is not taken.

    `values`: what is sent as it is. `replace`: value → what is sent instead, with a warning. `omit`: values that need
    not be sent (the provider's own default) and vanish without a warning. `tiers` (quality of ratio-based models):
    value → geometry tier wanted, used only when no tier was asked for, with a warning.
    `ignored`: sent, but the provider does nothing with it: a warning. `max_chars` refuses, `advice_chars` warns.
    `refuse_other`: a value outside `values` is an error; otherwise it is dropped with a warning.
    `one_image_for`: values that go with exactly one input image. `needs`: another field → the one value of it that this
    field goes with; sent with it, and a warning, where the caller left that open."""

    type: Literal["string", "integer", "number", "boolean"]
    values: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    default: str | None = None
    unit: str | None = None
    replace: dict[str, str] = {}
    omit: tuple[str, ...] = ()
    tiers: Tiers = {}
    ignored: bool = False
    refuse_other: bool = True
    one_image_for: tuple[str, ...] = ()
    needs: dict[str, str] = {}
    max_chars: int | None = None
    advice_chars: int | None = None
    note: str | None = None
    source: str = ""
    checked: str = ""


class Inputs(Row, frozen=True, kw_only=True):
    """Input images: how many, which formats (as core's ImageFacts names them), how large. `total_with_outputs`: inputs
    + outputs of a group. `max_total_bytes`: of all images together. `max_ratio`: long by short. Advice only warns.
    `mask`: takes one, in `mask_formats` (empty: as images); `mask_marks`: where it paints, under the transparent pixels
    or the light ones; `mask_like_first`: one as large as the first image. `mask_instruction`: what a model that takes
    none is told, beside a mask of light pixels as its last image. `max_upscaled_pixels`: of what an upscale makes."""

    minimum: int = 0
    maximum: int = 0
    formats: tuple[str, ...] = ("png", "jpeg", "webp")
    max_bytes: int = 10_485_760
    max_pixels: int = 36_000_000
    max_upscaled_pixels: int | None = None
    max_total_bytes: int | None = None
    min_edge: int | None = None
    max_ratio: float | None = None
    advice_min_edge: int | None = None
    advice_max_edge: int | None = None
    mask: bool = False
    mask_formats: tuple[str, ...] = ()
    mask_marks: Literal["alpha", "light"] = "alpha"
    mask_like_first: bool = False
    mask_instruction: str = ""
    total_with_outputs: int | None = None
    source: str = ""
    checked: str = ""


class Geometry(Row, frozen=True, kw_only=True, eq=False):
    """The sizes a model can make.

    kind `list`: exactly `sizes`. `free`: any pixels within the limits (`multiple`, `min_edge`, `max_edge`,
    `max_ratio` long:short, `min_pixels`, `max_pixels`); `sizes` are then the recommended ones that a foreign ratio or
    tier is translated to. `ratios`: `ratios` × `tiers`, `pixels["2K"]["16:9"]` = "2752x1536".
    `none`: takes no size (but is sent `default` where that is one of `words`). `words`: literals taken in place of
    pixels ("auto", "adaptive", "1K", "2K"). `default` is what the gateway fills in: pixels, a word, a ratio, or "input"
    (follow the input image) or "" (send nothing). `default_edit`: the same where input images came; None: as `default`.
    `default_tier`: of ratio-based models, when the caller names none.
    `send_tier` False: the provider has one tier and must not be sent its name.
    `size_tiers`: for pixel-based models, tier word → the sizes of that tier, squarish first; they count as recommended
    where `sizes` is empty."""

    kind: Literal["list", "free", "ratios", "none"]
    default: str = ""
    default_edit: str | None = None
    default_tier: str = ""
    sizes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    ratios: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    pixels: dict[str, dict[str, str]] = {}
    size_tiers: dict[str, tuple[str, ...]] = {}
    multiple: int = 1
    min_edge: int | None = None
    max_edge: int | None = None
    max_ratio: float | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    send_tier: bool = True
    source: str = ""
    checked: str = ""


class Price(Row, frozen=True, kw_only=True):
    """One price. `per` image: what the caller pays for one delivered image to which every condition applies (the first
    matching row wins). `per` token: per million tokens of one kind. `per` surcharge: on top of all else, for each
    delivered image. `amount` is decimal text in `currency`. Of rows with the same conditions the one that became
    effective last counts."""

    per: Literal["image", "input_image", "token", "surcharge"]
    amount: str
    currency: Literal["USD", "CNY"] = "USD"
    tokens: Literal["input_text", "input_image", "output_text", "output_image"] | None = None
    tiers: tuple[str, ...] = ()
    qualities: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    max_pixels: int | None = None
    shown_only: bool = False  # printed on the model's page, never billed
    free_first: int = 0  # input images that cost nothing
    effective: str = "2026-01-01"
    assumed: bool = False
    source: str = ""
    checked: str = ""


class Tokens(Row, frozen=True, kw_only=True):
    """Output image tokens of one image, for holds and estimates: `sizes` for fixed ones; for free ones a grid of `axis`
    cells along the long edge, weighted by area: `axis × round(axis × short/long) × (area_offset + pixels)
    / area_scale`, rounded up. `assumed`: nobody published them, so a hold takes × 1.25."""

    quality: str
    sizes: dict[str, int] = {}
    axis: int | None = None
    area_offset: int = 0
    area_scale: int = 1
    assumed: bool = False
    source: str = ""
    checked: str = ""


class Lifecycle(Row, frozen=True, kw_only=True):
    """`state` alone decides; the dates are for people."""

    state: Literal["live", "preview", "retiring", "retired"] = "live"
    released: str = ""
    shutdown: str = ""
    successor: str = ""
    source: str = ""
    checked: str = ""


class Offering(Row, frozen=True, kw_only=True, eq=False):
    """A model as one provider sells it. `adapter` names a package in providers. `parameters` None: all of the model's.
    `max_n`: images one call gives. `inputs`: how input images must arrive; `max_input_bytes`: of each, where this
    seller takes less than others. `options` go to the adapter as they are.
    `forwards`: the family whose callers' unknown fields are passed on. `cost` like prices, in the vendor's currency."""

    provider: str
    upstream_name: str
    adapter: str
    max_n: int = 1
    inputs: Literal["inline", "url_or_inline"] = "inline"
    max_input_bytes: int | None = None
    parameters: tuple[str, ...] | None = None
    forwards: str = ""
    options: dict[str, str] = {}
    cost: tuple[Price, ...] = ()
    max_answer_bytes: int = 33_554_432
    attempt_deadline_s: int | None = None
    task_deadline_s: int | None = None
    source: str = ""
    checked: str = ""


class Rename(Row, frozen=True, kw_only=True):
    """An id callers still use for this model; served with a warning that says why."""

    id: str
    why: str


class Gone(Row, frozen=True, kw_only=True):
    """An id that its vendor switched off and that nobody sells: its callers are told which model succeeds it."""

    id: str
    shutdown: str
    source: str = ""
    checked: str = ""


class Model(Row, frozen=True, kw_only=True, eq=False):
    """One model. `turns`: takes conversations. `text_out`: can answer text beside the image. `revised_prompt`: an
    answer carries one (the provider's, else the prompt). `form`: how it answers when the caller does not say.
    `rename_note`: this id is served by another model; every answer carries the note as a warning.
    `prompt_advice_chars` counts only Han, kana and hangul where `prompt_advice_words` counts the words."""

    id: str
    family: str
    title: str
    created: str = "2025-01-01"
    aliases: tuple[str, ...] = ()
    renames: tuple[Rename, ...] = ()
    succeeds: tuple[Gone, ...] = ()
    rename_note: str = ""
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    operations: tuple[Literal["generate", "edit", "upscale", "remove_background", "variation"], ...] = ("generate",)
    prompt_max_chars: int = 32_000
    prompt_advice_chars: int | None = None
    prompt_advice_words: int | None = None
    negative_prompt_max_chars: int | None = None
    turns: bool = False
    text_out: bool = False
    revised_prompt: bool = True
    form: Literal["b64_json", "url"] = "url"
    group_max_images: int | None = None  # None: no group calls
    output_formats: tuple[str, ...] = ("png",)
    context_window: int | None = None
    max_output: int | None = None
    instructions: dict[str, str] = {}  # operation → the edit that performs it just as well
    edit_model: str | None = None  # the id to name when an image came to a text-only model
    text_model: str | None = None  # the id to name when an edit model got no image
    inputs: Inputs = field(default_factory=Inputs)
    geometry: Geometry
    parameters: dict[str, Parameter] = {}
    prices: tuple[Price, ...] = ()
    tokens: tuple[Tokens, ...] = ()
    input_image_tokens: int = 0  # per input image, for holds and estimates
    high_fidelity_tokens: int = 0  # per input image, on top of input_image_tokens, where input_fidelity is high
    output_text_tokens: int = 0  # per image, for holds and estimates
    partial_image_tokens: int = 0  # per partial image asked for, billed as output image tokens
    minimum_hold: str = "0.01"
    offerings: tuple[Offering, ...] = ()
    source: str = ""
    checked: str = ""


class Provider(Row, frozen=True, kw_only=True):
    """A company with an API. `key_env` and `base_url_env` are where a credential is looked for; `auth` names a scheme
    of transport/auth. `sandbox` is the path prefix of its pretend twin. `listed_as`: what price lists of others call
    it."""

    id: str
    title: str
    base_url: str
    auth: str
    key_env: str
    base_url_env: str
    sandbox: str
    credential_origins: tuple[str, ...] = ()
    listed_as: tuple[str, ...] = ()
    source: str = ""
    checked: str = ""


class Rate(Row, frozen=True, kw_only=True):
    """One currency's worth in dollars from a day on, until a later row begins; an operator may override it."""

    currency: Literal["CNY"]
    usd: str
    effective: str
    source: str
    checked: str


class File(Row, frozen=True, kw_only=True):
    """One TOML file. `like = "id"` in a model row starts from that model: tables merge key by key, lists and values
    replace; id, title, created, aliases, renames, rename_note and lifecycle are never taken over. A row of the
    operator's directory with a known id changes that row in the same way; his rates replace ours."""

    models: tuple[Model, ...] = ()
    providers: tuple[Provider, ...] = ()
    rates: tuple[Rate, ...] = ()
