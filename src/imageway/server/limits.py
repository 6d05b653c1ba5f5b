"""What client connections may cost us, by name; each is a setting in the file's `[connections]`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Seconds and bytes. `at_once` is how many connections one process keeps open: whoever comes then is told to come
    again. `head_s` runs from the connection, or from the first byte of a further request, to the end of
    its head; `body_idle_s` is the longest pause within a body, `body_s` the longest body; `stall_s` is how long a
    client may read nothing of an answer that waits for it; `keep_alive_s` is how long a connection stays open between
    two requests; `heartbeat_s` is how long a stream may be silent before a comment says that it lives."""

    at_once: int = 8192
    head_s: float = 20.0
    head_bytes: int = 64 * 1024
    body_idle_s: float = 60.0
    body_s: float = 900.0
    stall_s: float = 60.0
    keep_alive_s: float = 75.0
    heartbeat_s: float = 10.0
