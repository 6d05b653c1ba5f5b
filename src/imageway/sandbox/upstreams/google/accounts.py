"""Service accounts: a key file to log in with, and the token endpoint that takes what it signs (RFC 7523). The key is
made anew for every sandbox."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from random import Random
from typing import Any, Final
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from imageway.sandbox.answers import Headers, Json, json_answer
from imageway.sandbox.orders import Incoming
from imageway.sandbox.reading import read_object
from imageway.sandbox.studio import decode_base64
from imageway.sandbox.wire import SandboxAnswer

KEY_FILE: Final = "/service-account.json"
EXCHANGE: Final = "/token"
EMAIL: Final = "painter@sandbox.iam.gserviceaccount.com"
AUDIENCE: Final = "https://oauth2.googleapis.com/token"  # a constant of the official library, wherever it posts to
LIFETIME_S: Final = 3_600
BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_HEADERS: Headers = (
    ("content-type", "application/json; charset=UTF-8"),
    ("cache-control", "no-cache, no-store, max-age=0, must-revalidate"),
    ("pragma", "no-cache"),
)


class Accounts:
    def __init__(self, chance: Random, prefix: str) -> None:
        self._chance = chance
        self._prefix = prefix
        self._key: asyncio.Task[rsa.RSAPrivateKey] | None = None

    async def answer(self, incoming: Incoming) -> SandboxAnswer | None:
        """None: asked for something else."""
        asked = (incoming.method, incoming.path)
        if asked == ("GET", KEY_FILE):
            return json_answer(200, await self._key_file(incoming.origin), _HEADERS, indent=2)
        return await self._exchange(incoming.body) if asked == ("POST", EXCHANGE) else None

    async def _key_file(self, origin: str) -> Json:
        key = await self._own_key()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": "sandbox",
            "private_key_id": "sandbox-key",
            "private_key": pem.decode(),
            "client_email": EMAIL,
            "client_id": "100000000000000000000",
            "token_uri": f"{origin}{self._prefix}{EXCHANGE}",
        }

    async def _own_key(self) -> rsa.RSAPrivateKey:
        if self._key is None:
            made = asyncio.to_thread(rsa.generate_private_key, public_exponent=65_537, key_size=2_048)
            self._key = asyncio.create_task(made)
        return await self._key

    async def _exchange(self, body: bytes) -> SandboxAnswer:
        form = {name: values[-1] for name, values in parse_qs(body.decode("latin-1")).items()}
        grant = form.get("grant_type")
        if grant == BEARER:
            why = await self._fault(form.get("assertion", ""))
        elif grant == "refresh_token":
            why = "Bad Request" if form.get("refresh_token", "bad").startswith("bad") else None
        else:
            return _refused("unsupported_grant_type", f"Invalid grant_type: {grant}")
        if why:
            return _refused("invalid_grant", why)
        token = f"ya29.sandbox-{self._chance.getrandbits(160):040x}"
        tree: Json = {"access_token": token, "expires_in": LIFETIME_S - 1, "token_type": "Bearer"}
        return json_answer(200, tree, _HEADERS, indent=2)

    async def _fault(self, assertion: str) -> str | None:
        """Why a signed claim is refused; None when it holds."""
        signed, _, signature = assertion.rpartition(".")
        head, _, claims = signed.partition(".")
        header, claim = _json_of(head), _json_of(claims)
        if header is None or claim is None or header.get("alg") != "RS256":
            return "Invalid JWT: must be a signed JWT of three parts."
        public = (await self._own_key()).public_key()
        try:
            public.verify(decode_base64(signature) or b"", signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return "Invalid JWT Signature."
        return _claim_fault(claim, time.time())


def _claim_fault(claim: Mapping[str, Any], now_s: float) -> str | None:
    issued_s, until_s = claim.get("iat"), claim.get("exp")
    if claim.get("iss") != EMAIL:
        return "Invalid grant: account not found"
    if claim.get("aud") != AUDIENCE:
        return f"Invalid JWT: Failed audience check. The right audience is {AUDIENCE}"
    if not isinstance(issued_s, int) or not isinstance(until_s, int) or not issued_s < until_s:
        return "Invalid JWT: iat and exp must be numbers."
    if until_s - issued_s > LIFETIME_S or not issued_s - 300 <= now_s <= until_s:
        return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
    return None if claim.get("scope") else "Invalid OAuth scope or ID token audience provided."


def _refused(code: str, description: str) -> SandboxAnswer:
    return json_answer(400, {"error": code, "error_description": description}, _HEADERS, indent=2)


def _json_of(part: str) -> Mapping[str, Any] | None:
    return read_object(decode_base64(part) or b"")
