"""Signatures that the specification's own library takes, and secrets as its libraries take them."""

from __future__ import annotations

import json
import random
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from imageway.server.machine import SystemRandom
from imageway.tasks.signatures import hint_of, new_secret, signed_headers
from tests.sim.machine import SimRandom

OWN, OTHER = new_secret(SystemRandom()), new_secret(SystemRandom())
BODY = json.dumps({"type": "task.succeeded", "data": {"prompt": "a cat 猫"}}, ensure_ascii=False).encode()


def now_s() -> int:
    return int(time.time())


def test_the_library_of_the_specification_takes_our_signature() -> None:
    headers = signed_headers("msg_1", now_s(), BODY, [OWN])
    assert Webhook(OWN).verify(BODY, headers) == json.loads(BODY)


@pytest.mark.parametrize("secret", [OWN, OTHER], ids=["the new one", "the old one"])
def test_while_two_secrets_are_valid_each_of_them_verifies(secret: str) -> None:
    headers = signed_headers("msg_1", now_s(), BODY, [OWN, OTHER])
    assert headers["webhook-signature"].count(" ") == 1
    Webhook(secret).verify(BODY, headers)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body", "secret"])
def test_whatever_is_changed_on_the_way_is_noticed(changed: str) -> None:
    secret = OWN
    headers, body = signed_headers("msg_1", now_s(), BODY, [secret]), BODY
    if changed == "body":
        body = BODY.replace(b"succeeded", b"failed")
    elif changed == "secret":
        secret = OTHER
    else:
        headers[changed] = {"webhook-id": "msg_2", "webhook-timestamp": str(now_s() - 1)}[changed]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def test_the_published_example_of_the_scheme() -> None:
    """Computed by another implementation: id `msg_p5jXN8AQM9LWM0D4loKWxJek`, secret of 24 bytes."""
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_256_bits_of_chance() -> None:
    made = {new_secret(SystemRandom()) for _ in range(4)}
    assert len(made) == 4
    assert all(secret.startswith("whsec_") and len(secret) == 50 for secret in made)


def test_a_hint_is_the_end_that_says_something() -> None:
    assert OWN.endswith(f"{hint_of(OWN)}=")
    chance = SimRandom(random.Random(1))
    assert len({hint_of(new_secret(chance)) for _ in range(50)}) == 50
