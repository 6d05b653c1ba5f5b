"""Names of events, and what must never be in one."""
