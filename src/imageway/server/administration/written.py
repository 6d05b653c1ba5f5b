"""What operators write, and how it is read: amounts, times, spans, lines, and the limits of a key. Everything that is
wrong is collected, so that it is told at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from imageway.catalog.terms import DAY_MS
from imageway.core.access import KeyScope
from imageway.core.errors import Problem
from imageway.core.money import format_usd, parse_usd
from imageway.core.requests import Operation
from imageway.dialects import DIALECTS
from imageway.ledger.ops import MAX_USD_MICROS
from imageway.server.scopes import networks_of

MOST_NAME: Final = 100
MOST_ENTRIES: Final = 100
MOST_PATTERN: Final = 200
OPERATIONS: Final = tuple(operation.value for operation in Operation)
FORMATS: Final = tuple(dialect.name for dialect in DIALECTS)
_SPAN: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604_800}
_LAST_MS: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp()) * 1000
"""What is for ever ends on the last day that calendars have."""
_EXAMPLE: Final = "write one such as 2027-01-31"


class Reader:
    """Reads what was written, and remembers what was wrong with it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def wrong(self, param: str, message: str, accepted: tuple[str, ...] = ()) -> None:
        self.problems.append(Problem(param, "invalid_value", message, accepted))

    def name(self, param: str, written: str, *, needed: bool = True) -> str:
        """One that can be typed again and stays in its column."""
        fits = len(written) <= MOST_NAME and written.isprintable() and written == written.strip()
        if not fits or (needed and not written):
            how = f"write 1 to {MOST_NAME} visible characters, the first and the last no space"
            self.wrong(param, f"{param} {written[:MOST_NAME]!r}: {how}")
        return written

    def line(self, param: str, written: str, most: int) -> str:
        """Words for people, which may be missing."""
        if len(written) > most or not written.isprintable():
            self.wrong(param, f"{param}: write one line of at most {most} visible characters")
        return written

    def usd(self, param: str, written: str) -> int:
        """Dollars as micro-dollars."""
        try:
            usd_micros = parse_usd(written)
        except ValueError as error:
            self.wrong(param, f"{param}: {error}")
            return 0
        if usd_micros > MAX_USD_MICROS:
            self.wrong(
                param, f'{param} "{written}" is more than anybody can have: at most {format_usd(MAX_USD_MICROS)}'
            )
            return 0
        return usd_micros

    def seconds(self, param: str, written: str) -> int:
        """A span: "90s", "30m", "24h", "7d", "2w"."""
        found = _SPAN.fullmatch(written.strip())
        if found is None:
            self.wrong(param, f'{param} "{written}" is no span: write one such as 24h, 30m or 7d')
            return 0
        return int(found[1]) * _SECONDS[found[2]]

    def end_ms(self, param: str, written: str, now_ms: int) -> int:
        """When a span that begins now is over."""
        return min(now_ms + self.seconds(param, written) * 1000, _LAST_MS)

    def moment_ms(self, param: str, written: str, now_ms: int) -> int:
        """A moment to come: an ISO 8601 time, UTC where it says no zone, or a span from now on."""
        at_ms = self.end_ms(param, written, now_ms) if _SPAN.fullmatch(written.strip()) else epoch_ms(written)
        if at_ms is None:
            self.wrong(param, f'{param} "{written}" is no time: {_EXAMPLE}, or a span such as 90d')
            return 0
        if at_ms <= now_ms:
            self.wrong(param, f'{param} "{written}" is over')
        return at_ms

    def time_ms(self, param: str, written: str) -> int:
        """An ISO 8601 time from 1970 on, UTC where it says no zone, past or to come."""
        at_ms = epoch_ms(written)
        if at_ms is None or at_ms < 0:
            self.wrong(param, f'{param} "{written}" is no time: {_EXAMPLE}')
            return 0
        return at_ms

    def words(self, param: str, written: Iterable[str], accepted: tuple[str, ...]) -> tuple[str, ...]:
        """Some of those accepted, each once."""
        found = tuple(dict.fromkeys(written))
        for word in found:
            if word not in accepted:
                self.wrong(param, f'{param}: "{word}" is none of {", ".join(accepted)}', accepted)
        return found

    def patterns(self, param: str, written: Iterable[str]) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(written))
        if not all(pattern.strip() for pattern in found):
            self.wrong(param, f'{param} "" fits nothing: write patterns such as "g*", or none at all')
        if any(len(pattern) > MOST_PATTERN or not pattern.isprintable() for pattern in found):
            self.wrong(param, f"{param}: a pattern has at most {MOST_PATTERN} visible characters")
        if len(found) > MOST_ENTRIES:
            self.wrong(param, f"{param}: {len(found)} patterns, at most {MOST_ENTRIES} are taken")
        return found

    def networks(self, param: str, written: Iterable[str]) -> tuple[str, ...]:
        """As their blocks are usually written."""
        found = tuple(written)
        try:
            return tuple(dict.fromkeys(str(network) for network in networks_of(found)))
        except ValueError as error:
            self.wrong(param, f"{param}: {error}")
            return ()

    def scope(self, operations: Iterable[str], dialects: Iterable[str], networks: Iterable[str]) -> KeyScope:
        return KeyScope(
            operations=self.words("operations", operations, OPERATIONS),
            dialects=self.words("dialects", dialects, FORMATS),
            networks=self.networks("networks", networks),
        )


def iso_second(epoch_ms: int) -> str:
    """How a moment is shown to operators, to the second: 2026-11-20T08:44:13+00:00."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds")


def epoch_ms(written: str) -> int | None:
    """Of an ISO 8601 time, UTC's where it names no zone. None: no time, or none that calendars have everywhere."""
    try:
        moment = datetime.fromisoformat(written.strip())
        at_ms = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return at_ms if at_ms < _LAST_MS + DAY_MS else None
