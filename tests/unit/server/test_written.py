"""What operators write is read once, and everything that is wrong with it is told at once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from imageway.core.access import KeyScope
from imageway.server.administration.written import MOST_ENTRIES, MOST_NAME, Reader

NOW_MS = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1000)


def said(reader: Reader) -> str:
    (problem,) = reader.problems
    assert problem.code == "invalid_value"
    return problem.message


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600), (" 0s ", 0)],
)
def test_a_span_is_a_number_and_a_unit(written: str, seconds: int) -> None:
    reader = Reader()
    assert reader.seconds("overlap", written) == seconds
    assert reader.problems == []


@pytest.mark.parametrize("written", ["", "24", "h", "1.5h", "-1h", "1y", "٢h"])
def test_what_is_no_span_is_told_so(written: str) -> None:
    reader = Reader()
    reader.seconds("overlap", written)
    assert "write one such as 24h" in said(reader)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T12:30:00", datetime(2027, 1, 31, 12, 30, tzinfo=UTC)),
        ("2027-01-31T12:30:00+02:00", datetime(2027, 1, 31, 10, 30, tzinfo=UTC)),
        ("90d", datetime(2027, 2, 18, 12, tzinfo=UTC)),
        ("9999-12-31T12:00:00", datetime(9999, 12, 31, 12, tzinfo=UTC)),
        ("999999w", datetime(9999, 12, 31, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_time_or_a_span_from_now_on(written: str, moment: datetime) -> None:
    reader = Reader()
    assert reader.moment_ms("expires", written, NOW_MS) == int(moment.timestamp() * 1000)
    assert reader.problems == []


@pytest.mark.parametrize(
    "written",
    [
        *("0s", "0d", "2026-11-20T12:00:00", "2020-01-01", "soon", "0001-01-01", "0001-01-01T00:00:00+14:00"),
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_a_moment_lies_ahead(written: str) -> None:
    reader = Reader()
    reader.moment_ms("expires", written, NOW_MS)
    assert f'"{written}"' in said(reader)


@pytest.mark.parametrize("written", ["1.0000001", "-1", "", "1e9", "1000000000.000001"])
def test_an_amount_is_dollars(written: str) -> None:
    reader = Reader()
    assert reader.usd("max_price_usd", written) == 0
    assert said(reader)


@pytest.mark.parametrize("written", ["x" * (MOST_NAME + 1), "a\nb", "\x1b[2J"])
def test_a_name_is_visible_and_not_too_long(written: str) -> None:
    reader = Reader()
    reader.name("name", written, needed=False)
    assert "visible characters" in said(reader)


def test_a_name_may_be_missing_where_nobody_needs_one() -> None:
    reader = Reader()
    reader.name("name", "", needed=False)
    assert reader.problems == []
    reader.name("workspace", " ")
    assert said(reader)


def test_a_scope_is_made_of_known_words_and_networks() -> None:
    reader = Reader()
    scope = reader.scope(["edit", "edit"], ["omixa"], ["203.0.113.9", "2001:DB8::/32"])
    assert scope == KeyScope(operations=("edit",), dialects=("omixa",), networks=("203.0.113.9/32", "2001:db8::/32"))
    assert reader.problems == []
    reader.scope(["paint"], ["soap"], ["here"])
    assert [problem.param for problem in reader.problems] == ["operations", "dialects", "networks"]
    assert "generate" in reader.problems[0].accepted
    assert "omixa" in reader.problems[1].accepted


def test_patterns_fit_something_and_are_not_too_many() -> None:
    reader = Reader()
    assert reader.patterns("models", ["a*", "b", "a*"]) == ("a*", "b")
    assert reader.problems == []
    reader.patterns("models", ["a*", " "])
    reader.patterns("models", [f"m{number}" for number in range(MOST_ENTRIES + 1)])
    assert len(reader.problems) == 2


@pytest.mark.parametrize("pattern", ["a" * 201, "a\nb", "\x1b[2J*", "a\0"])
def test_a_pattern_is_visible_and_not_too_long(pattern: str) -> None:
    reader = Reader()
    reader.patterns("models", [pattern])
    assert "visible characters" in said(reader)


@pytest.mark.parametrize("network", ["fe80::1%eth0", "fe80::/10%1"])
def test_a_network_has_no_zone(network: str) -> None:
    """An address comes without one: such a network would hold nobody."""
    reader = Reader()
    reader.networks("networks", [network])
    assert "names no network" in said(reader)


@pytest.mark.parametrize("written", ["x" * 501, "a\nb", "\x1b[2J", "a\0"])
def test_a_reason_is_one_visible_line(written: str) -> None:
    reader = Reader()
    reader.line("reason", written, 500)
    assert "visible characters" in said(reader)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("1970-01-01", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2026-12-01T00:00:00+02:00", datetime(2026, 11, 30, 22, tzinfo=UTC)),
        ("9999-12-31", datetime(9999, 12, 31, tzinfo=UTC)),
    ],
)
def test_a_time_may_lie_behind(written: str, moment: datetime) -> None:
    reader = Reader()
    assert reader.time_ms("from", written) == int(moment.timestamp() * 1000)
    assert reader.problems == []


@pytest.mark.parametrize(
    "written", ["", "2026", "90d", "1969-12-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23-01:00"]
)
def test_a_time_that_no_calendar_has_is_told(written: str) -> None:
    reader = Reader()
    assert reader.time_ms("from", written) == 0
    assert "is no time" in said(reader)
