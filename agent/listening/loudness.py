"""Whether a window of sound stands out from its background: the first, cheapest sign of speech.

The background is learned from the sound itself, because microphones differ by 60 dB: what is
silence in one is a loud voice in another. A steady noise becomes background within seconds.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

SILENCE_DBFS = -100.0
"""Stands for digital silence, whose level has no logarithm."""

_QUIETEST_SPEECH_DBFS = -72.0
"""A rms of 8 in 16 bits; what is fainter than that, Opus itself makes up."""
_ABOVE_BACKGROUND_DB = 5.0
_BLOCK_WINDOWS = 16
_BLOCKS = 8
"""The background is the quietest of the last eight blocks of half a second."""


def level(samples: NDArray[np.float32]) -> float:
    """The root mean square of samples from -1 to 1, in dB of full scale."""
    power = float(np.dot(samples, samples)) / len(samples) if len(samples) else 0.0
    return max(SILENCE_DBFS, 10.0 * float(np.log10(power))) if power > 0.0 else SILENCE_DBFS


class Loudness:
    """Tells loud windows from quiet ones, against a background that it follows."""

    def __init__(self) -> None:
        self._blocks: deque[float] = deque(maxlen=_BLOCKS)
        self._quietest = 0.0
        self._windows = 0

    @property
    def background(self) -> float:
        """The level that counts as silence, in dBFS; nothing is known at first."""
        if not self._blocks:
            return SILENCE_DBFS
        return min(self._quietest, *self._blocks) if self._windows else min(self._blocks)

    def is_loud(self, dbfs: float) -> bool:
        """Take the next window's level; whether it stands out."""
        loud = dbfs > max(_QUIETEST_SPEECH_DBFS, self.background + _ABOVE_BACKGROUND_DB)
        self._quietest = min(self._quietest, dbfs) if self._windows else dbfs
        self._windows += 1
        if self._windows == _BLOCK_WINDOWS:
            self._blocks.append(self._quietest)
            self._windows = 0
        return loud
