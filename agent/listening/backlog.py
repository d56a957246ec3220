"""Audio that has not been put into words yet.

What an STT has been sent is not safe there: a connection that breaks takes with it whatever the
provider had not answered. So it is kept until a final transcript covers it, and said again to the
next connection, for as long as a provider may be away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .gate import Captured
from .timeline import GAP_SECONDS

_ROUNDING_SECONDS = 0.001
"""Providers state times in milliseconds at best."""


class AudioAllowance:
    """How much audio all backlogs of a job may keep together, in seconds; 32 kB each."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    @property
    def is_used_up(self) -> bool:
        """Whether more is kept than may be."""
        return self._left < -_ROUNDING_SECONDS

    def take(self, seconds: float) -> None:
        """A backlog keeps so much more."""
        self._left -= seconds

    def give_back(self, seconds: float) -> None:
        """A backlog keeps so much less."""
        self._left += seconds


def portion(captured: list[Captured], longest: float) -> list[Captured]:
    """The first of it that is no longer than so many seconds; up to a pause, if it has one."""
    seconds, whole, paused = 0.0, 0, 0
    for number, one in enumerate(captured):
        seconds += one.frame.duration
        if seconds > longest + _ROUNDING_SECONDS:
            return captured[: paused or max(1, whole)]
        whole = number + 1
        following = (
            captured[whole].at - captured[whole].frame.duration if whole < len(captured) else 0
        )
        if following - one.at > GAP_SECONDS:
            paused = whole
    return captured


class Backlog:
    """The audio since the last final transcript, in order.

    Past `longest` seconds, or what the job is allowed, the oldest goes: `on_lost` is told its
    length and when its end was captured.

    Every frame goes to the stream in the order in which it is added here, so that the position of
    a transcript in the stream tells which frames it covers.
    """

    def __init__(
        self,
        longest: float,
        *,
        allowance: AudioAllowance | None = None,
        on_lost: Callable[[float, float], None] = lambda seconds, at: None,
    ) -> None:
        self._longest = longest
        self._allowance = allowance or AudioAllowance(longest)
        self._on_lost = on_lost
        self._captured: deque[Captured] = deque()
        self._position = 0.0
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """How much there is."""
        return self._seconds if self._captured else 0.0

    def add(self, captured: Captured) -> None:
        """Keep a frame."""
        self._captured.append(captured)
        self._seconds += captured.frame.duration
        self._allowance.take(captured.frame.duration)
        while self._captured and (
            self._seconds > self._longest + _ROUNDING_SECONDS or self._allowance.is_used_up
        ):
            lost = self._drop()
            self._on_lost(lost.frame.duration, lost.at)

    def heard(self, position: float) -> None:
        """A final transcript covers the stream up to this position, in seconds."""
        self._drop_until(position)

    def lose(self, position: float) -> None:
        """Nobody will hear the stream up to this position, in seconds, any more."""
        for lost in self._drop_until(position):
            self._on_lost(lost.frame.duration, lost.at)

    def restart(self) -> list[Captured]:
        """All of it, for a new stream: its first frame is at that stream's beginning."""
        self._position = 0.0
        return list(self._captured)

    def clear(self) -> list[Captured]:
        """All of it, and nobody will hear it any more."""
        return [self._drop() for _ in range(len(self._captured))]

    def _drop_until(self, position: float) -> list[Captured]:
        dropped = []
        while self._captured and (
            self._position + self._captured[0].frame.duration <= position + _ROUNDING_SECONDS
        ):
            dropped.append(self._drop())
        return dropped

    def _drop(self) -> Captured:
        dropped = self._captured.popleft()
        duration = dropped.frame.duration
        self._seconds -= duration
        self._position += duration
        self._allowance.give_back(duration)
        return dropped
