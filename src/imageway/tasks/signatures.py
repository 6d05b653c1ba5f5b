"""What signs a webhook, by the Standard Webhooks specification 1.0: HMAC-SHA256 over id, moment and body."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Final

from imageway.core.ports import Random

PREFIX: Final = "whsec_"
HINT_CHARS: Final = 4
_SECRET_BYTES: Final = 32


def new_secret(random: Random) -> str:
    """`whsec_` and 256 bits of chance in base64, as receivers' libraries take it."""
    return PREFIX + b64encode(random.token_bytes(_SECRET_BYTES)).decode()


def hint_of(secret: str) -> str:
    """By which its owner knows it again, and we that it is the one he was shown. Before the padding."""
    return secret.rstrip("=")[-HINT_CHARS:]


def signed_headers(message_id: str, at_s: int, content: bytes, secrets: Iterable[str]) -> dict[str, str]:
    """Of one try: `content` is the body to the byte; one signature for each secret."""
    signed = f"{message_id}.{at_s}.".encode() + content
    signatures = (b64encode(_mac(b64decode(secret.removeprefix(PREFIX)), signed)).decode() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()
