"""Tables as dictionaries: the same ops and rows as the databases, gone with the process. For simulations and tests."""

from imageway.storage.memory.store import MemoryStore

__all__ = ["MemoryStore"]
