"""How much ran at once: what a plan's limits are held against, before any price is compared."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from ..pricing.hosting import LIVEKIT_CLOUD
from ..usage import Usage

Interval = tuple[datetime, datetime]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


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
    spans = _Spans()
    for start, end in intervals:
        spans.add(start, end)
    return spans.peak()


class _Spans:
    """Many intervals in little memory: a month has one for every connection of every meeting."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts, self._ends = array("q"), array("q")

    def add(self, start: datetime, end: datetime) -> None:
        """One more; what takes no time overlaps nothing."""
        if end > start:
            self._starts.append((start - _EPOCH) // _MICROSECOND)
            self._ends.append((end - _EPOCH) // _MICROSECOND)

    def peak(self) -> int:
        """The most that ran at once."""
        ends = sorted(self._ends)
        most = ended = 0
        for begun, start in enumerate(sorted(self._starts), 1):
            while ends[ended] <= start:
                ended += 1
            most = max(most, begun - ended)
        return most


@dataclass(frozen=True, slots=True)
class PeakWatch:
    """Collects when a month's instances ran, for the limits that LiveKit Cloud's plans have.

    What ends in a later month is not seen, so the last hours of a month can look quieter than they
    were.
    """

    sessions: _Spans
    connections: _Spans
    inference: _Spans

    @classmethod
    def empty(cls) -> PeakWatch:
        """Nothing seen yet."""
        return cls(_Spans(), _Spans(), _Spans())

    def add(self, usages: Iterable[Usage], hosting: str) -> None:
        """See some instances of a job that ran under this hosting.

        Only agents deployed to LiveKit Cloud count as concurrent agents there.
        """
        for usage in usages:
            span = usage.started_at, usage.ended_at
            if usage.meter == "agent_session" and hosting == "cloud-agents":
                self.sessions.add(*span)
            elif usage.meter == "participant_connection" and usage.provider == LIVEKIT_CLOUD:
                self.connections.add(*span)
            elif usage.meter == "stt_connection" and usage.provider == "livekit":
                self.inference.add(*span)

    def peaks(self) -> Mapping[str, int]:
        """By the limit's name in the plan."""
        return {
            "concurrent_agents": self.sessions.peak(),
            "connections": self.connections.peak(),
            "inference_stt": self.inference.peak(),
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
