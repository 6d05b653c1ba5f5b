"""Upstreams in the database: what operators may put there, what a running gateway makes of it, and that no credential
shows anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from imageway.catalog import Catalog, load
from imageway.core.errors import GatewayError, InvalidRequest
from imageway.core.ops import Op, Store
from imageway.ledger.access import ListChanges
from imageway.ledger.sealed import UPSTREAM, DropSecret, ListSecrets, ListUpstreams, PutUpstream
from imageway.server.administration.office import Office
from imageway.server.administration.secrets import list_secrets, rotate_secrets
from imageway.server.administration.upstreams import (
    UpstreamAsked,
    drop_upstream,
    list_upstreams,
    put_upstream,
    switch_upstream,
)
from imageway.server.configuration import Settings
from imageway.server.machine import SystemClock, SystemRandom
from imageway.server.sealing import RING_FILE, with_new_key
from imageway.server.upstreams import Installation, LiveUpstreams
from imageway.storage.memory import MemoryStore
from imageway.tasks.ops import EndAttempt
from imageway.transport import Transport
from tests.store.places import KEY, WORKSPACE, attempt, commit, task

CATALOG = load()
CHANCE = SystemRandom()
PLAIN = "sk-test-of-an-operator"
ASKED = UpstreamAsked(provider="openai", id="own", key=PLAIN, base_url="https://images.example/v1/", weight=3)


@pytest.fixture
def store() -> Store:
    return MemoryStore()


@pytest.fixture
def office(store: Store) -> Office:
    return Office(store, SystemClock(), CHANCE, "cli")


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return installed(tmp_path)


def installed(
    data: Path, environment: Mapping[str, str] | None = None, *, sandbox: bool = False, catalog: Catalog = CATALOG
) -> Installation:
    return Installation(Settings(data=data, sandbox=sandbox), catalog, environment or {}, CHANCE)


def live(installation: Installation, store: Store) -> LiveUpstreams:
    tools: Any = SimpleNamespace(store=store, upstreams=())
    sandbox: Any = object() if installation.settings.sandbox else None
    return LiveUpstreams(installation, tools, Transport(sandbox=sandbox))


def ids(gateway: LiveUpstreams) -> list[str]:
    return [upstream.id for upstream in gateway.tools.upstreams]


# What operators may put there


async def test_an_upstream_is_shown_without_its_credential(office: Office, installation: Installation) -> None:
    put = await put_upstream(office, installation, ASKED)
    assert (await list_upstreams(office, installation)) == (put,)
    assert (put.base_url, put.weight, put.enabled, put.kept_in) == ("https://images.example/v1", 3, True, "database")
    (secret,) = await office.store.read(ListSecrets())
    assert installation.ring().open(secret) == PLAIN
    rows = [*await office.store.read(ListUpstreams()), secret, *await office.store.read(ListChanges())]
    assert PLAIN not in repr(rows) + repr(put) + repr(ASKED)


async def test_those_of_the_configuration_come_first(office: Office, tmp_path: Path) -> None:
    there = installed(tmp_path, {"OPENAI_API_KEY": "sk-test-1"})
    await put_upstream(office, there, ASKED)
    found = await list_upstreams(office, there)
    assert [(one.id, one.kept_in) for one in found] == [("openai", "configuration"), ("own", "database")]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"provider": "nobody"}, 'provider "nobody" is none of openai'),
        ({"weight": 0}, 'weight "0": write a number from 1'),
        ({"id": "a\nb"}, "write 1 to 100 visible characters"),
        ({"key": "a\0b"}, "a credential is text"),
        ({"key": ""}, "a new upstream needs its credential"),
        ({"base_url": "ftp://images.example"}, "ftp"),
        ({"id": "sandbox-openai"}, "is how pretend upstreams are called"),
        ({"id": "openai"}, 'the configuration has an upstream "openai" already'),
    ],
)
async def test_what_the_configuration_file_would_not_take_is_not_taken(
    office: Office, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    there = installed(tmp_path, {"OPENAI_API_KEY": "sk-test-1"})
    with pytest.raises(InvalidRequest) as raised:
        await put_upstream(office, there, replace(ASKED, **changes))
    assert any(sentence in problem.message for problem in raised.value.details), raised.value.details
    assert await office.store.read(ListUpstreams()) == ()


async def test_a_credential_stays_while_the_rest_changes(office: Office, installation: Installation) -> None:
    await put_upstream(office, installation, ASKED)
    before = await office.store.read(ListSecrets())
    await put_upstream(office, installation, replace(ASKED, key="", weight=9))
    assert await office.store.read(ListSecrets()) == before
    with pytest.raises(InvalidRequest):
        await put_upstream(office, installation, replace(ASKED, key="", provider="google"))


async def test_it_goes_with_its_credential(office: Office, installation: Installation) -> None:
    await put_upstream(office, installation, ASKED)
    await drop_upstream(office, installation, "own")
    assert (await office.store.read(ListUpstreams()), await office.store.read(ListSecrets())) == ((), ())
    for work in (
        drop_upstream(office, installation, "own"),
        switch_upstream(office, installation, "own", enabled=True),
    ):
        with pytest.raises(GatewayError, match='no upstream "own"'):
            await work


ELSEWHERE = ({"base_url": "https://other.example/v1"}, {"provider": "google"}, {"values": {"project": "other"}})
HERE = (
    {"key": "sk-test-other"},
    {"key": "", "weight": 9},
    {"enabled": False},
    {"base_url": "https://images.example/v1"},
)


@pytest.mark.parametrize("changes", ELSEWHERE)
async def test_it_does_not_move_from_under_what_runs_there(
    office: Office, installation: Installation, changes: dict[str, Any]
) -> None:
    """What was sent to one address would be asked for at another; unless an operator says so."""
    await put_upstream(office, installation, ASKED)
    await commit(office.store, WORKSPACE, KEY, task(), attempt(upstream_id="own"), attempt("att_2", upstream_id="own"))
    await commit(office.store, task("req_2"), attempt("att_3", "req_2", upstream_id="elsewhere"))
    before = await office.store.read(ListUpstreams()), await office.store.read(ListSecrets())
    with pytest.raises(GatewayError, match='1 task is under way at the upstream "own"') as raised:
        await put_upstream(office, installation, replace(ASKED, **changes))
    told = (raised.value.code, raised.value.kind.status, raised.value.param)
    assert told == ("upstream_in_use", 409, "upstream")
    assert (await office.store.read(ListUpstreams()), await office.store.read(ListSecrets())) == before
    moved = await put_upstream(office, installation, replace(ASKED, **changes), force=True)
    assert (await list_upstreams(office, installation)) == (moved,)
    await put_upstream(office, installation, ASKED, force=True)
    await commit(office.store, EndAttempt("att_1", "proved", "", 7), EndAttempt("att_2", "failed", "", 7))
    assert await put_upstream(office, installation, replace(ASKED, **changes)) == moved


@pytest.mark.parametrize("changes", HERE)
async def test_where_it_stays_everything_else_may_change_while_tasks_run(
    office: Office, installation: Installation, changes: dict[str, Any]
) -> None:
    """The same address, written otherwise, is the same."""
    await put_upstream(office, installation, ASKED)
    await commit(office.store, WORKSPACE, KEY, task(), attempt(upstream_id="own"))
    shown = await put_upstream(office, installation, replace(ASKED, **changes))
    assert await list_upstreams(office, installation) == (shown,)


async def test_the_providers_own_address_is_the_same_written_out(office: Office, installation: Installation) -> None:
    await put_upstream(office, installation, replace(ASKED, base_url=""))
    await commit(office.store, WORKSPACE, KEY, task(), attempt(upstream_id="own"))
    written_out = CATALOG.providers["openai"].base_url
    assert (await put_upstream(office, installation, replace(ASKED, base_url=written_out))).base_url == written_out


# What a running gateway makes of it


async def test_a_running_gateway_follows_every_change(office: Office, installation: Installation) -> None:
    gateway = live(installation, office.store)
    await gateway.look()
    assert ids(gateway) == []
    await put_upstream(office, installation, ASKED)
    await gateway.look()
    (found,) = gateway.tools.upstreams
    assert (found.id, found.provider, found.base_url, found.weight) == ("own", "openai", "https://images.example/v1", 3)
    assert found.secrets == {"key": PLAIN}
    await gateway.look()
    assert gateway.tools.upstreams[0] is found, "nothing has changed: nothing was done"
    await switch_upstream(office, installation, "own", enabled=False)
    await gateway.look()
    assert ids(gateway) == []
    await switch_upstream(office, installation, "own", enabled=True)
    await put_upstream(office, installation, replace(ASKED, key="sk-test-other"))
    await gateway.look()
    assert gateway.tools.upstreams[0].secrets == {"key": "sk-test-other"}
    await drop_upstream(office, installation, "own")
    await gateway.look()
    assert ids(gateway) == []


async def test_what_can_be_bought_is_not_pretended_even_while_it_is_switched_off(
    office: Office, tmp_path: Path
) -> None:
    there = installed(tmp_path, sandbox=True)
    gateway = live(there, office.store)
    await gateway.look()
    assert "sandbox-openai" in ids(gateway)
    await put_upstream(office, there, ASKED)
    await gateway.look()
    assert "sandbox-openai" not in ids(gateway)
    assert "sandbox-google" in ids(gateway)
    await switch_upstream(office, there, "own", enabled=False)
    await gateway.look()
    assert not {"own", "sandbox-openai"} & set(ids(gateway))
    await drop_upstream(office, there, "own")
    await gateway.look()
    assert "sandbox-openai" in ids(gateway)


@pytest.mark.parametrize(
    "op",
    [
        DropSecret(UPSTREAM, "own"),
        PutUpstream("own", "nobody", b"{}", enabled=True, at_ms=1),
        PutUpstream("own", "openai", b'{"base_url":"nonsense"}', enabled=True, at_ms=1),
        PutUpstream("own", "openai", b"[]", enabled=True, at_ms=1),
    ],
)
async def test_one_that_cannot_be_used_is_left_out_and_the_others_go_on(
    office: Office, installation: Installation, op: Op
) -> None:
    await put_upstream(office, installation, ASKED)
    await put_upstream(office, installation, replace(ASKED, id="second"))
    await office.store.commit(op)
    gateway = live(installation, office.store)
    await gateway.look()
    assert ids(gateway) == ["second"]


async def test_a_lost_ring_leaves_out_what_it_sealed(
    office: Office, installation: Installation, tmp_path: Path
) -> None:
    await put_upstream(office, installation, ASKED)
    other = installed(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    gateway = live(other, office.store)
    await gateway.look()
    assert ids(gateway) == []


@pytest.mark.parametrize("broken", [None, "no key at all"])
async def test_a_ring_that_is_put_back_opens_what_it_sealed_while_the_gateway_runs(
    office: Office, installation: Installation, tmp_path: Path, broken: str | None
) -> None:
    """Nothing in the database has changed: it was the file that nobody could read."""
    await put_upstream(office, installation, ASKED)
    ring = tmp_path / RING_FILE
    kept = ring.read_text()
    ring.unlink() if broken is None else ring.write_text(broken)
    gateway = live(installation, office.store)
    for _ in range(2):
        await gateway.look()
        assert ids(gateway) == []
    ring.write_text(kept)
    await gateway.look()
    assert ids(gateway) == ["own"]


async def test_the_configuration_wins_over_an_id_of_the_database(office: Office, tmp_path: Path) -> None:
    await put_upstream(office, installed(tmp_path), replace(ASKED, id="openai"))
    gateway = live(installed(tmp_path, {"OPENAI_API_KEY": "sk-test-1"}), office.store)
    await gateway.look()
    assert [upstream.secrets for upstream in gateway.tools.upstreams] == [{"key": "sk-test-1"}]


# Rotation


async def test_a_rotation_seals_everything_anew_and_running_gateways_go_on(
    office: Office, installation: Installation
) -> None:
    for number in range(3):
        await put_upstream(office, installation, replace(ASKED, id=f"up{number}", key=f"sk-test-{number}"))
    gateway = live(installation, office.store)
    await gateway.look()
    old = installation.ring().current
    done = await rotate_secrets(office, installation)
    assert (done.resealed, done.faulty) == (3, ())
    assert done.key != old
    assert {row.key for row in await list_secrets(office)} == {done.key}
    await gateway.look()
    assert [one.secrets["key"] for one in gateway.tools.upstreams] == ["sk-test-0", "sk-test-1", "sk-test-2"]


async def test_a_rotation_that_was_cut_short_is_ended_with_its_key(office: Office, installation: Installation) -> None:
    for number in range(3):
        await put_upstream(office, installation, replace(ASKED, id=f"up{number}"))
    begun = with_new_key(installation.ring(), CHANCE)
    first, *_ = await office.store.read(ListSecrets())
    await office.store.commit(cast("Op", begun.reseal(first, CHANCE)))
    done = await rotate_secrets(office, installation)
    assert (done.key, done.resealed) == (begun.current, 2)
    assert (await rotate_secrets(office, installation)).key != begun.current


async def test_a_secret_that_does_not_open_stops_no_other(office: Office, installation: Installation) -> None:
    await put_upstream(office, installation, ASKED)
    await put_upstream(office, installation, replace(ASKED, id="second"))
    first, second = await office.store.read(ListSecrets())
    moved = installation.ring().seal(UPSTREAM, "elsewhere", plain=PLAIN, random=CHANCE, at_ms=1)
    await office.store.commit(replace(moved, holder_id=first.holder_id))
    done = await rotate_secrets(office, installation)
    assert done.resealed == 1
    assert len(done.faulty) == 1
    assert '"own" does not open' in done.faulty[0]
    assert PLAIN not in repr(done)
    assert second.holder_id == "second"


async def test_without_a_file_a_rotation_says_where_keys_are_added(office: Office, tmp_path: Path) -> None:
    text = (await _ring_text(tmp_path)).strip()
    there = installed(tmp_path, {"IMAGEWAY_SECRETS_KEYS": text})
    await put_upstream(office, there, ASKED)
    with pytest.raises(GatewayError, match="the ring comes from IMAGEWAY_SECRETS_KEYS"):
        await rotate_secrets(office, there)


async def _ring_text(data: Path) -> str:
    installed(data).ring()
    return (data / "secrets.keys").read_text()
