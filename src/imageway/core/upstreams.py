"""One configured credential at a provider. Secrets sit here in memory only and never show in a repr."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from imageway.core.steps import NO_VALUES

PRETEND: Final = "sandbox-"
"""How the id of a pretend upstream begins; its provider's follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """`base_url` without a trailing slash. `auth` names a scheme in transport/auth. `sandbox` marks pretend upstreams:
    every answer they served is labelled."""

    id: str
    provider: str
    base_url: str
    auth: str
    secrets: Mapping[str, str] = field(default_factory=lambda: NO_VALUES, repr=False)
    values: Mapping[str, str] = field(default_factory=lambda: NO_VALUES)
    credential_origins: tuple[str, ...] = ()
    weight: int = 1
    sandbox: bool = False
