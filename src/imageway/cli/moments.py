"""Times of the past as people type them: days, moments, and how many days ago."""

from __future__ import annotations

import re
from typing import Final, overload

from imageway.catalog.terms import DAY_MS
from imageway.cli.books import CLOCK
from imageway.cli.printing import Stop
from imageway.server.administration.written import epoch_ms

_AGO: Final = re.compile(r"([0-9]{1,6})d")
_EXAMPLES: Final = "a date such as 2026-03-01, a moment such as 2026-03-01T12:30, or days ago such as 30d"


@overload
def moment_ms(option: str, written: str) -> int: ...


@overload
def moment_ms(option: str, written: None) -> None: ...


@overload
def moment_ms(option: str, written: str | None) -> int | None: ...


def moment_ms(option: str, written: str | None) -> int | None:
    """Epoch milliseconds of ISO 8601, UTC's where it names no zone, or of `30d`; 0 where it is before there were any.
    None: nothing was written. Stops with a sentence that names the option."""
    if written is None:
        return None
    ago = _AGO.fullmatch(written.strip())
    at_ms = CLOCK.now_ms() - int(ago[1]) * DAY_MS if ago else epoch_ms(written)
    if at_ms is None:
        raise Stop(f'{option} "{written}" is not a time: write {_EXAMPLES}')
    return max(at_ms, 0)
