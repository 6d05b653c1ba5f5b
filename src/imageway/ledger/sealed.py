"""Upstreams that operators configured over the admin API, and secrets, sealed: what lies in the tables is ciphertext,
bound to its own row."""

from __future__ import annotations

from dataclasses import dataclass

from imageway.core.ops import Op, Query


class PutSecret(Op, frozen=True):
    """Makes or replaces. `kind` and `holder_id` say whose it is (`upstream`, its id), `key_id` which key of the ring
    sealed it; `sealed` is nonce and ciphertext. Never refused."""

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
class ListSecrets(Query[tuple[Secret, ...]]):
    """Of one kind, or (empty) all; by kind and holder."""

    kind: str = ""


@dataclass(frozen=True, slots=True)
class ListUpstreams(Query[tuple[StoredUpstream, ...]]):
    """By id, disabled ones too."""
