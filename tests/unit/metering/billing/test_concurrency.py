"""What runs at once."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import pytest

from metering.billing import PeakWatch, check_limits, peak
from metering.billing.concurrency import Interval, peak_of_starts
from tests.unit.metering.pricing.builders import START, connection, usage


def span(begin: int, end: int) -> Interval:
    return START + timedelta(minutes=begin), START + timedelta(minutes=end)


@pytest.mark.parametrize(
    ("spans", "most"),
    [
        ([], 0),
        ([span(0, 1)], 1),
        ([span(0, 2), span(1, 3)], 2),
        ([span(0, 1), span(1, 2)], 1),
        ([span(1, 2), span(0, 1), span(0, 1)], 2),
        ([span(0, 9), span(1, 2), span(3, 4), span(3, 5)], 3),
        ([span(0, 0), span(0, 0)], 0),
    ],
)
def test_the_peak(spans: list[Interval], most: int) -> None:
    assert peak(spans) == most


def test_each_limit_counts_its_own() -> None:
    watch = PeakWatch.empty()
    later = START + timedelta(hours=1)
    during = {"started_at": START, "ended_at": later}
    deployed = [usage("agent_session", "livekit-cloud", 3600, **during) for _ in range(3)]
    own = [usage("agent_session", "livekit-cloud", 3600, **during) for _ in range(4)]
    people = [connection(3600, **during) for _ in range(5)]
    at_home = usage("participant_connection", "self-hosted", 3600, **during)
    inference = usage("stt_connection", "livekit", 3600, model="deepgram/nova-3", **during)
    bought = usage("stt_connection", "deepgram", 3600, model="nova-3", **during)
    watch.add([*deployed, *people, inference, bought], "cloud-agents")
    watch.add([*own, at_home], "cloud")

    assert watch.peaks() == {"concurrent_agents": 3, "connections": 5, "inference_stt": 1}
    checks = check_limits({"connections": 5, "concurrent_agents": 2, "rooms": 1}, watch.peaks())
    assert [(check.limit, check.observed, check.broken) for check in checks] == [
        ("concurrent_agents", 3, True),
        ("connections", 5, False),
    ]


@pytest.mark.parametrize(
    ("a_day", "hours", "starts", "most"),
    [
        (Fraction(10), Fraction(3, 4), {9: Fraction(1)}, 10),
        (Fraction(10), Fraction(3, 4), {9: Fraction(1), 10: Fraction(1)}, 5),
        (Fraction(10), Fraction(1), {9: Fraction(1), 10: Fraction(1)}, 5),
        (Fraction(10), Fraction(3, 2), {9: Fraction(1), 10: Fraction(1)}, 10),
        (Fraction(2000, 22), Fraction(3, 4), {9: Fraction(30), 14: Fraction(70)}, 64),
        (Fraction(0), Fraction(1), {9: Fraction(1)}, 0),
    ],
)
def test_the_peak_of_starts_on_the_hour(
    a_day: Fraction, hours: Fraction, starts: dict[int, Fraction], most: int
) -> None:
    assert peak_of_starts(a_day, hours, starts) == most
