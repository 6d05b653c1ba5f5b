"""Keys: 256 bits of chance, kept as a digest, looked up anew for every request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from msgspec import ValidationError, json
from msgspec.structs import replace

from imageway.core.access import NO_SCOPE, Budget, KeyScope, WorkspaceSettings
from imageway.core.errors import GatewayError, Problem
from imageway.core.ops import Query, Store
from imageway.core.requests import Caller
from imageway.ledger.access import SetBudget, SetWorkspace
from imageway.ledger.ops import CreateKey, CreateWorkspace, RevokeKey
from imageway.ledger.queries import FindKey
from imageway.server.auth import PREFIX, KeyRing, digest_of, new_key, without_keys
from imageway.server.machine import SystemRandom
from imageway.server.signing import Signatures
from imageway.storage import open_store
from tests.vaults import vault_on


class StillClock:
    """It is always the same moment, until somebody says otherwise."""

    moment_ms = 1_760_000_000_000

    def now_ms(self) -> int:
        return self.moment_ms

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None: ...


def ring_of(store: Store, clock: StillClock | None = None) -> KeyRing:
    clock = clock or StillClock()
    return KeyRing(store, clock, Signatures(store, clock, vault_on(store)))


class Counting:
    """A random source that counts up."""

    def token_bytes(self, count: int) -> bytes:
        return bytes(range(count))

    def uniform(self) -> float:
        return 0.5


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    opened = await open_store("memory://")
    await opened.commit(CreateWorkspace("ws_1", "w", 1))
    yield opened
    await opened.close()


async def made(store: Store, key: str, *models: str) -> str:
    await store.commit(CreateKey(f"key_{key[-4:]}", "ws_1", "", digest_of(key), key[-4:], models, 1))
    return f"key_{key[-4:]}"


async def refused(ring: KeyRing, key: str | None) -> GatewayError:
    with pytest.raises(GatewayError) as raised:
        await ring.caller(key)
    assert raised.value.code == "invalid_api_key"
    assert raised.value.kind.status == 401
    return raised.value


def test_a_key_is_256_bits_in_letters_that_survive_copying() -> None:
    assert re.fullmatch(r"sk-iw-[a-z2-7]{52}", new_key(Counting()))
    assert new_key(Counting()).startswith(PREFIX)


def test_what_is_stored_is_the_sha256_of_the_whole_key() -> None:
    assert digest_of("sk-iw-abc") == hashlib.sha256(b"sk-iw-abc").digest()
    assert digest_of("sk-iw-é") == hashlib.sha256("sk-iw-é".encode()).digest()


async def test_a_key_says_who_calls_and_for_which_models(store: Store) -> None:
    key_id = await made(store, "sk-iw-0001", "gemini-*", "qwen-image")
    assert await ring_of(store).caller("sk-iw-0001") == Caller(key_id, "ws_1", ("gemini-*", "qwen-image"))


async def test_no_key_is_told_how_to_send_one(store: Store) -> None:
    for missing in (None, ""):
        assert "Authorization: Bearer sk-iw-" in (await refused(ring_of(store), missing)).message


async def test_a_key_that_is_not_ours_is_never_repeated(store: Store) -> None:
    await made(store, "sk-iw-0001")
    for wrong in ("sk-iw-0002", "sk-iw-0001 ", "SK-IW-0001", "sk-test-secret", "\x00", "ключ"):
        told = await refused(ring_of(store), wrong)
        assert told.message == "this API key is not valid"


async def test_a_revoked_key_is_refused_from_the_next_request_on(store: Store) -> None:
    """Nothing is remembered in between, whichever process revoked it."""
    ring = ring_of(store)
    key_id = await made(store, "sk-iw-0001")
    assert (await ring.caller("sk-iw-0001")).key_id == key_id
    await store.commit(RevokeKey(key_id, 2))
    assert (await refused(ring, "sk-iw-0001")).message == "this API key is not valid"


async def test_a_key_is_refused_from_the_moment_on_when_it_expires(store: Store) -> None:
    clock = StillClock()
    await store.commit(
        CreateKey("key_1", "ws_1", "", digest_of("sk-iw-0001"), "0001", (), 1, expires_ms=clock.now_ms())
    )
    told = (await refused(ring_of(store, clock), "sk-iw-0001")).message
    assert told == "this API key expired at 2025-10-09T08:53:20Z"
    clock.moment_ms -= 1
    assert (await ring_of(store, clock).caller("sk-iw-0001")).key_id == "key_1"


async def test_a_caller_is_told_with_what_his_key_and_his_workspace_have_set(store: Store) -> None:
    """Those of a rotated key are the budgets of the one that it was made of."""
    scope, settings = KeyScope(operations=("edit",)), WorkspaceSettings(form="url")
    old = CreateKey("key_1", "ws_1", "", digest_of("sk-iw-0001"), "0001", (), 1)
    new = replace(
        old, id="key_2", digest=digest_of("sk-iw-0002"), scope=json.encode(scope), root_id="key_1", signed=True
    )
    await store.commit(old, new, SetBudget("key_1", "day", 5), SetWorkspace("ws_1", json.encode(settings), None))
    caller = await ring_of(store).caller("sk-iw-0002")
    assert (caller.scope, caller.settings, caller.signed) == (scope, settings, True)
    assert (caller.budget_id, caller.budgets) == ("key_1", (Budget("day", 5),))
    plain = await ring_of(store).caller("sk-iw-0001")
    assert plain.scope is NO_SCOPE  # which is what spares it every look at a limit
    assert (plain.signed, plain.budget_id) == (False, "key_1")


async def test_a_rule_that_cannot_be_read_lets_nobody_in(store: Store) -> None:
    """One that a later Imageway wrote: half of it would be no rule."""
    scope = b'{"operations":["edit"],"weekdays":["monday"]}'
    await store.commit(CreateKey("key_1", "ws_1", "", digest_of("sk-iw-0001"), "0001", (), 1, scope))
    with pytest.raises(ValidationError):
        await ring_of(store).caller("sk-iw-0001")


async def test_an_oversized_key_costs_no_look_at_the_store() -> None:
    class Watched:
        asked: int = 0

        async def read(self, query: Query[Any]) -> None:
            assert isinstance(query, FindKey)
            self.asked += 1

    store = Watched()
    ring = ring_of(cast("Store", store))
    await refused(ring, "sk-iw-" + "x" * 250)
    assert store.asked == 1
    await refused(ring, "sk-iw-" + "x" * 251)
    await refused(ring, "x" * 10_000_000)
    assert store.asked == 1


def test_a_key_that_was_written_elsewhere_is_not_repeated() -> None:
    """In a path, for a model, in a value: whoever logs the error does not log the key."""
    key = new_key(SystemRandom())
    message = f'there is no model "{key}"'
    error = without_keys(GatewayError("model_not_found", message, details=(Problem("model", "x", message),)))
    assert error.message == error.details[0].message == 'there is no model "sk-iw-…"'
    admin = "sk-iw-admin-" + key.removeprefix("sk-iw-")
    assert without_keys(GatewayError("not_found", f"nothing at /{admin[:40]}…")).message == "nothing at /sk-iw-……"
    said = "send it as `Authorization: Bearer sk-iw-…`, or sk-iw-admin-…"
    assert without_keys(GatewayError("invalid_api_key", said)).message == said
