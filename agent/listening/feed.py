"""What one STT stream has been sent, when, and what it has been told.

A stream takes whatever it is given and sends it when it can. So what it was given a moment ago is
not heard yet, however much time the audio itself is long.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable

from livekit.agents import stt

from .gate import Captured
from .timeline import Timeline

_NOTED_EVERY_SECONDS = 5.0
_NOTES = 32
_IN_ONE_GO_SECONDS = 5.0


class Feed:
    """One stream's, from its opening on; `kept` goes first.

    `now` is the meeting's clock, in seconds. A stream that has failed takes nothing more, and
    nobody is told: it says so itself.
    """

    def __init__(
        self,
        stream: stt.RecognizeStream,
        kept: Iterable[Captured],
        *,
        now: Callable[[], float],
    ) -> None:
        self.timeline = Timeline(now)
        self.ended = asyncio.Event()
        """Set once the stream has been told that no more audio comes."""
        self._stream = stream
        self._now = now
        self._opened_at = now()
        self._ended_at = 0.0
        self._sent: deque[tuple[float, float]] = deque(maxlen=_NOTES)
        for captured in kept:
            self.push(captured)

    @property
    def age(self) -> float:
        """How long the stream has been open, in seconds."""
        return self._now() - self._opened_at

    @property
    def surely_heard(self) -> float:
        """The position that an answer without a time covers at least, in seconds.

        A provider hears no faster than time passes, as far as is known: of a backlog that was sent
        in one go the first answer is about the first sentence.
        """
        pushed = self.timeline.pushed
        return pushed if pushed - self.age <= _IN_ONE_GO_SECONDS else self.age

    def quiet_for(self, answered_at: float) -> float:
        """Since when it has been told the end and has not answered, in seconds; 0 before that."""
        return self._now() - max(self._ended_at, answered_at) if self.ended.is_set() else 0.0

    def push(self, captured: Captured) -> None:
        """More audio."""
        with contextlib.suppress(RuntimeError):
            self._stream.push_frame(captured.frame)
            self.timeline.push_captured(captured.frame.duration, captured.at)
        now = self._now()
        if not self._sent or now - self._sent[-1][0] >= _NOTED_EVERY_SECONDS:
            self._sent.append((now, self.timeline.pushed))

    def sent_before(self, at: float) -> float:
        """The position that it had been sent up to at a time or some seconds before, in seconds.

        What is asked for later must not be earlier.
        """
        while len(self._sent) > 1 and self._sent[1][0] <= at:
            self._sent.popleft()
        return self._sent[0][1] if self._sent and self._sent[0][0] <= at else 0.0

    def pause(self, ask: Callable[[stt.RecognizeStream], None]) -> None:
        """The provider is to answer what it has got; `ask` tells it so."""
        if not self.ended.is_set():
            with contextlib.suppress(RuntimeError):
                ask(self._stream)

    def end(self) -> None:
        """No more audio comes."""
        if not self.ended.is_set():
            self.ended.set()
            self._ended_at = self._now()
            with contextlib.suppress(RuntimeError):
                self._stream.end_input()
