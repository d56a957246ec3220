"""Audio that has not been put into words yet.

What an STT has been sent is not safe there: a connection that breaks takes with it whatever the
provider had not answered. So it is kept until a final transcript covers it, and said again to the
next connection.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from livekit import rtc

_ROUNDING_SECONDS = 0.001
"""Providers state times in milliseconds at best."""


@dataclass(frozen=True, slots=True)
class Captured:
    """A frame of audio, and when its end was captured on the meeting's clock, in seconds."""

    frame: rtc.AudioFrame
    at: float


class Backlog:
    """The audio since the last final transcript, in order; past `longest` seconds the oldest goes.

    Every frame goes to the stream in the order in which it is added here, so that the position of
    a transcript in the stream tells which frames it covers.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._captured: deque[Captured] = deque()
        self._position = 0.0
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """How much there is."""
        return self._seconds if self._captured else 0.0

    def add(self, frame: rtc.AudioFrame, captured_at: float) -> None:
        """Keep a frame that was captured up to this moment of the meeting's clock."""
        self._captured.append(Captured(frame, captured_at))
        self._seconds += frame.duration
        while self._seconds > self._longest + _ROUNDING_SECONDS:
            self._drop()

    def heard(self, position: float) -> None:
        """A final transcript covers the stream up to this position, in seconds."""
        while (
            self._captured
            and self._position + self._captured[0].frame.duration <= position + _ROUNDING_SECONDS
        ):
            self._drop()

    def restart(self) -> list[Captured]:
        """All of it, for a new stream: its first frame is at that stream's beginning."""
        self._position = 0.0
        return list(self._captured)

    def _drop(self) -> None:
        duration = self._captured.popleft().frame.duration
        self._seconds -= duration
        self._position += duration
