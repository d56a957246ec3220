"""From a position in a stream of audio to the meeting's clock.

An STT tells when something was said by how much audio it had heard. A microphone that is muted, or
a network that stalls, sends none for a while, so that position and time drift apart; a note of each
gap keeps them together.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable

GAP_SECONDS = 0.3
"""Audio arrives in bursts; only a longer silence of the network is a gap."""


class Timeline:
    """Where on the meeting's clock each second of one audio stream lies.

    `now` is the meeting's clock, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._pushed = 0.0
        self._positions: list[float] = []
        self._times: list[float] = []

    def push(self, duration: float) -> None:
        """Audio of this length, in seconds, has just been captured and goes into the stream."""
        self.push_captured(duration, self._now())

    def push_captured(self, duration: float, captured_at: float) -> None:
        """Audio that was captured before, at `captured_at` on the meeting's clock."""
        began = captured_at - duration
        if not self._positions or began - self.at(self._pushed) > GAP_SECONDS:
            self._positions.append(self._pushed)
            self._times.append(max(0.0, began))
        else:
            self._correct(began)
        self._pushed += duration

    def forget_before(self, position: float) -> None:
        """Nothing before this position will be asked for any more: hours leave no trace."""
        index = bisect.bisect_right(self._positions, position) - 1
        if index > 0:
            del self._positions[:index], self._times[:index]

    @property
    def pushed(self) -> float:
        """How much audio has gone into the stream, in seconds."""
        return self._pushed

    def _correct(self, began: float) -> None:
        """Move the last note back if audio would lie in the future otherwise.

        That is so when a gap was none: the audio was only late, and came in a burst.
        """
        late = self.at(self._pushed) - began
        if late > 0:
            before = 0.0
            if len(self._positions) > 1:
                before = self._times[-2] + self._positions[-1] - self._positions[-2]
            self._times[-1] = max(before, self._times[-1] - late)

    def at(self, position: float) -> float:
        """The meeting's time of a position in the stream, both in seconds."""
        if not self._positions:
            return self._now()
        index = max(0, bisect.bisect_right(self._positions, position) - 1)
        return self._times[index] + max(0.0, position - self._positions[index])

    def end_at(self, position: float) -> float:
        """Like `at`, for the end of a stretch: one that ends at a gap ends before it."""
        if not self._positions:
            return self._now()
        index = max(0, bisect.bisect_left(self._positions, position) - 1)
        return self._times[index] + max(0.0, position - self._positions[index])
