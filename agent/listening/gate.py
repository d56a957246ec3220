"""Which of a participant's audio is speech, so that only that is sent and paid for.

Decided cheaply first: nothing that does not stand out from its background is looked at. What does
is put to Silero, and what the server itself calls an active speaker is believed more readily. The
audio from before the decision is kept, so that a first syllable is never cut off.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np
from livekit import rtc
from numpy.typing import NDArray

from .loudness import Loudness, level
from .speech_detector import SAMPLE_RATE, WINDOW, SpeechDetector

PREROLL_SECONDS = 0.5
"""Sent from before the first sound that stood out.

What a word begins with may not stand out, and a small model drops a short first word that has no
silence before it. It costs audio and no connection time: it is sent in one go.
"""
REACH_BACK_SECONDS = 1.2
"""How far back speech is looked for, in sound that stood out all along."""
TAIL_SECONDS = 0.5
"""Sent after the last of the speech: a pause within a sentence, and the last consonant."""

_BEGINS = 0.5
_BEGINS_IF_ACTIVE = 0.25
"""Where the server has the participant among its active speakers."""
_GOES_ON = 0.35
_SURE = 0.8
_TRUSTED_WINDOWS = 5
"""Loud windows after one that is surely speech, which are believed to go on with it."""
_ASKED_QUIET_WINDOWS = 3
"""Quiet windows that Silero is still asked about while it has heard no speech yet."""
_DOUBTFUL = 0.15
_DOUBT_WINDOWS = 16
_LOOK_EVERY = 8
"""What has been no speech for half a second is looked at each quarter of a second."""
_STANDS_OUT_WINDOWS = 2
"""A click is shorter; a vowel is not."""
_CONTEXT_WINDOWS = 3
_GIVE_UP_WINDOWS = 10
"""Quiet windows after which a sound that was no speech is over."""


@dataclass(frozen=True, slots=True)
class Captured:
    """A frame of audio, and when its end was captured on the meeting's clock, in seconds."""

    frame: rtc.AudioFrame
    at: float


def silence(seconds: float, since: float) -> Captured:
    """What a microphone would send that is open and into which nobody speaks."""
    samples = round(seconds * SAMPLE_RATE)
    return Captured(rtc.AudioFrame(bytes(2 * samples), SAMPLE_RATE, 1, samples), since + seconds)


@dataclass(frozen=True, slots=True)
class Passed:
    """What a gate lets through, in order; `ended` says that a stretch of speech is over with it."""

    captured: list[Captured] = field(default_factory=list)
    ended: bool = False


class _State(Enum):
    QUIET = auto()
    SUSPECT = auto()
    SPEAKING = auto()


class Gate:
    """Lets one participant's speech through: mono frames at 16 kHz, of any length, in order."""

    def __init__(self, detector: SpeechDetector, *, tail_seconds: float = TAIL_SECONDS) -> None:
        self._detector = detector
        self._tail = round(tail_seconds * SAMPLE_RATE)
        self._loudness = Loudness()
        self._state = _State.QUIET
        self._is_active_speaker = False
        self._kept: deque[Captured] = deque()
        self._kept_samples = 0
        self._remainder = np.empty(0, np.float32)
        self._context: deque[tuple[NDArray[np.float32], float]] = deque(maxlen=_CONTEXT_WINDOWS)
        self._position = 0
        self._pushed_at = 0.0
        self._stood_out_at = 0
        self._spoke_at = 0
        self._quiet_windows = 0
        self._trusted_windows = 0
        self._loud_windows = 0
        self._doubted_windows = 0

    @property
    def is_open(self) -> bool:
        """Whether somebody speaks, as far as has been heard."""
        return self._state is _State.SPEAKING

    def is_active_speaker(self, active: bool) -> None:
        """What the server says of the participant; a hint, for its levels miss quiet voices."""
        self._is_active_speaker = active

    def push(self, captured: Captured) -> Passed:
        """Take a frame; returns what is to be sent now, from before it where it begins."""
        was_open = self.is_open
        self._pushed_at = captured.at
        self._keep(captured)
        self._hear(captured.frame)
        if self.is_open:
            return Passed(self._release())
        if was_open:
            return Passed(self._release(), ended=True)
        self._forget_old()
        return Passed()

    def cut(self) -> Passed:
        """The audio stops, for a mute or a lost track; what was said may have ended in it.

        The tail that is missing is silence: many an STT knows by it alone that a sentence is over.
        """
        was_open = self.is_open
        passed = Passed(self._release() if was_open else [], ended=was_open)
        missing = self._tail - (self._position + len(self._remainder) - self._spoke_at)
        if was_open and missing > 0:
            passed.captured.append(silence(missing / SAMPLE_RATE, self._pushed_at))
        self._kept.clear()
        self._kept_samples = 0
        self._remainder = self._remainder[:0]
        self._context.clear()
        self._detector.forget()
        self._state = _State.QUIET
        return passed

    def _keep(self, captured: Captured) -> None:
        self._kept.append(captured)
        self._kept_samples += captured.frame.samples_per_channel

    def _forget_old(self) -> None:
        longest = round((REACH_BACK_SECONDS + PREROLL_SECONDS) * SAMPLE_RATE)
        while self._kept_samples - self._kept[0].frame.samples_per_channel >= longest:
            self._kept_samples -= self._kept.popleft().frame.samples_per_channel

    def _release(self) -> list[Captured]:
        """What is kept and belongs to the speech, which is nothing from long before it began."""
        begins = self._stood_out_at - round(PREROLL_SECONDS * SAMPLE_RATE)
        begins = max(begins, self._spoke_at - round(REACH_BACK_SECONDS * SAMPLE_RATE))
        ends = self._position + len(self._remainder) - self._kept_samples
        released = []
        for captured in self._kept:
            ends += captured.frame.samples_per_channel
            if ends > begins:
                released.append(captured)
        self._kept.clear()
        self._kept_samples = 0
        return released

    def _hear(self, frame: rtc.AudioFrame) -> None:
        samples = np.frombuffer(frame.data, np.int16).astype(np.float32) / np.float32(32768.0)
        heard = np.concatenate((self._remainder, samples)) if len(self._remainder) else samples
        whole = len(heard) // WINDOW * WINDOW
        self._remainder = heard[whole:]
        for start in range(0, whole, WINDOW):
            self._position += WINDOW
            self._judge(heard[start : start + WINDOW])

    def _judge(self, window: NDArray[np.float32]) -> None:
        dbfs = level(window)
        is_loud = self._loudness.is_loud(dbfs)
        if self._state is _State.QUIET:
            self._loud_windows = self._loud_windows + 1 if is_loud else 0
            if self._loud_windows < _STANDS_OUT_WINDOWS:
                self._context.append((window, dbfs))
                return
            self._suspect()
        if self._state is _State.SUSPECT:
            self._wonder(window, dbfs, is_loud)
        else:
            self._follow(window, dbfs, is_loud)

    def _wonder(self, window: NDArray[np.float32], dbfs: float, is_loud: bool) -> None:
        self._quiet_windows = 0 if is_loud else self._quiet_windows + 1
        if self._quiet_windows >= _GIVE_UP_WINDOWS:
            self._state = _State.QUIET
        is_due = self._doubted_windows < _DOUBT_WINDOWS or self._doubted_windows % _LOOK_EVERY == 0
        if self._quiet_windows > _ASKED_QUIET_WINDOWS or not is_due:
            self._doubted_windows += 1
            self._context.append((window, dbfs))
            return
        if self._context:
            self._begin_anew()
        probability = self._detector.probability(window, dbfs)
        self._doubted_windows = self._doubted_windows + 1 if probability < _DOUBTFUL else 0
        if probability >= (_BEGINS_IF_ACTIVE if self._is_active_speaker else _BEGINS):
            self._state = _State.SPEAKING
            self._spoke_at = self._position
            self._trusted_windows = 0

    def _follow(self, window: NDArray[np.float32], dbfs: float, is_loud: bool) -> None:
        if is_loud and self._trusted_windows:
            self._trusted_windows -= 1
            self._spoke_at = self._position
            return
        probability = self._detector.probability(window, dbfs)
        self._trusted_windows = _TRUSTED_WINDOWS if probability >= _SURE else 0
        if probability >= _GOES_ON:
            self._spoke_at = self._position
        elif self._position - self._spoke_at >= self._tail:
            # What stands out from now on is a beginning of its own.
            self._state = _State.QUIET

    def _suspect(self) -> None:
        self._state = _State.SUSPECT
        self._stood_out_at = self._position - self._loud_windows * WINDOW
        self._loud_windows = 0
        self._quiet_windows = 0
        self._doubted_windows = 0
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Silero remembers what it heard last, and takes a leap in time for a sound."""
        self._detector.forget()
        for window, dbfs in self._context:
            self._detector.probability(window, dbfs)
        self._context.clear()
