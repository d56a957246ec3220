"""Audio into one STT stream, in order, and no faster than its provider takes it.

What was kept while STT was away is sent in one go. Some providers take only so much more than time
has passed, and hang up on whoever sends a backlog as fast as the network carries it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable

from livekit.agents import stt

from .gate import Captured
from .timeline import Timeline

_LATER_SECONDS = 0.25


class Feed:
    """What one stream is sent, from its opening on.

    `now` is the meeting's clock, `lead` how much more audio may be sent than time has passed, both
    in seconds. A stream that has failed takes nothing more, and nobody is told: it says so itself.
    """

    def __init__(
        self,
        stream: stt.RecognizeStream,
        kept: Iterable[Captured],
        *,
        now: Callable[[], float],
        lead: float,
    ) -> None:
        self.timeline = Timeline(now)
        self.ended = asyncio.Event()
        """Set once the stream has been told that no more audio comes."""
        self._stream = stream
        self._now = now
        self._lead = lead
        self._opened_at = now()
        self._unsent = deque(kept)
        self._is_paused = False
        self._is_over = False
        self._later: asyncio.TimerHandle | None = None
        self._send()

    @property
    def age(self) -> float:
        """How long the stream has been open, in seconds."""
        return self._now() - self._opened_at

    @property
    def is_behind(self) -> bool:
        """Whether there is audio that it has not been sent yet."""
        return bool(self._unsent)

    def push(self, captured: Captured) -> None:
        """More audio, after whatever it has not been sent yet."""
        self._is_paused = False
        self._unsent.append(captured)
        self._send()

    def pause(self) -> None:
        """The provider is to answer what it has got, once that is all."""
        self._is_paused = True
        self._tell()

    def end(self) -> None:
        """No more audio comes."""
        self._is_over = True
        self._tell()

    def resume(self) -> bool:
        """More audio after all, if the stream has not been told that there is none."""
        if self.ended.is_set():
            return False
        self._is_over = False
        return True

    def close(self) -> None:
        """The stream is done with."""
        if self._later:
            self._later.cancel()

    def _send(self) -> None:
        while self._unsent and self.timeline.pushed < self.age + self._lead:
            captured = self._unsent.popleft()
            with contextlib.suppress(RuntimeError):
                self._stream.push_frame(captured.frame)
                self.timeline.push_captured(captured.frame.duration, captured.at)
        if self._unsent and self._later is None:
            self._later = asyncio.get_running_loop().call_later(_LATER_SECONDS, self._go_on)
        self._tell()

    def _go_on(self) -> None:
        self._later = None
        self._send()

    def _tell(self) -> None:
        if self._unsent or self.ended.is_set():
            return
        with contextlib.suppress(RuntimeError):
            if self._is_over:
                self.ended.set()
                self._stream.end_input()
            elif self._is_paused:
                self._stream.flush()
