"""Money as durable changes. Every op guards itself: a hold that does not fit, a capture without a hold or above it, a
second refund are Refused, and nothing else in the same commit happens. Amounts are micro-dollars and never negative.

A wallet has six balances: available, held and spent on one side; topped up, granted and adjusted, where its money came
from, on the other. Each op moves money between two accounts (ledger.accounts says which) and writes an immutable
transfer for each move. That available + held + spent = topped_up + granted + adjusted is a check of the table itself,
and the transfers of a wallet, replayed, give its balances. Where several words of refusal fit, the first named is
said."""

from __future__ import annotations

from typing import Final

from msgspec.structs import force_setattr

from imageway.core.ops import Op

MAX_USD_MICROS: Final = 10**15  # a billion dollars at once; sums of them stay far inside a BIGINT
MAX_TOKENS: Final = 10**12  # what a provider says it used is cut to this, for the same reason

OUTCOMES: Final = frozenset({"succeeded", "failed", "cancelled", "unknown"})
TOKENS: Final = ("input_text_tokens", "input_image_tokens", "output_text_tokens", "output_image_tokens")
DELIVERIES: Final = frozenset({"undelivered", "delivered", "stored", "refunded", "none"})


def _immovable(usd_micros: int) -> ValueError:
    return ValueError(f'"{usd_micros}" micro-dollars cannot be moved: amounts go from 0 to {MAX_USD_MICROS}')


def _unknown(word: str, accepted: frozenset[str]) -> ValueError:
    return ValueError(f'"{word}" is none of {", ".join(sorted(accepted))}')


class CreateWorkspace(Op, frozen=True):
    """Makes a workspace with a $0 wallet. Refused: "name_taken" (the name or the id)."""

    id: str
    name: str
    at_ms: int


class TopUp(Op, frozen=True):
    """Adds to available. Refused: "no_workspace", "duplicate" (the id makes it happen once)."""

    id: str
    workspace_id: str
    usd_micros: int
    at_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.usd_micros <= MAX_USD_MICROS:
            raise _immovable(self.usd_micros)


class Grant(Op, frozen=True):
    """Adds to available and to granted: money that nobody paid for. Its id is one of topups', grants' and adjustments'
    together. Refused: "no_workspace", "duplicate"."""

    id: str
    workspace_id: str
    usd_micros: int
    at_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.usd_micros <= MAX_USD_MICROS:
            raise _immovable(self.usd_micros)


class Adjust(Op, frozen=True):
    """Corrects a wallet by hand: adds `usd_micros`, which may be negative, to available and to adjusted; the transfer's
    kind is `adjust_up` or `adjust_down`. Refused: "no_workspace", "insufficient_balance" (less would be left than
    nothing), "duplicate"."""

    id: str
    workspace_id: str
    usd_micros: int
    at_ms: int

    def __post_init__(self) -> None:
        if not -MAX_USD_MICROS <= self.usd_micros <= MAX_USD_MICROS:
            raise _immovable(self.usd_micros)


class Hold(Op, frozen=True):
    """available → held, for a task; one hold per task. Refused: "duplicate", "no_workspace", "insufficient_balance"."""

    task_id: str
    workspace_id: str
    usd_micros: int
    at_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.usd_micros <= MAX_USD_MICROS:
            raise _immovable(self.usd_micros)


class Capture(Op, frozen=True):
    """held → spent for `usd_micros`, the rest of the hold → available (a `void` transfer of its own, when there is a
    rest). The hold becomes `captured`. Refused: "no_open_hold", "above_hold"."""

    task_id: str
    usd_micros: int
    at_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.usd_micros <= MAX_USD_MICROS:
            raise _immovable(self.usd_micros)


class Void(Op, frozen=True):
    """The whole hold → available. The hold becomes `voided`. Refused: "no_open_hold"."""

    task_id: str
    at_ms: int


class Refund(Op, frozen=True):
    """A captured hold's amount: spent → available, once. The hold becomes `refunded`. Whoever says whose it is helps a
    store to lock wallets in order. Refused: "not_captured"."""

    task_id: str
    at_ms: int
    workspace_id: str = ""


class BookCost(Op, frozen=True):
    """What the operator owes a provider for an attempt. Account `cost:<upstream>`; where nobody knows whether the
    provider made anything (not `known`), kind `unknown` and account `unknown:<upstream>`. Touches no wallet."""

    task_id: str
    upstream_id: str
    usd_micros: int
    at_ms: int
    known: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.usd_micros <= MAX_USD_MICROS:
            raise _immovable(self.usd_micros)


class BookOverrun(Op, frozen=True):
    """What a capture would have been above its hold; the operator bears it. Touches no wallet."""

    task_id: str
    usd_micros: int
    at_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.usd_micros <= MAX_USD_MICROS:
            raise _immovable(self.usd_micros)


class SpendBudget(Op, frozen=True):
    """Reserves for a hold what a key may spend in one period (ledger.access.SetBudget). A window later than the one
    last written starts at zero. What comes late, from an earlier one, has to fit into what is left of the present one
    and counts in none: its own is over, and what it reserves would never go back to another. Nothing may be spent, to
    begin a window. Refused: "budget_exceeded". Without such a budget nothing happens."""

    budget_id: str
    period: str
    window_ms: int
    usd_micros: int


class ReleaseBudget(Op, frozen=True):
    """Gives back what a hold reserved and a capture did not take, while the window is still the one it was taken from;
    to a later one nothing, and never more than is there. Never refused."""

    budget_id: str
    period: str
    window_ms: int
    usd_micros: int


class CreateKey(Op, frozen=True):
    """`digest` is sha256 of the key (32 bytes); `hint` its last four characters; `models` glob patterns, empty: all.
    `scope`: JSON of a core.access.KeyScope. `expires_ms` 0: never. `root_id`: the key that this one was rotated from,
    at the beginning (empty: itself); whoever shares it shares budgets. `signed`: requests must be signed.
    Refused: "no_workspace", "duplicate" (the id or the digest)."""

    id: str
    workspace_id: str
    name: str
    digest: bytes
    hint: str
    models: tuple[str, ...]
    at_ms: int
    scope: bytes = b"{}"
    expires_ms: int = 0
    root_id: str = ""
    signed: bool = False


class RevokeKey(Op, frozen=True):
    """Refused: "no_key" (unknown or revoked already)."""

    id: str
    at_ms: int


class RecordUsage(Op, frozen=True, kw_only=True):
    """One row per finished request, and what it adds to the sums of its hour (ledger.usage). `lines` is a JSON array
    of price lines. `outcome`: succeeded, failed, cancelled, unknown. `delivery`: `undelivered` (a synchronous answer
    whose last byte has not left), `delivered`, `stored` (the images are in the media store), `refunded`, `none`
    (nothing to deliver). `owner` is the process that delivers. Tokens are those the price was worked out from, cut to
    what lies from 0 to MAX_TOKENS; milliseconds: waiting in the queue, at upstreams, altogether. `warnings` are codes,
    `error` is one; both empty where there was none. Refused: "duplicate"."""

    request_id: str
    workspace_id: str
    key_id: str
    model: str
    outcome: str
    n: int
    delivered: int
    price_usd_micros: int
    cost_usd_micros: int
    lines: bytes
    delivery: str
    owner: str
    upstream_id: str
    at_ms: int
    dialect: str = ""
    operation: str = "generate"
    offering: str = ""
    size: str = ""
    input_text_tokens: int = 0
    input_image_tokens: int = 0
    output_text_tokens: int = 0
    output_image_tokens: int = 0
    queue_ms: int = 0
    upstream_ms: int = 0
    total_ms: int = 0
    warnings: str = ""
    error: str = ""

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise _unknown(self.outcome, OUTCOMES)
        if self.delivery not in DELIVERIES:
            raise _unknown(self.delivery, DELIVERIES)
        if not (
            0 <= self.input_text_tokens <= MAX_TOKENS
            and 0 <= self.input_image_tokens <= MAX_TOKENS
            and 0 <= self.output_text_tokens <= MAX_TOKENS
            and 0 <= self.output_image_tokens <= MAX_TOKENS
        ):
            for name in TOKENS:
                force_setattr(self, name, min(max(getattr(self, name), 0), MAX_TOKENS))


class MarkDelivery(Op, frozen=True):
    """undelivered → `delivery` for one request; `refunded` takes its price out of its hour's sums (`refunded`).
    Refused: "not_undelivered"."""

    request_id: str
    delivery: str
    at_ms: int

    def __post_init__(self) -> None:
        if self.delivery not in DELIVERIES:
            raise _unknown(self.delivery, DELIVERIES)
