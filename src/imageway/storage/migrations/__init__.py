"""Which shapes of the tables there are. Checking one costs nothing: Alembic comes in only when a database is behind."""

from __future__ import annotations

from typing import Final

from imageway.storage.errors import StorageError

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
HEAD: Final = REVISIONS[-1]


def is_behind(version: str | None, place: str) -> bool:
    """Whether the database at `place` needs steps up to HEAD; None: it has no tables yet. Raises StorageError when a
    newer Imageway has been there."""
    if version is not None and version not in REVISIONS:
        raise StorageError(
            f'the database "{place}" has tables of version "{version}", and this Imageway knows them up to "{HEAD}": '
            "a newer Imageway has used it. Start that one, or restore a backup from before."
        )
    return version != HEAD


def assert_may_migrate(version: str | None, place: str, *, create: bool) -> None:
    """Raises StorageError when the database would have to be made or changed and `create` forbids it."""
    if create:
        return
    state = "has no tables yet" if version is None else f'has tables of version "{version}", older than "{HEAD}"'
    raise StorageError(f'the database "{place}" {state}: run `imageway serve` once, which sets them up')
