"""Secrets at rest: sealed with AES-GCM (NIST SP 800-38D) under one key of a ring. What is sealed for one row opens in
no other: kind, holder and key are part of what is authenticated. No secret and no key shows in a repr or an error."""

from __future__ import annotations

import fcntl
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from imageway.core.ports import Random
from imageway.ledger.sealed import PutSecret, ResealSecret, SealingError, Secret
from imageway.server.earlier import first_entry
from imageway.server.keyfiles import made_once, write_through
from imageway.server.machine import made_private

RING_FILE: Final = "secrets.keys"
RING_VARIABLE: Final = "IMAGEWAY_SECRETS_KEYS"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_FORMAT: Final = "imageway-secret-1"
_ENTRY: Final = re.compile(r"([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/]{43}=)")


@dataclass(frozen=True, slots=True)
class Ring:
    """Keys by id; the last one seals, all of them open. `path` is None where the ring came from the environment."""

    keys: dict[str, bytes] = field(repr=False)
    path: Path | None = None

    @property
    def current(self) -> str:
        return next(reversed(self.keys))

    def seal(self, kind: str, holder_id: str, *, plain: str, random: Random, at_ms: int) -> PutSecret:
        sealed = _sealed(self.keys[self.current], _bound(kind, holder_id, self.current), plain.encode(), random)
        return PutSecret(kind, holder_id, self.current, sealed, at_ms)

    def open(self, secret: Secret) -> str:
        """Raises SealingError for a key that the ring does not have, and for what was changed or lies elsewhere."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self.keys.get(secret.key_id)
        if key is None:
            raise SealingError(
                f'the secret of {secret.kind} "{secret.holder_id}" is sealed with the key "{secret.key_id}", which '
                f"{self._place()} does not hold: put that key back, or give the secret again"
            )
        nonce, rest = secret.sealed[:_NONCE_BYTES], secret.sealed[_NONCE_BYTES:]
        try:
            plain = AESGCM(key).decrypt(nonce, rest, _bound(secret.kind, secret.holder_id, secret.key_id))
        except (InvalidTag, ValueError):
            raise SealingError(
                f'the secret of {secret.kind} "{secret.holder_id}" does not open: it was changed, or {self._place()} '
                f'holds another key under the name "{secret.key_id}"; give the secret again'
            ) from None
        return plain.decode()

    def reseal(self, secret: Secret, random: Random) -> ResealSecret | None:
        """The same under the current key; None: it is already. Raises SealingError."""
        if secret.key_id == self.current:
            return None
        anew = self.seal(secret.kind, secret.holder_id, plain=self.open(secret), random=random, at_ms=0)
        return ResealSecret(anew.kind, anew.holder_id, anew.key_id, anew.sealed, secret.sealed)

    def _place(self) -> str:
        return RING_VARIABLE if self.path is None else f'"{self.path}"'


def ring_of(data: Path, environment: Mapping[str, str], random: Random | None = None) -> Ring:
    """The one that is there; else it is made in the data directory: of the key that an earlier Imageway left, or, when
    `random` is given, of chance. Raises SealingError."""
    ring, path = ring_there(data, environment), data / RING_FILE
    if ring is None:
        try:
            _make(path, random)
        except OSError as error:
            raise _unreadable(path, str(error)) from None
        ring = ring_there(data, environment)
    if ring is None:
        raise _unreadable(path, "it is not there")
    return ring


def ring_there(data: Path, environment: Mapping[str, str]) -> Ring | None:
    """From IMAGEWAY_SECRETS_KEYS, for replicas that share no directory; else from the data directory; None: it is not
    made yet. Raises SealingError for one that cannot be read."""
    written = environment.get(RING_VARIABLE, "")
    if written.strip():
        return Ring(_read(written, RING_VARIABLE))
    path = data / RING_FILE
    try:
        return Ring(_read(path.read_text(), f'"{path}"'), path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        raise _unreadable(path, "it is no text") from None
    except OSError as error:
        raise _unreadable(path, str(error)) from None


def _unreadable(path: Path, why: str) -> SealingError:
    return SealingError(f'the keys that seal secrets cannot be read from "{path}": {why}')


def _make(path: Path, random: Random | None) -> None:
    entry = first_entry(path.parent) or (random and _entry(random))
    if entry:
        made_private(path.parent)
        made_once(path, entry)


def with_new_key(ring: Ring, random: Random) -> Ring:
    """The ring with one key more, which seals from now on. It is in the file before it is used, beside every other that
    somebody has added meanwhile. Raises SealingError for a ring that is not in a file."""
    path = ring.path
    if path is None:
        raise SealingError(
            f"the ring comes from {RING_VARIABLE}: append a key there (ID:BASE64 of {_KEY_BYTES} bytes of chance; the "
            "last one seals), start every gateway with it, and run this again"
        )
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        text = f"{path.read_text().rstrip()}\n{_entry(random)}\n"
        draft = path.with_name(f".{path.name}.new")
        write_through(draft, text)
        draft.replace(path)
        os.fsync(directory)
    finally:
        os.close(directory)
    return Ring(_read(text, f'"{path}"'), path)


def _read(text: str, place: str) -> dict[str, bytes]:
    """Entries between white space or commas. Nothing of a faulty one is repeated: it may be nearly a key."""
    keys: dict[str, bytes] = {}
    for number, written in enumerate(re.split(r"[\s,]+", text.strip()), 1):
        entry = _ENTRY.fullmatch(written)
        if entry is None:
            raise SealingError(
                f"{place}, entry {number}: write ID:KEY, an id of 1 to 32 letters, digits, - or _, and the key as "
                f"base64 of {_KEY_BYTES} bytes; spaces or commas stand between entries"
            )
        if entry[1] in keys:
            raise SealingError(f'{place} holds two keys of the id "{entry[1]}"')
        keys[entry[1]] = b64decode(entry[2])
    return keys


def _entry(random: Random) -> str:
    """Ids are chance too: two rings never mean different keys by one name."""
    return f"k{random.token_bytes(4).hex()}:{b64encode(random.token_bytes(_KEY_BYTES)).decode()}"


def _bound(kind: str, holder_id: str, key_id: str) -> bytes:
    return msgspec.json.encode([_FORMAT, kind, holder_id, key_id])


def _sealed(key: bytes, bound: bytes, plain: bytes, random: Random) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = random.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)
