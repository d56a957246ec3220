"""How much ran at once: what a plan's limits are held against, before any price is compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from ..pricing.hosting import LIVEKIT_CLOUD
from ..usage import Usage

Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """A limit of a plan beside what was observed, or expected, at the busiest instant."""

    limit: str
    allowed: int
    observed: int

    @property
    def broken(self) -> bool:
        """Whether more ran at once than the plan allows."""
        return self.observed > self.allowed


def peak(intervals: Iterable[Interval]) -> int:
    """The most that ran at once; what ends at the instant another starts does not overlap it."""
    edges: list[tuple[datetime, int]] = []
    for start, end in intervals:
        if end > start:
            edges += [(start, 1), (end, -1)]
    edges.sort()
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


@dataclass(slots=True)
class PeakWatch:
    """Collects when a month's instances ran, for the limits that LiveKit Cloud's plans have.

    What ends in a later month is not seen, so the last hours of a month can look quieter than they
    were.
    """

    sessions: list[Interval]
    connections: list[Interval]
    inference: list[Interval]

    @classmethod
    def empty(cls) -> PeakWatch:
        """Nothing seen yet."""
        return cls([], [], [])

    def add(self, usages: Iterable[Usage], hosting: str) -> None:
        """See some instances of a job that ran under this hosting.

        Only agents deployed to LiveKit Cloud count as concurrent agents there.
        """
        for usage in usages:
            span = usage.started_at, usage.ended_at
            if usage.meter == "agent_session" and hosting == "cloud-agents":
                self.sessions.append(span)
            elif usage.meter == "participant_connection" and usage.provider == LIVEKIT_CLOUD:
                self.connections.append(span)
            elif usage.meter == "stt_connection" and usage.provider == "livekit":
                self.inference.append(span)

    def peaks(self) -> Mapping[str, int]:
        """By the limit's name in the plan."""
        return {
            "concurrent_agents": peak(self.sessions),
            "connections": peak(self.connections),
            "inference_stt": peak(self.inference),
        }


def check_limits(limits: Mapping[str, int], peaks: Mapping[str, int]) -> tuple[LimitCheck, ...]:
    """Every limit whose peak is known, in the order of their names."""
    return tuple(
        LimitCheck(name, limits[name], peaks[name]) for name in sorted(limits) if name in peaks
    )


def peak_of_starts(
    meetings_a_day: Fraction, length_hours: Fraction, starts: Mapping[int, Fraction]
) -> int:
    """The most meetings at once if they start on the hour, by each hour's part of a day's meetings.

    Args:
        meetings_a_day: on a working day.
        length_hours: how long each goes on.
        starts: hour of the day (0 to 23) to its weight.
    """
    whole = sum(starts.values())
    most = Fraction(0)
    for hour in starts:
        running = sum(
            weight for other, weight in starts.items() if other <= hour < other + length_hours
        )
        most = max(most, meetings_a_day * running / whole)
    return -(-most.numerator // most.denominator)
