"""What can be wrong with a store itself, as sentences for the operator. A refused op is no error: it is `Refused`."""

from __future__ import annotations

from collections.abc import Container, Iterable

from imageway.core.failures import StoreFailed
from imageway.core.ops import Op


class StorageError(StoreFailed):
    """A store that cannot be opened, or a commit whose fate the engine below did not tell."""


class StorageClosed(StorageError):
    """Something was asked of a store after `close`."""


def assert_known(ops: Iterable[Op], known: Container[type[Op]]) -> None:
    """Raises TypeError for an op that nobody taught the store."""
    for op in ops:
        if type(op) not in known:
            raise TypeError(f'the store knows no op "{type(op).__name__}"')
