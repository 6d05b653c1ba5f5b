"""What signs a webhook, by the Standard Webhooks specification 1.0: HMAC-SHA256 over id, moment and body.

No secret lies in the database: each is made of its id, which does, and of a key, which does not. Neither alone is
worth anything."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Final

from imageway.core.ids import new_id
from imageway.core.ports import Random
from imageway.tasks.webhooks import Secret

PREFIX: Final = "whsec_"
HINT_CHARS: Final = 4


class WrongKey(Exception):
    """A secret was made with another key than the one at hand: whoever has the secret would refuse what this signs."""


def new_secret(key: bytes, holder_id: str, random: Random, now_ms: int) -> Secret:
    """What is written down of one that is about to be made; `spelled` tells it."""
    secret_id = new_id("whs", random)
    return Secret(secret_id, holder_id, hint_of(secret_of(key, secret_id)), now_ms, None)


def spelled(key: bytes, secret: Secret) -> str:
    """The secret itself. Raises WrongKey."""
    made = secret_of(key, secret.id)
    if hint_of(made) != secret.hint:
        raise WrongKey
    return made


def signing(key: bytes, known: tuple[Secret, ...], now_ms: int) -> list[tuple[Secret, str]]:
    """Of all that one holder has, those that sign now, the current one first. Raises WrongKey for that one; an older
    one that was made with a lost key is what a rotation mends."""
    found = []
    for secret in known:
        if secret.until_ms is None:
            found.append((secret, spelled(key, secret)))
        elif secret.until_ms > now_ms:
            with contextlib.suppress(WrongKey):
                found.append((secret, spelled(key, secret)))
    return found


def secret_of(key: bytes, secret_id: str) -> str:
    """`whsec_` and 256 bits in base64, as receivers' libraries take it."""
    return PREFIX + b64encode(_mac(key, f"webhook secret\n{secret_id}".encode())).decode()


def hint_of(secret: str) -> str:
    """By which its owner knows it again, and we a key that is not the one it was made with. Before the padding."""
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
