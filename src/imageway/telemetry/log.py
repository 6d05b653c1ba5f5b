"""Structured log lines on standard error, with secrets and content taken out before anything is rendered."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

_SECRET_NAMES: Final = re.compile(r"key$|secret|token|authorization|credential|password|signature", re.IGNORECASE)
_SECRET_VALUES: Final = re.compile(
    r"\b(?:sk|rk|AIza|ya29|AQ)[-._][A-Za-z0-9._-]{6,}|\bAIza[A-Za-z0-9_-]{8,}|(?i:\bbearer\s+\S+)"
    r"|\b(?:whsec|iwsig)_[A-Za-z0-9+/=]{6,}"
    r"|(?<=signature=)[0-9a-f]+|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
_CONTENT_NAMES: Final = frozenset({"prompt", "negative_prompt", "image", "body", "b64_json", "data"})
_LONGEST_VALUE: Final = 2000
_LONGEST_TRACEBACK: Final = 8000
_LONGEST_LOOK: Final = 65_536  # of a text that is cut: a key on the edge must be seen whole to be known for one
_REDACTED: Final = "[redacted]"


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Prompts and images never; anything named like a secret never; anything that looks like a key never, however deep
    it lies."""
    return {name: _clean(name, value) for name, value in event.items()}


def _clean(name: str, value: object) -> object:
    if name in _CONTENT_NAMES or _SECRET_NAMES.search(name):
        return _REDACTED
    if isinstance(value, str):
        # What a traceback tells stands at its end.
        return _end_of(value) if name == "exception" else redact_text(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", inner) for inner in value]
    return redact_text(repr(value))


def redact_text(text: str) -> str:
    """A text with everything that looks like a credential taken out, and cut to a readable length."""
    return _without_secrets(text[:_LONGEST_LOOK])[:_LONGEST_VALUE]


def _end_of(text: str) -> str:
    return _without_secrets(text[-_LONGEST_LOOK:])[-_LONGEST_TRACEBACK:]


def _without_secrets(text: str) -> str:
    return _SECRET_VALUES.sub(_REDACTED, text)


class _Bridge(logging.StreamHandler[TextIO]):
    """What libraries tell the standard library's logging becomes lines like ours."""


def configure(*, level: str = "info", as_json: bool = True) -> None:
    """Call once, at start. Logs go to standard error, so that standard output stays a program's answer. Of libraries
    only warnings and errors are told."""
    lowest = logging.getLevelNamesMapping()[level.upper()]
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # before redaction, and without anybody's local variables
        redact,
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    _bridge(max(lowest, logging.WARNING), processors)


def _bridge(lowest: int, processors: list[Any]) -> None:
    named = [structlog.stdlib.add_logger_name, structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    bridge = _Bridge(sys.stderr)
    bridge.setLevel(lowest)
    bridge.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[*named, *processors]))
    root = logging.getLogger()
    root.handlers = [*(handler for handler in root.handlers if not isinstance(handler, _Bridge)), bridge]


def logger() -> FilteringBoundLogger:
    bound: FilteringBoundLogger = structlog.get_logger()
    return bound
