"""Tokens that are granted for a service account's key: signed for, asked for once, kept until shortly before they
expire, and told apart from keys that are none."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from imageway.bodies import Scope
from imageway.core.failures import TransportFailed
from imageway.core.steps import FailureKind, JsonReply, Page, Reply
from imageway.core.upstreams import Upstream
from imageway.transport.auth import Grant, MissingCredential, granting, scheme
from imageway.transport.auth.google_jwt import AUDIENCE, KIND
from imageway.transport.tokens import EARLY_S, Tokens

NOWHERE = cast(Scope, None)


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


def key_file(**changes: Any) -> str:
    pem = private_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    known = {
        "type": "service_account",
        "client_email": "painter@example.iam.gserviceaccount.com",
        "private_key": pem.decode(),
        "private_key_id": "k1",
        "token_uri": "https://tokens.example/token",
    }
    return json.dumps(known | changes, indent=2)


def upstream(key: str, auth: str = "google_jwt") -> Upstream:
    return Upstream(id="one", provider="p", base_url="https://a.example", auth=auth, secrets={"key": key})


@dataclass
class Endpoint:
    """Answers what it is asked, and counts."""

    answer: Callable[[int], Reply | TransportFailed]
    asked: list[Grant] = field(default_factory=list)

    async def __call__(self, upstream: Upstream, grant: Grant, scope: Scope, deadline_s: float) -> Reply:
        self.asked.append(grant)
        number = len(self.asked)
        await asyncio.sleep(0)
        reply = self.answer(number)
        if isinstance(reply, TransportFailed):
            raise reply
        return reply


def granted(number: int, lives_s: object = 3599) -> Reply:
    return Reply(200, {}, JsonReply({"access_token": f"ya29.test-{number}", "expires_in": cast(Any, lives_s)}))


def part(text: str) -> Any:
    return json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_a_key_file_becomes_a_signed_claim() -> None:
    """As the vendor's own library makes it, whatever endpoint it is taken to."""
    grant = granting("google_jwt")
    assert grant is not None
    made = grant(upstream(key_file()))
    assert made is not None
    assert made.url == "https://tokens.example/token"
    form = dict(made.form)
    assert form["grant_type"] == KIND
    head, claim, signature = form["assertion"].split(".")
    assert part(head) == {"typ": "JWT", "alg": "RS256", "kid": "k1"}
    told = part(claim)
    assert told["exp"] - told["iat"] == 3600
    assert (told["iss"], told["aud"]) == ("painter@example.iam.gserviceaccount.com", AUDIENCE)
    assert told["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    proof = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    private_key().public_key().verify(proof, f"{head}.{claim}".encode(), padding.PKCS1v15(), hashes.SHA256())


def test_a_key_that_is_no_file_needs_no_token() -> None:
    grant = granting("google_jwt")
    assert grant is not None
    assert grant(upstream("sk-test-1")) is None
    assert granting("bearer") is None


@pytest.mark.parametrize(
    "key",
    ["{", "{}", key_file(token_uri="ftp://tokens.example"), key_file(client_email=1), '{"type": "authorized_user"}'],
)
def test_a_file_of_another_kind_is_told_at_the_start_and_not_shown(key: str) -> None:
    with pytest.raises(MissingCredential, match='the key of upstream "one" is not the key file') as missing:
        scheme("google_jwt")(upstream(key))
    assert "tokens.example" not in str(missing.value)


async def test_one_asks_for_all_and_the_token_is_kept() -> None:
    endpoint = Endpoint(granted)
    tokens = Tokens(endpoint)
    found = await asyncio.gather(*(tokens.of(upstream(key_file()), NOWHERE, 10) for _ in range(5)))
    assert len(endpoint.asked) == 1
    assert {each.headers for each in found if each} == {(("authorization", "Bearer ya29.test-1"),)}
    assert await tokens.of(upstream("sk-test-1"), NOWHERE, 10) is None
    assert await tokens.of(upstream("sk-test-1", "bearer"), NOWHERE, 10) is None


@pytest.mark.parametrize(("lives_s", "asked"), [(EARLY_S - 1, 2), (EARLY_S + 60, 1), ("soon", 1), (None, 1), (0, 1)])
async def test_another_is_asked_for_shortly_before_it_expires(lives_s: object, asked: int) -> None:
    """Who does not say how long it lives is taken to mean the usual hour."""
    endpoint = Endpoint(lambda number: granted(number, lives_s))
    tokens = Tokens(endpoint)
    for _ in range(2):
        await tokens.of(upstream(key_file()), NOWHERE, 10)
    assert len(endpoint.asked) == asked


async def test_a_token_that_was_not_taken_is_forgotten() -> None:
    endpoint = Endpoint(granted)
    tokens = Tokens(endpoint)
    first = await tokens.of(upstream(key_file()), NOWHERE, 10)
    assert first is not None
    tokens.forget(upstream(key_file()), first)
    again = await tokens.of(upstream(key_file()), NOWHERE, 10)
    assert again is not None
    assert again.headers == (("authorization", "Bearer ya29.test-2"),)


async def test_who_is_late_with_an_old_token_leaves_its_successor() -> None:
    """Another request has had it forgotten, and fetched the next one, meanwhile."""
    endpoint = Endpoint(granted)
    tokens = Tokens(endpoint)
    old = await tokens.of(upstream(key_file()), NOWHERE, 10)
    assert old is not None
    for _ in range(3):
        tokens.forget(upstream(key_file()), old)
        successor = await tokens.of(upstream(key_file()), NOWHERE, 10)
        assert successor is not None
        assert successor.headers == (("authorization", "Bearer ya29.test-2"),)
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(400, {}, JsonReply({"error": "invalid_grant", "error_description": "Bad"})), FailureKind.DENIED),
        (Reply(401, {}, Page(b"no")), FailureKind.DENIED),
        (Reply(503, {}, Page(b"later")), FailureKind.NEVER_SENT),
        (Reply(200, {}, JsonReply({"token": "x"})), FailureKind.NEVER_SENT),
        (Reply(200, {}, JsonReply({"access_token": "a\r\nb: c"})), FailureKind.NEVER_SENT),
        (TransportFailed(FailureKind.UNKNOWN, "reset"), FailureKind.NEVER_SENT),
    ],
)
async def test_without_a_token_nothing_of_the_request_has_left(
    reply: Reply | TransportFailed, kind: FailureKind
) -> None:
    tokens = Tokens(Endpoint(lambda number: reply))
    with pytest.raises(TransportFailed) as failed:
        await tokens.of(upstream(key_file()), NOWHERE, 10)
    assert failed.value.kind is kind
    assert failed.value.detail.startswith("the token endpoint")


async def test_a_private_key_that_cannot_be_read_is_told_without_showing_it() -> None:
    tokens = Tokens(Endpoint(granted))
    with pytest.raises(TransportFailed, match='private key in the key file of upstream "one"') as failed:
        await tokens.of(upstream(key_file(private_key="-----BEGIN PRIVATE KEY-----")), NOWHERE, 10)
    assert failed.value.kind is FailureKind.DENIED


async def test_who_waits_for_a_token_waits_no_longer_than_he_was_given() -> None:
    """Although somebody else is asking, who may wait longer."""

    given_up = asyncio.Event()

    async def hang(upstream: Upstream, grant: Grant, scope: Scope, deadline_s: float) -> Reply:
        await given_up.wait()
        raise TransportFailed(FailureKind.NEVER_SENT, "silence")

    tokens = Tokens(hang)
    first = asyncio.create_task(tokens.of(upstream(key_file()), NOWHERE, 600))
    await asyncio.sleep(0)
    with pytest.raises(TransportFailed, match=r"no token within 0\.05 s") as failed:
        await tokens.of(upstream(key_file()), NOWHERE, 0.05)
    assert failed.value.kind is FailureKind.NEVER_SENT
    assert not first.done()
    given_up.set()
    with pytest.raises(TransportFailed, match="silence"):
        await first


async def test_one_is_refused_for_all_who_wait_and_the_next_asks_again() -> None:
    endpoint = Endpoint(lambda number: Reply(503, {}, Page(b"later")) if number == 1 else granted(number))
    tokens = Tokens(endpoint)
    found = await asyncio.gather(
        *(tokens.of(upstream(key_file()), NOWHERE, 10) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(each, TransportFailed) and each.kind is FailureKind.NEVER_SENT for each in found)
    assert len(endpoint.asked) == 1
    assert await tokens.of(upstream(key_file()), NOWHERE, 10) is not None
    assert len(endpoint.asked) == 2
