"""What a key may do, what its workspace has set for all of its requests, and what its requests are sold for."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct, field

Period = Literal["day", "month", "total"]
"""Of a budget. Days and months are UTC's and begin anew by themselves; `total` does when somebody resets it."""


class KeyScope(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Beyond the models. Empty means all. `operations` and `dialects` are names; `networks` are CIDR blocks that
    requests may come from; `max_price_usd_micros` is the most that one request may hold."""

    operations: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    max_price_usd_micros: int | None = None


class WorkspaceSettings(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a workspace has set; None: as the model or the gateway has it. `aliases`: what its callers write → the model
    that is meant. `form`: b64 or url, where a request says neither."""

    aliases: dict[str, str] = field(default_factory=dict)
    form: Literal["b64", "url"] | None = None
    watermark: bool | None = None
    keep_images_s: int | None = None


class Budget(Struct, frozen=True):
    """What a key may spend in a period, and what it has (held included) since `window_ms`: the beginning of a day or
    month, or of everything (0), or the last reset since then."""

    period: Period
    limit_usd_micros: int
    used_usd_micros: int = 0
    window_ms: int = 0


class Terms(Struct, frozen=True, omit_defaults=True):
    """How a caller's prices differ from the catalog's. Each of `steps` multiplies every price (in millionths) and then
    adds so many micro-dollars for each image; `rows`, a JSON array of price rows, stand in place of the model's own
    (empty: those do). `rule_ids` name who said so."""

    rule_ids: tuple[str, ...] = ()
    steps: tuple[tuple[int, int], ...] = ()
    rows: bytes = b""


CATALOG_TERMS: Final = Terms()
NO_SETTINGS: Final = WorkspaceSettings()
NO_SCOPE: Final = KeyScope()
