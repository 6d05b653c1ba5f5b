"""Keys that were found, as long as nothing can have changed them: a key is looked up for every request, and a reader
whose database has changed meanwhile reads its pages anew."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Final

from imageway.core.ops import Op
from imageway.ledger.access import ChangeKey, DropBudget, ExpireKey, SetBudget, SetWorkspace
from imageway.ledger.ops import CreateKey, CreateWorkspace, RevokeKey
from imageway.ledger.queries import Key
from imageway.storage.pump import Unit

REMEMBERED: Final = 4096
CHANGING: Final[frozenset[type[Op]]] = frozenset(
    {
        CreateKey,
        CreateWorkspace,
        RevokeKey,
        ExpireKey,
        ChangeKey,
        SetBudget,
        DropBudget,
        SetWorkspace,
    }
)


class KeyMemory:
    """By digest; unknown ones are not remembered. `version` changes with every commit of another process; our own
    commits are told by `forget`, before anybody else hears of them."""

    def __init__(self, version: Callable[[], int]) -> None:
        self._version = version
        self._as_of = 0
        self._keys: dict[bytes, Key] = {}

    def get(self, digest: bytes) -> Key | None:
        version = self._version()
        if version != self._as_of:
            self._keys.clear()
            self._as_of = version
        return self._keys.get(digest)

    def put(self, digest: bytes, key: Key) -> None:
        """After `get` found nothing, and nothing was awaited since. Budgets change with every request that spends."""
        if key.budgets:
            return
        if len(self._keys) >= REMEMBERED:
            self._keys.clear()
        self._keys[digest] = key

    def forget(self, units: list[Unit]) -> None:
        if not CHANGING.isdisjoint(map(type, chain.from_iterable(units))):
            self._keys.clear()
