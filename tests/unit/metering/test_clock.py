from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from metering.clock import RunClock, seconds
from metering.usage import format_stamp

NINE = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


class Times:
    """A wall clock and a monotonic one, moved by hand and apart."""

    def __init__(self) -> None:
        self.wall = NINE
        self.monotonic_ns = 7_000_000_000_123

    def clock(self) -> RunClock:
        return RunClock(wall=lambda: self.wall, monotonic_ns=lambda: self.monotonic_ns)

    def pass_by(self, duration: timedelta) -> None:
        self.wall += duration
        self.monotonic_ns += duration // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_wall_clock_that_is_stepped_changes_neither_durations_nor_order(step: timedelta) -> None:
    times = Times()
    clock = times.clock()
    times.pass_by(timedelta(seconds=10))
    before = clock.stamp()
    times.wall += step
    times.pass_by(timedelta(seconds=5))

    assert clock.elapsed_us() == 15_000_000
    assert clock.stamp() == NINE + timedelta(seconds=15)
    assert clock.stamp() - before == timedelta(seconds=5)


def test_a_stamp_of_an_earlier_moment() -> None:
    times = Times()
    clock = times.clock()
    times.pass_by(timedelta(minutes=1))
    assert clock.stamp(250_000) == NINE + timedelta(milliseconds=250)
    assert clock.began_at == NINE


@pytest.mark.parametrize(
    ("microseconds", "exact"), [(0, "0"), (1, "0.000001"), (1_500_000, "1.5"), (-3, "0")]
)
def test_seconds_are_exact_and_never_negative(microseconds: int, exact: str) -> None:
    assert seconds(microseconds) == Decimal(exact)
    assert not seconds(microseconds).is_signed()


def test_a_run_ends_no_sooner_than_what_ended_in_it() -> None:
    """Its end is counted from a start that was written in milliseconds."""
    times = Times()
    times.wall += timedelta(microseconds=600)
    clock = times.clock()
    written = datetime.fromisoformat(format_stamp(clock.began_at))
    times.pass_by(timedelta(milliseconds=28_178, microseconds=500))
    ended = format_stamp(clock.stamp())
    assert ended <= format_stamp(written + timedelta(microseconds=clock.elapsed_us()))
