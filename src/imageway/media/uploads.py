"""Files that a caller puts here before a request names them: what proves that he may, and what they are called in the
media store. No sockets, no stores.

A policy says whose file, in which folder, how large and until when; it is signed with the key that signs links."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass
from typing import Final

from imageway.media.links import LinkSigner

SCHEME: Final = "oss://"  # before the names of uploads in requests, as the clients that upload write it
MOST_POLICY_CHARS: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`folder` is nobody else's; `until_ms` since the epoch."""

    workspace_id: str
    folder: str
    max_bytes: int
    until_ms: int


def pack(policy: Policy) -> str:
    return b64encode(json.dumps(asdict(policy)).encode()).decode()


def unpack(text: str) -> Policy:
    """Of a text that was found to be signed by us."""
    return Policy(**json.loads(b64decode(text)))


def sign(signer: LinkSigner, packed: str) -> str:
    """With the current key, whose id goes beside the signature."""
    return _signature(signer.keys[signer.current], packed)


def is_signed(signer: LinkSigner, packed: str, *, key: str, signature: str) -> bool:
    """Whether exactly this was signed by the key of that id, which is one of ours."""
    secret = signer.keys.get(key)
    if secret is None or not packed or len(packed) > MOST_POLICY_CHARS:
        return False
    return hmac.compare_digest(_signature(secret, packed).encode(), signature.encode())


def stored_name(workspace_id: str, name: str) -> str:
    """What an upload is called in the media store. For another workspace the same name is something else's."""
    return "upload-" + hashlib.sha256(f"{workspace_id}\n{name}".encode(errors="backslashreplace")).hexdigest()


def _signature(secret: bytes, packed: str) -> str:
    """No link is signed like this: those have a line with digits at their end."""
    return hmac.new(secret, f"upload policy\n{packed}\n".encode(errors="backslashreplace"), hashlib.sha256).hexdigest()
