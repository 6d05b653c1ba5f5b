"""Names of events, and what must never be in one."""

from imageway.telemetry.log import configure, logger, redact_text

__all__ = ["configure", "logger", "redact_text"]
