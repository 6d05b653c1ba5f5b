"""A service account's key file in place of a key: its signed claim is taken to the token endpoint that it names, which
gives a bearer token for it (RFC 7523; the vendor's guide to service accounts). Anything else is an API
key, as express mode has it."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from functools import lru_cache
from typing import Final

import msgspec

from imageway.core.upstreams import Upstream
from imageway.transport.auth import KEY, Credential, Grant, MissingCredential, secret

AUDIENCE: Final = "https://oauth2.googleapis.com/token"  # whatever endpoint it is taken to
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
KIND: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME_S: Final = 3600


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What of the vendor's key file is needed."""

    client_email: str
    private_key: str
    private_key_id: str = ""
    token_uri: str = AUDIENCE


def credential(upstream: Upstream) -> Credential:
    """An API key's header; none of a service account, which is granted a token first."""
    if account_of(upstream) is not None:
        return Credential()
    return Credential(headers=(("x-goog-api-key", secret(upstream)),))


def grant(upstream: Upstream) -> Grant | None:
    """What to ask for a token with, signed now; None: the key is no service account's."""
    account = account_of(upstream)
    if account is None:
        return None
    return Grant(account.token_uri, (("assertion", _signed(upstream.id, account)), ("grant_type", KIND)))


def account_of(upstream: Upstream) -> Account | None:
    text = upstream.secrets.get(KEY, "").strip()
    return _read(upstream.id, text) if text.startswith("{") else None


@lru_cache(maxsize=64)
def _read(upstream_id: str, text: str) -> Account:
    try:
        account = msgspec.json.decode(text, type=Account)
    except msgspec.DecodeError:
        account = None
    if account is None or not account.token_uri.startswith(("https://", "http://")):
        raise MissingCredential(f'the key of upstream "{upstream_id}" is not the key file of a service account')
    return account


def _signed(upstream_id: str, account: Account) -> str:
    """The claim as a JSON Web Token. The library is loaded by those who sign."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    now_s = int(time.time())
    head = {"typ": "JWT", "alg": "RS256", "kid": account.private_key_id}
    claim = {"iat": now_s, "exp": now_s + LIFETIME_S, "iss": account.client_email, "aud": AUDIENCE, "scope": SCOPE}
    unsigned = b".".join(map(_part, (msgspec.json.encode(head), msgspec.json.encode(claim))))
    try:
        key = load_pem_private_key(account.private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise MissingCredential(f'the private key in the key file of upstream "{upstream_id}" cannot be read')
    return b".".join((unsigned, _part(key.sign(unsigned, padding.PKCS1v15(), hashes.SHA256())))).decode()


def _part(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")
