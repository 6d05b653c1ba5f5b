"""One file, one writer thread, one reader thread: the store of a gateway that needs nothing else."""

from imageway.storage.sqlite.store import open_sqlite

__all__ = ["open_sqlite"]
