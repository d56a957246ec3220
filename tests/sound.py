"""Sound for tests: a tone stands for speech where no words are asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from livekit import rtc

RATE = 16_000


def tone(seconds: float, *, loudness: int = 6000) -> Iterator[rtc.AudioFrame]:
    """Frames of 10 ms of a tone at 16 kHz."""
    samples = (
        loudness * np.sin(np.arange(int(seconds * RATE)) * 2 * np.pi * 220 / RATE)
    ).astype(np.int16)
    yield from frames(samples)


def frames(samples: np.ndarray) -> Iterator[rtc.AudioFrame]:
    """Samples at 16 kHz as frames of 10 ms."""
    step = RATE // 100
    for start in range(0, len(samples) - step + 1, step):
        yield rtc.AudioFrame(samples[start : start + step].tobytes(), RATE, 1, step)
