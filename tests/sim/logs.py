"""What the gateway logs while a world is played: silence for the reader, and the crashes kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import structlog
from structlog.typing import EventDict, WrappedLogger

from imageway.telemetry import events

CRASHES: list[str] = []


def _keep(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    error, name = event.get("exc_info"), event.get("event")
    if name in (events.TASK_CRASHED, events.ROUND_FAILED, events.WEBHOOK_CRASHED) and isinstance(error, Exception):
        CRASHES.append(repr(error))
    raise structlog.DropEvent


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    structlog.configure(processors=[_keep])
    try:
        yield
    finally:
        structlog.reset_defaults()
