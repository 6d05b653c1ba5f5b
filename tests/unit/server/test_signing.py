"""Signed requests: who signs something else than he sends, at another time, or twice, is told so and gets nothing."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import cast

import pytest
from structlog.testing import capture_logs

from imageway.core.errors import GatewayError
from imageway.core.ops import Committed, Refused, Store
from imageway.ledger.access import UseSignature
from imageway.ledger.sealed import SIGNING, DropSecret
from imageway.server.machine import SystemRandom
from imageway.server.routes import Head
from imageway.server.signing import Signatures, new_signing_secret
from imageway.storage.memory import MemoryStore
from tests.vaults import OTHER_RING, vault_on

SECRETS = {f"key_{number}": f"iwsig_{number:064x}" for number in (1, 2)}
NOW_S = 1_760_000_000
BODY = b'{"model": "m", "prompt": "a fox"}'


class StillClock:
    """It is always the same moment, until somebody says otherwise."""

    def __init__(self) -> None:
        self.now_s: float = NOW_S

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None: ...


class Memory:
    """Takes each signature once, and holds the sealed secrets of two keys."""

    def __init__(self) -> None:
        self.used: list[UseSignature] = []

    async def commit(self, op: UseSignature) -> Committed | Refused:
        if any(one.digest == op.digest for one in self.used):
            return Refused(op, "replayed")
        self.used.append(op)
        return Committed()


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
async def signatures(memory: Memory) -> Signatures:
    return Signatures(cast("Store", memory), StillClock(), vault_on(await sealed()))


async def sealed() -> MemoryStore:
    store = MemoryStore()
    vault = vault_on(store)
    for key_id, plain in SECRETS.items():
        await store.commit(vault.seal(SIGNING, key_id, plain=plain, at_ms=1))
    return store


def sign(timestamp: str, method: str, target: str, body: bytes, *, key_id: str = "key_1", family: str = "") -> Head:
    """As the page on keys has it, with nothing of the code."""
    secret = SECRETS[key_id]
    message = f"{timestamp}.{method}.{target}.".encode() + body
    signature = "sha256=" + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    name = family or "x-imageway"
    headers = {f"{name}-timestamp": timestamp, f"{name}-signature": signature}
    path, _, _ = target.partition("?")
    return Head(method, path, {}, headers, target)


async def come(signatures: Signatures, head: Head, *body: bytes) -> bytes:
    """What the gateway reads; it is as it was sent, in the pieces in which it came."""

    async def chunks() -> AsyncIterator[bytes]:
        for piece in body:
            yield piece

    seal = await signatures.begin("key_1", head, chunks())
    read = b"".join([chunk async for chunk in seal])
    await seal.check()
    return read


async def refused(signatures: Signatures, head: Head, *body: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as raised:
        await come(signatures, head, *body)
    assert raised.value.kind.status == 401
    return raised.value


def signed(body: bytes = BODY, *, timestamp: str = str(NOW_S)) -> Head:
    return sign(timestamp, "POST", "/v1/images/generations", body)


def test_a_secret_is_256_bits_of_chance() -> None:
    made = {new_signing_secret(SystemRandom()) for _ in range(3)}
    assert len(made) == 3
    assert all(secret.startswith("iwsig_") and len(bytes.fromhex(secret[6:])) == 32 for secret in made)


async def test_a_secret_that_does_not_open_is_no_fault_of_who_signed(memory: Memory) -> None:
    """500, told to the log with the key that is missing; to the caller no more than whom to tell."""
    signatures = Signatures(cast("Store", memory), StillClock(), vault_on(await sealed(), ring=OTHER_RING))
    with capture_logs() as logs, pytest.raises(GatewayError) as raised:
        await come(signatures, signed(), BODY)
    assert (raised.value.kind.status, raised.value.code) == (500, "internal_error")
    assert "tell its operator" in raised.value.message
    (log,) = logs
    assert 'the secret of signing "key_1" is sealed with the key "test"' in log["detail"]


async def test_a_secret_is_read_for_the_first_request_alone(signatures: Signatures) -> None:
    await come(signatures, signed(), BODY)
    store = cast("MemoryStore", signatures.vault.store)  # type: ignore[attr-defined]
    await store.commit(DropSecret(SIGNING, "key_1"))
    await come(signatures, signed(timestamp=f"{NOW_S}.5"), BODY)


async def test_a_request_is_read_as_it_came(signatures: Signatures) -> None:
    assert await come(signatures, signed(), BODY[:7], b"", BODY[7:]) == BODY


@pytest.mark.parametrize("family", ["x-imageway", "x-omixa"])
async def test_both_families_of_headers_are_taken(signatures: Signatures, family: str) -> None:
    head = sign(str(NOW_S), "POST", "/api/v1/images/generations", BODY, family=family)
    assert await come(signatures, head, BODY) == BODY


async def test_what_nobody_reads_is_signed_all_the_same(signatures: Signatures) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield BODY

    await (await signatures.begin("key_1", signed(), chunks())).check()
    with pytest.raises(GatewayError) as raised:
        await (await signatures.begin("key_1", signed(b"{}"), chunks())).check()
    assert raised.value.code == "signature_mismatch"


@pytest.mark.parametrize(
    "head",
    [
        signed(BODY + b" "),
        sign(str(NOW_S), "PUT", "/v1/images/generations", BODY),
        sign(str(NOW_S), "POST", "/v1/images/edits", BODY),
        sign(str(NOW_S), "POST", "/v1/images/generations?key=1", BODY),
        sign(str(NOW_S), "POST", "/v1/images/generations", BODY, key_id="key_2"),
    ],
)
async def test_another_body_method_path_query_or_key_is_noticed(signatures: Signatures, head: Head) -> None:
    sent = Head("POST", "/v1/images/generations", {}, head.headers, "/v1/images/generations")
    assert (await refused(signatures, sent, BODY)).code == "signature_mismatch"


async def test_the_moment_is_signed_with_the_rest(signatures: Signatures) -> None:
    head = signed()
    later = {**head.headers, "x-imageway-timestamp": str(NOW_S + 1)}
    moved = Head(head.method, head.path, {}, later, head.target)
    assert (await refused(signatures, moved, BODY)).code == "signature_mismatch"


@pytest.mark.parametrize("away_s", [-300, -299.5, 299.5, 300])
async def test_a_moment_near_enough_is_taken(signatures: Signatures, away_s: float) -> None:
    await come(signatures, signed(timestamp=str(NOW_S + away_s)), BODY)


@pytest.mark.parametrize("away_s", [-301, -300.001, 300.001, 3600])
async def test_a_moment_too_far_away_is_not(signatures: Signatures, away_s: float) -> None:
    error = await refused(signatures, signed(timestamp=str(NOW_S + away_s)), BODY)
    assert error.code == "signature_expired"
    assert str(NOW_S) in error.message  # what our clock says, so that the other side can be set by it


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-imageway-timestamp": str(NOW_S)},
        {"x-imageway-signature": "sha256=" + "0" * 64},
        {"x-imageway-timestamp": "now", "x-imageway-signature": "sha256=" + "0" * 64},
        {"x-imageway-timestamp": "-1", "x-imageway-signature": "sha256=" + "0" * 64},
        {"x-imageway-timestamp": "1e9", "x-imageway-signature": "sha256=" + "0" * 64},
        {"x-imageway-timestamp": "١٧٦", "x-imageway-signature": "sha256=" + "0" * 64},
        {"x-imageway-timestamp": str(NOW_S), "x-imageway-signature": "0" * 64},
        {"x-imageway-timestamp": str(NOW_S), "x-imageway-signature": "sha256=" + "0" * 63},
        {"x-imageway-timestamp": str(NOW_S), "x-omixa-signature": "sha256=" + "0" * 64},
    ],
)
async def test_what_is_no_signature_is_told_so(signatures: Signatures, headers: dict[str, str]) -> None:
    head = Head("POST", "/v1/images/generations", {}, headers, "/v1/images/generations")
    assert (await refused(signatures, head, BODY)).code == "signature_required"


async def test_a_signature_is_good_once_and_as_long_as_its_moment_is(signatures: Signatures, memory: Memory) -> None:
    await come(signatures, signed(), BODY)
    assert (await refused(signatures, signed(), BODY)).code == "signature_replayed"
    assert [(op.until_ms, op.at_ms) for op in memory.used] == [((NOW_S + 300) * 1000, NOW_S * 1000)]
    await come(signatures, signed(timestamp=f"{NOW_S}.001"), BODY)  # two alike within one second


async def test_a_false_signature_uses_up_nothing(signatures: Signatures, memory: Memory) -> None:
    await refused(signatures, signed(b"{}"), BODY)
    assert memory.used == []


async def test_to_look_twice_is_no_replay(signatures: Signatures, memory: Memory) -> None:
    head = sign(str(NOW_S), "GET", "/v1/tasks/req_1?wait=5", b"")
    assert [await come(signatures, head), await come(signatures, head)] == [b"", b""]
    assert memory.used == []


async def test_no_refusal_repeats_the_secret_or_the_right_signature(signatures: Signatures) -> None:
    right = signed().headers["x-imageway-signature"].removeprefix("sha256=")
    head = Head("POST", "/p", {}, {**signed().headers, "x-imageway-signature": "sha256=" + "0" * 64}, "/p")
    error = await refused(signatures, head, BODY)
    assert right not in error.message
    assert "iwsig_" not in error.message
