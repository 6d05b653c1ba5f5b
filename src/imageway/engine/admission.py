"""How many tasks may be under way at once, of everybody and of one key. Who is let in counts from that moment on, not
from when he was accepted: in between, nobody else slips through."""

from __future__ import annotations

from dataclasses import dataclass, field

from imageway.core.errors import GatewayError
from imageway.engine.settings import EngineSettings


@dataclass(slots=True)
class Admission:
    """Of this process alone. Keys that have nothing under way leave no trace."""

    settings: EngineSettings
    _of_key: dict[str, int] = field(default_factory=dict)
    _of_all: int = 0

    def enter(self, key_id: str) -> None:
        """Raises GatewayError 503 or 429. Every call that does not is followed by one of `leave`."""
        if self._of_all >= self.settings.tasks_at_once:
            raise GatewayError("overloaded", "this gateway runs as many tasks as it may", retry_after_s=1)
        running, limit = self._of_key.get(key_id, 0), self.settings.tasks_per_key_at_once
        if running >= limit:
            raise GatewayError("rate_limit_exceeded", f"this key has {limit} calls running already", retry_after_s=1)
        self._of_key[key_id] = running + 1
        self._of_all += 1

    def leave(self, key_id: str) -> None:
        self._of_all -= 1
        left = self._of_key[key_id] - 1
        if left:
            self._of_key[key_id] = left
        else:
            del self._of_key[key_id]
