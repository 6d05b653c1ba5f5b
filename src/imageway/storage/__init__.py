"""Where durable things live: tables on memory, SQLite or PostgreSQL, images in a directory."""

from imageway.storage.errors import StorageClosed, StorageError
from imageway.storage.opening import open_store

__all__ = ["StorageClosed", "StorageError", "open_store"]
