"""Secrets at rest: what is sealed opens in its own row, with its own key, and nowhere else."""

from __future__ import annotations

import dataclasses
import stat
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imageway.ledger.sealed import PutSecret, Secret
from imageway.server.machine import SystemRandom
from imageway.server.sealing import RING_FILE, RING_VARIABLE, Ring, SealingError, ring_of, ring_there, with_new_key

PLAIN = "sk-test-very-secret"
CHANCE = SystemRandom()
OLD, NEW = (b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def ring_in(text: str) -> Ring:
    return ring_of(Path("/nowhere"), {RING_VARIABLE: text}, CHANCE)


def sealed(ring: Ring, kind: str = "upstream", holder_id: str = "up_1") -> Secret:
    op = ring.seal(kind, holder_id, plain=PLAIN, random=CHANCE, at_ms=5)
    assert isinstance(op, PutSecret)
    return Secret(op.kind, op.holder_id, op.key_id, op.sealed, op.at_ms)


def test_what_is_sealed_is_not_to_be_read_and_opens_again() -> None:
    ring = ring_in(f"a:{OLD}")
    secret = sealed(ring)
    assert PLAIN.encode() not in secret.sealed
    assert ring.open(secret) == PLAIN
    assert sealed(ring).sealed != secret.sealed, "a nonce is used once"


@pytest.mark.parametrize("changed", [{"kind": "webhook"}, {"holder_id": "up_2"}, {"key_id": "b"}])
def test_in_another_row_it_does_not_open(changed: dict[str, str]) -> None:
    ring = ring_in(f"a:{OLD} b:{OLD}")
    moved = dataclasses.replace(sealed(ring_in(f"a:{OLD}")), **changed)
    with pytest.raises(SealingError, match="does not open: it was changed"):
        ring.open(moved)


@pytest.mark.parametrize("place", [0, 11, 12, -1])
def test_a_changed_byte_is_seen(place: int) -> None:
    ring = ring_in(f"a:{OLD}")
    secret = sealed(ring)
    bytes_of = bytearray(secret.sealed)
    bytes_of[place] ^= 1
    with pytest.raises(SealingError, match="does not open"):
        ring.open(dataclasses.replace(secret, sealed=bytes(bytes_of)))
    with pytest.raises(SealingError, match="does not open"):
        ring.open(dataclasses.replace(secret, sealed=b""))


def test_a_key_that_the_ring_lacks_is_named() -> None:
    secret = sealed(ring_in(f"a:{OLD}"))
    with pytest.raises(SealingError, match=f'"up_1" is sealed with the key "a", which {RING_VARIABLE} does not hold'):
        ring_in(f"b:{NEW}").open(secret)


def test_the_last_key_seals_and_all_open() -> None:
    before, after = ring_in(f"a:{OLD}"), ring_in(f"a:{OLD},\n b:{NEW}")
    secret = sealed(before)
    assert after.current == "b"
    assert after.open(secret) == PLAIN
    anew = after.reseal(secret, CHANCE)
    assert anew is not None
    assert (anew.key_id, anew.was) == ("b", secret.sealed)
    moved = dataclasses.replace(secret, key_id="b", sealed=anew.sealed)
    assert after.open(moved) == PLAIN
    assert after.reseal(moved, CHANCE) is None


@pytest.mark.parametrize("text", ["a", f"a:{OLD[:-2]}", f"a:{OLD} {NEW}", f"a:{OLD} a:{NEW}", f"ä:{OLD}"])
def test_a_faulty_ring_is_a_sentence_that_repeats_no_key(text: str) -> None:
    with pytest.raises(SealingError, match=RING_VARIABLE) as raised:
        ring_in(text)
    assert OLD[:8] not in str(raised.value)
    assert NEW[:8] not in str(raised.value)


def test_a_faulty_ring_is_known_without_a_secret_to_open(tmp_path: Path) -> None:
    """One that is not made yet is none that is wrong; nothing is made by looking."""
    assert ring_there(tmp_path / "nowhere", {}) is None
    assert ring_there(tmp_path, {}) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / RING_FILE).write_text(f"a:{OLD[:-4]}")
    with pytest.raises(SealingError, match=f'{RING_FILE}", entry 1: write ID:KEY.*32 bytes'):
        ring_there(tmp_path, {})
    (tmp_path / RING_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(SealingError, match=f'cannot be read from ".*{RING_FILE}": it is no text'):
        ring_there(tmp_path, {})
    (tmp_path / RING_FILE).unlink()
    (tmp_path / RING_FILE).mkdir()
    with pytest.raises(SealingError, match=f'cannot be read from ".*{RING_FILE}"'):
        ring_there(tmp_path, {})
    found = ring_there(tmp_path, {RING_VARIABLE: f"a:{OLD}"})
    assert found is not None
    assert found.current == "a"


def test_no_key_shows_in_a_repr() -> None:
    ring = ring_in(f"a:{OLD}")
    assert OLD[:8] not in repr(ring)
    assert repr(ring.keys["a"]) not in repr(ring)


def test_without_a_variable_the_ring_is_made_in_the_data_directory_for_its_owner_alone(tmp_path: Path) -> None:
    ring = ring_of(tmp_path, {}, CHANCE)
    assert stat.S_IMODE((tmp_path / RING_FILE).stat().st_mode) == 0o600
    assert ring_of(tmp_path, {RING_VARIABLE: " "}, CHANCE).keys == ring.keys
    assert [path.name for path in tmp_path.iterdir()] == [RING_FILE]
    assert ring_of(tmp_path, {RING_VARIABLE: (tmp_path / RING_FILE).read_text()}, CHANCE).keys == ring.keys


def test_a_new_key_is_in_the_file_behind_the_others(tmp_path: Path) -> None:
    first = ring_of(tmp_path, {}, CHANCE)
    second = with_new_key(first, CHANCE)
    assert next(iter(second.keys)) == first.current != second.current
    assert ring_of(tmp_path, {}, CHANCE).keys == second.keys
    assert stat.S_IMODE((tmp_path / RING_FILE).stat().st_mode) == 0o600


def test_of_many_that_add_a_key_at_once_none_is_lost(tmp_path: Path) -> None:
    ring = ring_of(tmp_path, {}, CHANCE)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: with_new_key(ring, CHANCE).current, range(16)))
    assert set(ring_of(tmp_path, {}, CHANCE).keys) == {ring.current, *made}
    assert len(set(made)) == 16


def test_a_ring_of_the_environment_gets_its_keys_there() -> None:
    with pytest.raises(SealingError, match=r"append a key there.*run this again"):
        with_new_key(ring_in(f"a:{OLD}"), CHANCE)
