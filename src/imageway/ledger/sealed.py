"""Upstreams that operators configured over the admin API, and secrets, sealed: what lies in the tables is ciphertext,
bound to its own row. What webhooks and keys are signed with goes with its owner: the tables themselves see to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from imageway.core.ops import Op, Query

UPSTREAM: Final = "upstream"
WEBHOOK: Final = "webhook"
SIGNING: Final = "signing"
"""Kinds of secrets; their holders are an upstream, a secret of a webhook (not its endpoint), a signed key."""
PAGE: Final = 1000


class SealingError(Exception):
    """A ring that cannot be used, or a secret that it does not open; a sentence for the operator."""


class PutSecret(Op, frozen=True):
    """Makes or replaces. `kind` and `holder_id` say whose it is, `key_id` which key of the ring sealed it; `sealed` is
    nonce and ciphertext. Never refused. It goes when a webhook's secret is rotated out or removed with its endpoint,
    or a key is revoked."""

    kind: str
    holder_id: str
    key_id: str
    sealed: bytes
    at_ms: int


class ResealSecret(Op, frozen=True):
    """The same secret under another key. Refused: "changed" (it is not `was` any more)."""

    kind: str
    holder_id: str
    key_id: str
    sealed: bytes
    was: bytes


class DropSecret(Op, frozen=True):
    """Refused: "no_secret"."""

    kind: str
    holder_id: str


class PutUpstream(Op, frozen=True):
    """Makes or replaces. `document` is JSON: everything but the credential. Never refused."""

    id: str
    provider: str
    document: bytes
    enabled: bool
    at_ms: int


class DropUpstream(Op, frozen=True):
    """Refused: "no_upstream"."""

    id: str


@dataclass(frozen=True, slots=True)
class Secret:
    kind: str
    holder_id: str
    key_id: str
    sealed: bytes
    changed_ms: int


@dataclass(frozen=True, slots=True)
class StoredUpstream:
    id: str
    provider: str
    document: bytes
    enabled: bool
    changed_ms: int


@dataclass(frozen=True, slots=True)
class SecretCount:
    kind: str
    key_id: str
    count: int


@dataclass(frozen=True, slots=True)
class Unsealed:
    """Has no sealed secret: made by an Imageway from before they were. `hint`: how a webhook's ends; empty of a key."""

    kind: str
    holder_id: str
    hint: str


@dataclass(frozen=True, slots=True)
class FindSecret(Query[Secret | None]):
    kind: str
    holder_id: str


@dataclass(frozen=True, slots=True)
class ListSecrets(Query[tuple[Secret, ...]]):
    """Of one kind, or (empty) all, and sealed with another key than `not_under`; by kind and holder, from the one after
    `after` (kind, holder) on."""

    kind: str = ""
    not_under: str = ""
    after: tuple[str, str] = ("", "")
    limit: int = PAGE


@dataclass(frozen=True, slots=True)
class CountSecrets(Query[tuple[SecretCount, ...]]):
    """By kind and key."""


@dataclass(frozen=True, slots=True)
class ListUnsealed(Query[tuple[Unsealed, ...]]):
    """Secrets of webhooks, and signed keys that nobody has revoked; by kind and holder, from the one after `after`
    on."""

    after: tuple[str, str] = ("", "")
    limit: int = PAGE


@dataclass(frozen=True, slots=True)
class ListUpstreams(Query[tuple[StoredUpstream, ...]]):
    """By id, disabled ones too."""


class Vault(Protocol):
    """Seals secrets that never change, each under an id of its own, and opens them."""

    def seal(self, kind: str, holder_id: str, *, plain: str, at_ms: int) -> PutSecret:
        """What keeps it, in the commit that makes its owner. Raises SealingError."""

    async def open(self, kind: str, holder_id: str) -> str:
        """Raises SealingError, or StoreFailed."""
