"""Requests that are signed besides naming a key: HMAC-SHA256 over moment, method, path and body, each signature good
once. The secret is opened when the first such request comes, and is nowhere to be read but in memory."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from imageway.core.errors import GatewayError
from imageway.core.ops import Refused, Store
from imageway.core.ports import Clock, Random
from imageway.core.wording import quoted
from imageway.ledger.access import UseSignature
from imageway.ledger.sealed import SIGNING, SealingError, Vault
from imageway.server.routes import Head
from imageway.telemetry import events, logger

PREFIX: Final = "iwsig_"
HEADERS: Final = ("x-imageway", "x-omixa")  # what `-timestamp` and `-signature` follow; the first pair that is there
_SECRET_BYTES: Final = 32
_SAFE: Final = frozenset({"GET", "HEAD"})  # to ask twice costs nothing and changes nothing
_MOMENT: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_SIGNATURE: Final = re.compile(r"sha256=([0-9a-f]{64})", re.IGNORECASE)


def new_signing_secret(random: Random) -> str:
    """What signs the requests of one API key, as its owner is shown it, once: the bytes of this text are the HMAC's
    key."""
    return PREFIX + random.token_bytes(_SECRET_BYTES).hex()


def _begun(secret: str, timestamp: str, head: Head) -> hmac.HMAC:
    """All but the body."""
    signed = f"{timestamp}.{head.method}.{head.target}."
    return hmac.new(secret.encode(), signed.encode("latin-1"), hashlib.sha256)


@dataclass(frozen=True, slots=True)
class Signatures:
    """A moment further than `tolerance_s` from ours is too old, or too new."""

    store: Store
    clock: Clock
    vault: Vault
    tolerance_s: float = 300.0

    async def begin(self, key_id: str, head: Head, chunks: AsyncIterator[bytes]) -> Seal:
        """What this request is signed with, its body still to come. Raises GatewayError 401, or 500 when
        the key's secret does not open."""
        timestamp, claimed = _signed(head)
        at_ms, now_ms, tolerance_ms = int(float(timestamp) * 1000), self.clock.now_ms(), int(self.tolerance_s * 1000)
        if abs(now_ms - at_ms) > tolerance_ms:
            ours = f"{self.tolerance_s:g} s from this clock, which says {now_ms // 1000}"
            raise GatewayError("signature_expired", f'the timestamp "{timestamp}" is more than {ours}')
        mac = _begun(await self._secret(key_id), timestamp, head)
        return Seal(self, head.method, claimed, at_ms + tolerance_ms, mac, chunks)

    async def _secret(self, key_id: str) -> str:
        """Raises GatewayError 500."""
        try:
            return await self.vault.open(SIGNING, key_id)
        except SealingError as error:
            logger().error(events.SEAL_CLOSED, holder=key_id, detail=str(error))
            raise GatewayError(
                "internal_error", "the secret of this key does not open here: tell its operator"
            ) from None


@dataclass(slots=True)
class Seal:
    """The signature of one request. Its body is read through this, and nothing of it is kept."""

    signatures: Signatures
    method: str
    claimed: str
    until_ms: int
    mac: hmac.HMAC
    body: AsyncIterator[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self.body)
        self.mac.update(chunk)
        return chunk

    async def check(self) -> None:
        """To be called before anything is done; what nobody has read of the body is read now. Raises GatewayError
        401."""
        async for _ in self:
            pass
        if not hmac.compare_digest(self.mac.hexdigest(), self.claimed):
            signed = "timestamp, method, path with its query and body, each as it is sent, joined by dots"
            raise GatewayError("signature_mismatch", f"the signature is not that of this request: sign {signed}")
        if self.method in _SAFE:
            return
        now_ms = self.signatures.clock.now_ms()
        used = await self.signatures.store.commit(UseSignature(self.mac.digest(), self.until_ms, now_ms))
        if isinstance(used, Refused):
            message = "a request with this signature was taken already: sign it anew, at another moment"
            raise GatewayError("signature_replayed", message)


def _signed(head: Head) -> tuple[str, str]:
    """Timestamp and signature in hexadecimal digits, as they were sent. Raises GatewayError 401."""
    for prefix in HEADERS:
        timestamp, signature = head.headers.get(f"{prefix}-timestamp"), head.headers.get(f"{prefix}-signature")
        if timestamp is None and signature is None:
            continue
        if not _MOMENT.fullmatch(timestamp or ""):
            message = f"the timestamp {quoted(timestamp)} is none: send seconds since 1970, such as 1760000000.125"
            raise GatewayError("signature_required", message)
        found = _SIGNATURE.fullmatch(signature or "")
        if found is None:
            message = "the signature cannot be read: send sha256= and 64 hexadecimal digits"
            raise GatewayError("signature_required", message)
        return str(timestamp), found[1].lower()
    message = "this key takes signed requests alone: send X-Imageway-Timestamp and X-Imageway-Signature"
    raise GatewayError("signature_required", message)
