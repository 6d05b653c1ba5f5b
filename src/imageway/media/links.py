"""Links to stored images: `/media/<name>?expires=…&key=…&signature=…`, signed with HMAC-SHA256, no other key needed.

The signature covers the name and the expiry. `key` names the signing key, so that keys can be rotated."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qsl, urlsplit

PREFIX = "/media/"


class Verdict(Enum):
    VALID = "valid"
    TAMPERED = "tampered"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class LinkSigner:
    """`keys`: key id → secret; `current` signs. `public_url` has no trailing slash ("http://127.0.0.1:8400")."""

    public_url: str
    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def sign(self, name: str, expires_ms: int) -> str:
        expires_s = expires_ms // 1000
        signature = self._signature(name, str(expires_s), self.keys[self.current])
        return f"{self.public_url}{PREFIX}{name}?expires={expires_s}&key={self.current}&signature={signature}"

    def verify(self, name: str, query: Mapping[str, str], now_ms: int) -> Verdict:
        """A link that was changed in any way is TAMPERED, whatever its age; only a genuine one can be EXPIRED."""
        secret = self.keys.get(query.get("key", ""))
        expires = query.get("expires", "")
        if secret is None or not (expires.isascii() and expires.isdigit()):
            return Verdict.TAMPERED
        expected = self._signature(name, expires, secret)
        if not hmac.compare_digest(expected.encode(), query.get("signature", "").encode()):
            return Verdict.TAMPERED
        return Verdict.EXPIRED if int(expires) * 1000 <= now_ms else Verdict.VALID

    def name_in(self, url: str, now_ms: int) -> str | None:
        """The stored name when `url` is a valid link of ours; None for every other URL."""
        name, verdict = self._look_at(url, now_ms)
        return name if verdict is Verdict.VALID else None

    def has_expired(self, url: str, now_ms: int) -> bool:
        """Whether `url` is a genuine link of ours whose time is over."""
        return self._look_at(url, now_ms)[1] is Verdict.EXPIRED

    def _look_at(self, url: str, now_ms: int) -> tuple[str, Verdict]:
        """Nobody else's URL is more than TAMPERED."""
        if not url.startswith(self.public_url + PREFIX):
            return "", Verdict.TAMPERED
        parts = urlsplit(url)
        name = parts.path.rpartition("/")[2]
        return name, self.verify(name, dict(parse_qsl(parts.query)), now_ms)

    @staticmethod
    def _signature(name: str, expires_s: str, secret: bytes) -> str:
        return hmac.new(secret, f"{name}\n{expires_s}".encode(), hashlib.sha256).hexdigest()
