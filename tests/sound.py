"""Sound for tests: a tone stands for speech where no words are asked for, a clip where they are."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
import numpy.typing as npt
from livekit import rtc

from demo.clips import SAMPLE_RATE as CLIP_RATE
from demo.clips import load_clip

RATE = 16_000

Samples = npt.NDArray[np.int16]


def tone(seconds: float, *, loudness: int = 6000) -> Iterator[rtc.AudioFrame]:
    """Frames of 10 ms of a tone at 16 kHz."""
    samples = (loudness * np.sin(np.arange(int(seconds * RATE)) * 2 * np.pi * 220 / RATE)).astype(
        np.int16
    )
    yield from frames(samples)


def silence(seconds: float) -> Iterator[rtc.AudioFrame]:
    """Frames of 10 ms of silence at 16 kHz."""
    yield from frames(np.zeros(int(seconds * RATE), np.int16))


def frames_of(seconds: float, *, frame_seconds: float = 0.01) -> list[rtc.AudioFrame]:
    """Silence at 16 kHz in frames of any length."""
    step = round(frame_seconds * RATE)
    return [
        rtc.AudioFrame(bytes(2 * step), RATE, 1, step)
        for _ in range(round(seconds / frame_seconds))
    ]


def frames(samples: Samples) -> Iterator[rtc.AudioFrame]:
    """Samples at 16 kHz as frames of 10 ms."""
    step = RATE // 100
    for start in range(0, len(samples) - step + 1, step):
        yield rtc.AudioFrame(samples[start : start + step].tobytes(), RATE, 1, step)


def spoken(name: str) -> Samples:
    """A clip of the demo's, at 16 kHz."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    clip = av.AudioFrame.from_ndarray(
        load_clip(name).samples.reshape(1, -1), format="s16", layout="mono"
    )
    clip.sample_rate = CLIP_RATE
    parts = [*resampler.resample(clip), *resampler.resample(None)]
    return np.concatenate([part.to_ndarray().reshape(-1) for part in parts]).astype(np.int16)
