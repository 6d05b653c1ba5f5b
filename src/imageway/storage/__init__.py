"""Where durable things live: tables on memory, SQLite or PostgreSQL, images in a directory or a bucket."""

from imageway.storage.errors import StorageClosed, StorageError
from imageway.storage.opening import open_bulletin, open_objects, open_store

__all__ = ["StorageClosed", "StorageError", "open_bulletin", "open_objects", "open_store"]
