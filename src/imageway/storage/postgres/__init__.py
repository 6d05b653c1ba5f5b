"""The store of many replicas: every group of commits is one call of a function that the migration brought along."""

from imageway.storage.postgres.store import open_postgres

__all__ = ["open_postgres"]
