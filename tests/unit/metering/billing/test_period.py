"""The months of a time zone."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from metering.billing import parse_period
from metering.errors import RateError

from .builders import at


@pytest.mark.parametrize(
    ("month", "timezone", "start", "end"),
    [
        ("2026-11", "UTC", "2026-11-01T00:00Z", "2026-12-01T00:00Z"),
        ("2026-12", "UTC", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("2026-11", "Asia/Kolkata", "2026-10-31T18:30Z", "2026-11-30T18:30Z"),
        # Clocks go forward on 29 March and back on 25 October.
        ("2026-03", "Europe/Zurich", "2026-02-28T23:00Z", "2026-03-31T22:00Z"),
        ("2026-10", "Europe/Zurich", "2026-09-30T22:00Z", "2026-10-31T23:00Z"),
        # There was no midnight: 24:00 was 01:00.
        ("2011-04", "Asia/Amman", "2011-03-31T22:00Z", "2011-04-30T21:00Z"),
        # There were two: 01:00 was 00:00 again.
        ("2015-11", "America/Havana", "2015-11-01T04:00Z", "2015-12-01T05:00Z"),
    ],
)
def test_a_month_begins_and_ends_at_local_midnight(
    month: str, timezone: str, start: str, end: str
) -> None:
    period = parse_period(month, timezone)

    assert (period.start, period.end) == (at(start), at(end))
    assert (period.name, period.timezone) == (month, timezone)


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Zurich", "Asia/Amman", "America/Havana"])
def test_every_instant_is_in_exactly_one_month(timezone: str) -> None:
    months = [f"{year}-{month:02d}" for year in (2011, 2015, 2026) for month in range(1, 13)]
    periods = [parse_period(month, timezone) for month in months]

    for one, following in itertools.pairwise(periods):
        if one.month != 12:
            assert one.end == following.start
            last = one.end - timedelta(milliseconds=1)
            assert (one.holds(last), following.holds(last)) == (True, False)
            assert (one.holds(one.end), following.holds(one.end)) == (False, True)


@pytest.mark.parametrize(
    "text",
    [
        "2026-13",
        "2026-00",
        "2026-1",
        "26-11",
        "november",
        "",
        "2026-11-01",
        "\uff12\uff10\uff12\uff16-11",
    ],
)
def test_what_is_no_month(text: str) -> None:
    with pytest.raises(RateError, match=r"is no month; write YYYY-MM"):
        parse_period(text)


@pytest.mark.parametrize("name", ["Mars/Phobos", "", "../etc/passwd", "Europe"])
def test_what_is_no_time_zone(name: str) -> None:
    with pytest.raises(RateError, match="unknown time zone"):
        parse_period("2026-11", name)
