"""How many bytes all spool files together may take. Room is reserved or refused, never waited for."""

from __future__ import annotations


class SpoolFull(Exception):
    """The budget, or the disk, has no room for more; nothing is wrong with the body."""


class Budget:
    """Bytes on disk, counted against one limit. Not for several threads: the event loop's thread alone calls it."""

    __slots__ = ("limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def reserve(self, size_bytes: int) -> bool:
        """Takes the room, or answers False and takes nothing."""
        if self.used_bytes + size_bytes > self.limit_bytes:
            return False
        self.used_bytes += size_bytes
        return True

    def release(self, size_bytes: int) -> None:
        if size_bytes > self.used_bytes:
            raise RuntimeError(f"released {size_bytes} bytes of which only {self.used_bytes} were reserved")
        self.used_bytes -= size_bytes
