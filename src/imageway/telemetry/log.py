"""Structured log lines on standard error, with secrets and content taken out before anything is rendered."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Final

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

_SECRET_NAMES: Final = re.compile(r"key$|secret|token|authorization|credential|password|signature", re.IGNORECASE)
_SECRET_VALUES: Final = re.compile(
    r"\b(?:sk|rk|AIza|ya29|AQ)[-._][A-Za-z0-9._-]{6,}|\bAIza[A-Za-z0-9_-]{8,}|Bearer\s+\S+|(?<=signature=)[0-9a-f]+"
)
_CONTENT_NAMES: Final = frozenset({"prompt", "negative_prompt", "image", "body", "b64_json", "data"})
_LONGEST_VALUE: Final = 2000


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Prompts and images never; anything named like a secret never; anything that looks like a key never."""
    for name, value in list(event.items()):
        if name in _CONTENT_NAMES or _SECRET_NAMES.search(name):
            event[name] = "[redacted]"
        elif isinstance(value, str):
            event[name] = redact_text(value)
    return event


def redact_text(text: str) -> str:
    """A text with everything that looks like a credential taken out, and cut to a readable length."""
    return _SECRET_VALUES.sub("[redacted]", text[:_LONGEST_VALUE])


def configure(*, level: str = "info", as_json: bool = True) -> None:
    """Call once, at start. Logs go to standard error, so that standard output stays a program's answer."""
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def logger() -> FilteringBoundLogger:
    bound: FilteringBoundLogger = structlog.get_logger()
    return bound
