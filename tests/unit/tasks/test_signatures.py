"""Signatures that the specification's own library takes, and secrets that no table holds."""

from __future__ import annotations

import json
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from imageway.tasks.signatures import WrongKey, hint_of, secret_of, signed_headers, signing
from imageway.tasks.webhooks import Secret

KEY = b"a key of the tests"
BODY = json.dumps({"type": "task.succeeded", "data": {"prompt": "a cat 猫"}}, ensure_ascii=False).encode()


def now_s() -> int:
    return int(time.time())


def test_the_library_of_the_specification_takes_our_signature() -> None:
    secret = secret_of(KEY, "whs_1")
    headers = signed_headers("msg_1", now_s(), BODY, [secret])
    assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)


@pytest.mark.parametrize("holder", ["whs_1", "whs_2"])
def test_while_two_secrets_are_valid_each_of_them_verifies(holder: str) -> None:
    headers = signed_headers("msg_1", now_s(), BODY, [secret_of(KEY, "whs_2"), secret_of(KEY, "whs_1")])
    assert headers["webhook-signature"].count(" ") == 1
    Webhook(secret_of(KEY, holder)).verify(BODY, headers)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body", "secret"])
def test_whatever_is_changed_on_the_way_is_noticed(changed: str) -> None:
    secret = secret_of(KEY, "whs_1")
    headers, body = signed_headers("msg_1", now_s(), BODY, [secret]), BODY
    if changed == "body":
        body = BODY.replace(b"succeeded", b"failed")
    elif changed == "secret":
        secret = secret_of(KEY, "whs_9")
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


def test_a_secret_depends_on_its_id_and_on_the_key() -> None:
    made = {secret_of(key, name) for key in (KEY, b"another") for name in ("whs_1", "whs_2")}
    assert len(made) == 4
    assert all(secret.startswith("whsec_") and len(secret) == 50 for secret in made)
    assert secret_of(KEY, "whs_1") == secret_of(KEY, "whs_1")


def test_who_signs_now() -> None:
    """The current one, and an older one until its time is over; one that was made with a lost key does not sign."""
    current = Secret("whs_2", "end_1", hint_of(secret_of(KEY, "whs_2")), 5, None)
    old = Secret("whs_1", "end_1", hint_of(secret_of(KEY, "whs_1")), 1, 50)
    assert [one.id for one, _ in signing(KEY, (current, old), 49)] == ["whs_2", "whs_1"]
    assert [one.id for one, _ in signing(KEY, (current, old), 50)] == ["whs_2"]
    lost = Secret("whs_1", "end_1", "lost", 1, 50)
    assert [one.id for one, _ in signing(KEY, (current, lost), 9)] == ["whs_2"]
    with pytest.raises(WrongKey):
        signing(b"another", (current, old), 9)


def test_a_hint_is_the_end_that_says_something() -> None:
    secret = secret_of(KEY, "whs_1")
    assert secret.endswith(f"{hint_of(secret)}=")
    assert len({hint_of(secret_of(KEY, f"whs_{number}")) for number in range(50)}) == 50
